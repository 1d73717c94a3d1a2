"""How far a snapshot has come down the chain, for the ingest that finds its source unchanged.

An event that a paused DAG missed, or whose run failed, does not come again by itself. So an ingest with nothing new
looks whether something is left to do for the snapshot that is there.
"""

import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Literal

from recsys.config import IngestConfig, Settings
from recsys.errors import NotFoundError
from recsys.ingest import tasks as ingest_tasks
from recsys.registry import training_runs
from recsys.registry.champions import Champions, serving
from recsys.storage import releases, snapshots
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.tracking.tracking import Tracking
from recsys.workspace import Workspace

log = logging.getLogger(__name__)
Due = Literal["training", "lists", "nothing"]


def next_task(downloaded: Mapping[str, Any], config: IngestConfig, settings: Settings | None = None) -> str:
    """The task of ingest_ratings that follows `compare`: parse, publish, announce_champion or unchanged."""
    found = ingest_tasks.find_unchanged(downloaded, settings)
    if found is None:
        return "parse"
    if config.when_unchanged == "train":
        return "publish"
    return {"training": "publish", "lists": "announce_champion", "nothing": "unchanged"}[due(found, settings)]


def due(snapshot: Mapping[str, Any], settings: Settings | None = None) -> Due:
    """What is left to do for a published snapshot.

    Args:
        snapshot: its ``snapshot_id`` and ``dataset``.
        settings: where things are; read from the environment by default.

    Returns:
        ``training``: none of it came to its end. ``lists``: it is the newest snapshot of its data set, and none were
        published for its users by the present champion. A rollback counts as wanted: what was published once is not
        due.
    """
    settings = settings or Settings.load()
    store, tracking = open_store(settings.resolved_store_url), Tracking(settings)
    snapshot_id, dataset = snapshot["snapshot_id"], snapshot["dataset"]
    if not training_runs.has_ended(tracking, snapshot_id):
        log.info("%s was not trained to the end yet", snapshot_id)
        return "training"
    champion = Champions(store, tracking, training_runs.registered_name(dataset)).present()
    is_newest = snapshots.latest(store, dataset) == snapshot_id
    if champion and is_newest and not _has_lists(store, champion.mlflow_run_id, snapshot_id):
        log.info("no lists of the champion %s were published for %s yet", champion.model.uri, snapshot_id)
        return "lists"
    return "nothing"


def announce_champion(downloaded: Mapping[str, Any], settings: Settings | None = None) -> dict[str, Any]:
    """What `recsys.training.tasks.promote` returned when the champion was promoted, for the snapshot there is."""
    found = ingest_tasks.find_unchanged(downloaded, settings)
    if found is None:
        raise NotFoundError(
            f"snapshot {downloaded['snapshot_id']} was removed meanwhile. Nothing was published. Run the ingest again."
        )
    champion = serving(Workspace(settings or Settings.load()), found["dataset"], found["snapshot_id"])
    return champion.model_copy(update={"reason": "the published lists are older than the champion"}).flat()


def _has_lists(store: Store, run_id: str, snapshot_id: str) -> bool:
    """Whether any release is of this model and this snapshot; the newest ones are looked at first."""
    for release in reversed(releases.history(store)):
        with contextlib.suppress(NotFoundError):  # tables that were removed by hand are no lists
            lineage = releases.read_manifest(store, release.version_id).lineage
            if (lineage.run_id, lineage.snapshot_id) == (run_id, snapshot_id):
                return True
    return False
