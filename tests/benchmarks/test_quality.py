"""The runner of the published protocols: what it reads, how it evaluates, and that it never chooses by test."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from benchmarks.fitting import stars_model
from benchmarks.plans import PLANS, plan_of
from benchmarks.protocols import Part
from benchmarks.quality import METRICS, _evaluate_lists
from benchmarks.ranking import Scored, all_scores, ndcg
from benchmarks.releases import read_ratings
from recsys.baselines.baselines import BASELINES
from recsys.baselines.scorers import SameForAll
from recsys.config import PROJECT_ROOT
from recsys.errors import DataError, NotFoundError
from recsys.evaluation.evaluator import Ratings
from recsys.models.ensemble import grow
from recsys.models.factors import Factors

LINES = {
    "u.data": "196\t242\t3\t881250949\n186\t302\t4\t891717742\n",
    "ratings.dat": "196::242::3::881250949\n186::302::4::891717742\n",
    "ratings.csv": "userId,movieId,rating,timestamp\r\n196,242,3.0,881250949\r\n186,302,4.0,891717742\r\n",
}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("kind", ["file", "folder", "archive"])
def test_a_release_is_read_in_the_order_of_its_file(tmp_path, name, kind):
    path = tmp_path / "ml" / name
    path.parent.mkdir()
    path.write_text(LINES[name])
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.write(path, f"ml/{name}")
    ratings = read_ratings({"file": path, "folder": tmp_path / "ml", "archive": tmp_path / "ml.zip"}[kind])
    assert ratings.user_ids.tolist() == [196, 186]
    assert ratings.movie_ids.tolist() == [242, 302]
    assert ratings.stars.tolist() == [3, 4]
    assert ratings.timestamps.astype("int64").tolist() == [881250949, 891717742]


def test_what_holds_no_ratings_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match=r"none of u\.data, ratings\.dat, ratings\.csv"):
        read_ratings(tmp_path)
    (tmp_path / "u.data").write_text("196\tTitanic\t3\t881250949\n")
    with pytest.raises(DataError, match="not a table of user, movie, stars and time"):
        read_ratings(tmp_path / "u.data")


def columns(*ratings):
    users, movies, stars = (np.array(values) for values in zip(*ratings, strict=True))
    return Ratings(users.astype(np.int32), movies.astype(np.int32), stars.astype(np.float32), np.arange(len(users)))


@pytest.fixture
def evaluator():
    """User 1 has seen 10 and asks for 20; user 2 has seen 20 and 30, asks for 10 and for 40, which nobody has rated.

    User 3, of whom nothing is known, is not asked about.
    """
    ratings = columns((1, 10, 5), (2, 20, 4), (2, 30, 1), (1, 20, 4), (2, 10, 5), (2, 40, 4), (2, 30, 2), (3, 10, 5))
    train = np.arange(8) < 3
    return PLANS["latest-small"].evaluator(ratings, Part(train, ~train))


def test_lists_leave_out_what_is_rated_and_unlistable_movies_count_as_missed(evaluator):
    same_for_all = SameForAll(np.array([1.0, 2.0, 3.0], np.float32))
    scored = Scored(evaluator, same_for_all.scores(np.arange(2)))  # the same scores, summed up before
    for lists in (evaluator.rank_all(same_for_all), evaluator.rank_all(scored)):
        assert lists[:, :3].tolist() == [[30, 20, -1], [10, -1, -1]]
        got = _evaluate_lists(evaluator, lists)
        second_place = 1 / np.log2(3)  # user 1 finds 20 behind 30
        first_of_two = 1 / (1 + second_place)  # user 2 finds 10 first, 40 never
        assert got["ndcg_at_10"] == ndcg(evaluator, lists) == pytest.approx((second_place + first_of_two) / 2)
        assert got["recall_at_10"] == pytest.approx((1 + 1 / 2) / 2)
        assert got["mrr_at_10"] == pytest.approx((1 / 2 + 1) / 2)
        assert set(METRICS) - {"rmse", "mae"} <= set(got)


def test_average_precision_is_divided_by_what_the_protocol_says():
    """Twelve relevant movies, one of them rated in train by somebody else, listed first: 1/10 or 1/12."""
    ratings = columns((1, 1, 5), (2, 2, 5), *((1, movie, 5) for movie in range(2, 14)))
    train = np.arange(len(ratings)) < 2
    for protocol, expected in (("latest-small", 1 / 10), ("recommenders-100k", 1 / 12)):
        evaluator = PLANS[protocol].evaluator(ratings, Part(train, ~train))
        lists = evaluator.rank_all(SameForAll(np.array([1.0, 2.0], np.float32)))
        assert evaluator.evaluate_lists(lists)[0]["map_at_10"] == pytest.approx(expected)


def test_factors_are_scored_by_id_and_what_the_model_does_not_know_scores_0(evaluator):
    factors = Factors(
        np.array([2], np.int32),
        np.ones((1, 1), np.float32),
        np.array([10, 30], np.int32),
        np.array([[7.0], [8.0]], "f"),
    )
    assert all_scores(evaluator, factors).tolist() == [[0, 0, 0], [7, 0, 8]]


def test_raw_stars_are_predicted_as_the_product_and_by_the_mean_where_cold():
    train = columns((1, 10, 5), (1, 20, 3))
    factors = Factors(
        np.array([1], np.int32),
        np.full((1, 1), 2.0, np.float32),
        np.array([10, 20], np.int32),
        np.array([[2.2], [1]], "f"),
    )
    predicted = stars_model(train, factors).predict(np.array([1, 1, 9]), np.array([10, 99, 20]))
    assert predicted.tolist() == pytest.approx([4.4, 4.0, 4.0])


def test_greedy_selection_repeats_only_where_it_may_and_stops_when_nothing_helps():
    values = {(0,): 0.5, (1,): 0.4, (0, 0): 0.6, (0, 1): 0.55, (0, 0, 0): 0.6, (0, 0, 1): 0.6}
    assert grow(lambda chosen: values[chosen], 2, 5) == ((0, 0), 0.6)
    assert grow(lambda chosen: values[chosen], 2, 5, repeats=False) == ((0, 1), 0.55)
    assert grow(lambda chosen: values[chosen], 2, 5, least_gain=0.07, repeats=False) == ((0,), 0.5)


def invented(n_users=60, n_movies=40, n_each=20):
    """Users and movies of two tastes, times at random."""
    rng = np.random.default_rng(0)
    lines = []
    for user in range(n_users):
        weights = np.where(np.arange(n_movies) % 2 == user % 2, 4.0, 1.0)
        for movie in rng.choice(n_movies, n_each, replace=False, p=weights / weights.sum()):
            stars = int(rng.integers(4, 6) if movie % 2 == user % 2 else rng.integers(1, 4))
            lines.append((user + 1, int(movie) + 1, stars, int(rng.integers(10**9))))
    return lines


@pytest.mark.parametrize("protocol", PLANS)
def test_everything_is_chosen_inside_train(protocol):
    users, movies, stars, times = (np.array(values) for values in zip(*invented(), strict=True))
    ratings = Ratings(users.astype(np.int32), movies.astype(np.int32), stars.astype(np.float32), times)
    plan = PLANS[protocol]
    for part in plan.parts(ratings):
        tested = set(ratings.where(part.test).pairs().tolist())
        train = ratings.where(part.train)
        for inner in plan.carve(train):
            assert not (inner.train & inner.test).any()
            used = train.where(inner.train | inner.test)
            assert used.stars.size
            assert tested.isdisjoint(used.pairs().tolist())
    if protocol == "replay-1m":
        [part] = plan.parts(ratings)
        for inner in plan.carve(ratings.where(part.train)):
            times_of = ratings.where(part.train).timestamps
            assert times_of[inner.train].max() < times_of[inner.test].min()


@pytest.mark.parametrize("protocol", PLANS)
def test_plans_name_as_many_different_points_as_they_pay_for(protocol):
    plan = PLANS[protocol]
    if plan.budget:
        points = plan.ranking_points(plan.budget.n_points)
        assert len({json.dumps(point) for point in points}) == plan.budget.n_points
    if plan.rating:
        assert len(plan.rating.points()) == plan.rating.n_explicit + plan.rating.n_implicit


def test_an_unknown_protocol_is_refused():
    with pytest.raises(NotFoundError, match="netflix: no such protocol"):
        plan_of("netflix", is_quick=True)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["latest-small", "surprise-100k"])
def test_a_protocol_prints_a_line_per_model_ours_first(tmp_path, protocol):
    (tmp_path / "u.data").write_text("\n".join("\t".join(map(str, line)) for line in invented()))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.quality", protocol, "--data", str(tmp_path), "--quick"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "RECSYS_STATE_DIR": str(tmp_path / "state"), "RECSYS_SPARK_MASTER": "local[2]"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(set(METRICS) | {"protocol", "model", "params", "seconds"} <= set(line) for line in lines)
    rating_lines = ["ours-rating", "ours-rating-single", "als-explicit", "biases"]
    baselines = [name.replace("_", "-") for name in BASELINES]
    names = [line["model"] for line in lines]
    by_name = {line["model"]: line for line in lines}
    if protocol == "latest-small":
        assert names == ["ours-ranking", "ours-ranking-single", *rating_lines, *baselines]
        assert by_name["ours-ranking"]["ndcg_at_10"] > by_name["random"]["ndcg_at_10"]
        assert by_name["popularity"]["rmse"] is None
    else:
        assert names == rating_lines
        assert by_name["ours-rating"]["n_folds"] == 5
        assert by_name["ours-rating"]["ndcg_at_10"] is None
    # So few invented ratings and trials need not beat the biases; half as much again would be a fault.
    assert 0 < by_name["ours-rating"]["rmse"] < 1.5 * by_name["biases"]["rmse"]
