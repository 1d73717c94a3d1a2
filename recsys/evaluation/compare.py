"""Is one model better than another on the same users, or is it the luck of the draw?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PairedDifference:
    """The mean of ``a - b`` over users, with a bootstrap interval at `confidence`."""

    mean: float
    low: float
    high: float
    n_users: int
    confidence: float


def paired_bootstrap(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    confidence: float = 0.95,
    n_resamples: int = 2_000,
    seed: int = 42,
) -> PairedDifference:
    """Percentile bootstrap over users of the paired difference (Efron & Tibshirani, 1993).

    Args:
        a: one metric value per user, NaN where undefined; shape (n,).
        b: the same users under the other model; shape (n,).
        confidence: of the two-sided interval.
        n_resamples: bootstrap samples.
        seed: same seed, same interval.

    Returns:
        The interval over the users where both are defined; NaN bounds when there are none.

    >>> paired_bootstrap(np.array([0.5, 0.7]), np.array([0.4, 0.6]), n_resamples=10).mean.__round__(6)
    0.1
    """
    difference = (a - b)[~np.isnan(a - b)]
    n = len(difference)
    if not n:
        return PairedDifference(float("nan"), float("nan"), float("nan"), 0, confidence)
    rng = np.random.default_rng(seed)
    # One resample at a time: 162,541 users x 2,000 samples would not fit in memory at once.
    means = np.array([difference[rng.integers(0, n, n)].mean() for _ in range(n_resamples)])
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return PairedDifference(float(difference.mean()), float(low), float(high), n, confidence)
