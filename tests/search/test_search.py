"""Candidates stay inside their space and repeat with their seed; cross-validation judges each on each fold."""

import threading

import pytest

from recsys.search.cross_validation import Trial, best, cross_validate
from recsys.search.space import LogUniform, PowerOfTwo, draw

SPACE = {"rank": PowerOfTwo(8, 64), "reg_param": LogUniform(0.01, 1.0), "alpha": LogUniform(0.1, 40.0)}


@pytest.mark.parametrize("strategy", ["grid", "random"])
@pytest.mark.parametrize("n", [1, 2, 7, 12, 40])
def test_as_many_different_points_as_asked_for_all_inside_the_space(strategy, n):
    points = draw(SPACE, n, strategy, seed=0)
    assert len(points) == n
    assert len({tuple(point.items()) for point in points}) == n
    for point in points:
        assert point["rank"] in {8, 16, 32, 64}
        assert 0.01 <= point["reg_param"] <= 1.0
        assert 0.1 <= point["alpha"] <= 40.0


def test_the_same_seed_draws_the_same_points_and_another_seed_others():
    assert draw(SPACE, 12, "random", seed=1) == draw(SPACE, 12, "random", seed=1)
    assert draw(SPACE, 12, "random", seed=1) != draw(SPACE, 12, "random", seed=2)


def test_points_to_try_first_come_first_and_once():
    known = {"rank": 32, "reg_param": 0.1, "alpha": 1.0}
    points = draw(SPACE, 5, "random", seed=0, first=[known, known])
    assert points[0] == known
    assert points.count(known) == 1
    assert len(points) == 5


def judge(point, fold):
    return {"rmse": point["x"] + fold / 10}


def test_every_point_is_judged_on_every_fold_and_reported_in_order():
    seen = []
    trials = cross_validate("t", [{"x": 3.0}, {"x": 1.0}, {"x": 2.0}], 3, judge, seen.append, "rmse", n_parallel=2)
    assert [trial.number for trial in trials] == [0, 1, 2] == [trial.number for trial in seen]
    assert trials[1].fold_metrics == [{"rmse": 1.0}, {"rmse": 1.1}, {"rmse": 1.2}]
    assert trials[1].mean("rmse") == pytest.approx(1.1)
    assert trials[1].standard_error("rmse") == pytest.approx(0.1 / 3**0.5)  # deviation 0.1 over 3 folds
    assert best(trials, "rmse", lower_is_better=True).number == 1
    assert best(trials, "rmse", lower_is_better=False).number == 0


def test_trials_of_an_interrupted_search_are_not_run_again():
    ran, reported = set(), []
    lock = threading.Lock()

    def counting(point, fold):
        with lock:
            ran.add(point["x"])
        return judge(point, fold)

    done = {0: Trial(0, {"x": 3.0}, [{"rmse": 9.0}], 1.0)}
    trials = cross_validate("t", [{"x": 3.0}, {"x": 1.0}], 1, counting, reported.append, "rmse", done=done)
    assert ran == {1.0}
    assert [trial.number for trial in reported] == [1]
    assert trials[0].mean("rmse") == 9.0


def test_a_candidate_that_fails_fails_the_search():
    def failing(point, fold):
        raise ValueError("singular")

    with pytest.raises(ValueError, match="singular"):
        cross_validate("t", [{"x": 1.0}], 2, failing, lambda trial: None, "rmse")
