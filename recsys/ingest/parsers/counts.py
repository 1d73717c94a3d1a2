"""Counts in the place of ratings: how often somebody watched, bought or clicked, summed over the rows of a pair."""

import numpy as np
import pyarrow as pa

from recsys import columns as c


def summed(rows: pa.Table) -> pa.Table:
    """One row for each pair of user and movie: the sum of its counts, at its latest time.

    Args:
        rows: in the schema `columns.RATINGS`, with counts as ratings, sorted by user and movie.

    >>> at = pa.array([1, 3, 2], pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    >>> rows = pa.table([[7, 7, 8], [1, 1, 1], [2.0, 0.5, 1.0], at], names=c.RATINGS.names).cast(c.RATINGS)
    >>> [(row["user_id"], row["rating"], row["timestamp"].microsecond) for row in summed(rows).to_pylist()]
    [(7, 2.5, 3000), (8, 1.0, 2000)]
    """
    if not rows.num_rows:
        return rows
    users, movies, counts = (rows[name].to_numpy() for name in (c.USER_ID, c.MOVIE_ID, c.RATING))
    times = rows[c.TIMESTAMP].cast(pa.int64()).to_numpy()
    is_first = np.append(True, (users[1:] != users[:-1]) | (movies[1:] != movies[:-1]))
    starts = np.flatnonzero(is_first)
    arrays = [
        users[starts],
        movies[starts],
        np.add.reduceat(counts.astype(np.float64), starts).astype(np.float32),
        pa.array(np.maximum.reduceat(times, starts)).cast(c.RATINGS.field(c.TIMESTAMP).type),
    ]
    return pa.table(arrays, schema=c.RATINGS)


def n_pairs(rows: pa.Table) -> int:
    """How many different pairs of user and movie there are.

    >>> n_pairs(pa.table({"user_id": [1, 1, 2], "movie_id": [5, 5, 5]}))
    2
    """
    users, movies = (rows[name].to_numpy().astype(np.int64) for name in (c.USER_ID, c.MOVIE_ID))
    return len(np.unique(users << 32 | movies))
