"""The tasks of train_model: split → search → fit → evaluate → register → promote."""

import contextlib
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from recsys import columns
from recsys.config import TrainConfig
from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError, RefusedError
from recsys.evaluation.evaluator import none_relevant
from recsys.messages import ChampionRef, EvaluationResult, ModelVersion, SearchResult, SplitRef, TrainedModel
from recsys.models.recommender import Recommender
from recsys.registry import training_runs
from recsys.registry.champions import Champions, RegisteredModel, serving, stored_model
from recsys.registry.model_records import read_record
from recsys.search.trial import Trial
from recsys.spark.masters import is_local
from recsys.storage import layout
from recsys.storage.snapshots import read_manifest
from recsys.storage.tables import read_table
from recsys.tracking.tracking import CHALLENGER, CHAMPION
from recsys.training import holdout, member_selection, runs, searching, stored
from recsys.training.fits import cluster
from recsys.training.fits.engines import split_name
from recsys.training.gate import Check
from recsys.training.relevance import on_scale
from recsys.training.report.training_report import Searched
from recsys.training.training_documents import (
    Evaluation,
    SplitManifest,
    Verdict,
    read_trials,
    write_trial,
)
from recsys.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


def split(workspace: Workspace, snapshot_id: str, config: TrainConfig, training_id: str) -> SplitRef:
    """Keep the holdout apart, once per snapshot and kind of split.

    Raises:
        ConfigError: in one of both parts no rating reaches `relevant_rating`, so that lists could not be judged.
    """
    store = workspace.store
    snapshot = read_manifest(store, snapshot_id)
    config = on_scale(config, snapshot)
    split_id = f"{snapshot_id}-{split_name(config)}"
    if not store.exists(layout.split_manifest(split_id)):
        stored.write_split(store, snapshot_id, split_id, config)
    parts = SplitManifest.load(store, layout.split_manifest(split_id)).parts
    for part in (parts.train, parts.holdout):
        ratings = read_table(store, part.key, [columns.RATING])[columns.RATING].to_numpy()
        if not (ratings >= config.relevant_rating).any():
            raise ConfigError(none_relevant(ratings, config.relevant_rating))
    n_train, n_holdout = parts.train.n_rows, parts.holdout.n_rows
    log.info("split %s: %s ratings to train on, %s held out", split_id, f"{n_train:,}", f"{n_holdout:,}")
    return SplitRef(
        snapshot_id=snapshot_id,
        dataset=snapshot.dataset,
        fingerprint=snapshot.fingerprint,
        training_id=training_id,
        train_key=parts.train.key,
        holdout_key=parts.holdout.key,
        n_train=n_train,
        n_holdout=n_holdout,
    )


def search(workspace: Workspace, split: SplitRef, config: TrainConfig) -> SearchResult:
    """Cross-validate the candidates of each model on the training part; returns the best of each.

    Every trial is a document in the store and a nested MLflow run. A retry of the same training finds the finished
    ones and goes on; one after the end of the search reads its record.
    """
    store, tracking = workspace.store, workspace.tracking
    config = stored.config_on_scale(store, split, config)
    run_id = runs.training_run(tracking, split, config)
    prefix = layout.model(run_id)
    with runs.failing(tracking, run_id):
        if not store.exists(layout.search(prefix)):
            record = searching.to_record(_search(workspace, split, config, run_id))
            record.write(store, layout.search(prefix))
        found = stored.read_search(store, prefix, config)
        params = {each.model: each.chosen().params for each in found}
        result = SearchResult(split=split, mlflow_run_id=run_id, params=params)
        runs.log_search(tracking, run_id, found)
        runs.log_page(tracking, workspace.settings.tmp_dir, result, found)
    return result


def _search(workspace: Workspace, split: SplitRef, config: TrainConfig, run_id: str) -> list[Searched]:
    store, tracking, prefix = workspace.store, workspace.tracking, layout.model(run_id)
    ratings = stored.read_ratings(store, split.train_key)

    def keep(model: str, trial: Trial) -> None:
        runs.log_trial(tracking, run_id, split, config, model, trial)
        write_trial(store, prefix, model, trial)  # last: a trial that is here is judged no more

    champion = tracking.by_alias(training_runs.registered_name(split.dataset), CHAMPION)
    with (
        _engine(workspace, config, len(ratings)) as spark,
        cluster.fold_evaluator(spark, ratings, config, store) as folds,
    ):
        return searching.search_models(
            folds,
            config,
            keep,
            finished={model: read_trials(store, prefix, model) for model in searching.models(config)},
            first=read_record(store, champion["run_id"], champion["tags"]).points if champion else {},
        )


def _engine(
    workspace: Workspace, config: TrainConfig, n_ratings: int
) -> "contextlib.AbstractContextManager[SparkSession | None]":
    """A Spark session where candidates are fitted on Spark, nothing where this process fits them."""
    if not _is_on_spark(workspace, config):
        return contextlib.nullcontext()
    return workspace.spark("recsys search", n_ratings=n_ratings)


def _is_on_spark(workspace: Workspace, config: TrainConfig) -> bool:
    """Whether candidates are fitted on Spark: by MLlib, or in a cluster's tasks. Here, threads do without copies."""
    return config.search_engine == "mllib" or not is_local(workspace.settings.spark_master)


def fit(workspace: Workspace, searched: SearchResult, config: TrainConfig) -> TrainedModel:
    """Combine the best candidates, fit them on the whole training part and store the recommender."""
    store, tracking, split, run_id = workspace.store, workspace.tracking, searched.split, searched.mlflow_run_id
    config = stored.config_on_scale(store, split, config)
    prefix = layout.model(run_id)
    if not store.exists(layout.recommender(prefix)):
        ratings = stored.read_ratings(store, split.train_key)
        found = stored.read_search(store, prefix, config)
        with (
            runs.failing(tracking, run_id),
            workspace.spark("recsys fit", n_ratings=len(ratings)) as spark,
        ):
            engine = spark if _is_on_spark(workspace, config) else None
            with cluster.fold_evaluator(engine, ratings, config) as folds:
                composition = member_selection.choose(folds, found, config)
            record = member_selection.model_record(searched, config, composition)
            record.write(store, layout.model_record(prefix), overwrite=True)
            runs.log_composition(tracking, run_id, found, composition.to_record())
            recommender = member_selection.fit(spark, ratings, composition, config)
        store.put(layout.recommender(prefix), recommender.to_bytes(), overwrite=True)
    return TrainedModel(search=searched, model_prefix=prefix)


def evaluate(workspace: Workspace, trained: TrainedModel, config: TrainConfig) -> EvaluationResult:
    """Open the holdout, once: evaluate the challenger, the present champion and the baselines on it.

    The outcome is stored; a retry reads it back instead of looking at the holdout again.
    """
    store, tracking, prefix = workspace.store, workspace.tracking, trained.model_prefix
    config = stored.config_on_scale(store, trained.search.split, config)
    key = layout.evaluation(prefix)
    if not store.exists(key):
        with runs.failing(tracking, trained.search.mlflow_run_id):
            _evaluate(workspace, trained, config).write(store, key)
    evaluation, found = Evaluation.load(store, key), stored.read_search(store, prefix, config)
    composition = read_record(store, trained.search.mlflow_run_id, {}).composition
    sentences = composition.sentences if composition else ()
    runs.log_page(tracking, workspace.settings.tmp_dir, trained.search, found, evaluation, sentences)
    log.info("gate: %s: %s", "promote" if evaluation.promote else "keep back", evaluation.reason)
    return EvaluationResult(
        model=trained,
        is_accepted=evaluation.promote,
        reason=evaluation.reason,
        metrics=evaluation.models["challenger"],
        opponent=evaluation.champion,
    )


def _evaluate(workspace: Workspace, trained: TrainedModel, config: TrainConfig) -> Evaluation:
    store, search = workspace.store, trained.search
    train, held_out, challenger = stored.read_trained(store, trained)
    registered = _champions(workspace, search.split.dataset).present()
    champion = _read_champion(workspace, registered) if registered else None
    evaluation = holdout.evaluate(train, held_out, challenger, champion, config)
    on_all = {*evaluation.intervals, "biases"}
    source = store.uri(search.split.holdout_key)
    runs.log_models(workspace.tracking, search, source, evaluation.models, on_all)
    return evaluation


def register(workspace: Workspace, evaluated: EvaluationResult, config: TrainConfig) -> ModelVersion:
    """Register the challenger as a new version, whatever the gate said."""
    store, tracking, search = workspace.store, workspace.tracking, evaluated.model.search
    name, run_id = training_runs.registered_name(search.split.dataset), search.mlflow_run_id
    versions = tracking.versions_of(name, run_id)
    if not versions:
        tags = runs.version_tags(evaluated, split_name(config))
        with tempfile.TemporaryDirectory(dir=workspace.settings.tmp_dir) as folder:
            path = Path(folder) / "recommender.npz"
            store.get_file(layout.recommender(evaluated.model.model_prefix), path)
            example = runs.input_example(Recommender.from_bytes(path.read_bytes()))
            versions = [tracking.register(run_id, name, path, tags, example)]
    return ModelVersion(name=name, number=int(versions[0]["version"]), uri=versions[0]["uri"])


def promote(
    workspace: Workspace, evaluated: EvaluationResult, version: ModelVersion, config: TrainConfig
) -> ChampionRef:
    """Make the challenger champion if the gate says so; returns the model that is to be served.

    The verdict is about one champion. If another one is champion now, the comparison is repeated with that one; and if
    a promotion comes first between the two, once more.

    Raises:
        RefusedError: the challenger was refused and there is no champion to serve instead.
        NotFoundError: somebody deleted its version in MLflow.
    """
    tracking, split, run_id = workspace.tracking, evaluated.model.search.split, evaluated.model.search.mlflow_run_id
    config = stored.config_on_scale(workspace.store, split, config)
    name, number = version.name, str(version.number)
    if tracking.version(name, number) is None:
        raise NotFoundError(
            f"Version {number} of {name} was deleted in MLflow at {tracking.uri} before the gate decided. Nothing was "
            "promoted. Clear the task register, which registers the model anew."
        )
    is_promoted, reason = _decide(workspace, evaluated, RegisteredModel(version, run_id, {}), config)
    tags = {"promoted": is_promoted, "gate": reason}
    tracking.tag_version(name, number, tags)
    # With this tag the training is over: see `training_runs.has_ended`.
    tracking.log(run_id, tags=tags)
    tracking.end_run(run_id)
    if tracking.by_alias(name, CHAMPION) is None:
        raise RefusedError(runs.refusal(evaluated.model_copy(update={"reason": reason}), version))
    log.info("%s version %s %s: %s", name, number, "promoted" if is_promoted else "kept back", reason)
    champion = serving(workspace, split.dataset, split.snapshot_id)
    ended = {"training_run_id": run_id, "is_promoted": is_promoted, "reason": reason}
    return champion.model_copy(update=ended)


def _decide(
    workspace: Workspace, evaluated: EvaluationResult, challenger: RegisteredModel, config: TrainConfig
) -> tuple[bool, str]:
    """Whether the challenger is, or has just become, the champion by the gate's verdict; and that verdict's reason."""
    tracking, name = workspace.tracking, challenger.model.name
    champions = Champions(workspace.store, tracking, name)
    while True:
        champion, last = champions.present(), champions.last()
        if champion and champion.mlflow_run_id == challenger.mlflow_run_id:
            # An earlier attempt promoted it, or a person did, against the gate's verdict.
            if last and last.run_id == challenger.mlflow_run_id:
                return True, last.reason
            return evaluated.is_accepted, evaluated.reason
        key, verdict = _verdict(workspace, evaluated.model, champion, config)
        if not verdict.promote:
            alias = tracking.by_alias(name, CHALLENGER)
            if alias is None or int(alias["version"]) < challenger.model.number:
                tracking.set_alias(name, CHALLENGER, str(challenger.model.number))
            return False, verdict.reason
        if champions.promote(challenger, champion, key, verdict.reason):
            return True, verdict.reason


def _verdict(
    workspace: Workspace, trained: TrainedModel, champion: RegisteredModel | None, config: TrainConfig
) -> tuple[str, Verdict]:
    """The verdict on a challenger beside this champion, and its key: the evaluation's, or a repeated comparison's.

    What was found about popularity and the biases stands; the champion may be another one than at the evaluation.
    """
    store, split, key = workspace.store, trained.search.split, layout.evaluation(trained.model_prefix)
    evaluation = Evaluation.load(store, key)
    if holdout.is_about(evaluation, champion):
        return key, evaluation
    key = layout.comparison(trained.model_prefix, champion.mlflow_run_id if champion else None)
    if not store.exists(key):
        own_checks = [check for check in evaluation.checks if check.name not in holdout.CHAMPION_CHECKS]
        if champion is None:
            verdict = holdout.verdict(own_checks)
        elif not all(store.exists(part) for part in (split.train_key, split.holdout_key)):
            return key, holdout.not_comparable(champion)
        else:
            verdict = _compare_again(workspace, trained, champion, own_checks, config)
        with contextlib.suppress(AlreadyExistsError):  # another attempt came to the same
            verdict.write(store, key)
    return key, Verdict.load(store, key)


def _compare_again(
    workspace: Workspace,
    trained: TrainedModel,
    registered: RegisteredModel,
    own_checks: list[Check],
    config: TrainConfig,
) -> Verdict:
    train, held_out, challenger = stored.read_trained(workspace.store, trained)
    champion = _read_champion(workspace, registered)
    verdict = holdout.compare_again(train, held_out, challenger, champion, own_checks, config)
    if verdict.duel:
        source = workspace.store.uri(trained.search.split.holdout_key)
        on_all = () if verdict.duel.n_seen else ("champion",)
        models = {"champion": verdict.duel.champion}
        runs.log_models(workspace.tracking, trained.search, source, models, on_all)
    return verdict


def _champions(workspace: Workspace, dataset: str) -> Champions:
    return Champions(workspace.store, workspace.tracking, training_runs.registered_name(dataset))


def _read_champion(workspace: Workspace, registered: RegisteredModel) -> holdout.Champion:
    store = workspace.store
    prefix = stored_model(store, workspace.tracking, registered)
    recommender = Recommender.from_bytes(store.get(layout.recommender(prefix)))
    record = read_record(store, registered.mlflow_run_id, registered.tags)
    return holdout.Champion(registered, recommender, stored.trained_on(store, record))
