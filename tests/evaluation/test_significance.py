"""Bootstrap and permutation tell a real difference from luck, and say NaN when they cannot tell."""

from itertools import product

import numpy as np
import pytest

from recsys.evaluation.significance import mean_with_interval, paired_bootstrap, paired_permutation


def test_a_constant_gain_has_no_spread():
    b = np.linspace(0, 1, 50)
    gain = paired_bootstrap(b + 0.25, b)
    assert np.allclose([gain.mean, gain.low, gain.high], 0.25)


def test_pure_noise_is_not_a_gain():
    rng = np.random.default_rng(1)
    gain = paired_bootstrap(rng.random(400), rng.random(400))
    assert gain.low < 0 < gain.high


def test_the_interval_agrees_with_the_normal_one_on_many_users():
    difference = np.random.default_rng(2).normal(0.02, 0.1, 5_000)
    gain = paired_bootstrap(difference, np.zeros(5_000))
    standard_error = difference.std() / np.sqrt(5_000)
    assert abs(gain.low - (difference.mean() - 1.96 * standard_error)) < 0.3 * standard_error
    assert abs(gain.high - (difference.mean() + 1.96 * standard_error)) < 0.3 * standard_error


def test_users_undefined_under_either_model_are_left_out():
    a, b = np.array([1.0, np.nan, 0.5]), np.array([0.5, 0.5, np.nan])
    gain = paired_bootstrap(a, b)
    assert gain.n_users == 1
    assert gain.mean == 0.5


def test_no_users_gives_nan_which_no_gate_passes():
    gain = paired_bootstrap(np.array([np.nan]), np.array([0.1]))
    assert np.isnan(gain.low)
    assert not gain.low > 0


def test_the_same_seed_gives_the_same_interval():
    a, b = np.random.default_rng(3).random((2, 100))
    assert paired_bootstrap(a, b, seed=7) == paired_bootstrap(a, b, seed=7)


def test_the_interval_of_a_mean_agrees_with_the_normal_one_and_skips_undefined_users():
    values = np.random.default_rng(5).normal(0.3, 0.2, 4_000)
    interval = mean_with_interval(np.concatenate([values, [np.nan]]))
    standard_error = values.std() / np.sqrt(4_000)
    assert interval.n_users == 4_000
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.3 * standard_error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.3 * standard_error)


def test_a_mean_over_nobody_is_nan():
    assert np.isnan(mean_with_interval(np.array([np.nan])).low)


def test_a_paired_bootstrap_is_the_interval_of_the_differences():
    a, b = np.random.default_rng(6).random((2, 200))
    paired, single = paired_bootstrap(a, b), mean_with_interval(a - b)
    assert (paired.mean, paired.low, paired.high) == (single.mean, single.low, single.high)


@pytest.mark.parametrize(
    ("difference", "p_value"),
    [
        ([1, 1, 1], 2 / 8),  # only +++ and --- are as far from 0
        ([1, 1, 1, -1], 10 / 16),  # |sum| 2 or more: all four alike (2), or one of them different (8)
        ([0, 0], 1.0),
        ([3], 1.0),  # one user proves nothing
    ],
)
def test_few_users_are_tested_exactly(difference, p_value):
    assert paired_permutation(np.array(difference, float), np.zeros(len(difference))).p_value == p_value


def test_drawn_flips_approach_the_exact_test():
    difference = np.random.default_rng(7).normal(0.15, 1, 13)
    exact = np.mean([abs(np.dot(s, difference)) >= abs(difference.sum()) for s in product([1, -1], repeat=13)])
    drawn = paired_permutation(difference, np.zeros(13), n_permutations=8_000).p_value
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 8_000))  # four standard errors


def test_the_permutation_test_sees_a_gain_and_no_gain_in_noise():
    rng = np.random.default_rng(8)
    b = rng.random(400)
    assert paired_permutation(b + rng.normal(0.05, 0.1, 400), b, 2_000).p_value < 0.001
    assert paired_permutation(rng.random(400), b, 2_000).p_value > 0.05
    assert np.isnan(paired_permutation(np.array([np.nan]), np.array([1.0])).p_value)
