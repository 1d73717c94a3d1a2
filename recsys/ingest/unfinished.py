"""How far a snapshot has come down the chain, for the ingest that finds its source unchanged.

An event that a paused DAG missed, or whose run failed, does not come again by itself. So an ingest with nothing new
looks whether something is left to do for the snapshot that is there.
"""

import contextlib
import logging
from typing import TYPE_CHECKING, Literal

from recsys.errors import NotFoundError
from recsys.messages import SnapshotRef
from recsys.registry import training_runs
from recsys.registry.champions import Champions
from recsys.storage import releases, snapshots
from recsys.storage.base import Store

if TYPE_CHECKING:
    from recsys.tracking.tracking import Tracking

log = logging.getLogger(__name__)
Due = Literal["training", "lists", "nothing"]


def due(store: Store, tracking: "Tracking", snapshot: SnapshotRef) -> Due:
    """What is left to do for a published snapshot.

    Returns:
        ``training``: none of it came to its end. ``lists``: it is the newest snapshot of its data set, and none were
        published for its users by the present champion. A rollback counts as wanted: what was published once is not
        due.
    """
    snapshot_id, dataset = snapshot.snapshot_id, snapshot.dataset
    if not training_runs.has_ended(tracking, snapshot_id):
        log.info("%s was not trained to the end yet", snapshot_id)
        return "training"
    champion = Champions(store, tracking, training_runs.registered_name(dataset)).present()
    is_newest = snapshots.latest(store, dataset) == snapshot_id
    if champion and is_newest and not _has_lists(store, champion.mlflow_run_id, snapshot_id):
        log.info("no lists of the champion %s were published for %s yet", champion.model.uri, snapshot_id)
        return "lists"
    return "nothing"


def _has_lists(store: Store, run_id: str, snapshot_id: str) -> bool:
    """Whether any release is of this model and this snapshot; the newest ones are looked at first."""
    for release in reversed(releases.history(store)):
        with contextlib.suppress(NotFoundError):  # tables that were removed by hand are no lists
            lineage = releases.read_manifest(store, release.version_id).lineage
            if (lineage.run_id, lineage.snapshot_id) == (run_id, snapshot_id):
                return True
    return False
