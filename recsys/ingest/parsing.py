"""Parses an archive into canonical tables with their quarantine, and stages them under the ingest's id."""

import logging
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as c
from recsys.config import Settings
from recsys.errors import DataError
from recsys.ingest import increments, inspection, source_archives
from recsys.ingest.download import digests
from recsys.ingest.formats import reading
from recsys.ingest.formats.tabular import ReadOptions
from recsys.ingest.ingest_documents import StagedSource, StagingManifest, read_staging
from recsys.ingest.parsers.identity import KnownIds
from recsys.ingest.parsers.parsed_tables import Parsed
from recsys.messages import FaultyRow, SourceArchive, StagedTables
from recsys.storage import layout, snapshots
from recsys.storage.base import Store
from recsys.storage.tables import write_table

log = logging.getLogger(__name__)

_N_SHOWN = 5
_SHOWN_LENGTH = 200


def stage(store: Store, archive: SourceArchive, settings: Settings) -> StagingManifest:
    """Parse and stage an archive, unless this ingest did it before; returns the staging manifest.

    Raises:
        DataError: the archive was altered in the store, is refused, or holds nothing that can be read.
    """
    ingest_id, source = archive.ingest_id, StagedSource(snapshot_id=archive.snapshot_id)
    key = layout.staging_manifest(ingest_id)
    if store.exists(key) and (staged := read_staging(store, ingest_id)).source == source:
        log.info("%s: already parsed", layout.staging(ingest_id))
        return staged
    base_id = archive.reading.base_snapshot_id
    base = _BaseSnapshot(store, base_id) if base_id else None
    parsed = _read(store, archive, base, settings)
    malformed = parsed.quarantine.filter(pc.equal(parsed.quarantine["reason"], "malformed"))
    n_new = {name: table.num_rows for name, table in parsed.tables.items()}
    if base:
        has_ratings = ReadOptions.of(archive.reading).has_ratings
        parsed = increments.append(base.tables, parsed, base.snapshot_id, has_ratings=has_ratings)
    for name, table in {**parsed.tables, **parsed.ids, "quarantine": parsed.quarantine}.items():
        write_table(store, layout.staging_table(ingest_id, name), table, overwrite=True)
    staged = StagingManifest(
        source=source,
        layout=parsed.layout,
        counts=snapshots.counts(parsed.tables),
        files=parsed.files,
        n_malformed=dict(Counter(malformed["table"].to_pylist())),
        malformed=_first_of_each(malformed),
        n_base={name: table.num_rows - n_new[name] for name, table in parsed.tables.items()},
        homes={name: tuple(files) for name, files in parsed.homes.items()},
        ids=tuple(sorted(parsed.ids)),
        not_read=(*parsed.unread, *archive.not_read),
    )
    staged.write(store, key, overwrite=True)
    return staged


def staged_tables(archive: SourceArchive, staged: StagingManifest) -> StagedTables:
    """What the next tasks need to know of staged tables."""
    return StagedTables(
        archive=archive,
        n_rows={name: staged.counts[f"n_{name}"] for name in c.SNAPSHOT_TABLES if f"n_{name}" in staged.counts},
        n_malformed=staged.n_malformed,
        malformed=staged.malformed,
        n_base=staged.n_base,
        source_files=staged.homes,
        not_read=staged.not_read,
    )


class _BaseSnapshot:
    """The snapshot an increment is added to."""

    def __init__(self, store: Store, snapshot_id: str) -> None:
        self.snapshot_id = snapshot_id
        self.tables = snapshots.read_tables(store, snapshot_id)
        dictionaries = snapshots.read_ids(store, snapshot_id)
        self.ids = {name: self._known(schema.names[0], dictionaries.get(name)) for name, schema in c.ID_TABLES.items()}

    def _known(self, key: str, dictionary: pa.Table | None) -> KnownIds:
        columns = [table[key] for table in self.tables.values() if key in table.column_names]
        chunks = [chunk.unique() for column in columns for chunk in column.chunks]
        return KnownIds(pa.concat_arrays([pa.array([], pa.int32()), *chunks]).unique(), dictionary)


def _read(store: Store, archive: SourceArchive, base: _BaseSnapshot | None, settings: Settings) -> Parsed:
    """Read the archive; the log begins with what is recognised in it."""
    options = ReadOptions.of(archive.reading)
    with source_archives.local_copy(store, archive.archive_key, settings) as path:
        _check_digest(path, archive)
        seen = inspection.look_at(path, options)
        for line in seen.lines():
            log.info("%s", line)
        parsed = reading.read_source(path, options, base=base.ids if base else None)
    for line in inspection.completed(seen, parsed, options).facts():
        log.info("%s", line)
    return parsed


def _first_of_each(malformed: pa.Table) -> dict[str, tuple[FaultyRow, ...]]:
    """The first malformed rows of each table, for messages."""
    first: dict[str, tuple[FaultyRow, ...]] = {}
    for name in malformed["table"].unique().to_pylist():
        rows = malformed.filter(pc.equal(malformed["table"], name)).slice(0, _N_SHOWN)
        shown = rows.select(["file", c.LINE, "reason", "fault", "content"]).to_pylist()
        first[name] = tuple(FaultyRow(**{**row, "content": row["content"][:_SHOWN_LENGTH]}) for row in shown)
    return first


def _check_digest(path: Path, archive: SourceArchive) -> None:
    actual = digests.file_digest(path) if path.is_file() else "absent"
    if actual != archive.sha256:
        raise DataError(
            f"{archive.archive_key}: sha256 is {actual}, {archive.sha256} was stored. Nothing was parsed. "
            "Delete the object and run ingest_ratings again."
        )
