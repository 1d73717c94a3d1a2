"""Movies that users have rated already: from lists in a column to the rows of a sparse matrix."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import columns


def seen_lists(ratings: pa.Table) -> pa.Table:
    """The movies each user has rated, from ratings that are sorted by user and movie, as snapshots store them.

    Args:
        ratings: user_id and movie_id; other columns are not read.

    Returns:
        Rows of columns.SEEN_LISTS.

    >>> ratings = pa.table({"user_id": pa.array([1, 1, 4], pa.int32()), "movie_id": pa.array([7, 8, 7], pa.int32())})
    >>> seen_lists(ratings).to_pylist()
    [{'user_id': 1, 'seen': [7, 8]}, {'user_id': 4, 'seen': [7]}]
    """
    user_ids = ratings.column(columns.USER_ID).to_numpy()
    starts = np.flatnonzero(np.diff(user_ids, prepend=-1))  # ids are not negative
    offsets = np.append(starts, len(user_ids)).astype(np.int32)
    movie_ids = ratings.column(columns.MOVIE_ID).combine_chunks()
    lists = pa.ListArray.from_arrays(pa.array(offsets), movie_ids)
    return pa.Table.from_arrays([pa.array(user_ids[starts]), lists], schema=columns.SEEN_LISTS)


def list_rows(lists: pa.Array) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """A column of lists as pairs: the row of each value, ascending, and the value. A null list is empty.

    >>> rows, values = list_rows(pa.array([[7, 8], None, [9]]))
    >>> rows.tolist(), values.tolist()
    ([0, 0, 2], [7, 8, 9])
    """
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(lists)), lengths), lists.flatten().to_numpy(zero_copy_only=False)


@dataclass(frozen=True)
class Seen:
    """Rated movies of a batch of users, as pairs.

    Attributes:
        rows: rows of the batch, ascending; shape (n,).
        movies: positions in the catalogue; shape (n,).
        n_rows: users in the batch.
        n_movies: movies in the catalogue.
    """

    rows: NDArray[np.int64]
    movies: NDArray[np.int64]
    n_rows: int
    n_movies: int

    def among(self, rows: NDArray[np.int64], movies: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pairs of some users and some movies, as the CSR matrix that `top_k` asks for.

        Args:
            rows: rows of the batch, ascending; shape (m,).
            movies: positions in the catalogue, in any order.

        Returns:
            Offsets of shape (m + 1,), and positions in `movies`.

        >>> seen = Seen(np.array([0, 0, 2]), np.array([1, 3, 3]), n_rows=3, n_movies=5)
        >>> offsets, at = seen.among(np.array([0, 2]), np.array([4, 3]))
        >>> offsets.tolist(), at.tolist()
        ([0, 1, 2], [1, 1])
        """
        row_at, movie_at = np.full(self.n_rows, -1), np.full(self.n_movies, -1)
        row_at[rows], movie_at[movies] = np.arange(len(rows)), np.arange(len(movies))
        at_rows, at_movies = row_at[self.rows], movie_at[self.movies]
        wanted = (at_rows >= 0) & (at_movies >= 0)
        counts = np.bincount(at_rows[wanted], minlength=len(rows))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), at_movies[wanted]
