"""Factors and seen lists of any size, shaped like fitted ones.

Directions are Gaussian; the norms are log-normal, and movies of large norm are the ones most seen. The spread of the
norms decides how many movies a kernel may leave out by their norm alone: implicit ALS of rank 64 on ml-latest-small
has log-norms with standard deviations of 0.29 (users) and 0.50 (movies), and our kernel multiplies 0.74 of its tiles.
Gaussian directions leave fewer large scores than fitted ones do; with 0.40 for the movies it multiplies 0.8 of them,
so what is invented here is no easier than what is fitted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float32]

USER_SPREAD, MOVIE_SPREAD = 0.3, 0.4
MEAN_SEEN = 150


@dataclass(frozen=True)
class Problem:
    """Whom to rank for and what they have seen, as CSR.

    Attributes:
        users: shape (n, rank).
        movies: shape (m, rank).
        seen_indptr: shape (n + 1,), int64.
        seen_indices: ascending for each user, int32.
    """

    users: Floats
    movies: Floats
    seen_indptr: NDArray[np.int64]
    seen_indices: NDArray[np.int32]

    def first(self, n: int) -> "Problem":
        """The problem of the first n users."""
        indptr = self.seen_indptr[: n + 1]
        return Problem(self.users[:n], self.movies, indptr, self.seen_indices[: indptr[-1]])

    def seen(self) -> csr_matrix:
        """Ones where a user has seen a movie."""
        ones = np.ones(len(self.seen_indices), np.float32)
        return csr_matrix((ones, self.seen_indices, self.seen_indptr), shape=(len(self.users), len(self.movies)))


def invent(n_users: int, n_movies: int, rank: int, seed: int = 0) -> Problem:
    """Factors of a catalogue, and about `MEAN_SEEN` seen movies a user, at most a fifth of the catalogue."""
    rng = np.random.default_rng(seed)
    users, movies = _factors(n_users, rank, USER_SPREAD, rng), _factors(n_movies, rank, MOVIE_SPREAD, rng)
    lengths = np.minimum(rng.lognormal(np.log(MEAN_SEEN) - 0.4, 1.0, n_users).astype(np.int64) + 1, n_movies // 5)
    # A movie is seen in proportion to the fourth power of its norm: popularity spreads over four orders of magnitude.
    weights = np.cumsum(np.linalg.norm(movies, axis=1).astype(np.float64) ** 4)
    drawn = np.searchsorted(weights, rng.random(lengths.sum()) * weights[-1], side="right")
    pairs = np.unique(np.repeat(np.arange(n_users), lengths) * n_movies + np.minimum(drawn, n_movies - 1))
    indptr = np.searchsorted(pairs, np.arange(n_users + 1) * n_movies)
    return Problem(users, movies, indptr.astype(np.int64), (pairs % n_movies).astype(np.int32))


def _factors(n: int, rank: int, spread: float, rng: np.random.Generator) -> Floats:
    norms = np.exp(rng.normal(0, spread, (n, 1)))
    factors: Floats = (rng.normal(0, rank**-0.5, (n, rank)) * norms).astype(np.float32)
    return factors
