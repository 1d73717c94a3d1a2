"""Metrics of users by how active they are, and of ratings by what was predicted, in groups of equal size."""

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from recsys.training.training_documents import ActivityGroup, CalibrationGroup, Interval


def by_activity(
    n_ratings: NDArray[np.integer],
    per_user: Mapping[str, NDArray[np.floating]],
    confidence: float,
    n_bins: int = 5,
) -> list[ActivityGroup]:
    """Means of per-user metrics in groups of about as many users each, from the least to the most active.

    Args:
        n_ratings: training ratings of each user; shape (n_users,).
        per_user: a metric per user by model, in the same order.
        confidence: of the intervals of the means (normal approximation).
        n_bins: groups at most; users of one activity stay together.

    >>> found = by_activity(np.array([9, 1, 2, 8]), {"a": np.array([0.8, 0.1, 0.1, 0.8])}, 0.95, n_bins=2)
    >>> [(group.low, group.high, group.n_users, group.models["a"][0]) for group in found]
    [(1, 2, 2, 0.1), (8, 9, 2, 0.8)]
    """
    return [
        ActivityGroup(
            low=int(n_ratings[group].min()),
            high=int(n_ratings[group].max()),
            n_users=len(group),
            models={model: _mean_with_interval(values[group], confidence) for model, values in per_user.items()},
        )
        for group in _quantile_groups(n_ratings, n_bins)
    ]


def calibration(
    predicted: NDArray[np.floating], actual: NDArray[np.floating], confidence: float, n_bins: int = 10
) -> list[CalibrationGroup]:
    """Mean actual ratings in groups of about as many ratings each, by ascending prediction.

    Args:
        predicted: ratings; shape (n,).
        actual: ratings; shape (n,).
        confidence: of the intervals of the mean actual ratings (normal approximation).
        n_bins: groups at most.

    >>> found = calibration(np.array([2.0, 4.0, 2.0, 4.0]), np.array([1.0, 5.0, 2.0, 5.0]), 0.95, n_bins=2)
    >>> [(group.predicted, group.actual) for group in found]
    [(2.0, 1.5), (4.0, 5.0)]
    """
    rows = []
    for group in _quantile_groups(predicted, n_bins):
        mean, low, high = _mean_with_interval(actual[group], confidence)
        rows.append(
            CalibrationGroup(
                n_ratings=len(group),
                predicted=float(predicted[group].mean(dtype=np.float64)),
                actual=mean,
                low=low,
                high=high,
            )
        )
    return rows


def _quantile_groups(values: NDArray[np.number], n_bins: int) -> list[NDArray[np.intp]]:
    """Indices of the values between two quantiles, ascending; equal values stay together."""
    if not len(values):
        return []
    inner = np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1], method="higher")
    bins = np.searchsorted(np.unique(inner), values, side="right")
    return [np.flatnonzero(bins == number) for number in np.unique(bins)]


def _mean_with_interval(values: NDArray[np.floating], confidence: float) -> Interval:
    """Mean, low and high; by the normal approximation, as the groups are large and a bootstrap of them is slow."""
    known = values[~np.isnan(values)].astype(np.float64)
    mean = float(known.mean())
    error = float(np.std(known, ddof=1) / np.sqrt(len(known))) if len(known) > 1 else 0.0
    margin = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return mean, mean - margin, mean + margin
