"""What a search leaves behind besides its choice."""

import pytest

from recsys.config import TrainConfig
from recsys.search.trial import Objective, Trial
from recsys.training.searching import learning_curve

NDCG = Objective("ndcg_at_10")


class RecordingEvaluator:
    """Answers with one over the iterations, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __call__(self, point, fold):
        self.asked.append((point["max_iter"], fold))
        return {"ndcg_at_10": 1 / point["max_iter"]}


def trial(number, rank, max_iter, value, stage="full"):
    return Trial(number, {"rank": rank, "max_iter": max_iter}, [{"ndcg_at_10": value}] * 2, 1.0, stage)


def test_the_learning_curve_goes_through_the_rungs_that_the_choice_has_climbed():
    judged = [trial(0, 8, 12, 0.1), trial(1, 16, 3, 0.2, "rung"), trial(2, 16, 6, 0.3, "rung"), trial(3, 16, 12, 0.4)]
    evaluator = RecordingEvaluator()
    curve = learning_curve(evaluator, NDCG, judged, TrainConfig(), 2)
    assert curve == pytest.approx({1: 1.0, 2: 0.5, 3: 0.2, 6: 0.3, 12: 0.4})
    assert list(curve) == sorted(curve)
    assert sorted(evaluator.asked) == [(1, 0), (2, 0)]


@pytest.mark.parametrize("point", [{"rank": 16, "max_iter": 12}, {"rank": 16}], ids=["its own length", "the default"])
def test_a_choice_judged_in_full_at_once_is_fitted_for_its_curve(point):
    evaluator = RecordingEvaluator()
    judged = [Trial(0, point, [{"ndcg_at_10": 0.4}], 1.0), trial(1, 8, 3, 0.2, "rung")]
    curve = learning_curve(evaluator, NDCG, judged, TrainConfig(max_iter=12), 1)
    assert curve == pytest.approx({1: 1.0, 2: 0.5, 4: 0.25, 8: 0.125, 12: 0.4})
    assert [step for step, _ in evaluator.asked] == [8, 4, 2, 1]
