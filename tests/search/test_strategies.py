"""Each strategy finds a planted optimum within its budget and repeats with its seed; rungs are as computed by hand."""

import math

import pytest

from recsys.search import strategies
from recsys.search.cross_validation import cross_validate
from recsys.search.space import Choice, LogInteger, LogUniform
from recsys.search.trial import Objective

SPACE = {"rank": LogInteger(8, 128), "reg_param": LogUniform(0.01, 1.0), "alpha": LogUniform(0.05, 40.0)}
FIRST = {"rank": 16, "reg_param": 0.5, "alpha": 20.0}
OBJECTIVE = Objective("ndcg")
STRATEGIES = ["grid", "random", "bayesian", "halving"]


def quality(point, fold=0):
    """Smooth in the logarithms; 1 at rank 40, reg_param 0.1, alpha 0.5; more iterations help the better points more."""
    distance = (
        math.log(point["rank"] / 40) ** 2
        + math.log(point["reg_param"] / 0.1) ** 2
        + math.log(point["alpha"] / 0.5) ** 2 / 4
    )
    learnt = 1 - 0.5 ** point.get("max_iter", 24)
    return {"ndcg": learnt * math.exp(-distance / 8) + 0.01 * fold}


def search(name, n_trials, *, seed=0, space=SPACE, first=FIRST, evaluate=quality, n_parallel=1, **kwargs):
    strategy = strategies.make(name, space, n_trials, OBJECTIVE, seed, [first], max_iter=24)
    return cross_validate(
        "t", strategy, 3, evaluate, lambda trial: None, OBJECTIVE, n_parallel=n_parallel, **kwargs
    ).trials


@pytest.mark.parametrize(
    ("name", "n_trials", "at_least"),
    [("grid", 125, 0.95), ("random", 40, 0.9), ("bayesian", 40, 0.95), ("halving", 40, 0.9)],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_optimum_is_found_within_the_budget(name, n_trials, at_least, seed):
    trials = search(name, n_trials, seed=seed)
    assert quality(FIRST)["ndcg"] < 0.5
    assert quality(OBJECTIVE.best(trials).params)["ndcg"] > at_least


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("n_parallel", [2, 3])
def test_the_same_seed_gives_the_same_trials_however_many_run_at_once(name, n_parallel):
    alone, together = search(name, 20), search(name, 20, n_parallel=n_parallel)
    assert [(t.number, t.params, t.fold_metrics, t.stage) for t in alone] == [
        (t.number, t.params, t.fold_metrics, t.stage) for t in together
    ]


@pytest.mark.parametrize("name", ["random", "bayesian", "halving"])
def test_another_seed_gives_other_trials(name):
    assert [t.params for t in search(name, 8)] != [t.params for t in search(name, 8, seed=1)]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_known_good_point_is_tried_first_and_once(name):
    points = [{key: t.params[key] for key in FIRST} for t in search(name, 12)]
    assert points[0] == FIRST
    assert points.count(FIRST) == 1


@pytest.mark.parametrize("name", ["random", "bayesian"])
def test_a_budget_of_trials_is_kept_and_no_point_repeats(name):
    points = [trial.params for trial in search(name, 12)]
    assert len(points) == 12
    assert all(points.count(point) == 1 for point in points)


def test_the_grid_is_covered_whole_after_the_first_point():
    assert [t.params for t in search("grid", 8)] == [FIRST, *strategies.grid(SPACE, 8)]


@pytest.mark.parametrize("name", ["random", "bayesian"])
def test_a_space_with_fewer_points_than_the_budget_is_tried_once(name):
    space = {"rank": LogInteger(2, 4), "weights": Choice((None, "liked"))}
    points = [t.params for t in search(name, 50, space=space, first={"rank": 2, "weights": None}, evaluate=few)]
    assert len(points) == 6
    assert {(p["rank"], p["weights"]) for p in points} == {(r, w) for r in (2, 3, 4) for w in (None, "liked")}


def few(point, fold):
    return {"ndcg": float(point["rank"]) + (point["weights"] == "liked")}


def test_bayesian_search_learns_a_choice():
    space = {**SPACE, "weights": Choice(("stars", "liked", "all"))}

    def evaluate(point, fold):
        return {"ndcg": quality(point)["ndcg"] * (1.0 if point["weights"] == "liked" else 0.5)}

    trials = search("bayesian", 60, space=space, first={**FIRST, "weights": "stars"}, evaluate=evaluate)
    late = [trial.params["weights"] for trial in trials[40:]]
    assert late.count("liked") > 10
    assert OBJECTIVE.best(trials).params["weights"] == "liked"


def test_bayesian_search_gives_up_what_is_below_the_median_after_the_first_fold():
    judged = []

    def counting(point, fold):
        judged.append((str(point), fold))
        return quality(point, fold)

    trials = search("bayesian", 40, evaluate=counting)
    pruned = [trial for trial in trials if trial.stage == "pruned"]
    assert pruned
    assert all(len(trial.fold_metrics) < 3 for trial in pruned)
    assert all(len(trial.fold_metrics) == 3 for trial in trials if trial.stage == "full")
    assert len(judged) == sum(len(trial.fold_metrics) for trial in trials) < 3 * 40
    assert OBJECTIVE.best(trials).stage == "full"


def halved(point, fold):
    return {"ndcg": point["x"]}


def test_halving_keeps_the_better_half_of_each_rung():
    points = [{"x": x} for x in (0.5, 0.1, 0.7, 0.3, 0.6, 0.2)]
    strategy = strategies.Halving(points, 1, OBJECTIVE, max_iter=12)
    assert strategy.plan == [1.0, *[3 / 12] * 5, *[6 / 12] * 3, *[1.0] * 2]
    trials = cross_validate("t", strategy, 1, halved, lambda trial: None, OBJECTIVE).trials
    assert [(t.params["max_iter"], t.params["x"], t.stage) for t in trials] == [
        (12, 0.5, "full"),  # known to be good: judged in full at once
        (3, 0.1, "rung"),
        (3, 0.7, "rung"),
        (3, 0.3, "rung"),
        (3, 0.6, "rung"),
        (3, 0.2, "rung"),
        (6, 0.7, "rung"),  # the better three of five
        (6, 0.6, "rung"),
        (6, 0.3, "rung"),
        (12, 0.7, "full"),  # the better two of three
        (12, 0.6, "full"),
    ]
    assert OBJECTIVE.best(trials).params == {"x": 0.7, "max_iter": 12}


def test_halving_cannot_choose_a_trial_of_a_lower_rung():
    def peaks_early(point, fold):
        return {"ndcg": 1.0 if point["max_iter"] < 12 else 0.5}

    strategy = strategies.Halving([{"x": 1}, {"x": 2}, {"x": 3}], 1, OBJECTIVE, max_iter=12)
    trials = cross_validate("t", strategy, 1, peaks_early, lambda trial: None, OBJECTIVE).trials
    assert OBJECTIVE.best(trials).params["max_iter"] == 12


def test_halving_costs_what_its_rungs_cost():
    points = [{"x": i} for i in range(17)]
    cost = sum(strategies.Halving(points, 1, OBJECTIVE, max_iter=24).plan)
    assert cost == pytest.approx(1 + 16 * 4 / 2**3)  # four rungs: half of sixteen fits


@pytest.mark.parametrize("n", [1, 2])
def test_halving_with_known_points_alone_judges_those(n):
    strategy = strategies.Halving([{"x": i} for i in range(n)], n, OBJECTIVE, max_iter=12)
    trials = cross_validate("t", strategy, 1, halved, lambda trial: None, OBJECTIVE).trials
    assert [trial.stage for trial in trials] == ["full"] * n


def test_resuming_changes_what_rungs_cost_and_not_what_is_asked():
    """Of 24 iterations: 8 points for 3, 4 to 6, 2 to 12, 1 to 24; resumed, the iterations below are paid already."""
    points = [{"rank": rank} for rank in range(8, 16)]
    anew = strategies.Halving(points, 0, OBJECTIVE, 24)
    resumed = strategies.Halving(points, 0, OBJECTIVE, 24, is_resumed=True)
    assert sum(anew.plan) * 24 == pytest.approx(8 * 3 + 4 * 6 + 2 * 12 + 24)
    assert sum(resumed.plan) * 24 == pytest.approx(8 * 3 + 4 * 3 + 2 * 6 + 12)
    assert anew.ask() == resumed.ask()
