"""What a finished pipeline has to show: the champion beside popularity, a user's list, and where things are."""

from typing import Any

import pyarrow.compute as pc

from recsys.config import Settings
from recsys.explorer import queries
from recsys.redaction import redact
from recsys.storage import layout, releases
from recsys.storage.store import Store, open_store
from recsys.storage.tables import read_json, read_table


def summary(settings: Settings | None = None, user_id: int | None = None) -> dict[str, Any]:
    """The state of the published tables, ready to be shown.

    Args:
        settings: where the store is; read from the environment by default.
        user_id: whose list to show; by default a user with a middling number of ratings.

    Returns:
        ``{release, lineage, evaluation, user, places, posters}``.

    Raises:
        NotFoundError: nothing is published yet, or the user has no list.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    release = releases.current(store)
    manifest = releases.read_manifest(store, release["version_id"])
    lineage = manifest["lineage"]
    snapshot = read_json(store, layout.snapshot_manifest(lineage["snapshot_id"]))
    if user_id is None:
        user_id = _sample_user(store, lineage["snapshot_id"])
    return {
        "release": release,
        "lineage": lineage,
        "snapshot": snapshot,
        "n_rows": {table: sum(row["n_rows"] for row in rows) for table, rows in manifest["tables"].items()},
        "evaluation": read_json(store, layout.evaluation(layout.model(lineage["run_id"]))),
        "user": {
            "user_id": user_id,
            "rated_high": queries.rated_high(store, user_id, 5),
            "list": queries.user_list(store, user_id),
        },
        "places": _places(store, settings, release, lineage, snapshot),
        "posters": read_json(store, layout.POSTER_MANIFEST) if store.exists(layout.POSTER_MANIFEST) else None,
    }


def _sample_user(store: Store, snapshot_id: str) -> int:
    """The user at the median of the number of ratings: neither a newcomer nor a fanatic."""
    users = read_table(store, layout.snapshot_table(snapshot_id, "ratings"), ["user_id"])
    counts = users.group_by("user_id").aggregate([("user_id", "count")])
    order = pc.sort_indices(counts, [("user_id_count", "ascending"), ("user_id", "ascending")])
    return int(counts["user_id"][order[len(order) // 2].as_py()].as_py())


def _places(
    store: Store, settings: Settings, release: dict[str, Any], lineage: dict[str, Any], snapshot: dict[str, Any]
) -> dict[str, str]:
    places = {
        "tables": store.uri(f"{layout.TABLES}/{release['path']}"),
        "pointer": store.uri(layout.CURRENT),
        "EDA report": store.uri(layout.eda_report(lineage["snapshot_id"])),
        "MLflow": redact(settings.resolved_tracking_uri),
        "model": lineage["model_uri"],
        "posters": store.uri(layout.POSTER_MANIFEST),
    }
    ingest_id = snapshot.get("lineage", {}).get("ingest_id")
    if ingest_id:
        places["validation report"] = store.uri(layout.validation_report(ingest_id))
    return places
