"""Learned parameters as NumPy arrays: user and movie factors, and biases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.ids import positions

Ids = NDArray[np.int32]
Floats = NDArray[np.float32]
# Both rows of that many pairs stay in the cache: copies of all pairs' rows take seven times as long.
_PAIRS_BLOCK = 8_192


@dataclass(frozen=True)
class Factors:
    """A factorisation: the score of a pair is the dot product of its two rows.

    Attributes:
        user_ids: ascending; shape (n_users,).
        user_factors: float32; shape (n_users, rank).
        movie_ids: ascending; shape (n_movies,).
        movie_factors: float32; shape (n_movies, rank).
    """

    user_ids: Ids
    user_factors: Floats
    movie_ids: Ids
    movie_factors: Floats

    @property
    def rank(self) -> int:
        return int(self.movie_factors.shape[1])

    def dot(self, user_ids: NDArray[np.integer], movie_ids: NDArray[np.integer]) -> Floats:
        """Scores of pairs; 0 where the user or the movie is cold. Shapes (n,), (n,) to (n,)."""
        users, movies = positions(self.user_ids, user_ids), positions(self.movie_ids, movie_ids)
        warm = np.flatnonzero((users >= 0) & (movies >= 0))
        scores = np.zeros(len(users), np.float32)
        for start in range(0, len(warm), _PAIRS_BLOCK):
            at = warm[start : start + _PAIRS_BLOCK]
            scores[at] = np.einsum("ij,ij->i", self.user_factors[users[at]], self.movie_factors[movies[at]])
        return scores


@dataclass(frozen=True)
class Biases:
    """Damped averages: ``mean + user_bias + movie_bias``, in stars. Cold ids contribute 0."""

    mean: float
    user_ids: Ids
    user_bias: Floats
    movie_ids: Ids
    movie_bias: Floats

    def predict(self, user_ids: NDArray[np.integer], movie_ids: NDArray[np.integer]) -> Floats:
        """Predicted stars of pairs, not clipped. Shapes (n,), (n,) to (n,)."""
        return (
            np.float32(self.mean)
            + _or_zero(self.user_bias, positions(self.user_ids, user_ids))
            + _or_zero(self.movie_bias, positions(self.movie_ids, movie_ids))
        ).astype(np.float32)


def _or_zero(values: Floats, at: NDArray[np.int64]) -> Floats:
    if not len(values):
        return np.zeros(len(at), np.float32)
    found: Floats = np.where(at >= 0, values[at], np.float32(0)).astype(np.float32)
    return found
