"""Atomic publication of the served tables: readers see one whole version, the old one or the new one.

A version's files are written under new keys, its manifest is created once all of them are there, and
the release log decides what is current: release *n* is the create-only object ``_releases/n``. The
pointer ``current.json`` is a copy of the last release, for readers who want one small file. Rolling back
appends a release that names an older version; nothing is ever overwritten or deleted in place.

A publisher that is killed between release and pointer leaves the pointer on the release before: a whole version
still. `repair` sets it right; `publish`, `rollback` and the first task of every DAG call it.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from recsys.config import NO_RATINGS
from recsys.errors import AlreadyExistsError, DataError, NotFoundError
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.documents import Document


class FileRow(Document):
    """One Parquet object of a published table.

    Attributes:
        sha256: of its bytes.
        min_user_id: the smallest user id in it, where the table is sorted by user; `max_user_id` is the largest.
        min_movie_id: the same of movies, where the table is sorted by movie.
    """

    key: str
    n_rows: int
    size_bytes: int
    sha256: str
    min_user_id: int | None = None
    max_user_id: int | None = None
    min_movie_id: int | None = None
    max_movie_id: int | None = None

    def id_range(self, column: str) -> tuple[int, int] | None:
        """The smallest and the largest id of a column; None where the table is not sorted by it."""
        first, last = getattr(self, f"min_{column}", None), getattr(self, f"max_{column}", None)
        return None if first is None or last is None else (first, last)

    def may_hold(self, column: str, value: int) -> bool:
        """Whether it can have rows with this id.

        >>> row = FileRow(key="part-0", n_rows=9, size_bytes=1, sha256="", min_user_id=3, max_user_id=5)
        >>> row.may_hold("user_id", 5), row.may_hold("user_id", 6), row.may_hold("movie_id", 6)
        (True, False, True)
        """
        ids = self.id_range(column)
        return ids is None or ids[0] <= value <= ids[1]


class Lineage(Document):
    """What the tables of a version were made of.

    Attributes:
        model_version: the model's name and number, such as ``recsys-sample-v3``.
        run_id: the MLflow run of the training.
        dataset: of the snapshot; empty where it is not known.
        is_invented: whether the snapshot is synthetic.
        rating_scale: of the snapshot; empty where it is not known.
        k: movies per list; `n_similar`, `similarity` and `min_support` are the other settings of the scoring.
        checks: counts that the checks of each table found.
    """

    snapshot_id: str
    run_id: str
    model_version: str
    model_uri: str
    dataset: str = ""
    is_invented: bool = False
    rating_scale: str = ""
    k: int
    n_similar: int
    similarity: str = "cosine"
    min_support: int = 0
    checks: Mapping[str, Mapping[str, int]]

    @property
    def has_ratings(self) -> bool:
        """Whether the snapshot has ratings; else it has counts."""
        return self.rating_scale != NO_RATINGS


class VersionManifest(Document):
    """What a version consists of: its manifest.

    Attributes:
        created_at: UTC.
        tables: the files of each table.
    """

    version_id: str
    created_at: str
    tables: Mapping[str, tuple[FileRow, ...]]
    lineage: Lineage


class Release(Document):
    """An entry of the log: from here on a version is current.

    Attributes:
        number: of the entry, from 1.
        path: the version's folder, below that of all tables; `tables` has the folder of each table.
        published_at: UTC.
        reason: ``publish`` or ``rollback``.
    """

    number: int
    version_id: str
    path: str
    published_at: str
    reason: str
    tables: Mapping[str, str]


def publish(store: Store, version_id: str, files: Mapping[str, Sequence[FileRow]], lineage: Lineage) -> Release:
    """Make a written version the current one.

    Args:
        store: where the version was written.
        version_id: the version whose files stand under ``tables/version=<version_id>/``.
        files: the files of each table.
        lineage: what they were made of; stored in the manifest.

    Raises:
        DataError: a file of the manifest is missing or has another size; nothing was published.

    A version that was released before is not released again, whatever is current now: its first release is returned.
    """
    _check_files(store, version_id, files)
    tables = {name: tuple(rows) for name, rows in files.items()}
    manifest = VersionManifest(version_id=version_id, created_at=_now(), tables=tables, lineage=lineage)
    try:
        manifest.write(store, _manifest_key(version_id))
    except AlreadyExistsError:
        # A retry of the same publication: the first attempt's manifest stands.
        manifest = read_manifest(store, version_id)
    return _append(store, manifest, "publish", done_among=slice(None))


def rollback(store: Store, version_id: str) -> Release:
    """Append a release that makes an older version current again; if it is current, nothing is appended.

    Raises:
        NotFoundError: that version was never published, or has been collected.
        DataError: a file of it is missing or has another size; the current release stands.
    """
    manifest = read_manifest(store, version_id)
    _check_files(store, version_id, manifest.tables)
    return _append(store, manifest, "rollback", done_among=slice(-1, None))


def repair(store: Store) -> None:
    """Make the pointer name the release that the log says is current; nothing is written where it does.

    Two that write the pointer at once may do so in either order, so each looks again after it wrote: whoever wrote
    last goes on until pointer and log agree.
    """
    while keys := list(store.list(f"{layout.RELEASES}/")):
        last = store.get(keys[-1])
        with contextlib.suppress(NotFoundError):
            if store.get(layout.CURRENT) == last:
                return
        store.put(layout.CURRENT, last, overwrite=True)


def find(store: Store, version_id: str) -> Release | None:
    """The first release of a version; None where there is none."""
    return _first_of(history(store), version_id)


def current(store: Store) -> Release:
    """The current release, by the log.

    Raises:
        NotFoundError: nothing has been published yet.
    """
    newest = latest(store, 1)
    if not newest:
        raise NotFoundError(f"{store.url} holds no published tables yet. Run `make run`, or `recsys run`.")
    return newest[0]


def history(store: Store) -> list[Release]:
    """All releases, oldest first."""
    return [Release.load(store, key) for key in store.list(f"{layout.RELEASES}/")]


def latest(store: Store, n: int) -> list[Release]:
    """The last n releases, oldest first; fewer where there are fewer."""
    return [Release.load(store, key) for key in list(store.list(f"{layout.RELEASES}/"))[-n:]]


def read_manifest(store: Store, version_id: str) -> VersionManifest:
    """A version's manifest; `NotFoundError` without one."""
    return VersionManifest.load(store, _manifest_key(version_id))


def table_keys(store: Store, table: str, version_id: str | None = None) -> list[str]:
    """The Parquet objects of a published table, in a version or in the current release."""
    version_id = version_id or current(store).version_id
    return [row.key for row in read_manifest(store, version_id).tables[table]]


def _manifest_key(version_id: str) -> str:
    return f"{layout.version(version_id)}/{layout.MANIFEST}"


def _check_files(store: Store, version_id: str, files: Mapping[str, Sequence[FileRow]]) -> None:
    for row in (row for rows in files.values() for row in rows):
        if not store.exists(row.key) or store.size_bytes(row.key) != row.size_bytes:
            raise DataError(
                f"version {version_id}: {row.key} is missing or not {row.size_bytes:,} bytes long. "
                "The current release was left as it is. Run the scoring again, or choose another version."
            )


def _append(store: Store, manifest: VersionManifest, reason: str, done_among: slice) -> Release:
    """Append a release of a version, unless one of those in question names it; the pointer follows either way."""
    version_id = manifest.version_id
    while True:
        releases = history(store)
        if release := _first_of(releases[done_among], version_id):
            break
        release = Release(
            number=releases[-1].number + 1 if releases else 1,
            version_id=version_id,
            path=f"version={version_id}",
            published_at=_now(),
            reason=reason,
            tables={name: f"version={version_id}/{name}" for name in manifest.tables},
        )
        # Another publisher may take this number first: then look again and append after it.
        with contextlib.suppress(AlreadyExistsError):
            release.write(store, layout.release(release.number))
            break
    repair(store)
    return release


def _first_of(releases: Iterable[Release], version_id: str) -> Release | None:
    return next((release for release in releases if release.version_id == version_id), None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
