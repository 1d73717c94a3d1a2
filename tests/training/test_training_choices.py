"""What a training may be told: splits, preferences, ensembles, baselines; with real Spark and MLflow."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from recsys.config import TrainConfig
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.models.als import AlsParams
from recsys.models.blend import Blend
from recsys.models.recommender import Recommender
from recsys.search.cross_validation import Outcome
from recsys.search.trial import Objective, Trial
from recsys.storage import layout
from recsys.storage.tables import read_json, read_table
from recsys.training import holdout, member_selection, tasks
from recsys.training.fits import engines
from recsys.training.fits.folds import Folds
from recsys.training.report.training_report import Searched
from recsys.workspace import Workspace
from tests.training.tiny import CONFIG, train_once, write_snapshot

pytestmark = pytest.mark.spark
SPLITS = ["random", "per_user", "per_movie", "time", "last_n"]


def changed(**values):
    return CONFIG.model_copy(update=values)


def parts_of(settings, config):
    """Training and holdout ratings, as the tasks find them in the store."""
    workspace = Workspace(settings)
    split = tasks.split(workspace, "tiny-1", config, "parts")
    return [Ratings.from_table(read_table(workspace.store, key)) for key in (split.train_key, split.holdout_key)]


@pytest.mark.parametrize("kind", SPLITS)
def test_nothing_a_model_is_fitted_on_is_ever_asked_about(settings, kind):
    config = changed(split=kind, n_last=2)
    write_snapshot(settings)
    ratings, held = parts_of(settings, config)
    assert not np.isin(ratings.pairs(), held.pairs()).any()
    assert len(held)
    folds = Folds(None, ratings, config)
    for fold in map(folds.fold, range(config.n_folds)):
        fitter, evaluator = fold.fitter, fold.evaluator
        fitted, asked = fitter.train.pairs(), evaluator.test.pairs()
        assert len(fitted)
        assert len(asked)
        assert not np.isin(asked, fitted).any()
        assert not np.isin(held.pairs(), np.concatenate([fitted, asked])).any()
        if kind == "time":
            assert fitter.train.timestamps.max() < evaluator.test.timestamps.min() <= held.timestamps.min()
    if kind == "last_n":
        latest = {user: ratings.timestamps[ratings.user_ids == user].max() for user in np.unique(ratings.user_ids)}
        assert all(time >= latest[user] for user, time in zip(held.user_ids, held.timestamps, strict=True))


def test_a_split_by_time_goes_through_the_whole_training_and_searches_how_fast_taste_fades(settings, workspace):
    write_snapshot(settings)
    champion = train_once(workspace, "time", config=changed(split="time"))
    document = read_json(workspace.store, layout.search(champion.model_prefix))
    points = [trial["point"] for trial in document["ranking"]["outcome"]["trials"]]
    assert all({"preference", "half_life_days"} <= point.keys() for point in points)
    tags = workspace.tracking.by_alias("recsys-tiny", "champion")["tags"]
    assert tags["split"] == "time-holdout0.2"


@pytest.mark.slow
def test_the_same_snapshot_config_and_seed_give_the_same_training(settings, workspace, tmp_path):
    runs = []
    for name in ("a", "b"):
        place = settings.model_copy(update={"state_dir": tmp_path / name})
        shutil.copytree(settings.state_dir, place.state_dir)  # MLflow's database, made already
        write_snapshot(place)
        config = changed(n_members=2, ranking_trials=3, strategy="bayesian")
        at = replace(workspace, settings=place)
        champion = train_once(at, f"{name}-run", config=config)
        record = read_json(at.store, layout.search(champion.model_prefix))
        judged = read_json(at.store, layout.evaluation(champion.model_prefix))
        tags = at.tracking.get_run(champion.training_run_id)["tags"]
        composition = read_json(at.store, layout.model_record(champion.model_prefix))["composition"]
        assert json.loads(tags["composition"]) == composition  # for people
        runs.append((record, judged["models"], composition))
    (first, models, composition), (second, again, composed_again) = runs
    assert composition == composed_again
    for model in ("ranking", "rating"):
        pairs = list(zip(*(each[model]["outcome"]["trials"] for each in (first, second)), strict=True))
        assert len(pairs) > 1 or model == "rating"
        for one, other in pairs:
            assert one["point"] == other["point"]
            for fold, same in zip(one["fold_metrics"], other["fold_metrics"], strict=True):
                assert fold == pytest.approx(same, abs=1e-6, nan_ok=True)
    assert models.keys() == again.keys()
    for name, values in models.items():
        assert values == pytest.approx(again[name], abs=1e-6, nan_ok=True)


def searched(model, metric, points, *, lower_is_better=False):
    """A search whose trials came in the order of merit."""
    sign = 1 if lower_is_better else -1
    trials = [Trial(at, point, [{metric: sign * at}], 1.0) for at, point in enumerate(points)]
    return Searched(model, Objective(metric, lower_is_better), {}, Outcome(trials, len(trials), False), {})


@pytest.fixture
def found():
    ranking = {"preference": "stars", "reg_param": 0.1, "alpha": 2.0}
    return [
        searched("ranking", "ndcg_at_5", [{**ranking, "rank": rank} for rank in (2, 4, 6)]),
        searched("rating", "rmse", [{"rank": 4, "reg_param": 0.1}], lower_is_better=True),
    ]


@pytest.mark.slow
def test_members_are_only_taken_for_what_they_bring_and_the_best_stands_first(settings, spark, found, monkeypatch):
    write_snapshot(settings)
    ratings, _ = parts_of(settings, CONFIG)
    monkeypatch.setattr(member_selection, "_LEAST_RATINGS", 100)
    config = changed(n_members=3)
    folds = Folds(spark, ratings, config)
    composition = member_selection.choose(folds, found, config)
    assert composition.ranking[0].params["rank"] == 2
    assert composition.rating[0].model == "rating"
    assert len(composition.ranking) <= 3
    assert len(composition.sentences) == 2
    monkeypatch.setattr(member_selection, "_LEAST_NDCG", 1.0)
    monkeypatch.setattr(member_selection, "_LEAST_RMSE", 5.0)
    alone = member_selection.choose(folds, found, config)
    assert [part.params["rank"] for part in alone.ranking] == [2]
    assert (len(alone.rating), alone.blend) == (1, None)


def test_the_fitted_pair_is_the_sum_its_composition_says(settings, spark, found):
    write_snapshot(settings)
    ratings, _ = parts_of(settings, CONFIG)
    parts = [member_selection.Part("ranking", trial.params) for trial in found[0].outcome.trials]
    explicit = member_selection.Part("rating", found[1].chosen().params)
    fitter = engines.fitter_of(spark, ratings, CONFIG)
    pair = member_selection.fit(
        spark, ratings, member_selection.Composition([*parts[:2], parts[0]], [explicit], None, []), CONFIG
    )
    assert pair.ranking.rank == 2 + 4 + 2
    users, movies = ratings.user_ids[:50], ratings.movie_ids[:50]
    one, two = (part.fit(fitter).dot(users, movies) for part in parts[:2])
    again = parts[0].fit(fitter, CONFIG.seed + 1).dot(users, movies)
    np.testing.assert_allclose(pair.ranking.dot(users, movies), (one + two + again) / 3, atol=1e-5)
    rest = explicit.fit(fitter).dot(users, movies)
    stars = np.clip(fitter.biases.predict(users, movies) + rest, 2.0, 4.5)
    np.testing.assert_allclose(pair.rating.predict(users, movies), stars, atol=1e-5)


def test_alpha_means_the_same_whatever_the_unit_of_the_preference(settings, spark):
    """Twice the stars at half the alpha are the same confidence: all schemes add `alpha` to the average rating."""
    write_snapshot(settings)
    ratings, _ = parts_of(settings, CONFIG)
    fitter = engines.fitter_of(spark, ratings, CONFIG)
    for name in engines.PREFERENCES:
        labels = fitter._preference({"preference": name})
        size = np.abs(labels[labels != 0]).mean()
        assert fitter.alpha({"preference": name, "alpha": 3.0}) * size == pytest.approx(3.0, rel=1e-4)


def test_the_frame_not_used_for_longest_leaves_the_memory_of_spark(settings, spark, monkeypatch):
    ratings = Ratings(*(np.array([1, 2, 3], kind) for kind in (np.int32, np.int32, np.float32, np.int64)))
    monkeypatch.setattr(engines, "_CACHED_RATINGS", 2 * len(ratings))  # two frames
    engine, params, made = engines.Mllib(spark, ratings), AlsParams(rank=2, reg_param=0.1, max_iter=1), []
    for scheme in ("one", "other", "one", "third", "one", "other"):
        engine.fit(scheme, lambda scheme=scheme: made.append(scheme) or ratings.ratings, params)
    assert made == ["one", "other", "third", "other"]

    frames, kept = engines.Frames(2), {size: spark.range(size).cache() for size in (1, 2, 3)}
    frames.update(kept)
    assert [frame.storageLevel.useMemory for frame in kept.values()] == [False, True, True]


def test_every_baseline_is_a_run_beside_the_trials_with_the_same_metrics(settings, workspace):
    write_snapshot(settings)
    config = changed(baselines=TrainConfig().baselines)
    champion = train_once(workspace, "baselines", config=config)
    tracking, run_id = workspace.tracking, champion.mlflow_run_id
    nested = tracking.find_runs("recsys-training", {"mlflow.parentRunId": run_id}, status="FINISHED")
    peers = {run["tags"]["peer"]: run["metrics"] for run in nested if "peer" in run["tags"]}
    assert set(peers) == {*config.baselines, "popularity", "biases"}
    wanted = {f"holdout_{name}_at_5" for name in ("ndcg", "map", "precision", "recall", "mrr", "hit_rate")}
    wanted |= {f"holdout_{name}" for name in ("coverage", "gini", "novelty", "diversity", "popularity_lift")}
    assert all(wanted <= peers[name].keys() for name in config.baselines)
    assert peers["random"]["holdout_ndcg_at_5"] < peers["svd"]["holdout_ndcg_at_5"]
    own = tracking.get_run(run_id)["metrics"]
    assert wanted | {f"holdout_{name}" for name in ("rmse", "mae", "r2", "rating_coverage")} <= own.keys()
    document = read_json(workspace.store, layout.evaluation(champion.model_prefix))
    svd = document["comparisons"]["svd"]
    assert svd["low"] <= svd["gain"] <= svd["high"]
    assert 0 < svd["p_value"] <= 1
    interval = document["intervals"]["challenger"]
    assert interval["low"] <= interval["mean"] == document["models"]["challenger"]["ndcg_at_5"] <= interval["high"]


def test_a_champion_of_another_split_is_not_asked_about_what_it_was_trained_on(settings, workspace, champion):
    second = train_once(workspace, "second", config=changed(seed=7))
    document = read_json(workspace.store, layout.evaluation(layout.model(second.training_run_id)))
    own, (_, held) = parts_of(settings, CONFIG)[0], parts_of(settings, changed(seed=7))
    seen = int(np.isin(held.pairs(), own.pairs()).sum())
    assert 0.6 * len(held) < seen == document["duel"]["n_seen"]  # four fifths of the other seed's holdout
    assert "champion" not in document["intervals"]
    assert champion.model.label == "recsys-tiny-v1"
    pair = Recommender.from_bytes(workspace.store.get(layout.recommender(champion.model_prefix)))
    left = held.where(~np.isin(held.pairs(), own.pairs()))
    evaluator = Evaluator(parts_of(settings, changed(seed=7))[0], left, CONFIG.k, CONFIG.relevant_rating)
    assert document["duel"]["champion"]["rmse"] == pytest.approx(evaluator.evaluate_rating(pair.rating)["rmse"])


def test_what_is_too_large_for_a_baseline_is_left_out_and_said(settings, workspace, monkeypatch):
    monkeypatch.setattr(holdout, "too_large", lambda name, _: "it is told so" if name == "svd" else "")
    write_snapshot(settings)
    searched = tasks.search(workspace, tasks.split(workspace, "tiny-1", CONFIG, "left-out"), CONFIG)
    evaluated = tasks.evaluate(workspace, tasks.fit(workspace, searched, CONFIG), CONFIG)
    document = read_json(workspace.store, layout.evaluation(evaluated.model.model_prefix))
    assert document["left_out"] == {"svd": "it is told so"}
    assert "svd" not in document["models"]
    [page] = settings.state_dir.rglob("artifacts/training.html")
    assert "svd was left out: it is told so" in page.read_text()


@pytest.mark.slow
def test_folding_in_a_known_user_gives_back_what_all_members_were_fitted_to(settings, spark):
    """Sums and blends of every preference: the row of each user is what that user's ratings alone lead to."""
    write_snapshot(settings)
    ratings, _ = parts_of(settings, CONFIG)
    shape = {"reg_param": 0.1, "alpha": 2.0, "half_life_days": 0.05}
    points = [{"rank": 2 + at, "preference": name, **shape} for at, name in enumerate(engines.PREFERENCES)]
    implicit = [member_selection.Part("ranking", point) for point in points]
    explicit = member_selection.Part("rating", {"rank": 3, "reg_param": 0.2})
    blend = Blend(np.array([0.5, 0.2]), np.array([0.1, -0.05]), np.array([0.3, -0.1, 0.02, 0.1, 0.01, -0.03]))
    composition = member_selection.Composition(implicit, [explicit, implicit[3]], blend, [])
    pair = Recommender.from_bytes(member_selection.fit(spark, ratings, composition, CONFIG).to_bytes())
    some = np.isin(ratings.user_ids, [1, 2, 77, 200])
    new = pair.fold_in(*(column[some] for column in (ratings.user_ids, ratings.movie_ids, ratings.ratings)),
                       ratings.timestamps[some])  # fmt: skip
    assert new.user_ids.tolist() == [1, 2, 77, 200]
    at = np.searchsorted(pair.ranking.user_ids, new.user_ids)
    np.testing.assert_allclose(new.ranking, pair.ranking.user_factors[at], rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(new.residuals, pair.rating.residuals.user_factors[at], rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(new.biases, pair.rating.biases.user_bias[at], atol=1e-5)
    again = pair.with_users(new)
    assert again.ranking.user_ids.tolist() == pair.ranking.user_ids.tolist()
    # Under an id nobody has, the same ratings lead to the same scores and stars.
    own = ratings.user_ids == 77
    stranger = pair.with_users(
        pair.fold_in(np.full(own.sum(), 5_000), ratings.movie_ids[own], ratings.ratings[own], ratings.timestamps[own])
    )
    movies = np.arange(1, 61, dtype=np.int32)
    for scores in (
        lambda model, ids: model.ranking.dot(ids, movies),
        lambda model, ids: model.rating.predict(ids, movies),
    ):
        known, unknown = (scores(stranger, np.full(60, user)) for user in (77, 5_000))
        np.testing.assert_allclose(unknown, known, atol=2e-3)
    # Who likes nothing the model knows is left to the fallback.
    assert not len(pair.fold_in(np.array([9]), np.array([9_999]), np.array([5.0]), ratings.timestamps[:1]).user_ids)
