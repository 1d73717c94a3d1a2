"""Who rated what, by user and by movie: what ALS in compiled code reads, prepared once for any number of fits."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.ids import distinct, positions
from recsys.models.factors import Floats, Ids

_MOST_RATINGS = 2**32  # places are unsigned 32-bit integers


@dataclass(frozen=True)
class Side:
    """Ratings by user, or by movie.

    Attributes:
        ids: ascending; shape (n,).
        indptr: where each one's ratings begin; shape (n + 1,).
        others: places among the other side's ids; shape (n_ratings,).
        order: each rating's place in the original order; shape (n_ratings,).
    """

    ids: Ids
    indptr: NDArray[np.int64]
    others: NDArray[np.int32]
    order: NDArray[np.uint32]


@dataclass(frozen=True)
class Labels:
    """The labels of all ratings, by user and by movie; both of shape (n_ratings,)."""

    by_user: Floats
    by_movie: Floats


@dataclass(frozen=True)
class Interactions:
    """Who rated what, by user and by movie: all of a data set but its labels.

    >>> pairs = Interactions.of(np.array([1, 2, 1], np.int32), np.array([8, 9, 9], np.int32))
    >>> pairs.movies.indptr.tolist(), pairs.movies.others.tolist()  # movie 8: user 1; movie 9: users 2 and 1
    ([0, 1, 3], [0, 1, 0])
    >>> pairs.arranged(np.array([0.5, 3, 4], np.float32)).by_user.tolist()
    [0.5, 4.0, 3.0]
    """

    users: Side
    movies: Side

    @classmethod
    def of(cls, user_ids: Ids, movie_ids: Ids) -> "Interactions":
        """From pairs in any order, shape (n_ratings,) each; a pair may occur twice and then counts twice.

        Raises:
            DataError: there are none, or more than 32 bits can count.
        """
        if not 0 < len(user_ids) < _MOST_RATINGS:
            raise DataError(
                f"{len(user_ids):,} ratings: 1 to {_MOST_RATINGS - 1:,} can be fitted. Nothing was fitted. "
                "Pass ratings, or fit larger sets by MLlib."
            )
        users, movies = distinct(user_ids), distinct(movie_ids)
        rows, columns = (positions(*pair).astype(np.int32) for pair in ((users, user_ids), (movies, movie_ids)))
        return cls(_side(users, rows, columns), _side(movies, columns, rows))

    def arranged(self, labels: Floats) -> Labels:
        """Labels in the order of the pairs, made ready for any number of fits; shape (n_ratings,).

        Raises:
            DataError: not one finite label per rating.
        """
        n_ratings = len(self.users.order)
        if labels.shape != (n_ratings,) or not np.isfinite(labels).all():
            raise DataError(
                f"labels of shape {labels.shape}, {int(np.isfinite(labels).sum()):,} of them finite, for {n_ratings:,} "
                "ratings: one finite label each is needed. Nothing was fitted. Correct the labels."
            )
        exact = labels.astype(np.float32, copy=False)
        return Labels(exact[self.users.order], exact[self.movies.order])


def _side(ids: Ids, rows: NDArray[np.int32], others: NDArray[np.int32]) -> Side:
    indptr, order = _grouped(rows, len(ids))
    return Side(ids, indptr, others[order], order)


@njit(nogil=True, cache=True)
def _grouped(rows: NDArray[np.integer], n: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Where each row's entries begin, and the entries by row in their own order: a counting sort.

    >>> indptr, order = _grouped(np.array([1, 0, 1], np.int32), 2)
    >>> indptr.tolist(), order.tolist()
    ([0, 1, 3], [1, 0, 2])
    """
    indptr = np.zeros(n + 1, np.int64)
    for row in rows:
        indptr[row + 1] += 1
    for row in range(n):
        indptr[row + 1] += indptr[row]
    place = indptr[:-1].copy()
    order = np.empty(len(rows), np.uint32)
    for i, row in enumerate(rows):
        order[place[row]] = i
        place[row] += 1
    return indptr, order
