"""Published snapshots: which there are, what their manifests say, and their tables.

A snapshot is immutable. Its id is derived from the digest of its source and from everything that decides how the
source is read, so the same source gives the same snapshot, once, and a change of either gives another.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from recsys import columns as c
from recsys.config import NO_RATINGS
from recsys.errors import AlreadyExistsError, NotFoundError
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.seen_lists import seen_lists
from recsys.storage.tables import read_json, read_table, write_table

# A row holds a user's whole list, 150 movies on average: small groups, so that all cores have some to read.
_SEEN_GROUP_ROWS = 20_000


def held_by(store: Store, downloaded: Mapping[str, Any]) -> str | None:
    """The snapshot that holds all rows of a downloaded source already; None where there is none.

    That is the one it would become, or, of an increment that was taken in before, the one it would be added to.
    """
    base_id = downloaded["reading"]["base_snapshot_id"]
    is_in_base = base_id and downloaded["contains"].count(downloaded["sha256"]) > 1
    candidates = [str(downloaded["snapshot_id"]), *([str(base_id)] if is_in_base else [])]
    return next((name for name in candidates if store.exists(layout.snapshot_manifest(name))), None)


def snapshot_info(store: Store, snapshot_id: str) -> dict[str, Any]:
    """What the tasks after the ingest need to know of a published snapshot.

    Returns:
        ``snapshot_id``, ``uri`` (of its manifest), ``dataset``, ``is_invented``, ``n_ratings``, ``n_users``,
        ``n_movies``, ``n_quarantined``, ``sha256`` (of the source), ``licence`` and ``fingerprint`` (of the tables).

    Raises:
        NotFoundError: there is no such snapshot.
    """
    key = layout.snapshot_manifest(snapshot_id)
    manifest = read_json(store, key)
    return {
        "snapshot_id": snapshot_id,
        "uri": store.uri(key),
        "dataset": manifest["dataset"],
        "is_invented": manifest["is_invented"],
        **{name: manifest["counts"][name] for name in ("n_ratings", "n_users", "n_movies")},
        "n_quarantined": sum(manifest.get("quarantined", {}).values()),
        "sha256": manifest["lineage"]["sha256"],
        "licence": manifest["lineage"]["licence"],
        "fingerprint": manifest["fingerprint"],
    }


def manifests(store: Store) -> Iterator[dict[str, Any]]:
    """The manifests of all published snapshots, in no order that means anything."""
    for key in store.list("snapshots/"):
        if key.endswith(f"/{layout.MANIFEST}"):
            with contextlib.suppress(NotFoundError):  # the retention removed it just now
                yield read_json(store, key)


def latest(store: Store, dataset: str | None = None) -> str:
    """The snapshot published last, of one data set or of all.

    Raises:
        NotFoundError: none was published yet.
    """
    found = [manifest for manifest in manifests(store) if dataset in (None, manifest["dataset"])]
    if not found:
        raise NotFoundError(f"{store.url} holds no snapshot{f' of {dataset}' if dataset else ''} yet. "
                            "Nothing was started. Run `recsys ingest` first.")  # fmt: skip
    return str(max(found, key=lambda manifest: str(manifest["created_at"]))["snapshot_id"])


def read_tables(store: Store, snapshot_id: str) -> dict[str, pa.Table]:
    """The canonical tables of a snapshot, those it has none of (older than the schema) empty."""
    held = read_json(store, layout.snapshot_manifest(snapshot_id))["tables"]
    return {
        name: read_table(store, layout.snapshot_table(snapshot_id, name)) if name in held else schema.empty_table()
        for name, schema in c.SNAPSHOT_TABLES.items()
    }


def read_ids(store: Store, snapshot_id: str) -> dict[str, pa.Table]:
    """The dictionaries of a snapshot whose source has other ids than 32-bit integers; none elsewhere."""
    held = read_json(store, layout.snapshot_manifest(snapshot_id)).get("tables", {})
    return {name: read_table(store, layout.snapshot_table(snapshot_id, name)) for name in c.ID_TABLES if name in held}


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


def write_seen(store: Store, snapshot_id: str, ratings: pa.Table, *, overwrite: bool) -> dict[str, Any]:
    key = layout.snapshot_table(snapshot_id, "seen")
    return write_table(store, key, seen_lists(ratings), overwrite=overwrite, row_group_rows=_SEEN_GROUP_ROWS)


def has_ratings(store: Store, snapshot_id: str) -> bool:
    """Whether a snapshot holds ratings; else it holds counts."""
    return bool(read_json(store, layout.snapshot_manifest(snapshot_id)).get("rating_scale") != NO_RATINGS)
