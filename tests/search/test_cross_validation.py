"""Every candidate is judged on every fold; time limits, kills and failures leave nothing judged twice."""

import logging
import threading

import pytest

from recsys.search import strategies
from recsys.search.cross_validation import cross_validate
from recsys.search.space import LogUniform
from recsys.search.trial import Objective, Trial

RMSE = Objective("rmse", lower_is_better=True)
STRATEGIES = ["grid", "random", "bayesian", "halving"]
SPACE = {"x": LogUniform(0.01, 100)}


def evaluate(point, fold):
    return {"rmse": point["x"] + fold / 10}


def listed(*values):
    return strategies.Listed([{"x": value} for value in values])


def make(name, n_trials=12):
    return strategies.make(name, SPACE, n_trials, RMSE, 0, [{"x": 1.0}], max_iter=12)


class Clock:
    """A clock that stands still but for the minutes each fit takes."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds

    def slow(self, point, fold):
        self.seconds += 60
        return evaluate(point, fold)


def test_every_point_is_judged_on_every_fold_and_returned_in_order():
    seen = []
    outcome = cross_validate("t", listed(3.0, 1.0, 2.0), 3, evaluate, seen.append, RMSE, n_parallel=2)
    trials = outcome.trials
    assert [trial.number for trial in trials] == [0, 1, 2] == sorted(trial.number for trial in seen)
    assert trials[1].fold_metrics == [{"rmse": 1.0}, {"rmse": 1.1}, {"rmse": 1.2}]
    assert trials[1].mean("rmse") == pytest.approx(1.1)
    assert trials[1].standard_error("rmse") == pytest.approx(0.1 / 3**0.5)  # deviation 0.1 over 3 folds
    assert RMSE.best(trials).number == 1
    assert Objective("rmse").best(trials).number == 0
    assert (outcome.n_planned, outcome.is_out_of_time) == (3, False)


def test_the_folds_of_a_trial_are_judged_side_by_side_where_none_is_given_up_early():
    """A cluster has more cores than a search has candidates."""
    everyone = threading.Barrier(3)

    def waits(point, fold):
        everyone.wait(10)  # for the other two folds
        return evaluate(point, fold)

    outcome = cross_validate("t", listed(1.0), 3, waits, lambda trial: None, RMSE, n_parallel=3)
    assert outcome.trials[0].fold_metrics == [{"rmse": 1.0}, {"rmse": 1.1}, {"rmse": 1.2}]


def test_a_fold_that_fails_fails_the_search():
    def fails(point, fold):
        if fold == 1:
            raise ZeroDivisionError
        return evaluate(point, fold)

    with pytest.raises(ZeroDivisionError):
        cross_validate("t", listed(1.0, 2.0), 3, fails, lambda trial: None, RMSE, n_parallel=2)


def test_a_trial_is_reported_when_it_is_finished_even_if_an_earlier_one_is_not():
    first_may_end, seen = threading.Event(), []

    def waits(point, fold):
        if point["x"] == 1.0:
            assert first_may_end.wait(10)
        return evaluate(point, fold)

    def report(trial):
        seen.append(trial.number)
        first_may_end.set()

    cross_validate("t", listed(1.0, 2.0), 1, waits, report, RMSE, n_parallel=2)
    assert seen == [1, 0]


def test_a_known_trial_is_not_run_again():
    ran, reported = [], []

    def counting(point, fold):
        ran.append(point["x"])
        return evaluate(point, fold)

    known = [Trial(0, {"x": 3.0}, [{"rmse": 9.0}], 1.0)]
    outcome = cross_validate("t", listed(3.0, 1.0), 1, counting, reported.append, RMSE, known=known)
    assert ran == [1.0]
    assert [trial.number for trial in reported] == [1]
    assert outcome.trials[0].mean("rmse") == 9.0


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("n_before", [1, 5, 7, 10])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(name, n_before):
    whole = cross_validate("t", make(name), 3, evaluate, lambda trial: None, RMSE).trials

    logged, ran = [], []

    def dying(trial):
        if len(logged) == n_before:
            raise KeyboardInterrupt
        logged.append(trial)

    def counting(point, fold):
        ran.append((tuple(point.items()), fold))
        return evaluate(point, fold)

    with pytest.raises(KeyboardInterrupt):
        cross_validate("t", make(name), 3, evaluate, dying, RMSE)
    outcome = cross_validate("t", make(name), 3, counting, logged.append, RMSE, known=list(logged))
    as_whole = [(t.number, t.params, t.fold_metrics, t.stage) for t in whole]
    assert [(t.number, t.params, t.fold_metrics, t.stage) for t in outcome.trials] == as_whole
    assert sorted(trial.number for trial in logged) == list(range(len(whole)))
    missing = [trial for trial in whole if trial.number >= n_before]
    assert len(ran) == len(set(ran)) == sum(len(trial.fold_metrics) for trial in missing)


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_trial_begins_after_the_limit_and_what_runs_is_finished(name):
    clock = Clock()
    # A trial takes two minutes: the third begins at minute 4, before the limit of 5, and ends at 6.
    outcome = cross_validate("t", make(name), 2, clock.slow, lambda t: None, RMSE, limit_s=5 * 60, clock=clock)
    assert len(outcome.trials) == 3
    assert all(len(trial.fold_metrics) == 2 for trial in outcome.trials)
    assert clock.seconds == 6 * 60
    assert outcome.is_out_of_time
    assert outcome.n_planned >= 12


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_first_point_is_judged_in_full_even_without_any_time(name):
    clock = Clock()
    outcome = cross_validate("t", make(name), 2, clock.slow, lambda t: None, RMSE, limit_s=-1, clock=clock)
    assert len(outcome.trials) == 1
    assert RMSE.best(outcome.trials).params["x"] == 1.0


def test_a_search_that_ends_with_its_last_trial_is_not_out_of_time():
    clock = Clock()
    outcome = cross_validate("t", listed(1.0, 2.0), 1, clock.slow, lambda t: None, RMSE, limit_s=120, clock=clock)
    assert len(outcome.trials) == 2
    assert not outcome.is_out_of_time


def test_the_log_tells_progress_and_the_time_left(caplog):
    clock = Clock()
    with caplog.at_level(logging.INFO, "recsys.search.cross_validation"):
        cross_validate("t", listed(1.0, 2.0, 3.0), 2, clock.slow, lambda t: None, RMSE, clock=clock)
    assert [record.getMessage() for record in caplog.records] == [
        "t trial 1/3: x=1 -> rmse 1.0500, about 240 s left",
        "t trial 2/3: x=2 -> rmse 2.0500, about 120 s left",
        "t trial 3/3: x=3 -> rmse 3.0500, about 0 s left",
    ]


def test_the_time_left_counts_a_lower_rung_by_its_iterations(caplog):
    clock = Clock()

    def by_iterations(point, fold):
        clock.seconds += point["max_iter"]
        return evaluate(point, fold)

    # Two rungs: the known point takes 8 s, two candidates 4 s each, the better one 8 s more.
    strategy = strategies.Halving([{"x": 1.0}, {"x": 2.0}, {"x": 3.0}], 1, RMSE, max_iter=8, first_rung=4)
    with caplog.at_level(logging.INFO, "recsys.search.cross_validation"):
        cross_validate("t", strategy, 1, by_iterations, lambda t: None, RMSE, clock=clock)
    left = [record.getMessage().split("about ")[1] for record in caplog.records]
    assert left == ["16 s left", "12 s left", "8 s left", "0 s left"]


def test_the_log_says_when_time_is_up(caplog):
    clock = Clock()
    with caplog.at_level(logging.INFO, "recsys.search.cross_validation"):
        cross_validate("t", listed(1.0, 2.0, 3.0), 1, clock.slow, lambda t: None, RMSE, limit_s=90, clock=clock)
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].endswith("about 30 s left")  # two minutes are left to do, half a minute to do it
    assert messages[-1] == "t: time is up after 2 of 3 trials"


def test_a_candidate_that_fails_fails_the_search_and_nothing_more_is_begun():
    ran = []

    def failing(point, fold):
        ran.append(point["x"])
        raise ValueError("singular")

    with pytest.raises(ValueError, match="singular"):
        cross_validate("t", listed(*map(float, range(1, 50))), 2, failing, lambda trial: None, RMSE)
    assert set(ran) == {1.0}  # on one fold, or on both at once
