"""A training run in MLflow: its parent run, its trials as nested runs, and finding both again after a kill."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from recsys.config import TrainConfig
from recsys.search.cross_validation import Trial
from recsys.search.space import LogUniform, Point, PowerOfTwo, Space
from recsys.tracking import CHAMPION, Tracking

EXPERIMENT = "recsys-training"
# Points that did well on the MovieLens releases tried: worth a trial before anything is drawn.
KNOWN_GOOD: dict[str, Point] = {
    "ranking": {"rank": 32, "reg_param": 0.1, "alpha": 1.0},
    "rating": {"rank": 16, "reg_param": 0.15},
}


def registered_name(dataset: str) -> str:
    """The registered model of a dataset: models of different datasets know different users and never compete.

    >>> registered_name("ml-latest-small")
    'recsys-ml-latest-small'
    """
    return f"recsys-{dataset}"


def space(model: str, config: TrainConfig) -> Space:
    """What is searched for the ranking and for the rating model; log scales throughout."""
    rank = PowerOfTwo(min(8, config.max_rank), config.max_rank)
    if model == "ranking":
        return {"rank": rank, "reg_param": LogUniform(0.01, 1.0), "alpha": LogUniform(0.1, 40.0)}
    return {"rank": rank, "reg_param": LogUniform(0.02, 1.0)}


def training_run(tracking: Tracking, split: dict[str, Any], config: TrainConfig) -> str:
    """The parent run of this training: the one an earlier attempt began, or a new one."""
    tags = {"training_id": split["training_id"], "kind": "training"}
    found = tracking.find_runs(EXPERIMENT, tags)
    if found:
        return str(found[0]["run_id"])
    name = f"{split['dataset']} {datetime.now(UTC):%Y-%m-%d %H:%M}"
    run_id = tracking.start_run(EXPERIMENT, name, tags={**tags, "dataset": split["dataset"]})
    tracking.log(run_id, params={**config.model_dump(), "snapshot_id": split["snapshot_id"]})
    tracking.log_dataset(run_id, split["dataset"], split["fingerprint"], split["train"], "training")
    return run_id


@contextmanager
def failing(tracking: Tracking, run_id: str) -> Iterator[None]:
    """Marks the parent run FAILED when a job of its training raises; a later attempt goes on with it."""
    try:
        yield
    except BaseException:
        tracking.end_run(run_id, failed=True)
        raise


def log_trial(
    tracking: Tracking, run_id: str, split: dict[str, Any], config: TrainConfig, model: str, trial: Trial
) -> None:
    """One nested run: the point, each fold's metrics, their means and standard errors, and the data's fingerprint."""
    tags = {
        "training_id": split["training_id"],
        "model": model,
        "point": json.dumps(trial.point, sort_keys=True),
        "fold_metrics": json.dumps(trial.fold_metrics),
    }
    metrics = {"seconds": trial.seconds}
    for name in trial.fold_metrics[0]:
        metrics |= {f"cv_{name}": trial.mean(name), f"cv_{name}_stderr": trial.standard_error(name)}
    with tracking.run(EXPERIMENT, f"{model} {trial.number:02d}", parent=run_id, tags=tags) as trial_id:
        fixed = {"model": model, "max_iter": config.max_iter, "n_folds": config.n_folds, "seed": config.seed}
        tracking.log(trial_id, params={**trial.point, **fixed}, metrics=metrics)
        tracking.log_dataset(trial_id, split["dataset"], split["fingerprint"], split["train"], "training")


def finished_trials(tracking: Tracking, run_id: str, model: str, points: list[Point]) -> dict[int, Trial]:
    """Trials that an interrupted attempt of the same training has logged whole, by their number now."""
    tags = {"mlflow.parentRunId": run_id, "model": model}
    runs = {run["tags"]["point"]: run for run in tracking.find_runs(EXPERIMENT, tags, status="FINISHED")}
    done = {}
    for number, point in enumerate(points):
        run = runs.get(json.dumps(point, sort_keys=True))
        if run is not None:
            folds = json.loads(run["tags"]["fold_metrics"])
            done[number] = Trial(number, point, folds, run["metrics"]["seconds"])
    return done


def log_winner(tracking: Tracking, run_id: str, model: str, trial: Trial, metric: str) -> None:
    """The chosen point on the parent run, where runs are compared."""
    tracking.log(
        run_id,
        params={f"{model}_{name}": value for name, value in trial.point.items()},
        metrics={f"cv_{metric}": trial.mean(metric)},
        tags={f"{model}_trial": trial.number},
    )


def champion_points(tracking: Tracking, dataset: str) -> dict[str, Point]:
    """The present champion's points: tried first, so that a retrained model starts from what is known to work."""
    champion = tracking.by_alias(registered_name(dataset), CHAMPION)
    return {} if champion is None else dict(json.loads(champion["tags"].get("points", "{}")))
