"""Neighbours of every movie: by taste where the model knows the movie, by genre where it does not.

The rule, in order, until a movie has ``min(n, catalogue - 1)`` neighbours:

1. A movie with factors gets the movies whose factors point the same way: cosine (source "als").
2. What is missing comes from the genres (source "genres"): the share of genres in common (Jaccard), ties by
   popularity, then by lower id. For movies with factors it holds only movies without; for movies nobody
   rated in training it is the whole list, over the whole catalogue.

Factors of length zero have no direction; such a movie counts as one without factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import columns
from recsys.ids import positions
from recsys.scoring.lists import ALS, counts_of
from recsys.scoring.topk import Floats, Indices, MovieFactors, select_top, top_k

GENRES = "genres"
# Bounds the dense matrix of genre similarities: 256 x 59,000 movies are 60 MB.
_BLOCK = 256


@dataclass(frozen=True)
class SimilarModel:
    """Everything a worker needs to find neighbours; built by `similar_model`, broadcast once.

    Attributes:
        n: neighbours per movie.
        catalogue: movie ids of the snapshot, ascending; shape (m,).
        warm: positions in `catalogue` of the movies that have factors, ascending.
        directions: their factors, each of length 1; (len(warm), rank).
        by_popularity: positions in `catalogue`, most rated in training first, ties by lower id.
        genres: 1 where a movie has a genre, else 0, in the order of `catalogue`; shape (m, n_genres).
    """

    n: int
    catalogue: Indices
    warm: NDArray[np.int64]
    directions: MovieFactors
    by_popularity: NDArray[np.int64]
    genres: Floats

    def __call__(self, batch: pa.RecordBatch) -> pa.Table:
        """Rows of columns.SIMILAR_MOVIES for a batch with the column movie_id."""
        movie_ids = batch.column(columns.MOVIE_ID).to_numpy()
        movies = positions(self.catalogue, movie_ids)
        neighbours, scores, is_als = self._rank(movies)
        rows, places = np.nonzero(neighbours >= 0)
        sources = pa.DictionaryArray.from_arrays(is_als[rows, places].astype(np.int8), [GENRES, ALS])
        values = [
            movie_ids[rows],
            (places + 1).astype(np.int16),
            self.catalogue[neighbours[rows, places]],
            scores[rows, places],
        ]
        return pa.Table.from_arrays([*map(pa.array, values), sources.cast(pa.string())], schema=columns.SIMILAR_MOVIES)

    def _rank(self, movies: NDArray[np.int64]) -> tuple[Indices, Floats, NDArray[np.bool_]]:
        """Positions in the catalogue padded with -1, scores, and where they are the model's; each (b, n)."""
        neighbours = np.full((len(movies), self.n), -1, np.int32)
        scores = np.full((len(movies), self.n), -np.inf, np.float32)
        at = positions(self.warm.astype(np.int32), movies)
        known = np.flatnonzero(at >= 0)
        # Each movie is the one that its own list leaves out.
        found, cosines = top_k(
            self.directions.factors[at[known]], self.directions, self.n, np.arange(len(known) + 1), at[known]
        )
        neighbours[known] = np.append(self.warm, -1)[found]
        scores[known] = np.where(found >= 0, np.clip(cosines, -1, 1), -np.inf)  # rounding exceeds 1 by 1e-7
        is_als = neighbours >= 0
        short = np.flatnonzero(~is_als[:, -1])
        for start in range(0, len(short), _BLOCK):
            self._top_up(movies, short[start : start + _BLOCK], neighbours, scores)
        return neighbours, scores, is_als

    def _top_up(self, movies: NDArray[np.int64], rows: NDArray[np.int64], neighbours: Indices, scores: Floats) -> None:
        """Fill the empty places of some rows with movies of like genres, in place."""
        jaccard = self._jaccard(movies[rows])
        jaccard[np.arange(len(rows)), movies[rows]] = -np.inf
        has_some = neighbours[rows, 0] >= 0
        jaccard[np.ix_(has_some, self.warm)] = -np.inf
        found, likeness = select_top(jaccard[:, self.by_popularity], self.n)
        joined = np.hstack([neighbours[rows], np.append(self.by_popularity, -1)[found]])
        # Stable: the model's neighbours stay in front, only empty places move to the end.
        order = np.argsort(joined < 0, axis=1, kind="stable")[:, : self.n]
        neighbours[rows] = np.take_along_axis(joined, order, axis=1)
        scores[rows] = np.take_along_axis(np.hstack([scores[rows], likeness]), order, axis=1)

    def _jaccard(self, movies: NDArray[np.int64]) -> Floats:
        """Genres in common over genres of either; 0 where neither has one. Shape (len(movies), m)."""
        sizes = self.genres.sum(axis=1)
        common = self.genres[movies] @ self.genres.T
        either = sizes[movies][:, None] + sizes[None, :] - common
        shares: Floats = (common / np.maximum(either, 1)).astype(np.float32)
        return shares


def similar_model(
    ranking: tuple[Indices, Floats],
    popular: tuple[Indices, NDArray[np.int32]],
    catalogue: Indices,
    genres: Sequence[Sequence[str] | None],
    n: int,
) -> SimilarModel:
    """Line a trained model up with the movies of a snapshot.

    Args:
        ranking: movie_ids ascending, movie_factors.
        popular: movie_ids and the number of their training ratings, in any order.
        catalogue: movie ids of the snapshot, in any order, none twice.
        genres: genre names of each movie, in the order of `catalogue`.
        n: neighbours per movie.
    """
    order = np.argsort(catalogue)
    in_order = np.asarray(catalogue, np.int32)[order]
    movie_ids, factors = ranking
    lengths = np.sqrt(np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
    warm = positions(in_order, movie_ids)
    keep = (warm >= 0) & (lengths > 0)
    directions = (factors[keep] / lengths[keep, None]).astype(np.float32)
    by_popularity = np.argsort(-counts_of(in_order, *popular), kind="stable")
    return SimilarModel(
        n, in_order, warm[keep], MovieFactors(directions), by_popularity, _one_hot([genres[at] for at in order])
    )


def _one_hot(genres: Sequence[Sequence[str] | None]) -> Floats:
    names = sorted({name for of_movie in genres for name in of_movie or ()})
    at = {name: column for column, name in enumerate(names)}
    matrix = np.zeros((len(genres), len(names)), np.float32)
    for row, of_movie in enumerate(genres):
        matrix[row, [at[name] for name in of_movie or ()]] = 1
    return matrix
