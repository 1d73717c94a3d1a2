"""The jobs of train_model: split → search → fit → evaluate → register → promote."""

import contextlib
import json
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from recsys import columns
from recsys.config import Settings, TrainConfig
from recsys.errors import ConfigError, NotFoundError, RefusedError
from recsys.evaluation.evaluator import Ratings, none_relevant
from recsys.models.recommender import Recommender
from recsys.registry import training_runs
from recsys.registry.champions import Champions, RegisteredModel, serving
from recsys.spark.masters import is_local
from recsys.spark.session import spark_session
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.snapshots import read_manifest
from recsys.storage.tables import read_json, read_table, write_json, write_table
from recsys.tracking.tracking import CHALLENGER, CHAMPION, Tracking
from recsys.training import cluster, holdout, member_selection, runs, searching
from recsys.training.fitting import split_name, split_of
from recsys.training.relevance import on_scale
from recsys.training.report import training_page
from recsys.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


@on_scale
def split(snapshot_id: str, config: TrainConfig, training_id: str, settings: Settings | None = None) -> dict[str, Any]:
    """Keep the holdout apart, once per snapshot and kind of split; returns the keys of both parts.

    Raises:
        ConfigError: in one of them no rating reaches `relevant_rating`, so that lists could not be judged.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    snapshot = read_manifest(store, snapshot_id)
    split_id = f"{snapshot_id}-{split_name(config)}"
    prefix = layout.split(split_id)
    manifest = f"{prefix}/{layout.MANIFEST}"
    if not store.exists(manifest):
        ratings = read_table(store, layout.snapshot_table(snapshot_id, "ratings"))
        rows = Ratings.from_table(ratings)
        held = split_of(config).holdout(rows.user_ids, rows.movie_ids, rows.timestamps)
        parts = {
            name: write_table(store, f"{prefix}/{name}.parquet", ratings.filter(pa.array(keep)), overwrite=True)
            for name, keep in {"train": ~held, "holdout": held}.items()
        }
        write_json(store, manifest, {"snapshot_id": snapshot_id, "parts": parts}, overwrite=True)
    parts = read_json(store, manifest)["parts"]
    _check_relevant(store, parts, config)
    n_train, n_holdout = parts["train"]["n_rows"], parts["holdout"]["n_rows"]
    log.info("split %s: %s ratings to train on, %s held out", split_id, f"{n_train:,}", f"{n_holdout:,}")
    return {
        "training_id": training_id,
        "snapshot_id": snapshot_id,
        "dataset": snapshot.dataset,
        "fingerprint": snapshot.fingerprint,
        "train": parts["train"]["key"],
        "holdout": parts["holdout"]["key"],
        "n_train": n_train,
        "n_holdout": n_holdout,
    }


def _check_relevant(store: Store, parts: dict[str, Any], config: TrainConfig) -> None:
    for part in ("train", "holdout"):
        stars = read_table(store, parts[part]["key"], [columns.RATING])[columns.RATING].to_numpy()
        if not (stars >= config.relevant_rating).any():
            raise ConfigError(none_relevant(stars, config.relevant_rating))


@on_scale
def search(split: dict[str, Any], config: TrainConfig, settings: Settings | None = None) -> dict[str, Any]:
    """Cross-validate the candidates of each model on the training part; returns the best point of each.

    Every trial is a nested MLflow run. A retry of the same training finds the finished ones and goes on; one after the
    end of the search reads its record.
    """
    settings = settings or Settings.load()
    store, tracking = open_store(settings.resolved_store_url), Tracking(settings)
    run_id = runs.training_run(tracking, split, config)
    key = layout.search(layout.model(run_id))
    with runs.failing(tracking, run_id):
        if not store.exists(key):
            ratings = Ratings.from_table(read_table(store, split["train"]))
            with (
                _engine(settings, config, len(ratings)) as spark,
                cluster.judges(spark, ratings, config, store) as folds,
            ):
                searched = searching.search_both(folds, split, config, tracking, run_id)
            write_json(store, key, searching.to_record(searched))
        found = searching.from_record(read_json(store, key), config)
        runs.log_search(tracking, run_id, found)
        training_page.log_page(settings, tracking, run_id, split, found)
    return {**split, "run_id": run_id, "points": {each.model: each.chosen().point for each in found}}


def _engine(
    settings: Settings, config: TrainConfig, n_ratings: int
) -> "contextlib.AbstractContextManager[SparkSession | None]":
    """A Spark session where candidates are fitted on Spark, nothing where this process fits them."""
    if not _is_on_spark(settings, config):
        return contextlib.nullcontext()
    return spark_session(settings, "recsys search", n_ratings=n_ratings)


def _is_on_spark(settings: Settings, config: TrainConfig) -> bool:
    """Whether candidates are fitted on Spark: by MLlib, or in a cluster's tasks. Here, threads do without copies."""
    return config.search_engine == "mllib" or not is_local(settings.spark_master)


@on_scale
def fit(searched: dict[str, Any], config: TrainConfig, settings: Settings | None = None) -> dict[str, Any]:
    """Combine the best candidates, fit them on the whole training part and store the pair; returns where it stands."""
    settings = settings or Settings.load()
    store, tracking = open_store(settings.resolved_store_url), Tracking(settings)
    prefix = layout.model(searched["run_id"])
    if not store.exists(layout.recommender(prefix)):
        ratings = Ratings.from_table(read_table(store, searched["train"]))
        found = searching.from_record(read_json(store, layout.search(prefix)), config)
        with (
            runs.failing(tracking, searched["run_id"]),
            spark_session(settings, "recsys fit", n_ratings=len(ratings)) as spark,
        ):
            engine = spark if _is_on_spark(settings, config) else None
            with cluster.judges(engine, ratings, config) as folds:
                composition = member_selection.choose(folds, found, config)
            runs.log_composition(tracking, searched["run_id"], found, composition)
            pair = member_selection.fit(spark, ratings, composition, config)
        store.put(layout.recommender(prefix), pair.to_bytes(), overwrite=True)
    return {**searched, "model_prefix": prefix}


@on_scale
def evaluate(fitted: dict[str, Any], config: TrainConfig, settings: Settings | None = None) -> dict[str, Any]:
    """Open the holdout, once: judge the challenger, the present champion and the baselines on it.

    The outcome is stored; a retry reads it back instead of looking at the holdout again.
    """
    settings = settings or Settings.load()
    store, tracking = open_store(settings.resolved_store_url), Tracking(settings)
    key = layout.evaluation(fitted["model_prefix"])
    if not store.exists(key):
        with runs.failing(tracking, fitted["run_id"]):
            write_json(store, key, holdout.sit_exam(store, tracking, fitted, config))
    evaluation = read_json(store, key)
    found = searching.from_record(read_json(store, layout.search(fitted["model_prefix"])), config)
    training_page.log_page(settings, tracking, fitted["run_id"], fitted, found, evaluation)
    log.info("gate: %s: %s", "promote" if evaluation["promote"] else "keep back", evaluation["reason"])
    metrics = evaluation["models"]["challenger"]
    return {**fitted, "promote": evaluation["promote"], "reason": evaluation["reason"], "metrics": metrics}


def register(evaluated: dict[str, Any], config: TrainConfig, settings: Settings | None = None) -> dict[str, Any]:
    """Register the challenger as a new version, whatever the gate said; returns version and URI."""
    settings = settings or Settings.load()
    store, tracking = open_store(settings.resolved_store_url), Tracking(settings)
    name = training_runs.registered_name(evaluated["dataset"])
    versions = tracking.versions_of(name, evaluated["run_id"])
    if not versions:
        tags = {
            **{field: evaluated[field] for field in ("dataset", "snapshot_id", "fingerprint", "model_prefix")},
            **{f"holdout_{metric}": f"{value:.6f}" for metric, value in evaluated["metrics"].items()},
            **({} if "rmse" in evaluated["metrics"] else {"rating_model": training_runs.NO_RATING_MODEL}),
            "points": json.dumps(evaluated["points"]),
            "split": split_name(config),
            "train": evaluated["train"],
        }
        with tempfile.TemporaryDirectory(dir=settings.tmp_dir) as folder:
            path = Path(folder) / "recommender.npz"
            store.get_file(layout.recommender(evaluated["model_prefix"]), path)
            example = _input_example(Recommender.from_bytes(path.read_bytes()))
            versions = [tracking.register(evaluated["run_id"], name, path, tags, example)]
    return {**evaluated, "model_name": name, **versions[0]}


def _input_example(model: Recommender) -> dict[str, Any]:
    """Somebody new who gave the most popular movie the best rating of this data's scale, or came across it once."""
    new_user = int(model.ranking.user_ids.max(initial=0)) + 1
    best = model.rating.high if model.rating else 1.0
    return {"user_id": new_user, "seen": model.popular_ids[:1].tolist(), "ratings": [best]}


@on_scale
def promote(registered: dict[str, Any], config: TrainConfig, settings: Settings | None = None) -> dict[str, Any]:
    """Make the challenger champion if the gate says so; returns the model that is to be served.

    The verdict is about one champion. If another one is champion now, the comparison is repeated with that one; and if
    a promotion comes first between the two, once more.

    Raises:
        RefusedError: the challenger was refused and there is no champion to serve instead.
        NotFoundError: somebody deleted its version in MLflow.
    """
    settings = settings or Settings.load()
    store, tracking = open_store(settings.resolved_store_url), Tracking(settings)
    name, version, run_id = registered["model_name"], registered["version"], registered["run_id"]
    if tracking.version(name, version) is None:
        raise NotFoundError(
            f"Version {version} of {name} was deleted in MLflow at {tracking.uri} before the gate decided. Nothing was "
            "promoted. Clear the task register, which registers the model anew."
        )
    is_promoted, reason = _decide(store, tracking, registered, config)
    tags = {"promoted": is_promoted, "gate": reason}
    tracking.tag_version(name, version, tags)
    # With this tag the training is over: see `training_runs.has_ended`.
    tracking.log(run_id, tags=tags)
    tracking.end_run(run_id)
    if tracking.by_alias(name, CHAMPION) is None:
        raise RefusedError(runs.refusal({**registered, "reason": reason}))
    log.info("%s version %s %s: %s", name, version, "promoted" if is_promoted else "kept back", reason)
    champion = serving(Workspace(settings), registered["dataset"], registered["snapshot_id"])
    ended = {"training_run_id": run_id, "is_promoted": is_promoted, "reason": reason}
    return champion.model_copy(update=ended).flat()


def _decide(store: Store, tracking: Tracking, registered: dict[str, Any], config: TrainConfig) -> tuple[bool, str]:
    """Whether the challenger is, or has just become, the champion by the gate's verdict; and that verdict's reason."""
    name, version = registered["model_name"], registered["version"]
    champions = Champions(store, tracking, name)
    while True:
        champion, last = champions.present(), champions.last()
        if champion and champion.mlflow_run_id == registered["run_id"]:
            # An earlier attempt promoted it, or a person did, against the gate's verdict.
            if last and last.run_id == registered["run_id"]:
                return True, last.reason
            return registered["promote"], registered["reason"]
        key, verdict = holdout.verdict(store, tracking, registered, config, champion)
        if not verdict["promote"]:
            challenger = tracking.by_alias(name, CHALLENGER)
            if challenger is None or int(challenger["version"]) < int(version):
                tracking.set_alias(name, CHALLENGER, version)
            return False, verdict["reason"]
        if champions.promote(RegisteredModel.of(name, registered), champion, key, verdict["reason"]):
            return True, verdict["reason"]
