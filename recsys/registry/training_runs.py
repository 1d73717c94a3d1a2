"""Training runs in MLflow, as other stages ask about them: where they are, and whether one came to its end."""

from recsys.tracking.tracking import Tracking

EXPERIMENT = "recsys-training"
NO_RATING_MODEL = "none: these data have no ratings"


def registered_name(dataset: str) -> str:
    """The registered model of a dataset: models of different datasets know different users and never compete.

    >>> registered_name("ml-latest-small")
    'recsys-ml-latest-small'
    """
    return f"recsys-{dataset}"


def has_ended(tracking: Tracking, snapshot_id: str) -> bool:
    """Whether a training of a snapshot came to its end: the gate decided, whatever it decided."""
    runs = tracking.find_runs(EXPERIMENT, {"kind": "training"}, params={"snapshot_id": snapshot_id})
    return any("promoted" in run["tags"] for run in runs)
