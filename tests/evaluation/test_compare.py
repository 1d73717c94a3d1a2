"""The paired bootstrap tells a real difference from luck, and says NaN when it cannot tell."""

import numpy as np

from recsys.evaluation.compare import paired_bootstrap


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
