"""Damped user and movie biases: the part of a rating that needs no factors, and the stronger baseline.

On ml-latest-small these alone beat plain explicit ALS, which spends its factors on relearning averages.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.ids import distinct, positions
from recsys.models.factors import Biases

_N_SWEEPS = 10


def fit_biases(
    user_ids: NDArray[np.int32], movie_ids: NDArray[np.int32], ratings: NDArray[np.float32], damping: float = 5.0
) -> Biases:
    """Ridge-regularised ``rating ~ mean + user_bias + movie_bias`` by alternating exact updates.

    Args:
        user_ids: shape (n,).
        movie_ids: shape (n,).
        ratings: stars; shape (n,), n at least 1.
        damping: ratings' worth of pull towards zero; a user with `damping` ratings keeps half a deviation.

    Returns:
        Biases in stars; ids ascending.

    >>> b = fit_biases(np.array([1, 1], np.int32), np.array([7, 8], np.int32), np.array([3, 5], np.float32), damping=1)
    >>> b.mean, b.movie_bias.round(3).tolist()
    (4.0, [-0.5, 0.5])
    """
    users, movies = distinct(user_ids), distinct(movie_ids)
    u, m = positions(users, user_ids), positions(movies, movie_ids)
    mean = float(ratings.mean(dtype=np.float64))
    rest = ratings.astype(np.float64) - mean
    per_user, per_movie = np.bincount(u) + damping, np.bincount(m) + damping
    user_bias, movie_bias = np.zeros(len(users)), np.zeros(len(movies))
    for _ in range(_N_SWEEPS):
        movie_bias = np.bincount(m, rest - user_bias[u]) / per_movie
        user_bias = np.bincount(u, rest - movie_bias[m]) / per_user
    return Biases(mean, users, user_bias.astype(np.float32), movies, movie_bias.astype(np.float32))
