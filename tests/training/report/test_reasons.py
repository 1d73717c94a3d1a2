"""The reasons name what was measured, tell a real lead from luck, and warn of an edge."""

from recsys.search.cross_validation import Outcome
from recsys.search.space import LogUniform
from recsys.search.trial import Objective, Trial
from recsys.training.report.reasons import reasons

SPACE = {"x": LogUniform(0.01, 1.0)}
NDCG = Objective("ndcg")


def trial(number, x, *values, stage="full"):
    return Trial(number, {"x": x}, [{"ndcg": value} for value in values], 1.0, stage)


def test_a_lead_that_is_the_same_on_every_fold_is_a_lead():
    found = reasons(Outcome([trial(0, 0.1, 0.2, 0.4), trial(1, 0.2, 0.1, 0.299)], 2, False), NDCG, SPACE)
    # Ahead by 0.1 and 0.101: mean 0.1005, standard error 0.0005, though the folds differ by 0.2.
    assert found == [
        "Trial 0 of 2 judged (x=0.1): ndcg 0.3000 over 2 folds, from 0.2000 to 0.4000, standard error 0.1000.",
        "The second best is trial 1 (x=0.2) with 0.1995, 0.1005 behind; on the same folds the difference has a "
        "standard error of 0.0005: more than the spread of the folds explains.",
        "It lies inside the space that was searched, on no edge of it.",
        "2 of 2 planned trials were judged: 2 in full.",
    ]


def test_a_lead_on_one_fold_that_is_lost_on_another_is_luck():
    found = reasons(Outcome([trial(0, 0.1, 0.3, 0.2), trial(1, 0.2, 0.1, 0.3)], 2, False), NDCG, SPACE)
    # Ahead by 0.2 and -0.1: mean 0.05, standard error 0.15.
    assert found[1].endswith("standard error of 0.1500: within the spread, so the two cannot be told apart.")


def test_errors_are_ahead_when_they_are_lower():
    outcome = Outcome([trial(0, 0.1, 0.3, 0.3), trial(1, 0.2, 0.1, 0.1)], 2, False)
    found = reasons(outcome, Objective("ndcg", lower_is_better=True), SPACE)
    assert found[0].startswith("Trial 1 of 2 judged (x=0.2): ndcg 0.1000")
    assert "0.2000 behind" in found[1]


def test_an_edge_and_the_end_of_time_are_said():
    trials = [trial(0, 1.0, 0.3, 0.3), trial(1, 0.1, 0.9, stage="pruned"), trial(2, 0.1, 0.9, 0.9, stage="rung")]
    found = reasons(Outcome(trials, 9, True), NDCG, SPACE)
    assert found[1:] == [
        "No other trial was judged in full.",
        "It lies at the high end of x: a wider space may hold a better point.",
        "Time was up: 3 of 9 planned trials were judged: 1 in full, 1 on a lower rung, 1 given up early.",
    ]
