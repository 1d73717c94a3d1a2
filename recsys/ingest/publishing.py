"""The task `publish` of ingest_ratings: the staged tables become an immutable snapshot."""

import contextlib
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as c
from recsys.config import NO_RATINGS, Settings
from recsys.errors import AlreadyExistsError
from recsys.ingest import increments, source_archives
from recsys.ingest.download import digests
from recsys.ingest.formats import reading
from recsys.ingest.parsers import counts as counting
from recsys.storage import layout, snapshots
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, read_table, write_json, write_table

log = logging.getLogger(__name__)

_MOST_TEXTS = 100_000  # rows of the quarantine with their text; of a history of millions the lines are enough


def snapshot_name(
    dataset: str, sha256: str, how: Mapping[str, Any], parser_version: str = reading.PARSER_VERSION
) -> str:
    """A snapshot's id: the data set, and twelve digits that change with its bytes, the parser or the way of reading.

    >>> snapshot_name("ml-25m", "ab" * 32, {}, "1") == snapshot_name("ml-25m", "ab" * 32, {}, "2")
    False
    """
    recipe = json.dumps({"sha256": sha256, "parser": parser_version, **how}, sort_keys=True)
    return f"{layout.safe_id(dataset)}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def publish(parsed: Mapping[str, Any], settings: Settings | None = None) -> dict[str, Any]:
    """Make the staged tables, less the rows that validation took out, an immutable snapshot.

    Args:
        parsed: what `recsys.ingest.tasks.parse` returned; for a snapshot that exists, what `download` returned.
        settings: where things are; by default from the environment.

    Returns:
        As `snapshot_info`; of the snapshot there is, when the same source was published before.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    if (held := snapshots.held_by(store, parsed)) is not None:
        log.info("snapshot %s holds it: the source has not changed", held)
        return snapshots.snapshot_info(store, held)
    snapshot_id = str(parsed["snapshot_id"])
    staged = read_json(store, layout.staging_manifest(parsed["ingest_id"]))
    staged_faults = _staged_faults(store, parsed)
    faults = _with_text(store, parsed, settings, staged_faults)
    tables = {name: _clean(store, parsed["ingest_id"], name, staged_faults) for name in c.SNAPSHOT_TABLES}
    summed = {}
    if parsed.get("rating_scale") == NO_RATINGS:
        n_rows, tables["ratings"] = tables["ratings"].num_rows, counting.summed(tables["ratings"])
        summed = {"summed": _summed(n_rows, tables["ratings"])}
    quarantine = pa.concat_tables([read_table(store, layout.staging_table(parsed["ingest_id"], "quarantine")), faults])
    ids = {name: read_table(store, layout.staging_table(parsed["ingest_id"], name)) for name in staged.get("ids", [])}
    rows = _write(store, snapshot_id, {**tables, **ids, "quarantine": quarantine})
    manifest = {
        "snapshot_id": snapshot_id,
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "dataset": parsed["dataset"],
        "is_invented": parsed["is_invented"],
        "previous_snapshot_id": parsed["previous_snapshot_id"],
        "counts": snapshots.counts(tables),
        "rating_scale": parsed.get("rating_scale", ""),
        **summed,
        "quarantined": dict(sorted(Counter(quarantine["reason"].to_pylist()).items())),
        "fingerprint": digests.tables_fingerprint(tables),
        "tables": rows,
        "lineage": _lineage(parsed, staged, faults),
    }
    with contextlib.suppress(AlreadyExistsError):  # another run published the same source: its manifest stands
        write_json(store, layout.snapshot_manifest(snapshot_id), manifest)
    n_ratings = manifest["counts"]["n_ratings"]
    log.info("snapshot %s: %s ratings, %s rows quarantined", snapshot_id, f"{n_ratings:,}", f"{len(quarantine):,}")
    return snapshots.snapshot_info(store, snapshot_id)


def _write(store: Store, snapshot_id: str, tables: Mapping[str, pa.Table]) -> dict[str, dict[str, Any]]:
    """Write the tables, and who has seen what; returns their manifest rows."""
    # Without a manifest these keys belong to nobody: an attempt that was killed may have left some.
    rows = {
        name: write_table(store, layout.snapshot_table(snapshot_id, name), table, overwrite=True)
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


def _summed(n_rows: int, ratings: pa.Table) -> dict[str, Any]:
    """How many rows became how many pairs, and the smallest and the largest count of a pair."""
    span = pc.min_max(ratings[c.RATING]).as_py()
    log.info("%s rows hold the counts of %s pairs of user and movie", f"{n_rows:,}", f"{ratings.num_rows:,}")
    return {"n_rows": n_rows, "n_pairs": ratings.num_rows, "lowest": span["min"], "highest": span["max"]}


def _staged_faults(store: Store, parsed: Mapping[str, Any]) -> pa.Table:
    """What validation took out, as staged."""
    key = layout.staging_faults(parsed["ingest_id"])
    return read_table(store, key) if store.exists(key) else c.QUARANTINE.empty_table()


def _with_text(store: Store, parsed: Mapping[str, Any], settings: Settings, faults: pa.Table) -> pa.Table:
    """The same rows with their files and lines there, and with the source's text where it can be told."""
    if not faults.num_rows:
        return faults
    lines = faults[c.LINE].to_numpy()
    is_new = lines > 0
    places = np.where(is_new, lines % (1 << c.LINE_BITS), lines)
    label = increments.snapshot_label(parsed["reading"]["base_snapshot_id"])
    files = [file if new else label for file, new in zip(faults["file"].to_pylist(), is_new, strict=True)]
    wanted: dict[str, list[tuple[int, int]]] = {}
    for i in np.flatnonzero(is_new)[:_MOST_TEXTS].tolist():
        wanted.setdefault(files[i], []).append((int(places[i]), i))
    contents: list[str | None] = [None] * len(files)
    with source_archives.local_copy(store, parsed["archive"], settings) as path:
        for file, rows in wanted.items():
            texts = reading.source_lines(path, file, [line for line, _ in rows])
            for line, i in rows:
                contents[i] = texts.get(line)
    told = {"file": pa.array(files, pa.string()), c.LINE: pa.array(places), "content": pa.array(contents, pa.string())}
    return pa.table({name: told.get(name, faults[name]) for name in c.QUARANTINE.names}, schema=c.QUARANTINE)


def _lineage(parsed: Mapping[str, Any], staged: Mapping[str, Any], faults: pa.Table) -> dict[str, Any]:
    names = (
        "ingest_id",
        "source",
        "archive",
        "sha256",
        "size_bytes",
        "licence",
        "verified_by",
        "release",
        "reading",
        "contains",
    )
    taken = Counter(zip(faults["table"].to_pylist(), faults["file"].to_pylist(), strict=True))
    files = []
    for account in staged["files"]:
        n_taken = taken.pop((account["table"], account["file"]), 0)
        moved = {"n_out": account["n_out"] - n_taken, "n_quarantined": account["n_quarantined"] + n_taken}
        files.append({**account, **moved})
    # What is left in `taken` was derived from another table's rows (movies from ratings alone), and is no file's row.
    return {
        **{name: parsed[name] for name in names},
        "base_snapshot_id": parsed["reading"]["base_snapshot_id"],
        "layout": staged["layout"],
        "parser_version": reading.PARSER_VERSION,
        "files": files,
        "not_read": staged.get("not_read", []),
    }


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
