"""What the pictures of a training run are drawn from on the holdout, and the page that carries them all in MLflow."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.config import Settings
from recsys.tracking.tracking import Tracking
from recsys.training.report.training_report import Searched, page

PAGE = "training.html"


def log_page(
    settings: Settings,
    tracking: Tracking,
    run_id: str,
    state: Mapping[str, Any],
    found: Sequence[Searched],
    evaluation: Mapping[str, Any] | None = None,
) -> None:
    """The page of a training run as an artifact of it, replacing an earlier one."""
    tags = tracking.get_run(run_id)["tags"]
    name, composition = tags["mlflow.runName"], json.loads(tags.get("composition", "{}")).get("sentences", ())
    with TemporaryDirectory(dir=settings.tmp_dir) as folder:
        path = Path(folder) / PAGE
        path.write_text(page(name, state["snapshot_id"], run_id, found, evaluation, composition))
        tracking.log_file(run_id, path)


def by_activity(
    n_ratings: NDArray[np.integer],
    per_user: Mapping[str, NDArray[np.floating]],
    confidence: float,
    n_bins: int = 5,
) -> list[dict[str, Any]]:
    """Means of per-user metrics in groups of about as many users each, from the least to the most active.

    Args:
        n_ratings: training ratings of each user; shape (n_users,).
        per_user: a metric per user by model, in the same order.
        confidence: of the intervals of the means (normal approximation).
        n_bins: groups at most; users of one activity stay together.

    Returns:
        ``{low, high, n_users, <model>: [mean, low, high], ...}`` per group, `low` and `high` the ratings in it.

    >>> found = by_activity(np.array([9, 1, 2, 8]), {"a": np.array([0.8, 0.1, 0.1, 0.8])}, 0.95, n_bins=2)
    >>> [(row["low"], row["high"], row["n_users"], row["a"][0]) for row in found]
    [(1, 2, 2, 0.1), (8, 9, 2, 0.8)]
    """
    return [
        {
            "low": int(n_ratings[group].min()),
            "high": int(n_ratings[group].max()),
            "n_users": len(group),
            **{model: _mean_with_interval(values[group], confidence) for model, values in per_user.items()},
        }
        for group in _quantile_groups(n_ratings, n_bins)
    ]


def calibration(
    predicted: NDArray[np.floating], actual: NDArray[np.floating], confidence: float, n_bins: int = 10
) -> list[dict[str, float]]:
    """Mean actual stars in groups of about as many ratings each, by ascending prediction.

    Args:
        predicted: stars; shape (n,).
        actual: stars; shape (n,).
        confidence: of the intervals of the mean actual stars (normal approximation).
        n_bins: groups at most.

    Returns:
        ``{n_ratings, predicted, actual, low, high}`` per group, the last two the interval of `actual`.

    >>> found = calibration(np.array([2.0, 4.0, 2.0, 4.0]), np.array([1.0, 5.0, 2.0, 5.0]), 0.95, n_bins=2)
    >>> [(row["predicted"], row["actual"]) for row in found]
    [(2.0, 1.5), (4.0, 5.0)]
    """
    rows = []
    for group in _quantile_groups(predicted, n_bins):
        mean, low, high = _mean_with_interval(actual[group], confidence)
        rows.append(
            {
                "n_ratings": len(group),
                "predicted": float(predicted[group].mean(dtype=np.float64)),
                "actual": mean,
                "low": low,
                "high": high,
            }
        )
    return rows


def _quantile_groups(values: NDArray[np.number], n_bins: int) -> list[NDArray[np.intp]]:
    """Indices of the values between two quantiles, ascending; equal values stay together."""
    if not len(values):
        return []
    inner = np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1], method="higher")
    bins = np.searchsorted(np.unique(inner), values, side="right")
    return [np.flatnonzero(bins == number) for number in np.unique(bins)]


def _mean_with_interval(values: NDArray[np.floating], confidence: float) -> list[float]:
    """Mean, low and high; by the normal approximation, as the groups are large and a bootstrap of them is slow."""
    known = values[~np.isnan(values)].astype(np.float64)
    mean = float(known.mean())
    error = float(np.std(known, ddof=1) / np.sqrt(len(known))) if len(known) > 1 else 0.0
    margin = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return [mean, mean - margin, mean + margin]
