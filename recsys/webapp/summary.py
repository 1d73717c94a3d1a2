"""What a finished pipeline has to show: the champion beside popularity, a user's list, and where things are."""

from typing import Any

import pyarrow.compute as pc

from recsys.config import Settings
from recsys.errors import NotFoundError
from recsys.redaction import redact
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.snapshots import SnapshotManifest, read_manifest
from recsys.storage.tables import read_json, read_table
from recsys.webapp import queries
from recsys.webapp.source_id_lookup import user_name, user_number


def summary(settings: Settings | None = None, user: str | None = None) -> dict[str, Any]:
    """The state of the published tables, ready to be shown.

    Args:
        settings: where the store is; read from the environment by default.
        user: whose list to show, as the source calls them; by default a user with a middling number of ratings.

    Returns:
        ``{release, lineage, has_ratings, snapshot, n_rows, evaluation, user, places, posters, gone}``; `snapshot` and
        `evaluation` are None where they were removed since, and `gone` says so in sentences.

    Raises:
        NotFoundError: nothing is published yet, or the user has no list.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    release = releases.current(store)
    version_id = release["version_id"]
    manifest = releases.read_manifest(store, version_id)
    lineage = manifest["lineage"]
    snapshot = _snapshot(store, lineage["snapshot_id"])
    if user is None:
        user_id = _sample_user(store, lineage["snapshot_id"], manifest["tables"]["recommendations"])
    else:
        user_id = user_number(store, user, version_id)
    return {
        "release": release,
        "lineage": lineage,
        "has_ratings": queries.has_ratings(manifest),
        "snapshot": snapshot,
        "n_rows": {table: sum(row["n_rows"] for row in rows) for table, rows in manifest["tables"].items()},
        "evaluation": _document(store, layout.evaluation(layout.model(lineage["run_id"]))),
        "user": {
            "user_id": user_name(store, user_id, version_id),
            "rated_high": queries.rated_high(store, user_id, 5, version_id),
            "list": queries.user_list(store, user_id, version_id),
        },
        "places": _places(store, settings, release, lineage, snapshot),
        "posters": _document(store, layout.POSTER_MANIFEST),
        "gone": queries.gone(store, lineage),
    }


def _snapshot(store: Store, snapshot_id: str) -> SnapshotManifest | None:
    try:
        return read_manifest(store, snapshot_id)
    except NotFoundError:
        return None


def _document(store: Store, key: str) -> dict[str, Any] | None:
    try:
        return dict(read_json(store, key))
    except NotFoundError:
        return None


def _sample_user(store: Store, snapshot_id: str, lists: list[dict[str, Any]]) -> int:
    """The user at the median of the number of ratings, neither a newcomer nor a fanatic; without ratings, any user."""
    try:
        users = read_table(store, layout.snapshot_table(snapshot_id, "ratings"), ["user_id"])
    except NotFoundError:
        return int(lists[len(lists) // 2]["min_user_id"])
    counts = users.group_by("user_id").aggregate([("user_id", "count")])
    order = pc.sort_indices(counts, [("user_id_count", "ascending"), ("user_id", "ascending")])
    return int(counts["user_id"][order[len(order) // 2].as_py()].as_py())


def _places(
    store: Store,
    settings: Settings,
    release: dict[str, Any],
    lineage: dict[str, Any],
    snapshot: SnapshotManifest | None,
) -> dict[str, str]:
    """Where things are, of those that are there."""
    reports = {"EDA report": layout.eda_report(lineage["snapshot_id"]), "posters": layout.POSTER_MANIFEST}
    if snapshot:
        reports["validation report"] = layout.validation_report(snapshot.lineage.ingest_id)
    return {
        "tables": store.uri(f"{layout.TABLES}/{release['path']}"),
        "pointer": store.uri(layout.CURRENT),
        "MLflow": redact(settings.resolved_tracking_uri),
        "model": lineage["model_uri"],
        **{name: store.uri(key) for name, key in reports.items() if store.exists(key)},
    }
