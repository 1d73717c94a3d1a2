"""A search in Spark tasks gives what threads give, and leaves nothing behind; with real Spark, files and MLflow."""

import logging
from contextlib import nullcontext

import numpy as np
import pytest

from recsys.compiled.compiled_als import State
from recsys.errors import ConfigError, TransientError
from recsys.evaluation.evaluator import Ratings
from recsys.models.als import AlsParams
from recsys.search.trial import Trial
from recsys.storage.opening import open_store
from recsys.storage.tables import read_table
from recsys.training import member_selection, searching, tasks
from recsys.training.fits import cluster
from recsys.training.fits.folds import Folds
from recsys.workspace import Workspace
from tests.training.tiny import CONFIG, write_snapshot

pytestmark = pytest.mark.spark
POINT = {"rank": 4, "reg_param": 0.1, "alpha": 2.0, "preference": "stars"}
HALVING = {"strategy": "halving", "max_iter": 6, "ranking_trials": 4, "rating_trials": 3, "n_members": 2}


@pytest.fixture
def store(settings):
    return open_store(settings.resolved_store_url)


@pytest.fixture
def ratings(settings, store):
    write_snapshot(settings)
    return Ratings.from_table(
        read_table(store, tasks.split(Workspace(settings), "tiny-1", CONFIG, "ratings").train_key)
    )


def search(folds, config):
    """Both searches, without the seconds they took, and what the models are made of."""
    told = []
    found = searching.search_models(folds, config, lambda model, trial: told.append((model, trial.number)))
    asked = [(each.model, trial.number) for each in found for trial in each.outcome.trials]
    assert sorted(told) == sorted(asked)
    judged = [[Trial(t.number, t.params, t.fold_metrics, 0, t.stage) for t in each.outcome.trials] for each in found]
    return judged, [each.curve for each in found], member_selection.choose(folds, found, config)


def is_same(one, other):
    """Equal to the last bit; what is not known is NaN in both."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("changes", [{"n_members": 2}, HALVING], ids=["random", "halving"])
def test_tasks_give_what_threads_give_to_the_last_bit(spark, store, ratings, changes, caplog):
    config = CONFIG.model_copy(update=changes)
    in_threads = search(Folds(None, ratings, config), config)
    with (
        caplog.at_level(logging.INFO, "recsys.training.fits.cluster"),
        cluster.fold_evaluator(spark, ratings, config, store) as tasks,
    ):
        assert isinstance(tasks, cluster.Tasks)
        assert is_same(in_threads, search(tasks, config))
    assert "2 fits at a time by compiled code in tasks on local[2]" in caplog.text
    assert not list(store.list("scratch/"))


def test_every_number_of_a_fit_is_the_same_in_a_task(spark, ratings):
    here = Folds(None, ratings, CONFIG)
    with cluster.fold_evaluator(spark, ratings, CONFIG) as tasks:
        for model in ("ranking", "rating"):
            ours, theirs = (folds.fit(model, POINT, 1) for folds in (here, tasks))
            for name, column in vars(ours).items():
                np.testing.assert_array_equal(column, getattr(theirs, name), strict=True)


def test_a_task_goes_on_from_the_state_that_another_left_in_the_store(spark, store, ratings):
    config = CONFIG.model_copy(update=HALVING)
    full, rung = ({**POINT, "max_iter": n_iterations} for n_iterations in (6, 3))
    with cluster.fold_evaluator(spark, ratings, config, store) as tasks:
        anew = tasks.evaluate("ranking", full, 0)
        assert not list(store.list("scratch/"))  # nothing goes on from a full fit
        tasks.evaluate("ranking", rung, 0)
        [key] = store.list("scratch/")
        assert "/fold-0/" in key
        assert is_same(tasks.evaluate("ranking", full, 0), anew)
        # A state of other factors leads elsewhere, so it was read.
        states = cluster.StatesInStore(store, key.rpartition("/")[0], 6)
        params = AlsParams(rank=4, reg_param=0.1, alpha=1.0, max_iter=0, seed=42)
        states._key = lambda *_: key
        known = states.get("", params)
        assert known.n_iterations == 3
        states.put("", params, State(known.user_factors[::-1].copy(), known.movie_factors, 3))
        assert not is_same(tasks.evaluate("ranking", full, 0), anew)
    assert not list(store.list("scratch/"))


def test_only_halving_leaves_states(spark, store, ratings):
    with cluster.fold_evaluator(spark, ratings, CONFIG, store) as tasks:
        tasks.evaluate("ranking", {**POINT, "max_iter": 1}, 0)
        assert not list(store.list("scratch/"))


def test_a_state_that_is_gone_is_no_state(store):
    states = cluster.StatesInStore(store, "scratch/a/fold-0", max_iter=6)
    assert states.get("stars", AlsParams(rank=4, reg_param=0.1, max_iter=0)) is None


def test_a_worker_keeps_the_folds_of_its_last_search_alone(spark, ratings, monkeypatch):
    monkeypatch.setattr(cluster, "_FOLDS", {})
    shared = spark.sparkContext.broadcast(ratings)
    one, other = (cluster.Work(search_id, CONFIG, None, shared) for search_id in ("one", "other"))
    folds = one.folds()
    assert one.folds() is folds
    assert other.folds() is not folds
    assert list(cluster._FOLDS) == ["other"]
    shared.destroy()


@pytest.mark.parametrize("folds_kept", [1, 2])
def test_what_a_worker_keeps_does_not_change_the_answer(ratings, folds_kept):
    everything, some = Folds(None, ratings, CONFIG), Folds(None, ratings, CONFIG, folds_kept)
    for fold in (0, 1, 0):
        assert is_same(some.evaluate("rating", POINT, fold), everything.evaluate("rating", POINT, fold))
    assert len(some._ready) == folds_kept


def test_a_fault_in_a_task_is_the_same_error_as_in_a_thread_and_is_not_tried_again(spark, store, ratings):
    faulty = {**POINT, "reg_param": -1.0}
    with pytest.raises(ConfigError) as in_thread:
        Folds(None, ratings, CONFIG).evaluate("rating", faulty, 0)
    with pytest.raises(ConfigError) as in_task, cluster.fold_evaluator(spark, ratings, CONFIG, store) as tasks:
        tasks.evaluate("rating", faulty, 0)
    assert str(in_task.value) == str(in_thread.value)
    assert in_task.value.__cause__ is None  # handed back by the task, which Spark therefore took as done


class Unreachable:
    """A store that is down."""

    def get(self, key):
        raise TransientError(f"{key}: the store does not answer. Nothing was read. Try again later.")

    def list(self, prefix):
        return iter(())


def test_a_fault_that_may_pass_is_left_to_spark_and_comes_back_as_what_it_was(spark, ratings):
    config = CONFIG.model_copy(update=HALVING)
    down = cluster.fold_evaluator(spark, ratings, config, Unreachable())
    with down as tasks, pytest.raises(TransientError, match="the store does not answer"):
        tasks.evaluate("rating", POINT, 0)


@pytest.mark.parametrize(
    ("engine", "master", "expected"),
    [("compiled", "local[2]", False), ("compiled", "spark://a:7077", True), ("mllib", "local[2]", True)],
)
def test_spark_is_opened_where_candidates_are_fitted_on_it(settings, engine, master, expected):
    place = Workspace(settings.model_copy(update={"spark_master": master}), lambda *_, **__: nullcontext("a session"))
    with tasks._engine(place, CONFIG.model_copy(update={"search_engine": engine}), 1) as spark:
        assert (spark == "a session") is expected
