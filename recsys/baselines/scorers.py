"""Models that can score every movie for a user, whatever they are made of: the one interface of all baselines.

Users and movies are rows and columns of the training matrix. A block of users is scored at a time, the caller leaves
out what they have seen and takes the best; no block needs more than ``n_users * n_movies * 4`` bytes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from recsys.ids import distinct, positions
from recsys.models.factors import Floats, Ids

Rows = NDArray[np.integer]


class Scorer(Protocol):
    """Scores of every movie for some users."""

    def scores(self, user_rows: Rows) -> Floats:
        """Higher is better, comparable within one user; shape (n,) to (n, n_movies), float32 and finite."""
        ...


class RatingMatrix(NamedTuple):
    """Training ratings with a row per user and a column per movie.

    Attributes:
        stars: SciPy sparse array in CSR, float32; shape (n_users, n_movies).
        user_ids: ascending; shape (n_users,).
        movie_ids: ascending; shape (n_movies,).
    """

    stars: Any
    user_ids: Ids
    movie_ids: Ids


def rating_matrix(
    user_ids: NDArray[np.int32], movie_ids: NDArray[np.int32], stars: NDArray[np.floating]
) -> RatingMatrix:
    """The matrix of all training ratings; a pair occurs once. Three arrays of shape (n,).

    >>> matrix = rating_matrix(np.array([9, 5, 9]), np.array([30, 20, 20]), np.array([4.0, 3.0, 1.0]))
    >>> matrix.stars.toarray().tolist(), matrix.user_ids.tolist(), matrix.movie_ids.tolist()
    ([[3.0, 0.0], [1.0, 4.0]], [5, 9], [20, 30])
    """
    users, movies = distinct(user_ids), distinct(movie_ids)
    at = positions(users, user_ids), positions(movies, movie_ids)
    values = csr_array((stars.astype(np.float32), at), shape=(len(users), len(movies)))
    return RatingMatrix(values, users, movies)


@dataclass(frozen=True)
class SameForAll:
    """One score per movie, the same for every user; shape (n_movies,)."""

    movie_scores: Floats

    def scores(self, user_rows: Rows) -> Floats:
        return np.tile(self.movie_scores, (len(user_rows), 1))


@dataclass(frozen=True)
class Dice:
    """Scores drawn per user from the seed and the user's row: the same whichever users share a block."""

    n_movies: int
    seed: int

    def scores(self, user_rows: Rows) -> Floats:
        rolls = [np.random.default_rng([self.seed, row]).random(self.n_movies, np.float32) for row in user_rows]
        return np.array(rolls, np.float32).reshape(len(rolls), self.n_movies)


@dataclass(frozen=True)
class LowRank:
    """A product of user rows (n_users, rank) and movie rows (n_movies, rank)."""

    user_vectors: Floats
    movie_vectors: Floats

    def scores(self, user_rows: Rows) -> Floats:
        product: Floats = self.user_vectors[user_rows] @ self.movie_vectors.T
        return product


@dataclass(frozen=True)
class MovieToMovie:
    """A user's ratings (sparse, n_users x n_movies) times what each rated movie says for every other (n x n)."""

    ratings: Any
    weights: Any

    def scores(self, user_rows: Rows) -> Floats:
        product = self.ratings[user_rows] @ self.weights
        return np.asarray(product.toarray() if issparse(product) else product, np.float32)
