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
from typing import Any

from recsys.config import IngestConfig, Settings
from recsys.datasets import archives, catalogue, digests, movielens, sample
from recsys.datasets import download as downloads
from recsys.errors import AlreadyExistsError, ConfigError, TransientError
from recsys.storage import layout
from recsys.storage.store import Store
from recsys.storage.tables import read_json, write_json

log = logging.getLogger(__name__)

SAMPLE = "sample"
# A copy is held already: one quick question whether it is still current.
_ONE_QUESTION = downloads.Policy(n_attempts=1, timeout_s=10.0)


def bring(config: IngestConfig, store: Store, settings: Settings) -> dict[str, Any]:
    """Bring the archive into the store.

    Returns:
        Its note: ``dataset``, ``archive`` (key), ``sha256``, ``size_bytes``, ``source``, ``is_invented`` and more.

    Raises:
        ConfigError: the data set is neither a known release nor an existing path.
        DataError: what arrived is no usable archive; nothing was stored.
        TransientError: no address could be reached, and no copy is in the store.
    """
    if config.dataset == SAMPLE:
        return _invent(config, store, settings)
    if config.dataset in catalogue.RELEASES:
        return fetch(catalogue.RELEASES[config.dataset], store, settings)
    return _take(config.dataset, store, settings)


def _invent(config: IngestConfig, store: Store, settings: Settings) -> dict[str, Any]:
    sizes = {name: value for name, value in config.model_dump().items() if name.startswith("sample_")}
    recipe = repr(sorted({**sizes, "generator_version": sample.GENERATOR_VERSION}.items()))
    key = layout.archive(SAMPLE, hashlib.sha256(recipe.encode()).hexdigest(), "sample.zip")
    if (note := _note(store, key)) is None:
        with tempfile.TemporaryDirectory(dir=settings.tmp_dir) as folder:
            path = Path(folder) / "sample.zip"
            sample.write_sample(config, path)
            source = f"invented: {', '.join(f'{name} {value}' for name, value in sorted(sizes.items()))}"
            note = _keep(store, key, path, dataset=SAMPLE, source=source, is_invented=True)
    log.info("sample: all movies, users and ratings of this data set are invented")
    return note


def fetch(release: catalogue.Release, store: Store, settings: Settings) -> dict[str, Any]:
    """A release from the store where it is frozen, else from the network; a stale copy before none at all."""
    kept = _latest_note(store, release.name)
    if kept and release.is_frozen:
        log.info("%s: already in the store", release.name)
        return kept
    known = downloads.Validator(**kept["validator"]) if kept and any(kept["validator"].values()) else None
    addresses = release.addresses[:1] if kept else release.addresses
    target = settings.tmp_dir / "downloads" / f"{release.name}.zip"
    try:
        got = downloads.download(
            addresses, target, md5=release.md5, known=known, policy=_ONE_QUESTION if kept else None
        )
    except TransientError as error:
        if kept is None:
            raise
        log.warning("%s: could not ask whether it changed (%s); using the copy of %s", release.name, error, kept["at"])
        return kept
    if got is None and kept:
        log.info("%s: unchanged at its source since %s", release.name, kept["at"])
        return kept
    if got is None:
        raise TransientError(f"{release.url}: answered 'not modified' though nothing was held. Run again.")
    try:
        _check_usable(got.path)
        key = layout.archive(release.name, release.md5 or got.sha256, f"{release.name}.zip")
        return _keep(store, key, got.path, dataset=release.name, source=got.source, validator=asdict(got.validator))
    finally:
        got.path.unlink(missing_ok=True)


def _take(dataset: str, store: Store, settings: Settings) -> dict[str, Any]:
    """An archive or folder on this machine; its name names the data set."""
    path = Path(dataset).expanduser().absolute()
    if not path.exists():
        if "/" in dataset or path.suffix:
            raise ConfigError(f"{path}: no such file or folder. Nothing was started. Check the path in DATASET.")
        catalogue.find_release(dataset)  # raises, and lists the known ones
    name = layout.safe_id(path.name if path.is_dir() else path.stem)
    name = f"local-{name}" if name == SAMPLE else name  # only the generator's own output is known to be invented
    _check_usable(path)
    with tempfile.TemporaryDirectory(dir=settings.tmp_dir) as folder:
        packed = path
        if path.is_dir():
            packed = Path(folder) / f"{name}.zip"
            archives.pack_folder(path, packed, movielens.FILE_NAMES)
        key = layout.archive(name, digests.file_digest(packed), f"{name}.zip")
        return _note(store, key) or _keep(store, key, packed, dataset=name, source=str(path))


def _check_usable(path: Path) -> None:
    """Refuse before anything is stored what is no archive of a known layout."""
    with archives.open_archive(path) as archive:
        movielens.detect_layout(archive)


def _keep(store: Store, key: str, path: Path, **known: Any) -> dict[str, Any]:
    """Store an archive and, after it, what is known of it."""
    with contextlib.suppress(AlreadyExistsError):  # the key names the content: a killed attempt stored the same
        store.put_file(key, path)
    note = {
        "is_invented": False,
        "validator": asdict(downloads.Validator()),
        **known,
        "archive": key,
        "sha256": digests.file_digest(path),
        "size_bytes": path.stat().st_size,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(store, layout.archive_note(key), note, overwrite=True)
    return note


def _note(store: Store, key: str) -> dict[str, Any] | None:
    note_key = layout.archive_note(key)
    if store.exists(note_key) and store.exists(key):
        return dict(read_json(store, note_key))
    return None


def _latest_note(store: Store, dataset: str) -> dict[str, Any] | None:
    """The newest archive of a release that came from one of its addresses."""
    keys = [key for key in store.list(f"archives/{dataset}/") if key.endswith(".zip")]
    notes = [note for note in (_note(store, key) for key in keys) if note and note["source"].startswith("http")]
    return max(notes, key=lambda note: str(note["at"]), default=None)


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
