"""Makes staged tables an immutable snapshot: sorted, without faulty rows, with its quarantine and its lineage."""

import contextlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as c
from recsys.config import NO_RATINGS, Settings
from recsys.errors import AlreadyExistsError
from recsys.ingest import increments, source_archives
from recsys.ingest.download import digests
from recsys.ingest.formats.reading import PARSER_VERSION, source_lines
from recsys.ingest.ingest_documents import StagingManifest, read_staging
from recsys.ingest.parsers import counts as counting
from recsys.messages import SnapshotRef, SourceArchive
from recsys.storage import layout, snapshots
from recsys.storage.base import Store
from recsys.storage.snapshots import SnapshotLineage, SnapshotManifest, SummedCounts, TableFile
from recsys.storage.tables import read_table, write_table

log = logging.getLogger(__name__)

_MOST_TEXTS = 100_000  # rows of the quarantine with their text; of a history of millions the lines are enough


def publish(store: Store, archive: SourceArchive, settings: Settings) -> SnapshotRef:
    """Make the staged tables, less the rows that validation took out, an immutable snapshot.

    Returns:
        The snapshot; the one there is, when the same source was published before.
    """
    if (published := snapshots.held_by(store, archive)) is not None:
        log.info("snapshot %s holds it: the source has not changed", published)
        return snapshots.snapshot_ref(store, published)
    ingest_id, snapshot_id = archive.ingest_id, archive.snapshot_id
    staged = read_staging(store, ingest_id)
    staged_faults = _staged_faults(store, ingest_id)
    faults = _with_text(store, archive, settings, staged_faults)
    tables = {name: _clean(store, ingest_id, name, staged_faults) for name in c.SNAPSHOT_TABLES}
    summed = {}
    if archive.rating_scale == NO_RATINGS:
        n_rows, tables["ratings"] = tables["ratings"].num_rows, counting.summed(tables["ratings"])
        summed = {"summed": _summed(n_rows, tables["ratings"])}
    quarantine = pa.concat_tables([read_table(store, layout.staging_table(ingest_id, "quarantine")), faults])
    ids = {name: read_table(store, layout.staging_table(ingest_id, name)) for name in staged.ids}
    manifest = SnapshotManifest(
        snapshot_id=snapshot_id,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        dataset=archive.dataset,
        is_invented=archive.is_invented,
        previous_snapshot_id=archive.previous_snapshot_id,
        counts=snapshots.counts(tables),
        rating_scale=archive.rating_scale,
        **summed,
        quarantined=dict(sorted(Counter(quarantine["reason"].to_pylist()).items())),
        fingerprint=digests.tables_fingerprint(tables),
        tables=_write(store, snapshot_id, {**tables, **ids, "quarantine": quarantine}),
        lineage=_lineage(archive, staged, faults),
    )
    with contextlib.suppress(AlreadyExistsError):  # another run published the same source: its manifest stands
        manifest.write(store, layout.snapshot_manifest(snapshot_id))
    n_ratings = manifest.counts["n_ratings"]
    log.info("snapshot %s: %s ratings, %s rows quarantined", snapshot_id, f"{n_ratings:,}", f"{len(quarantine):,}")
    return snapshots.snapshot_ref(store, snapshot_id)


def _write(store: Store, snapshot_id: str, tables: Mapping[str, pa.Table]) -> dict[str, TableFile]:
    """Write the tables, and who has seen what."""
    # Without a manifest these keys belong to nobody: an attempt that was killed may have left some.
    rows = {
        name: TableFile(**write_table(store, layout.snapshot_table(snapshot_id, name), table, overwrite=True))
        for name, table in tables.items()
    }
    return {**rows, "seen": snapshots.write_seen(store, snapshot_id, tables["ratings"], overwrite=True)}


def _clean(store: Store, ingest_id: str, name: str, faults: pa.Table) -> pa.Table:
    """A staged table without its faulty rows and without lines, sorted."""
    table = read_table(store, layout.staging_table(ingest_id, name))
    lines = faults.filter(pc.equal(faults["table"], name))[c.LINE]
    if len(lines):
        table = table.filter(pc.invert(pc.is_in(table[c.LINE], lines.combine_chunks())))
    return _sorted(table.drop_columns([c.LINE]).cast(c.SNAPSHOT_TABLES[name]))


def _summed(n_rows: int, ratings: pa.Table) -> SummedCounts:
    span = pc.min_max(ratings[c.RATING]).as_py()
    log.info("%s rows hold the counts of %s pairs of user and movie", f"{n_rows:,}", f"{ratings.num_rows:,}")
    return SummedCounts(n_rows=n_rows, n_pairs=ratings.num_rows, lowest=span["min"], highest=span["max"])


def _staged_faults(store: Store, ingest_id: str) -> pa.Table:
    """What validation took out, as staged."""
    key = layout.staging_faults(ingest_id)
    return read_table(store, key) if store.exists(key) else c.QUARANTINE.empty_table()


def _with_text(store: Store, archive: SourceArchive, settings: Settings, faults: pa.Table) -> pa.Table:
    """The same rows with their files and lines there, and with the source's text where it can be told."""
    if not faults.num_rows:
        return faults
    lines = faults[c.LINE].to_numpy()
    is_new = lines > 0
    places = np.where(is_new, lines % (1 << c.LINE_BITS), lines)
    label = increments.snapshot_label(archive.reading.base_snapshot_id or "")
    files = [file if new else label for file, new in zip(faults["file"].to_pylist(), is_new, strict=True)]
    wanted: dict[str, list[tuple[int, int]]] = {}
    for i in np.flatnonzero(is_new)[:_MOST_TEXTS].tolist():
        wanted.setdefault(files[i], []).append((int(places[i]), i))
    contents: list[str | None] = [None] * len(files)
    with source_archives.local_copy(store, archive.archive_key, settings) as path:
        for file, rows in wanted.items():
            texts = source_lines(path, file, [line for line, _ in rows])
            for line, i in rows:
                contents[i] = texts.get(line)
    replaced = {
        "file": pa.array(files, pa.string()),
        c.LINE: pa.array(places),
        "content": pa.array(contents, pa.string()),
    }
    return pa.table({name: replaced.get(name, faults[name]) for name in c.QUARANTINE.names}, schema=c.QUARANTINE)


def _lineage(archive: SourceArchive, staged: StagingManifest, faults: pa.Table) -> SnapshotLineage:
    taken_out = Counter(zip(faults["table"].to_pylist(), faults["file"].to_pylist(), strict=True))
    files = []
    for account in staged.files:
        # Rows that were derived from another table's rows (movies from ratings alone) are no file's rows.
        n = taken_out.pop((account.table, account.file), 0)
        files.append(replace(account, n_out=account.n_out - n, n_quarantined=account.n_quarantined + n))
    return SnapshotLineage(
        ingest_id=archive.ingest_id,
        source=archive.source,
        archive=archive.archive_key,
        sha256=archive.sha256,
        size_bytes=archive.size_bytes,
        licence=archive.licence,
        verified_by=archive.verified_by,
        release=archive.release,
        reading=archive.reading,
        contains=archive.contains,
        base_snapshot_id=archive.reading.base_snapshot_id,
        layout=staged.layout,
        parser_version=PARSER_VERSION,
        files=tuple(files),
        not_read=staged.not_read,
    )


def _sorted(table: pa.Table) -> pa.Table:
    """Rows by user, then movie (or by movie alone), equal keys in the source's order."""
    keys = [name for name in (c.USER_ID, c.MOVIE_ID) if name in table.column_names]
    arrays = [table[name].to_numpy() for name in keys]
    packed = arrays[0].astype(np.int64)
    if len(arrays) > 1:
        packed = (packed << 32) | arrays[1].astype(np.int64)
    if np.all(packed[1:] >= packed[:-1]):  # releases come sorted, and 25M rows take seconds to sort
        return table
    return table.take(np.argsort(packed, kind="stable"))
