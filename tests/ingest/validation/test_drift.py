"""A snapshot is compared with the one before: stars, mean and row counts, each with its own severity."""

import math

import pytest

from recsys.ingest.validation.check import check
from recsys.ingest.validation.drift import drift_rules
from recsys.ingest.validation.limits import Baseline, Limits
from recsys.rating_scales import parse_scale
from tests.ingest.validation.healthy import NOW, tables

pytestmark = pytest.mark.spark

STARS = [0.5, 5.0, 3.0, 4.5]  # those of the healthy table: mean 3.25
KL = "expect_column_kl_divergence_to_be_less_than"
MEAN = "expect_column_mean_to_be_between"
ROWS = "expect_table_row_count_to_be_between"


def compare(spark, before, changes=(), **limits):
    verdict = check(tables(spark, changes, names=["ratings", "movies"]), Limits.at(NOW, baseline=before, **limits))
    return verdict, {o.expectation: o for o in verdict.outcomes if before.snapshot_id in o.rule}


def test_the_same_stars_do_not_diverge(spark):
    verdict, drift = compare(spark, Baseline("s-1", dict.fromkeys(STARS, 1000), {"ratings": 4}))
    assert verdict.success
    assert all(outcome.success for outcome in drift.values())
    assert float(drift[KL].observed) < 0.01


def test_the_divergence_is_the_one_by_hand_and_its_limit_is_the_setting(spark):
    # A fourth each now. Before, with one added to each of ten values: 3 ones, 1 zero. q = (n + 1) / 16.
    before = Baseline("s-1", {0.5: 3, 5.0: 1, 3.0: 1, 4.5: 1})
    by_hand = sum(0.25 * math.log(0.25 / q) for q in (4 / 16, 2 / 16, 2 / 16, 2 / 16))
    verdict, drift = compare(spark, before, max_drift=0.1)
    assert float(drift[KL].observed) == pytest.approx(by_hand, rel=1e-3)
    assert [o.expectation for o in verdict.faults] == [KL]
    assert compare(spark, before, max_drift=0.6)[0].success


def test_a_moved_mean_warns(spark):
    verdict, drift = compare(spark, Baseline("s-1", {3.0: 1, 3.5: 0, 2.5: 1}), max_drift=9)
    assert verdict.success  # mean 2.75, and 3.25 is more than 5 % of 4.5 stars away
    assert (drift[MEAN].status, drift[MEAN].severity, drift[MEAN].observed) == ("failed", "warning", "3.25")


@pytest.mark.parametrize(("is_growing", "fails"), [(True, True), (False, False)])
def test_fewer_rows_fail_a_growing_source_and_are_remarked_elsewhere(spark, is_growing, fails):
    before = Baseline("s-1", dict.fromkeys(STARS, 1), {"ratings": 6}, is_growing)
    verdict, drift = compare(spark, before, max_drift=9)
    assert drift[ROWS].status == "failed"  # 4 of 6 rows, and 90 % is the least
    assert verdict.success is not fails


def test_drift_is_not_measured_on_faulty_stars(spark):
    before = Baseline("s-1", dict.fromkeys(STARS, 1))
    _, drift = compare(spark, before, {("ratings", "rating"): [9.0, 5, 3, 4.5]})
    assert (drift[KL].status, drift[KL].observed) == ("skipped", "not checked: rating holds faulty values")


def test_another_scale_diverges(spark):
    before = Baseline("s-1", dict.fromkeys((1.0, 2.0, 3.0, 4.0, 5.0), 20_000))
    verdict, _ = compare(spark, before)
    assert KL in {o.expectation for o in verdict.faults}


@pytest.mark.parametrize(("n_each", "is_compared"), [(1, False), (50, True)])
def test_how_ratings_are_spread_over_a_fine_scale_is_compared_only_where_there_are_many(n_each, is_compared):
    stars = parse_scale("-10-10/0.01")
    limits = Limits.at(NOW, stars=stars, baseline=Baseline("s-1", dict.fromkeys(stars, n_each)))
    rules = [rule.meta["rule"] for rule in drift_rules("ratings", limits)]
    assert [rule.startswith("the stars are spread") for rule in rules] == ([True, False] if is_compared else [False])


def test_counts_are_not_compared_as_stars_nor_with_stars():
    stars, counts = Baseline("s-1", {4.0: 9}, {"ratings": 9}), Baseline("s-1", {}, {"ratings": 9})
    for before, scale in ((stars, ()), (counts, ()), (counts, parse_scale("1-5/1"))):
        rules = [rule.meta["rule"] for rule in drift_rules("ratings", Limits.at(NOW, stars=scale, baseline=before))]
        assert rules == ["ratings has at least 8 rows, 90% of the 9 in s-1"]
