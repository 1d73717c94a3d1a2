"""The tasks of `ingest_ratings` that bring data in: download, compare, parse.

Archives are kept in the store, so a second run needs no network; parsed tables are staged under the run's own id,
and only `recsys.ingest.publishing.publish` makes them visible.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as c
from recsys.config import NO_RATINGS, IngestConfig, Settings
from recsys.errors import ConfigError, DataError
from recsys.ingest import increments, inspection, publishing, source_archives
from recsys.ingest.download import digests
from recsys.ingest.formats import known_releases, reading
from recsys.ingest.formats.tabular import How
from recsys.ingest.parsers.identity import KnownIds
from recsys.storage import layout, snapshots
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, write_json, write_table

log = logging.getLogger(__name__)

# Part of what makes a snapshot's id: until counts were summed, snapshots of the same sources held other tables.
_SUMMED = {"counts": "summed"}
_N_SHOWN = 5
_SHOWN_LENGTH = 200


def download(config: IngestConfig, ingest_id: str, settings: Settings | None = None) -> dict[str, Any]:
    """Bring the archive into the store, from the network, a local path or the generator.

    Returns:
        ``ingest_id`` (made safe for keys), ``dataset``, ``release`` (the known release it is, or None), ``archive``
        (its key), ``sha256``, ``size_bytes``, ``source``, ``licence``, ``verified_by``, ``is_invented``, ``reading``
        (how it will be read), ``rating_scale`` (always said), ``not_read`` (files of a folder that were left there),
        ``snapshot_id`` (what it will become), ``previous_snapshot_id`` (to compare with, or None) and ``contains``
        (digests of all sources that will be in it).

    Raises:
        ConfigError: the data set is neither a known release nor an existing path, the store does not honour
            create-only writes, or an increment is said to hold counts and its base ratings, or the reverse.
        DataError: what arrived is no usable archive; nothing was stored.
        NotFoundError: `append_to` names no snapshot.
        TransientError: no address could be reached, and no copy is in the store.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    store.probe()  # before hours of work, not after them
    base = _base(config.append_to, store)
    config = _with_scale_of(base, config) if base else config
    found = source_archives.bring(config, store, settings)
    licence = found.get("licence") or known_releases.licence_of(found["dataset"])  # notes of old have none
    log.info("%s: %.1f MB, sha256 %s", found["archive"], found["size_bytes"] / 1e6, found["sha256"])
    log.info("%s: %s", found["dataset"], licence)
    release = known_releases.RELEASES.get(found["dataset"])
    how = {
        "columns": config.columns,
        "rating_scale": config.rating_scale,
        "ratings_file": release.ratings_file if release else None,
        "base_snapshot_id": None,
        **{name: value for name in ("times", "ids") if (value := getattr(config, name))},
        **(_SUMMED if config.rating_scale == NO_RATINGS else {}),
    }
    names = ("dataset", "archive", "sha256", "size_bytes", "source", "is_invented")
    downloaded = {
        "ingest_id": layout.safe_id(ingest_id),
        **{name: found[name] for name in names},
        "licence": licence,
        "verified_by": found.get("verified_by", ""),
        "release": release.name if release else None,
        "contains": [found["sha256"]],
        "not_read": found.get("not_read", []),
        "reading": how,
        "rating_scale": config.rating_scale or _usual_scale(release),
    }
    if base:
        downloaded |= _as_increment(downloaded, base)
    snapshot_id = publishing.snapshot_name(downloaded["dataset"], found["sha256"], downloaded["reading"])
    return {**downloaded, "snapshot_id": snapshot_id, "previous_snapshot_id": _previous(store, downloaded, snapshot_id)}


def find_unchanged(downloaded: Mapping[str, Any], settings: Settings | None = None) -> dict[str, Any] | None:
    """The snapshot that holds this very source already, as `snapshots.snapshot_info` with a ``message``; else None.

    `publishing.publish` returns the same one: see `snapshots.held_by`.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    snapshot_id = snapshots.held_by(store, downloaded)
    if snapshot_id is None:
        return None
    message = f"{downloaded['source']} is unchanged: snapshot {snapshot_id} holds its rows. Nothing is published."
    log.info(message)
    return {"message": message, **snapshots.snapshot_info(store, snapshot_id)}


def parse(downloaded: Mapping[str, Any], settings: Settings | None = None) -> dict[str, Any]:
    """Parse the archive into canonical tables with their quarantine, staged under the ingest's id.

    Returns:
        `downloaded` with ``staging`` (prefix), ``n_ratings``, ``n_movies``, ``n_users`` (who rated), ``n_links``,
        ``n_tags``, ``n_details``; by table also ``n_malformed``, ``malformed`` (the first of them), ``n_base`` (rows of
        the snapshot that is added to) and ``files`` (in which the table's lines count).
        ``not_read`` names all files that hold nothing of the tables.

    Raises:
        DataError: the archive was altered in the store, is refused, or holds nothing that can be read.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    ingest_id = downloaded["ingest_id"]
    manifest_key = layout.staging_manifest(ingest_id)
    source = {"snapshot_id": downloaded["snapshot_id"]}
    if store.exists(manifest_key) and (staged := read_json(store, manifest_key))["source"] == source:
        log.info("%s: already parsed", layout.staging(ingest_id))
    else:
        staged = {"source": source, **_stage(store, downloaded, settings)}
        write_json(store, manifest_key, staged, overwrite=True)
    for file in staged["files"]:
        log.info("%s: %s rows in, %s kept, %s quarantined", file["file"],
                 *(f"{file[name]:,}" for name in ("n_in", "n_out", "n_quarantined")))  # fmt: skip
    if staged["not_read"]:
        log.info("not read: %s", ", ".join(staged["not_read"]))
    names = ("n_malformed", "malformed", "n_base", "not_read")
    told = {**{name: staged[name] for name in names}, "files": staged["homes"], **staged["counts"]}
    return {**downloaded, "staging": layout.staging(ingest_id), **told}


def _stage(store: Store, downloaded: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    how = downloaded["reading"]
    with source_archives.local_copy(store, downloaded["archive"], settings) as path:
        _check_digest(path, downloaded)
        base = _BaseSnapshot(store, how["base_snapshot_id"]) if how["base_snapshot_id"] else None
        seen = inspection.look_at(path, reading_of(how))
        for line in seen.lines():
            log.info("%s", line)
        parsed = reading.read_source(path, reading_of(how), base=base.ids if base else None)
        for line in inspection.completed(seen, parsed, reading_of(how)).facts():
            log.info("%s", line)
    malformed = parsed.quarantine.filter(pc.equal(parsed.quarantine["reason"], "malformed"))
    n_new = {name: table.num_rows for name, table in parsed.tables.items()}
    if base:
        parsed = increments.append(base.tables, parsed, base.snapshot_id, has_ratings=reading_of(how).has_ratings)
    staged = {**parsed.tables, **parsed.ids, "quarantine": parsed.quarantine}
    for name, table in staged.items():
        write_table(store, layout.staging_table(downloaded["ingest_id"], name), table, overwrite=True)
    return {
        "layout": parsed.layout,
        "counts": snapshots.counts(parsed.tables),
        "files": [asdict(account) for account in parsed.files],
        "n_malformed": dict(Counter(malformed["table"].to_pylist())),
        "malformed": _first_of_each(malformed),
        "n_base": {name: table.num_rows - n_new[name] for name, table in parsed.tables.items()},
        "homes": parsed.homes,
        "ids": sorted(parsed.ids),
        "not_read": [*parsed.unread, *downloaded.get("not_read", [])],
    }


def reading_of(how: Mapping[str, Any]) -> How:
    """What the files of a source do not say themselves, from the ``reading`` of a snapshot."""
    return How(
        columns=how["columns"],
        ratings_file=how["ratings_file"],
        times=how.get("times", ""),
        ids=how.get("ids", ""),
        has_ratings=how["rating_scale"] != NO_RATINGS,
    )


def _first_of_each(malformed: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """The first malformed rows of each table, for messages."""
    first: dict[str, list[dict[str, Any]]] = {}
    for name in malformed["table"].unique().to_pylist():
        rows = malformed.filter(pc.equal(malformed["table"], name)).slice(0, _N_SHOWN)
        shown = rows.select(["file", c.LINE, "reason", "fault", "content"]).to_pylist()
        first[name] = [{**row, "content": row["content"][:_SHOWN_LENGTH]} for row in shown]
    return first


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


def _usual_scale(release: known_releases.Release | None) -> str:
    low, high, step = release.rating_range if release else known_releases.HALF_STARS
    return f"{low:g}-{high:g}/{step:g}"


def _base(append_to: str, store: Store) -> dict[str, Any] | None:
    """The manifest of the snapshot an increment is added to; None where there is none asked for."""
    if not append_to:
        return None
    snapshot_id = snapshots.latest(store) if append_to == "latest" else append_to
    return dict(read_json(store, layout.snapshot_manifest(snapshot_id)))


def _with_scale_of(base: Mapping[str, Any], config: IngestConfig) -> IngestConfig:
    """The config of an increment; to counts only counts are added, to ratings only ratings.

    Raises:
        ConfigError: it says otherwise.
    """
    has_counts, scale = base.get("rating_scale") == NO_RATINGS, config.rating_scale
    if scale and has_counts != (scale == NO_RATINGS):
        holds = "counts (rating_scale=none)" if has_counts else "ratings"
        raise ConfigError(
            f"snapshot {base['snapshot_id']} holds {holds}, and rating_scale={scale} was given: counts and ratings "
            "cannot be in one snapshot. Nothing was started. Leave rating_scale out, or take the file in by itself."
        )
    return config.model_copy(update={"rating_scale": NO_RATINGS}) if has_counts else config


def _as_increment(downloaded: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What an increment takes over from the snapshot it is added to."""
    lineage = base["lineage"]
    scale = downloaded["reading"]["rating_scale"] or lineage.get("reading", {}).get("rating_scale", "")
    licence = dict.fromkeys((lineage["licence"], downloaded["licence"]))
    return {
        "dataset": base["dataset"],
        "is_invented": base["is_invented"] or downloaded["is_invented"],
        "licence": " And: ".join(licence),
        "release": None,  # the counts of the release no longer hold
        "rating_scale": scale or base.get("rating_scale") or downloaded["rating_scale"],
        "contains": [*lineage.get("contains", [lineage["sha256"]]), downloaded["sha256"]],
        "reading": {**downloaded["reading"], "rating_scale": scale, "base_snapshot_id": base["snapshot_id"]},
    }


def _previous(store: Store, downloaded: Mapping[str, Any], snapshot_id: str) -> str | None:
    """The snapshot to compare with: what an increment is added to, else the newest other one of the data set.

    Samples of other sizes are other data sets under one name, so the sample is compared with none.
    """
    if base_id := downloaded["reading"]["base_snapshot_id"]:
        return str(base_id)
    if downloaded["dataset"] == source_archives.SAMPLE:
        return None
    others = [
        manifest
        for manifest in snapshots.manifests(store)
        if manifest["dataset"] == downloaded["dataset"] and manifest["snapshot_id"] != snapshot_id
    ]
    return max(others, key=lambda manifest: str(manifest["created_at"]))["snapshot_id"] if others else None


def _check_digest(path: Path, downloaded: Mapping[str, Any]) -> None:
    actual = digests.file_digest(path) if path.is_file() else "absent"
    if actual != downloaded["sha256"]:
        raise DataError(
            f"{downloaded['archive']}: sha256 is {actual}, {downloaded['sha256']} was stored. Nothing was parsed. "
            "Delete the object and run ingest_ratings again."
        )
