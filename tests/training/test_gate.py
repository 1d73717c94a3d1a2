"""The gate promotes only what is better beyond luck, and says why."""

import pytest

from recsys.training.gate import decide, gain_check, loss_check

NAN = float("nan")


@pytest.mark.parametrize(
    ("low", "min_gain", "passed"),
    [
        (0.01, 0.0, True),
        (0.0, 0.0, False),  # an identical model is not better
        (-0.01, 0.0, False),  # better on average, perhaps by luck
        (0.01, 0.02, False),  # better, but by less than asked for
        (-0.01, -0.02, True),  # a tolerance was asked for
        (NAN, 0.0, False),  # no user could be compared
    ],
)
def test_the_lower_bound_must_exceed_the_gain_asked_for(low, min_gain, passed):
    assert gain_check("champion", "nDCG@10", 0.05, low, 0.95, min_gain).passed is passed


def test_what_passes_by_a_tolerance_is_not_said_to_beat_anybody():
    check = gain_check("champion", "nDCG@10", -0.01, -0.03, 0.95, -0.05)
    assert check.passed
    assert check.reason.startswith("is tolerated beside champion: nDCG@10 -0.0100")


@pytest.mark.parametrize(
    ("rmse", "passed"),
    [(0.85, True), (0.867, True), (0.868, False), (NAN, False)],  # 0.85 * 1.02 = 0.867
)
def test_stars_may_get_worse_by_the_tolerance_only(rmse, passed):
    assert loss_check("champion", rmse, 0.85, 0.02).passed is passed


def test_one_failed_check_keeps_the_challenger_back_and_is_the_reason_given():
    good = gain_check("popularity", "nDCG@10", 0.1, 0.08, 0.95, 0.0)
    bad = gain_check("champion", "nDCG@10", 0.001, -0.003, 0.95, 0.0)
    decision = decide([good, bad])
    assert not decision.promote
    assert "does not beat champion: nDCG@10 +0.0010, at least -0.0030 at 95% confidence" in decision.reason
    assert "popularity" not in decision.reason


def test_all_checks_passed_promotes_and_lists_them_all():
    decision = decide([gain_check("popularity", "nDCG@10", 0.1, 0.08, 0.95, 0.0), loss_check("biases", 0.8, 0.9, 0.0)])
    assert decision.promote
    assert "beats popularity" in decision.reason
    assert "RMSE 0.8000 against 0.9000" in decision.reason


def test_nothing_checked_promotes_nothing():
    assert not decide([]).promote
