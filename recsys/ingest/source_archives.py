"""Where an ingest's archive comes from: the generator, a release's addresses, or a path on this machine.

Whatever the way, it ends in the store, under a key that names its content, with a note beside it that
says source, digest and what the server calls this version. The note is written last: an archive without
one is brought again.
"""

import contextlib
import hashlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from recsys.config import IngestConfig, Settings
from recsys.errors import AlreadyExistsError, ConfigError, DataError, PermanentError, TransientError
from recsys.ingest.archives import archives
from recsys.ingest.download import digests
from recsys.ingest.download import mirrors as downloads
from recsys.ingest.formats import known_releases, reading
from recsys.ingest.formats.known_releases import SAMPLE
from recsys.ingest.formats.tabular import ReadOptions
from recsys.ingest.ingest_documents import ArchiveNote, ServerIdentity, read_note
from recsys.ingest.snapshot_recipe import reading_of
from recsys.ingest.synthetic import sample
from recsys.storage import layout
from recsys.storage.base import Store

log = logging.getLogger(__name__)

# A copy is held already: a quick question whether it is still current.
_ONE_QUESTION = downloads.Policy(n_attempts=2, timeout_s=10.0)
_NOTHING = "nothing"


def bring(config: IngestConfig, store: Store, settings: Settings) -> ArchiveNote:
    """Bring the archive into the store; returns its note.

    Raises:
        ConfigError: the data set is neither a known release nor an existing path, or a mirror is for none.
        DataError: what arrived is no usable archive; nothing was stored.
        TransientError: no address could be reached, and no copy is in the store.
    """
    known_releases.check_names(settings.mirrors, "RECSYS_MIRRORS")
    if config.dataset == SAMPLE:
        return _invent(config, store, settings)
    if config.dataset in known_releases.RELEASES:
        return fetch(known_releases.RELEASES[config.dataset], store, settings)
    return _take(config.dataset, ReadOptions.of(reading_of(config)), store, settings)


def _invent(config: IngestConfig, store: Store, settings: Settings) -> ArchiveNote:
    sizes = {name: value for name, value in config.model_dump().items() if name.startswith("sample_")}
    recipe = repr(sorted({**sizes, "generator_version": sample.GENERATOR_VERSION}.items()))
    key = layout.archive(SAMPLE, hashlib.sha256(recipe.encode()).hexdigest(), "sample.zip")
    log.info("sample: all movies, users and ratings of this data set are invented")
    newest = _newest(store, SAMPLE)
    if note := _note(store, key):
        return _brought_again(store, note, newest)
    with tempfile.TemporaryDirectory(dir=settings.tmp_dir) as folder:
        path = Path(folder) / "sample.zip"
        sample.write_sample(config, path)
        source = f"invented: {', '.join(f'{name} {value}' for name, value in sorted(sizes.items()))}"
        return _keep(store, key, path, dataset=SAMPLE, source=source, is_invented=True)


def fetch(release: known_releases.Release, store: Store, settings: Settings) -> ArchiveNote:
    """A release from the store where it is frozen, else from the network; a stale copy before none at all."""
    newest = _newest(store, release.name, only_fetched=True)
    if newest and release.is_frozen:
        log.info("%s: already in the store", release.name)
        return _brought_again(store, newest, newest)
    try:
        got = _download(release, newest, settings)
    except (TransientError, PermanentError) as error:
        if newest is None or isinstance(error, DataError):
            raise
        log.warning("%s: could not ask whether it changed (%s); using the copy of %s", release.name, error, newest.at)
        return _brought_again(store, newest, newest)
    if got is None and newest:
        log.info("%s: unchanged at its source since %s", release.name, newest.at)
        return _brought_again(store, newest, newest)
    if got is None:
        raise TransientError(f"{release.url}: answered 'not modified' though nothing was held. Run again.")
    try:
        _check_usable(got.path, ReadOptions(ratings_file=release.ratings_file))
        key = layout.archive(release.name, release.md5 or got.sha256, f"{release.name}.zip")
        return _keep(
            store,
            key,
            got.path,
            dataset=release.name,
            source=got.source,
            licence=release.licence,
            verified_by=got.verified_by,
            validator=got.validator,
        )
    finally:
        got.path.unlink(missing_ok=True)


def _download(
    release: known_releases.Release, newest: ArchiveNote | None, settings: Settings
) -> downloads.Downloaded | None:
    held = None
    if newest:
        validator = downloads.Validator(newest.validator.etag, newest.validator.last_modified)
        held = downloads.Held(newest.source, validator, newest.md5)
    return downloads.download(
        release.addresses(settings.mirrors.get(release.name, ()), is_held=held is not None),
        settings.tmp_dir / "downloads" / f"{release.name}.zip",
        md5=release.md5,
        held=held,
        policy=_ONE_QUESTION if held else None,
    )


def _take(dataset: str, options: ReadOptions, store: Store, settings: Settings) -> ArchiveNote:
    """An archive, a table's file or a folder on this machine; its name names the data set."""
    path = Path(dataset).expanduser().absolute()
    if not (path.is_file() or path.is_dir()):
        if "/" in dataset or path.suffix:
            raise ConfigError(f"{path}: no such file or folder. Nothing was started. Check the path in DATASET.")
        known_releases.find_release(dataset)  # raises, and lists the known ones
    suffix = "" if path.is_dir() else archives.file_suffix(path.name) or path.suffix
    name = layout.safe_id(path.name[: len(path.name) - len(suffix)])
    name = f"local-{name}" if name == SAMPLE else name  # only the generator's own output is known to be invented
    verified_by = _check_sidecar(path)
    with tempfile.TemporaryDirectory(dir=settings.tmp_dir) as folder:
        packed = path
        not_read: tuple[str, ...] = ()
        if path.is_dir():
            packed = Path(folder) / f"{name}.zip"
            not_read = archives.pack_folder(path, packed, reading.kept_names(path, options))
        stored = f"{name}{'.zip' if path.is_dir() else suffix}"
        key = layout.archive(name, digests.file_digest(packed), stored)
        newest = _newest(store, name)
        if note := _note(store, key):
            return _brought_again(store, note, newest)
        _check_usable(packed, options)
        return _keep(store, key, packed, dataset=name, source=str(path), verified_by=verified_by, not_read=not_read)


def _check_usable(path: Path, options: ReadOptions) -> None:
    """Refuse before anything is stored what is no archive of a known layout, or not readable to its end."""
    with archives.open_archive(path) as archive:
        archive.verify()
        reading.detect_layout(archive, options)


def _check_sidecar(path: Path) -> str:
    """Compare a local file with the ``.md5`` file beside it, where there is one; says what it was compared with."""
    sidecar = path.with_name(f"{path.name}.md5")
    if not path.is_file() or not sidecar.is_file():
        return _NOTHING
    md5 = digests.sidecar_md5(sidecar.read_text(errors="replace"), path.name)
    actual = digests.file_digest(path, "md5")
    if md5 != actual:
        raise DataError(
            f"{path}: its MD5 sum is {actual}, {sidecar.name} beside it says {md5 or 'none that can be read'}. "
            f"Nothing was stored. Fetch the archive again, or remove {sidecar.name} if it is not about this file."
        )
    return "the MD5 sum beside it"


def _keep(
    store: Store,
    key: str,
    path: Path,
    *,
    dataset: str,
    source: str,
    licence: str = "",
    verified_by: str = _NOTHING,
    validator: downloads.Validator | None = None,
    is_invented: bool = False,
    not_read: tuple[str, ...] = (),
) -> ArchiveNote:
    """Store an archive and, after it, its note."""
    with contextlib.suppress(AlreadyExistsError):  # the key names the content: a killed attempt stored the same
        store.put_file(key, path)
    note = ArchiveNote(
        dataset=dataset,
        archive=key,
        sha256=digests.file_digest(path),
        md5=digests.file_digest(path, "md5"),
        size_bytes=path.stat().st_size,
        source=source,
        licence=licence or known_releases.licence_of(dataset),
        verified_by=verified_by,
        is_invented=is_invented,
        validator=ServerIdentity(**asdict(validator or downloads.Validator())),
        not_read=not_read,
        at=_now(),
    )
    note.write(store, layout.archive_note(key), overwrite=True)
    return note


def _brought_again(store: Store, note: ArchiveNote, newest: ArchiveNote | None) -> ArchiveNote:
    """The note of an archive that is in the store; it is the newest from now on."""
    if newest is None or note.archive != newest.archive:
        note = note.model_copy(update={"at": _now()})
        note.write(store, layout.archive_note(note.archive), overwrite=True)
    return note


def _note(store: Store, key: str) -> ArchiveNote | None:
    return read_note(store, key) if store.exists(layout.archive_note(key)) and store.exists(key) else None


def _newest(store: Store, dataset: str, *, only_fetched: bool = False) -> ArchiveNote | None:
    """The archive of a data set that was brought last; of those from the network, if only they count."""
    keys = set(store.list(layout.archives(dataset)))
    notes = [read_note(store, key) for key in keys if layout.archive_note(key) in keys]
    if only_fetched:
        notes = [note for note in notes if note.source.startswith("http")]
    return max(notes, key=lambda note: note.at, default=None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@contextlib.contextmanager
def local_copy(store: Store, key: str, settings: Settings) -> Iterator[Path]:
    """An object as a file on this machine, copied only where it has to be."""
    path = store.local_path(key)
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(dir=settings.tmp_dir) as folder:
        copy = Path(folder) / Path(key).name
        store.get_file(key, copy)
        yield copy
