"""What a finished pipeline has to show: the champion beside popularity, a user's list, and where things are."""

from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc

from recsys import columns
from recsys.errors import NotFoundError
from recsys.pages.summary_page import ShownUser, Summary
from recsys.redaction import redact
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.storage.releases import FileRow
from recsys.storage.snapshots import SnapshotManifest, read_manifest
from recsys.storage.tables import read_json, read_table
from recsys.webapp import queries
from recsys.webapp.source_id_lookup import user_name, user_number
from recsys.workspace import Workspace

Row = dict[str, Any]


def summary(workspace: Workspace, user: str | None = None) -> Summary:
    """The state of the published tables, ready to be shown.

    Args:
        workspace: where things are.
        user: whose list to show, as the source calls them; by default a user with a middling number of ratings.

    Raises:
        NotFoundError: nothing is published yet, or the user has no list.
    """
    store = workspace.store
    release = releases.current(store)
    version_id = release.version_id
    manifest = releases.read_manifest(store, version_id)
    lineage = manifest.lineage
    snapshot = _snapshot(store, lineage.snapshot_id)
    if user is None:
        user_id = _sample_user(store, lineage.snapshot_id, manifest.tables["recommendations"])
    else:
        user_id = user_number(store, user, version_id)
    return Summary(
        number=release.number,
        version_id=version_id,
        snapshot_id=lineage.snapshot_id,
        model_version=lineage.model_version,
        dataset=lineage.dataset or (snapshot.dataset if snapshot else ""),
        is_invented=lineage.is_invented,
        has_ratings=lineage.has_ratings,
        n_rows={table: sum(row.n_rows for row in rows) for table, rows in manifest.tables.items()},
        evaluation=_document(store, layout.evaluation(layout.model(lineage.run_id))),
        user=ShownUser(
            user_name(store, user_id, version_id),
            queries.rated_high(store, user_id, 5, version_id),
            queries.user_list(store, user_id, version_id),
        ),
        places=_places(workspace, queries.Published(release, lineage), snapshot),
        posters=_document(store, layout.POSTER_MANIFEST),
        gone=queries.gone(store, lineage),
    )


def _snapshot(store: Store, snapshot_id: str) -> SnapshotManifest | None:
    try:
        return read_manifest(store, snapshot_id)
    except NotFoundError:
        return None


def _document(store: Store, key: str) -> Row | None:
    try:
        return dict(read_json(store, key))
    except NotFoundError:
        return None


def _sample_user(store: Store, snapshot_id: str, lists: Sequence[FileRow]) -> int:
    """The user at the median of the number of ratings, neither a newcomer nor a fanatic; without ratings, any user."""
    try:
        users = read_table(store, layout.snapshot_table(snapshot_id, "ratings"), ["user_id"])
    except NotFoundError:
        first_ids = [ids[0] for row in lists if (ids := row.id_range(columns.USER_ID))]
        return first_ids[len(first_ids) // 2]
    counts = users.group_by("user_id").aggregate([("user_id", "count")])
    order = pc.sort_indices(counts, [("user_id_count", "ascending"), ("user_id", "ascending")])
    return int(counts["user_id"][order[len(order) // 2].as_py()].as_py())


def _places(workspace: Workspace, published: queries.Published, snapshot: SnapshotManifest | None) -> dict[str, str]:
    """Where things are, of those that are there."""
    store, lineage = workspace.store, published.lineage
    reports = {"EDA report": layout.eda_report(lineage.snapshot_id), "posters": layout.POSTER_MANIFEST}
    if snapshot:
        reports["validation report"] = layout.validation_report(snapshot.lineage.ingest_id)
    return {
        "tables": store.uri(f"{layout.TABLES}/{published.release.path}"),
        "pointer": store.uri(layout.CURRENT),
        "MLflow": redact(workspace.settings.resolved_tracking_uri),
        "model": lineage.model_uri,
        **{name: store.uri(key) for name, key in reports.items() if store.exists(key)},
    }
