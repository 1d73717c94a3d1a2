"""Published snapshots: which there are, what their manifests say, and their tables.

A snapshot is immutable. Its id is derived from the digest of its source and from everything that decides how the
source is read, so the same source gives the same snapshot, once, and a change of either gives another.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from recsys import columns as c
from recsys.config import NO_RATINGS
from recsys.errors import AlreadyExistsError, NotFoundError
from recsys.messages import Reading, SnapshotRef, SourceArchive
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.documents import Document
from recsys.storage.seen_lists import seen_lists
from recsys.storage.tables import read_table, write_table

# A row holds a user's whole list, 150 movies on average: small groups, so that all cores have some to read.
_SEEN_GROUP_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class FileAccount:
    """What became of the rows of one file of the source.

    Attributes:
        file: its path in the archive.
        table: the table its rows go to.
        n_in: rows it holds, malformed ones included; headers and blank lines are none.
        n_out: rows that reached the table; one that only repeats another of its file has reached it too.
        n_quarantined: rows that did not, each of them in the quarantine.
    """

    file: str
    table: str
    n_in: int
    n_out: int
    n_quarantined: int

    def __post_init__(self) -> None:
        if self.n_in != self.n_out + self.n_quarantined:
            raise AssertionError(
                f"{self.file}: {self.n_in:,} rows read, {self.n_out:,} kept and {self.n_quarantined:,} quarantined. "
                "The parser lost rows; this is a fault of the package."
            )


class TableFile(Document):
    """The Parquet object of a table; `sha256` is of its bytes."""

    key: str
    n_rows: int
    size_bytes: int
    sha256: str


class SummedCounts(Document):
    """How rows with counts became pairs of user and movie; `lowest` and `highest` are counts of a pair."""

    n_rows: int
    n_pairs: int
    lowest: float
    highest: float


class SnapshotLineage(Document):
    """Where a snapshot comes from.

    Attributes:
        ingest_id: of the ingest that published it.
        source: the address, path or generator that the archive came from.
        archive: its key.
        sha256: of its bytes.
        verified_by: what they were compared with.
        release: the known release that it is; None where it is none.
        contains: sha256 of all sources in it; none where an earlier version did not say.
        base_snapshot_id: of the snapshot that the source was added to; None where it was taken in by itself.
        files: an account of every file that was read.
        not_read: files that hold nothing of the tables.
    """

    ingest_id: str
    source: str
    archive: str
    sha256: str
    size_bytes: int
    licence: str
    verified_by: str = ""
    release: str | None = None
    reading: Reading = Reading()
    contains: tuple[str, ...] = ()
    base_snapshot_id: str | None = None
    layout: str = ""
    parser_version: str = ""
    files: tuple[FileAccount, ...] = ()
    not_read: tuple[str, ...] = ()


class SnapshotManifest(Document):
    """What a snapshot consists of: its manifest.

    Attributes:
        created_at: UTC.
        previous_snapshot_id: of the snapshot to compare with; see `knows_previous`.
        counts: rows as ``n_<table>``, and ``n_users``: users who rated.
        rating_scale: ``lowest-highest/step``, or ``none`` for counts; empty where an earlier version did not say.
        summed: how counts were summed; None where there are ratings.
        quarantined: rows of the source that are not in the tables, by reason.
        fingerprint: of the tables.
        tables: by name, dictionaries of ids, quarantine and seen lists among them.
    """

    snapshot_id: str
    created_at: str
    dataset: str
    is_invented: bool
    previous_snapshot_id: str | None = None
    counts: Mapping[str, int]
    rating_scale: str = ""
    summed: SummedCounts | None = None
    quarantined: Mapping[str, int] = {}
    fingerprint: str
    tables: Mapping[str, TableFile]
    lineage: SnapshotLineage

    @property
    def knows_previous(self) -> bool:
        """Whether it says which snapshot is before it, or that there is none; those of earlier versions do not."""
        return "previous_snapshot_id" in self.model_fields_set

    @property
    def has_ratings(self) -> bool:
        """Whether it holds ratings; else it holds counts."""
        return self.rating_scale != NO_RATINGS


def read_manifest(store: Store, snapshot_id: str) -> SnapshotManifest:
    """The manifest of a snapshot.

    Raises:
        NotFoundError: there is no such snapshot.
    """
    return SnapshotManifest.load(store, layout.snapshot_manifest(snapshot_id))


def held_by(store: Store, archive: SourceArchive) -> str | None:
    """The snapshot that holds all rows of an archive already; None where there is none.

    That is the one it would become, or, of an increment that was taken in before, the one it would be added to.
    """
    base_id = archive.reading.base_snapshot_id
    is_in_base = base_id and archive.contains.count(archive.sha256) > 1
    candidates = [archive.snapshot_id, *([base_id] if base_id and is_in_base else [])]
    return next((name for name in candidates if store.exists(layout.snapshot_manifest(name))), None)


def snapshot_ref(store: Store, snapshot_id: str) -> SnapshotRef:
    """A published snapshot, for the tasks after the ingest.

    Raises:
        NotFoundError: there is no such snapshot.
    """
    manifest = read_manifest(store, snapshot_id)
    counts = manifest.counts
    return SnapshotRef(
        snapshot_id=snapshot_id,
        uri=store.uri(layout.snapshot_manifest(snapshot_id)),
        dataset=manifest.dataset,
        is_invented=manifest.is_invented,
        n_ratings=counts["n_ratings"],
        n_users=counts["n_users"],
        n_movies=counts["n_movies"],
        n_quarantined=sum(manifest.quarantined.values()),
        sha256=manifest.lineage.sha256,
        licence=manifest.lineage.licence,
        fingerprint=manifest.fingerprint,
    )


def manifests(store: Store) -> Iterator[SnapshotManifest]:
    """The manifests of all published snapshots, in no order that means anything."""
    for key in store.list("snapshots/"):
        if key.endswith(f"/{layout.MANIFEST}"):
            with contextlib.suppress(NotFoundError):  # the retention removed it just now
                yield SnapshotManifest.load(store, key)


def newest(of: Iterable[SnapshotManifest], dataset: str | None = None) -> SnapshotManifest | None:
    """The snapshot published last of some, of one data set or of all; None where there is none."""
    of_dataset = (manifest for manifest in of if dataset in (None, manifest.dataset))
    return max(of_dataset, key=lambda manifest: (manifest.created_at, manifest.snapshot_id), default=None)


def latest(store: Store, dataset: str | None = None) -> str:
    """The id of the snapshot published last, of one data set or of all.

    Raises:
        NotFoundError: none was published yet.
    """
    manifest = newest(manifests(store), dataset)
    if manifest is None:
        raise NotFoundError(f"{store.url} holds no snapshot{f' of {dataset}' if dataset else ''} yet. "
                            "Nothing was started. Run `recsys ingest` first.")  # fmt: skip
    return manifest.snapshot_id


def read_tables(store: Store, snapshot_id: str) -> dict[str, pa.Table]:
    """The canonical tables of a snapshot, those it has none of (older than the schema) empty."""
    stored = read_manifest(store, snapshot_id).tables
    return {
        name: read_table(store, layout.snapshot_table(snapshot_id, name)) if name in stored else schema.empty_table()
        for name, schema in c.SNAPSHOT_TABLES.items()
    }


def read_ids(store: Store, snapshot_id: str) -> dict[str, pa.Table]:
    """The dictionaries of a snapshot whose source has other ids than 32-bit integers; none elsewhere."""
    stored = read_manifest(store, snapshot_id).tables
    return {name: read_table(store, layout.snapshot_table(snapshot_id, name)) for name in c.ID_TABLES if name in stored}


def seen_key(store: Store, snapshot_id: str) -> str:
    """Where a snapshot's rows of columns.SEEN_LISTS are; of one that is older than this table they are written now."""
    key = layout.snapshot_table(snapshot_id, "seen")
    if not store.exists(key):
        ratings = read_table(store, layout.snapshot_table(snapshot_id, "ratings"), [c.USER_ID, c.MOVIE_ID])
        with contextlib.suppress(AlreadyExistsError):  # another scoring wrote the same rows first
            write_seen(store, snapshot_id, ratings, overwrite=False)
    return key


def counts(tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """Rows of each table, and ``n_users``: those who rated."""
    rows = {f"n_{name}": table.num_rows for name, table in tables.items()}
    return {**rows, "n_users": len(tables["ratings"][c.USER_ID].unique())}


def write_seen(store: Store, snapshot_id: str, ratings: pa.Table, *, overwrite: bool) -> TableFile:
    key = layout.snapshot_table(snapshot_id, "seen")
    row = write_table(store, key, seen_lists(ratings), overwrite=overwrite, row_group_rows=_SEEN_GROUP_ROWS)
    return TableFile(**row)


def has_ratings(store: Store, snapshot_id: str) -> bool:
    """Whether a snapshot holds ratings; else it holds counts."""
    return read_manifest(store, snapshot_id).has_ratings
