"""Ranking and rating accuracy, one function per metric, over all users at once.

Lists are ranked over every movie the user has not rated in training; negatives are never sampled
(Krichene & Rendle, 2020). A user without relevant held-out movies is NaN: averages skip such users on
purpose instead of counting them as 0.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.ids import positions

Hits = NDArray[np.bool_]
PerUser = NDArray[np.float64]


def hits(ranked: NDArray[np.integer], relevant: NDArray[np.int64], n_movies: int) -> Hits:
    """Which places of each list hold a relevant movie.

    Args:
        ranked: movie indices, best first, padded with -1; shape (n_users, k).
        relevant: sorted unique codes ``user * n_movies + movie`` of all relevant pairs; shape (n,).
        n_movies: size of the catalogue the indices count in.

    Returns:
        Booleans; shape (n_users, k).

    >>> hits(np.array([[2, 0, -1]]), np.array([0, 1]), n_movies=3).tolist()
    [[False, True, False]]
    """
    codes = np.arange(len(ranked), dtype=np.int64)[:, None] * n_movies + ranked
    return (ranked >= 0) & (positions(relevant, codes.ravel()) >= 0).reshape(ranked.shape)


def ndcg_at_k(hit: Hits, n_relevant: NDArray[np.integer]) -> PerUser:
    """NDCG@k with binary gains (Järvelin & Kekäläinen, 2002). Shapes (n, k), (n,) to (n,).

    >>> ndcg_at_k(np.array([[False, True, False]]), np.array([2])).round(4).tolist()
    [0.3869]
    """
    k = hit.shape[1]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(n_relevant, k)]
    return _per_user(hit @ discounts, ideal)


def average_precision_at_k(hit: Hits, n_relevant: NDArray[np.integer]) -> PerUser:
    """Mean of the precisions at the hits, over min(relevant, k). Shapes (n, k), (n,) to (n,).

    A list can always reach 1, however many movies are relevant. This is `map_at_k` of the library recommenders;
    the MAP of its published tables is `average_precision_of_all_at_k`.

    >>> average_precision_at_k(np.array([[True, False, True]]), np.array([2])).round(4).tolist()
    [0.8333]
    """
    k = hit.shape[1]
    precisions = np.cumsum(hit, axis=1) / np.arange(1, k + 1)
    return _per_user((precisions * hit).sum(axis=1), np.minimum(n_relevant, k))


def average_precision_of_all_at_k(hit: Hits, n_relevant: NDArray[np.integer]) -> PerUser:
    """Mean of the precisions at the hits, over all relevant movies. Shapes (n, k), (n,) to (n,).

    A user with more than k relevant movies cannot reach 1. For comparison with tables that divide like this, such
    as those of recommenders-team/recommenders (``map`` in its python_evaluation).

    >>> average_precision_of_all_at_k(np.array([[True, True]]), np.array([4])).tolist()
    [0.5]
    """
    return average_precision_at_k(hit, n_relevant) * _per_user(np.minimum(n_relevant, hit.shape[1]), n_relevant)


def precision_at_k(hit: Hits, n_relevant: NDArray[np.integer]) -> PerUser:
    """Share of the k places that are relevant.

    >>> precision_at_k(np.array([[True, False]]), np.array([3])).tolist()
    [0.5]
    """
    return np.where(n_relevant > 0, hit.sum(axis=1) / hit.shape[1], np.nan)


def recall_at_k(hit: Hits, n_relevant: NDArray[np.integer]) -> PerUser:
    """Share of the relevant movies that are on the list.

    >>> recall_at_k(np.array([[True, False]]), np.array([4])).tolist()
    [0.25]
    """
    return _per_user(hit.sum(axis=1), n_relevant)


def reciprocal_rank(hit: Hits, n_relevant: NDArray[np.integer]) -> PerUser:
    """One over the place of the first hit, 0 without one.

    >>> reciprocal_rank(np.array([[False, True]]), np.array([1])).tolist()
    [0.5]
    """
    first = np.where(hit.any(axis=1), 1 / (hit.argmax(axis=1) + 1), 0.0)
    return np.where(n_relevant > 0, first, np.nan)


def hit_rate_at_k(hit: Hits, n_relevant: NDArray[np.integer]) -> PerUser:
    """1 where the list holds anything relevant, else 0.

    >>> hit_rate_at_k(np.array([[False, True]]), np.array([1])).tolist()
    [1.0]
    """
    return np.where(n_relevant > 0, hit.any(axis=1).astype(np.float64), np.nan)


def rmse(predicted: NDArray[np.floating], actual: NDArray[np.floating]) -> float:
    """Root mean squared error, in units of the ratings.

    >>> rmse(np.array([3.0, 5.0]), np.array([4.0, 4.0]))
    1.0
    """
    return float(np.sqrt(np.mean((predicted.astype(np.float64) - actual) ** 2)))


def mae(predicted: NDArray[np.floating], actual: NDArray[np.floating]) -> float:
    """Mean absolute error, in units of the ratings.

    >>> mae(np.array([3.0, 5.0]), np.array([4.0, 4.5]))
    0.75
    """
    return float(np.mean(np.abs(predicted.astype(np.float64) - actual)))


def rsquared(predicted: NDArray[np.floating], actual: NDArray[np.floating]) -> float:
    """R²: the share of the ratings' variance that the predictions explain; negative when worse than their mean.

    NaN when all ratings are equal: there is no variance to explain.

    >>> rsquared(np.array([3.0, 4.0, 5.0]), np.array([3.0, 3.0, 6.0]))  # 1 - (0 + 1 + 1) / (1 + 1 + 4)
    0.6666666666666667
    """
    ratings = actual.astype(np.float64)
    spread = float(np.sum((ratings - ratings.mean()) ** 2))
    return 1 - float(np.sum((predicted.astype(np.float64) - ratings) ** 2)) / spread if spread else float("nan")


RANKING_METRICS = {
    "ndcg": ndcg_at_k,
    "map": average_precision_at_k,
    "precision": precision_at_k,
    "recall": recall_at_k,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate_at_k,
}


def _per_user(gain: NDArray[np.floating], best: NDArray[np.number]) -> PerUser:
    ratio: PerUser = np.divide(gain, best, out=np.full(len(gain), np.nan), where=best > 0)
    return ratio
