"""The tasks of `ingest_ratings` that move data: download, parse, publish.

Archives are kept in the store, so a second run needs no network; parsed tables are staged under the run's
own id; a snapshot is named by its source's digest, so the same source gives the same snapshot, once.
"""

import contextlib
import hashlib
import logging
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys import columns
from recsys.config import IngestConfig, Settings
from recsys.datasets import catalogue, digests, movielens
from recsys.errors import AlreadyExistsError, DataError
from recsys.jobs import sources
from recsys.storage import layout
from recsys.storage.store import open_store
from recsys.storage.tables import read_json, read_table, write_json, write_table

log = logging.getLogger(__name__)


def download(config: IngestConfig, ingest_id: str, settings: Settings | None = None) -> dict[str, Any]:
    """Bring the archive into the store, from the network, a local path or the generator.

    Returns:
        ``ingest_id`` (made safe for keys), ``dataset``, ``archive`` (its key), ``sha256``, ``size_bytes``,
        ``source`` and ``is_invented``.

    Raises:
        ConfigError: the data set is neither a known release nor an existing path, or the store does not honour
            create-only writes.
        DataError: what arrived is no usable archive; nothing was stored.
        TransientError: no address could be reached, and no copy is in the store.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    store.probe()  # before hours of work, not after them
    found = sources.bring(config, store, settings)
    log.info("%s: %.1f MB, sha256 %s", found["archive"], found["size_bytes"] / 1e6, found["sha256"])
    log.info("%s: %s", found["dataset"], catalogue.licence_of(found["dataset"]))
    names = ("dataset", "archive", "sha256", "size_bytes", "source", "is_invented")
    return {"ingest_id": layout.safe_id(ingest_id), **{name: found[name] for name in names}}


def parse(downloaded: dict[str, Any], settings: Settings | None = None) -> dict[str, Any]:
    """Parse the archive into canonical tables, staged under the ingest's id.

    Returns:
        `downloaded` with ``staging`` (prefix) and ``n_ratings``, ``n_movies``, ``n_users`` (who rated), ``n_links``,
        ``n_tags``.

    Raises:
        DataError: the archive was altered in the store, is refused, or holds a malformed row.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    ingest_id = downloaded["ingest_id"]
    source = {"sha256": downloaded["sha256"], "parser_version": movielens.PARSER_VERSION}
    manifest_key = layout.staging_manifest(ingest_id)
    if store.exists(manifest_key) and (staged := read_json(store, manifest_key))["source"] == source:
        log.info("%s: already parsed", layout.staging(ingest_id))
    else:
        with sources.local_copy(store, downloaded["archive"], settings) as path:
            _check_digest(path, downloaded)
            found, tables = movielens.read_tables(path)
        rows = {
            name: write_table(store, layout.staging_table(ingest_id, name), table, overwrite=True)
            for name, table in tables.items()
        }
        staged = {"source": source, "layout": found, "tables": rows, "counts": _counts(tables)}
        write_json(store, manifest_key, staged, overwrite=True)
    _compare_counts(downloaded["dataset"], staged["counts"])
    return {**downloaded, "staging": layout.staging(ingest_id), **staged["counts"]}


def publish(parsed: dict[str, Any], settings: Settings | None = None) -> dict[str, Any]:
    """Make the staged tables an immutable snapshot; the same source again returns the one there is.

    Returns:
        ``snapshot_id``, ``uri`` (of its manifest), ``dataset``, ``is_invented``, ``n_ratings``, ``n_users``,
        ``n_movies``, ``sha256`` (of the source) and ``fingerprint`` (of the tables' content).
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    snapshot_id = snapshot_name(parsed["dataset"], parsed["sha256"])
    if store.exists(layout.snapshot_manifest(snapshot_id)):
        log.info("snapshot %s exists: the source has not changed", snapshot_id)
        return snapshot_info(snapshot_id, settings)
    staged = read_json(store, layout.staging_manifest(parsed["ingest_id"]))
    tables = {
        name: _sorted(read_table(store, layout.staging_table(parsed["ingest_id"], name)).cast(schema))
        for name, schema in columns.SNAPSHOT_TABLES.items()
    }
    # Without a manifest these keys belong to nobody: an attempt that was killed may have left some.
    rows = {
        name: write_table(store, layout.snapshot_table(snapshot_id, name), table, overwrite=True)
        for name, table in tables.items()
    }
    manifest = {
        "snapshot_id": snapshot_id,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": parsed["dataset"],
        "is_invented": parsed["is_invented"],
        "counts": _counts(tables),
        "fingerprint": digests.tables_fingerprint(tables),
        "tables": rows,
        "lineage": _lineage(parsed, staged),
    }
    with contextlib.suppress(AlreadyExistsError):  # another run published the same source: its manifest stands
        write_json(store, layout.snapshot_manifest(snapshot_id), manifest)
    log.info("snapshot %s: %s ratings", snapshot_id, f"{manifest['counts']['n_ratings']:,}")
    return snapshot_info(snapshot_id, settings)


def snapshot_info(snapshot_id: str, settings: Settings | None = None) -> dict[str, Any]:
    """A published snapshot in the form `publish` returns it.

    Raises:
        NotFoundError: there is no such snapshot.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    key = layout.snapshot_manifest(snapshot_id)
    manifest = read_json(store, key)
    counts = manifest["counts"]
    return {
        "snapshot_id": snapshot_id,
        "uri": store.uri(key),
        "dataset": manifest["dataset"],
        "is_invented": manifest["is_invented"],
        "n_ratings": counts["n_ratings"],
        "n_users": counts["n_users"],
        "n_movies": counts["n_movies"],
        "sha256": manifest["lineage"]["sha256"],
        "fingerprint": manifest["fingerprint"],
    }


def snapshot_name(dataset: str, sha256: str, parser_version: str = movielens.PARSER_VERSION) -> str:
    """A snapshot's id: the data set, and twelve digits that change with its bytes or with the parser.

    >>> snapshot_name("ml-25m", "ab" * 32, "1") == snapshot_name("ml-25m", "ab" * 32, "2")
    False
    """
    digest = hashlib.sha256(f"{sha256}\nparser {parser_version}".encode()).hexdigest()
    return f"{layout.safe_id(dataset)}-{digest[:12]}"


def _check_digest(path: Path, downloaded: dict[str, Any]) -> None:
    actual = digests.file_digest(path) if path.is_file() else "absent"
    if actual != downloaded["sha256"]:
        raise DataError(
            f"{downloaded['archive']}: sha256 is {actual}, {downloaded['sha256']} was stored. Nothing was parsed. "
            "Delete the object and run ingest_ratings again."
        )


def _counts(tables: dict[str, pa.Table]) -> dict[str, int]:
    return {
        "n_ratings": tables["ratings"].num_rows,
        "n_movies": tables["movies"].num_rows,
        "n_users": len(tables["ratings"][columns.USER_ID].unique()),
        "n_links": tables["links"].num_rows,
        "n_tags": tables["tags"].num_rows,
    }


def _compare_counts(dataset: str, counts: dict[str, int]) -> None:
    release = catalogue.RELEASES.get(dataset)
    for name, expected in asdict(release.counts).items() if release and release.counts else ():
        if counts[name] != expected:
            log.warning("%s: %s is %s, the release has %s", dataset, name, f"{counts[name]:,}", f"{expected:,}")


def _lineage(parsed: dict[str, Any], staged: dict[str, Any]) -> dict[str, Any]:
    names = ("ingest_id", "source", "archive", "sha256", "size_bytes")
    return {
        **{name: parsed[name] for name in names},
        "licence": catalogue.licence_of(parsed["dataset"]),
        "layout": staged["layout"],
        "parser_version": movielens.PARSER_VERSION,
        "counts_in": staged["counts"],
    }


def _sorted(table: pa.Table) -> pa.Table:
    """Rows by user, then movie (or by movie alone), equal keys in the source's order."""
    keys = [name for name in (columns.USER_ID, columns.MOVIE_ID) if name in table.column_names]
    arrays = [table[name].to_numpy() for name in keys]
    packed = arrays[0].astype(np.int64)
    if len(arrays) > 1:
        packed = (packed << 32) | arrays[1].astype(np.int64)
    if np.all(packed[1:] >= packed[:-1]):  # releases come sorted, and 25M rows take seconds to sort
        return table
    return table.take(np.argsort(packed, kind="stable"))
