"""Neighbours of every movie: by taste where the model knows the movie, by genre where it does not.

The rule, in order, until a movie has ``min(n, catalogue - 1)`` neighbours:

1. A movie with factors gets the movies whose factors point the same way (cosine), or are close (Euclidean distance,
   negated), of those that enough people have rated (source "als"). Factors of a movie with three ratings say more about
   three people than about the movie: without that rule such movies are everybody's neighbours.
2. What is missing comes from the genres (source "genres"): the share of genres in common (Jaccard), ties by
   popularity, then by lower id. For movies with factors it holds only movies that rule 1 does not list; for movies
   nobody rated in training it is the whole list, over the whole catalogue.

Factors of length zero have no direction; such a movie counts as one without factors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import columns
from recsys.ids import positions
from recsys.topk.exact import Floats, Indices, MovieFactors, select_top, top_k
from recsys.topk.lists import ALS, counts_of

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
        queries: what stands for each of them on its own list; shape (len(warm), r).
        listed: positions in `catalogue` of those that may stand on lists by factors, ascending.
        candidates: what stands for each of these on others' lists; (len(listed), r).
        is_distance: whether scores are negated distances; else cosines.
        by_popularity: positions in `catalogue`, most rated in training first, ties by lower id.
        genres: 1 where a movie has a genre, else 0, in the order of `catalogue`; shape (m, n_genres).
    """

    n: int
    catalogue: Indices
    warm: NDArray[np.int64]
    queries: Floats
    listed: NDArray[np.int64]
    candidates: MovieFactors
    is_distance: bool
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
        neighbours[known], scores[known] = self._by_factors(at[known])
        is_als = neighbours >= 0
        short = np.flatnonzero(~is_als[:, -1])
        for start in range(0, len(short), _BLOCK):
            self._top_up(movies, short[start : start + _BLOCK], neighbours, scores)
        return neighbours, scores, is_als

    def _by_factors(self, rows: NDArray[np.int64]) -> tuple[Indices, Floats]:
        """Positions in the catalogue padded with -1, and scores, of movies at `rows` of `warm`; both (len(rows), n)."""
        # Each movie is the one that its own list leaves out, if it may be listed at all.
        own = positions(self.listed.astype(np.int32), self.warm[rows].astype(np.int32))
        indptr = np.concatenate([[0], np.cumsum(own >= 0)])
        found, scores = top_k(self.queries[rows], self.candidates, self.n, indptr, own[own >= 0])
        if self.is_distance:
            found, scores = self._nearest(rows, found)
        else:
            scores = np.where(found >= 0, np.clip(scores, -1, 1), -np.inf)  # rounding exceeds 1 by 1e-7
        return np.append(self.listed, -1)[found].astype(np.int32), scores.astype(np.float32)

    def _nearest(self, rows: NDArray[np.int64], found: Indices) -> tuple[Indices, Floats]:
        """The found candidates with their negated distances: taken from the product they would be all rounding."""
        points, others = self.queries[rows, None, :-1].astype(np.float64), self.candidates.factors[found, :-1]
        distances = np.sqrt(((points - others) ** 2).sum(axis=2)).astype(np.float32)
        scores = np.where(found >= 0, -distances, -np.inf)
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _top_up(self, movies: NDArray[np.int64], rows: NDArray[np.int64], neighbours: Indices, scores: Floats) -> None:
        """Fill the empty places of some rows with movies of like genres, in place."""
        jaccard = self._jaccard(movies[rows])
        jaccard[np.arange(len(rows)), movies[rows]] = -np.inf
        has_some = neighbours[rows, 0] >= 0
        jaccard[np.ix_(has_some, self.listed)] = -np.inf
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
    similarity: str = "cosine",
    min_support: int = 0,
) -> SimilarModel:
    """Line a trained model up with the movies of a snapshot.

    Args:
        ranking: movie_ids ascending, movie_factors.
        popular: movie_ids and the number of their training ratings, in any order.
        catalogue: movie ids of the snapshot, in any order, none twice.
        genres: genre names of each movie, in the order of `catalogue`.
        n: neighbours per movie.
        similarity: ``cosine`` or ``euclidean``.
        min_support: training ratings a movie needs to stand on lists by factors.
    """
    order = np.argsort(catalogue)
    in_order = np.asarray(catalogue, np.int32)[order]
    movie_ids, factors = ranking
    lengths = np.sqrt(np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
    warm = positions(in_order, movie_ids)
    keep = (warm >= 0) & (lengths > 0)
    warm, counts = warm[keep], counts_of(in_order, *popular)
    queries, candidates = _sides(factors[keep], lengths[keep], similarity)
    is_listed = counts[warm] >= min_support
    return SimilarModel(
        n,
        in_order,
        warm,
        queries,
        warm[is_listed],
        MovieFactors(candidates[is_listed]),
        similarity == "euclidean",
        np.argsort(-counts, kind="stable"),
        _one_hot([genres[at] for at in order]),
    )


def _sides(factors: Floats, lengths: NDArray[np.float64], similarity: str) -> tuple[Floats, Floats]:
    """Vectors whose products order the movies: cosines, or ``x·y - |y|²/2``, which falls with the distance."""
    if similarity == "cosine":
        directions = (factors / lengths[:, None]).astype(np.float32)
        return directions, directions
    ones, halves = np.ones((len(factors), 1), np.float32), (-(lengths**2) / 2)[:, None].astype(np.float32)
    return np.hstack([factors, ones]), np.hstack([factors, halves])


def _one_hot(genres: Sequence[Sequence[str] | None]) -> Floats:
    names = sorted({name for of_movie in genres for name in of_movie or ()})
    at = {name: column for column, name in enumerate(names)}
    matrix = np.zeros((len(genres), len(names)), np.float32)
    for row, of_movie in enumerate(genres):
        matrix[row, [at[name] for name in of_movie or ()]] = 1
    return matrix
