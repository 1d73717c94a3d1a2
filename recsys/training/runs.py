"""A training in MLflow, for people: its run, the trials and evaluated models as nested runs, its page."""

import json
import logging
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recsys.config import TrainConfig
from recsys.messages import EvaluationResult, ModelVersion, SearchResult, SplitRef
from recsys.models.recommender import Recommender
from recsys.registry.model_records import CompositionRecord
from recsys.registry.training_runs import EXPERIMENT, NO_RATING_MODEL
from recsys.search.trial import Trial
from recsys.tracking.tracking import Tracking
from recsys.training.report.training_report import PAGE, Searched, page
from recsys.training.training_documents import Evaluation, Metrics

log = logging.getLogger(__name__)


def training_run(tracking: Tracking, split: SplitRef, config: TrainConfig) -> str:
    """The parent run of this training: the one an earlier attempt began, or a new one."""
    tags = {"training_id": split.training_id, "kind": "training"}
    found = tracking.find_runs(EXPERIMENT, tags)
    if found:
        return str(found[0]["run_id"])
    name = f"{split.dataset} {datetime.now(UTC):%Y-%m-%d %H:%M}"
    run_id = tracking.start_run(EXPERIMENT, name, tags={**tags, "dataset": split.dataset})
    has_no_ratings = {} if config.has_rating_model else {"rating_model": NO_RATING_MODEL}
    tracking.log(run_id, params={**config.model_dump(), "snapshot_id": split.snapshot_id}, tags=has_no_ratings)
    tracking.log_dataset(run_id, split.dataset, split.fingerprint, split.train_key, "training")
    return run_id


def refusal(evaluated: EvaluationResult, version: ModelVersion) -> str:
    """What to say of a model that the gate refused while there is no champion: what happened, and what may help."""
    return (
        f"{version.name} version {version.number} {evaluated.reason}. So the gate refused it, "
        f"and there is no champion of {evaluated.model.search.split.dataset} to serve instead. The run went as it "
        "should, and the model is registered in MLflow. Give the search more trials (ranking_trials) or more data, or "
        "relax min_gain or max_rmse_loss, and train again."
    )


@contextmanager
def failing(tracking: Tracking, run_id: str) -> Iterator[None]:
    """Marks the parent run FAILED when a task of its training raises; a later attempt goes on with it."""
    try:
        yield
    except BaseException:
        tracking.fail_run(run_id)
        raise


def log_trial(tracking: Tracking, run_id: str, split: SplitRef, config: TrainConfig, model: str, trial: Trial) -> None:
    """One nested run: hyper-parameters, metrics by fold, their means and standard errors, the data's fingerprint."""
    by_fold = {name: trial.values(name) for name in trial.fold_metrics[0]}
    tags = {"training_id": split.training_id, "model": model, "stage": trial.stage}
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
        tracking.log(trial_id, params={**fixed, **trial.params}, metrics=metrics, series=series)
        tracking.log_dataset(trial_id, split.dataset, split.fingerprint, split.train_key, "training")


def log_search(tracking: Tracking, run_id: str, found: Sequence[Searched]) -> None:
    """The chosen hyper-parameters on the parent run, where runs are compared, and in words why they were chosen."""
    for searched in found:
        model, metric = searched.model, searched.objective.metric
        chosen = searched.chosen()
        tracking.log(
            run_id,
            params={f"{model}_{name}": value for name, value in chosen.params.items()},
            metrics={f"cv_{metric}": chosen.mean(metric)},
            tags={f"{model}_trial": chosen.number, f"{model}_out_of_time": searched.outcome.is_out_of_time},
        )
    tracking.describe(run_id, _description(found))


def log_composition(tracking: Tracking, run_id: str, found: Sequence[Searched], composition: CompositionRecord) -> None:
    """What the models are made of: whole as a tag, in words below why the hyper-parameters were chosen."""
    tracking.log(run_id, tags={"composition": composition.model_dump_json()})
    tracking.describe(run_id, _description(found, composition.sentences))


def _description(found: Sequence[Searched], sentences: Sequence[str] = ()) -> str:
    parts: list[tuple[str, Sequence[str]]] = [(f"{each.model.capitalize()} model", each.reasons()) for each in found]
    parts += [("What the models are made of", sentences)] if sentences else []
    return "\n\n".join(f"## {title}\n\n" + "\n".join(f"* {line}" for line in lines) for title, lines in parts)


def log_models(
    tracking: Tracking, search: SearchResult, source: str, models: Mapping[str, Metrics], on_all: Container[str]
) -> None:
    """Metrics on the holdout: the challenger's on the training's own run, each other model's on a nested run.

    Args:
        tracking: where to.
        search: of the challenger.
        source: address of the held-out ratings.
        models: metrics by model.
        on_all: those that were evaluated on all held-out ratings.
    """
    split, parent = search.split, search.mlflow_run_id
    for name, values in models.items():
        metrics = {f"holdout_{metric}": value for metric, value in values.items() if np.isfinite(value)}
        if name == "challenger":
            tracking.log(parent, metrics=metrics)
            tracking.log_dataset(parent, split.dataset, split.fingerprint, source, "holdout")
            continue
        tags = {
            "training_id": split.training_id,
            "peer": name,
            "holdout": "whole" if name in on_all else "without the ratings it was trained on",
        }
        with tracking.run(EXPERIMENT, f"peer: {name}", parent=parent, tags=tags) as run_id:
            tracking.log(run_id, metrics=metrics)
            tracking.log_dataset(run_id, split.dataset, split.fingerprint, source, "holdout")


def version_tags(evaluated: EvaluationResult, split_name: str) -> dict[str, str]:
    """For people, and for a store that was reset: `recsys.registry.model_records.read_record` then reads them."""
    search, split = evaluated.model.search, evaluated.model.search.split
    return {
        **split.model_dump(include={"dataset", "snapshot_id", "fingerprint"}),
        **{f"holdout_{metric}": f"{value:.6f}" for metric, value in evaluated.metrics.items()},
        **({} if "rmse" in evaluated.metrics else {"rating_model": NO_RATING_MODEL}),
        "model_prefix": evaluated.model.model_prefix,
        "points": json.dumps(search.params),
        "split": split_name,
        "train": split.train_key,
    }


def input_example(model: Recommender) -> dict[str, Any]:
    """A new user who gave the most popular movie the best rating of this data's scale, or came across it once."""
    new_user = int(model.ranking.user_ids.max(initial=0)) + 1
    best = model.rating.high if model.rating else 1.0
    return {"user_id": new_user, "seen": model.popular_ids[:1].tolist(), "ratings": [best]}


def log_page(
    tracking: Tracking,
    tmp_dir: Path | None,
    search: SearchResult,
    found: Sequence[Searched],
    evaluation: Evaluation | None = None,
    sentences: Sequence[str] = (),
) -> None:
    """The page of a training as an artifact of its run, replacing an earlier one."""
    run_id = search.mlflow_run_id
    name = tracking.get_run(run_id)["tags"]["mlflow.runName"]
    with TemporaryDirectory(dir=tmp_dir) as folder:
        path = Path(folder) / PAGE
        path.write_text(page(name, search.split.snapshot_id, run_id, found, evaluation, sentences))
        tracking.log_file(run_id, path)
