"""A training run in MLflow: its parent run, its trials as nested runs, and finding both again after a kill."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from recsys.config import TrainConfig
from recsys.registry.training_runs import EXPERIMENT, NO_RATING_MODEL, registered_name
from recsys.search.space import Point
from recsys.search.trial import Trial
from recsys.tracking.tracking import CHAMPION, Tracking
from recsys.training.member_selection import Composition
from recsys.training.report.training_report import Searched

log = logging.getLogger(__name__)


def training_run(tracking: Tracking, split: dict[str, Any], config: TrainConfig) -> str:
    """The parent run of this training: the one an earlier attempt began, or a new one."""
    tags = {"training_id": split["training_id"], "kind": "training"}
    found = tracking.find_runs(EXPERIMENT, tags)
    if found:
        return str(found[0]["run_id"])
    name = f"{split['dataset']} {datetime.now(UTC):%Y-%m-%d %H:%M}"
    run_id = tracking.start_run(EXPERIMENT, name, tags={**tags, "dataset": split["dataset"]})
    said = {} if config.has_rating_model else {"rating_model": NO_RATING_MODEL}
    tracking.log(run_id, params={**config.model_dump(), "snapshot_id": split["snapshot_id"]}, tags=said)
    tracking.log_dataset(run_id, split["dataset"], split["fingerprint"], split["train"], "training")
    return run_id


def refusal(registered: Mapping[str, Any]) -> str:
    """What to say of a model that the gate refused while there is no champion: what happened, and what may help."""
    return (
        f"{registered['model_name']} version {registered['version']} {registered['reason']}. So the gate refused it, "
        f"and there is no champion of {registered['dataset']} to serve instead. The run went as it should, and the "
        "model is registered in MLflow. Give the search more trials (ranking_trials) or more data, or relax min_gain "
        "or max_rmse_loss, and train again."
    )


@contextmanager
def failing(tracking: Tracking, run_id: str) -> Iterator[None]:
    """Marks the parent run FAILED when a job of its training raises; a later attempt goes on with it."""
    try:
        yield
    except BaseException:
        tracking.fail_run(run_id)
        raise


def log_trial(
    tracking: Tracking, run_id: str, split: dict[str, Any], config: TrainConfig, model: str, trial: Trial
) -> None:
    """One nested run: the point, metrics by fold, their means and standard errors, and the data's fingerprint."""
    by_fold = {name: trial.values(name) for name in trial.fold_metrics[0]}
    tags = {
        "training_id": split["training_id"],
        "model": model,
        "stage": trial.stage,
        "point": json.dumps(trial.point, sort_keys=True),
        "fold_metrics": json.dumps(by_fold),
    }
    metrics = {"seconds": trial.seconds}
    for name in by_fold:
        metrics |= {f"cv_{name}": trial.mean(name), f"cv_{name}_stderr": trial.standard_error(name)}
    with tracking.run(EXPERIMENT, f"{model} {trial.number:02d}", parent=run_id, tags=tags) as trial_id:
        fixed = {
            "model": model,
            "engine": config.search_engine,
            "max_iter": config.max_iter,
            "n_folds": config.n_folds,
            "seed": config.seed,
        }
        series = {f"fold_{name}": values for name, values in by_fold.items()}
        tracking.log(trial_id, params={**fixed, **trial.point}, metrics=metrics, series=series)
        tracking.log_dataset(trial_id, split["dataset"], split["fingerprint"], split["train"], "training")


def finished_trials(tracking: Tracking, run_id: str, model: str) -> list[Trial]:
    """Trials that an interrupted attempt of the same training has logged whole, in that order.

    One whose tags somebody edited in MLflow is judged again.
    """
    found: list[Trial] = []
    for run in reversed(
        tracking.find_runs(EXPERIMENT, {"mlflow.parentRunId": run_id, "model": model}, status="FINISHED")
    ):
        tags = run["tags"]
        try:
            by_fold = json.loads(tags["fold_metrics"])
            folds = [dict(zip(by_fold, values, strict=True)) for values in zip(*by_fold.values(), strict=True)]
            trial = Trial(len(found), json.loads(tags["point"]), folds, run["metrics"]["seconds"], tags["stage"])
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            log.warning("the trial %s was edited in MLflow (%r) and is judged again", run["run_id"], error)
            continue
        found.append(trial)
    return found


def log_search(tracking: Tracking, run_id: str, found: Sequence[Searched]) -> None:
    """The chosen points on the parent run, where runs are compared, and in words why they were chosen."""
    for searched in found:
        model, metric = searched.model, searched.objective.metric
        chosen = searched.chosen()
        tracking.log(
            run_id,
            params={f"{model}_{name}": value for name, value in chosen.point.items()},
            metrics={f"cv_{metric}": chosen.mean(metric)},
            tags={f"{model}_trial": chosen.number, f"{model}_out_of_time": searched.outcome.is_out_of_time},
        )
    tracking.describe(run_id, _description(found))


def log_composition(tracking: Tracking, run_id: str, found: Sequence[Searched], composition: Composition) -> None:
    """What the models are made of: whole as a tag, in words below why the points were chosen."""
    tracking.log(run_id, tags={"composition": json.dumps(composition.to_record())})
    tracking.describe(run_id, _description(found, composition.sentences))


def _description(found: Sequence[Searched], sentences: Sequence[str] = ()) -> str:
    parts: list[tuple[str, Sequence[str]]] = [(f"{each.model.capitalize()} model", each.reasons()) for each in found]
    parts += [("What the models are made of", sentences)] if sentences else []
    return "\n\n".join(f"## {title}\n\n" + "\n".join(f"* {line}" for line in lines) for title, lines in parts)


def champion_points(tracking: Tracking, dataset: str) -> dict[str, Point]:
    """The present champion's points: tried first, so that a retrained model starts from what is known to work."""
    champion = tracking.by_alias(registered_name(dataset), CHAMPION)
    try:
        return {} if champion is None else dict(json.loads(champion["tags"].get("points", "{}")))
    except ValueError:
        log.warning("the tag points of the champion was edited in MLflow; the search starts without them")
        return {}
