"""The published movies table: what each movie is, where else it is found, and how it was rated."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import columns
from recsys.ids import positions
from recsys.topk.lists import Predict

# No user has it, so a prediction for it is the one for an average user.
_NOBODY = -1


def catalogue_table(
    movies: pa.Table,
    links: pa.Table,
    rated_movie_ids: NDArray[np.int32],
    ratings: NDArray[np.float32] | None,
    predict: Predict | None,
) -> pa.Table:
    """Movies with their links, counts and means of the snapshot's ratings, and an average user's stars.

    Where there are no ratings, means and stars are null: a mean of counts is no rating.

    Args:
        movies: rows of columns.MOVIES.
        links: rows of columns.LINKS; a movie may be missing.
        rated_movie_ids: shape (n_ratings,).
        ratings: stars, same order; None where nobody rated.
        predict: stars of pairs of user and movie ids; users it does not know are average ones. None where there is no
            rating model.

    Returns:
        Rows of columns.CATALOGUE by ascending movie_id.
    """
    movies = movies.sort_by(columns.MOVIE_ID)
    ids = movies.column(columns.MOVIE_ID).to_numpy()
    at = positions(ids, rated_movie_ids)
    known = at >= 0
    counts = np.bincount(at[known], minlength=len(ids))
    links = links.sort_by(columns.MOVIE_ID)
    linked = positions(links.column(columns.MOVIE_ID).to_numpy(), ids)
    of_movie = pa.array(linked, mask=linked < 0)
    means = predicted = pa.nulls(len(ids), pa.float32())
    if ratings is not None:
        sums = np.bincount(at[known], weights=ratings[known], minlength=len(ids))
        means = pa.array((sums / np.maximum(counts, 1)).astype(np.float32), mask=counts == 0)
    if predict is not None:
        predicted = pa.array(predict(np.full(len(ids), _NOBODY, np.int32), ids))
    arrays = [
        *(movies.column(name) for name in columns.MOVIES.names),
        *(links.column(name).take(of_movie) for name in (columns.IMDB_ID, columns.TMDB_ID)),
        pa.array(counts.astype(np.int32)),
        means,
        predicted,
    ]
    return pa.Table.from_arrays(arrays, schema=columns.CATALOGUE)
