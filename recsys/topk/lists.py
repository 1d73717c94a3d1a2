"""A list for every user: the ranking model's movies for known users, the most popular ones for the rest.

The rule, in order, until a list is ``min(k, unseen movies of the catalogue)`` long:

1. A user the ranking model knows gets its movies by score (source "als"; "fold_in" where the user came after the
   training, and was folded in from the ratings of the snapshot).
2. What is missing comes from the fallback (source "popular"): the catalogue by training ratings, most
   rated first, ties by lower id, so movies nobody rated in training come last, by id. For known users
   it holds only movies without factors; for unknown users it is the whole list.

A movie the user has rated in the snapshot is never on the list, and only movies of the snapshot are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import columns
from recsys.ids import positions
from recsys.storage.seen_lists import Seen, list_rows
from recsys.topk.exact import Floats, Indices, MovieFactors, top_k

ALS, FOLD_IN, POPULAR = "als", "fold_in", "popular"
Predict = Callable[[NDArray[np.integer], NDArray[np.integer]], Floats]


@dataclass(frozen=True)
class ListModel:
    """Everything a worker needs to make lists; built by `list_model`, broadcast once.

    Attributes:
        k: list length.
        predict: stars of pairs of user and movie ids, both of shape (n,); None where there is no rating model.
        user_ids: users of the ranking model, ascending.
        user_factors: shape (n_users, rank).
        catalogue: movie ids of the snapshot, ascending.
        warm: positions in `catalogue` of the movies that have factors.
        movie_factors: their factors; (len(warm), rank).
        fallback: positions in `catalogue`, all of them, in the order of the fallback list.
        popularity: score of each in (0, 1], 0 for movies nobody rated in training; same order.
        folded: those of `user_ids` that came after the training.
    """

    k: int
    predict: Predict | None
    user_ids: Indices
    user_factors: Floats
    catalogue: Indices
    warm: NDArray[np.int64]
    movie_factors: MovieFactors
    fallback: NDArray[np.int64]
    popularity: Floats
    folded: Indices

    def __call__(self, batch: pa.RecordBatch) -> pa.Table:
        """Rows of columns.RECOMMENDATIONS for a batch with columns user_id and seen (rated movie ids)."""
        users = batch.column(columns.USER_ID).to_numpy()
        rows, movie_ids = list_rows(batch.column(columns.SEEN))
        movies = positions(self.catalogue, movie_ids)
        # A rated movie that is not in the catalogue cannot be recommended anyway.
        seen = Seen(rows[movies >= 0], movies[movies >= 0], len(users), len(self.catalogue))
        return self._table(users, *self._rank(users, seen))

    def _rank(self, users: Indices, seen: Seen) -> tuple[Indices, Floats, NDArray[np.bool_]]:
        """Positions in the catalogue padded with -1, scores, and where they are the model's; each (n, k)."""
        at = positions(self.user_ids, users)
        known, unknown = np.flatnonzero(at >= 0), np.flatnonzero(at < 0)
        movies = np.full((len(users), self.k), -1, np.int32)
        scores = np.full((len(users), self.k), -np.inf, np.float32)
        movies[known], scores[known] = self._top(
            self.user_factors[at[known]], self.movie_factors, self.warm, known, seen
        )
        is_als = movies >= 0
        short = known[~is_als[known, -1]]
        for rows, rest in ((unknown, np.ones(len(self.fallback), bool)), (short, ~np.isin(self.fallback, self.warm))):
            if not len(rows):
                continue
            ones, popularity = np.ones((len(rows), 1), np.float32), self.popularity[rest, None]
            more, more_scores = self._top(ones, popularity, self.fallback[rest], rows, seen)
            # Stable: what a list holds stays in front, only its empty places move to the end.
            joined = np.hstack([movies[rows], more])
            order = np.argsort(joined < 0, axis=1, kind="stable")[:, : self.k]
            movies[rows] = np.take_along_axis(joined, order, axis=1)
            scores[rows] = np.take_along_axis(np.hstack([scores[rows], more_scores]), order, axis=1)
        return movies, scores, is_als

    def _top(
        self,
        vectors: Floats,
        factors: Floats | MovieFactors,
        movies: NDArray[np.int64],
        rows: NDArray[np.int64],
        seen: Seen,
    ) -> tuple[Indices, Floats]:
        """`top_k` of the users at `rows` over `movies`, answered in positions in the catalogue."""
        found, scores = top_k(vectors, factors, self.k, *seen.among(rows, movies))
        in_catalogue = np.append(movies, -1)  # a place that stays empty is -1, which picks the last element
        return in_catalogue[found].astype(np.int32), scores

    def _table(self, users: Indices, movies: Indices, scores: Floats, is_als: NDArray[np.bool_]) -> pa.Table:
        rows, places = np.nonzero(movies >= 0)
        user_ids, movie_ids = users[rows], self.catalogue[movies[rows, places]]
        kinds = is_als[rows, places] * (1 + np.isin(user_ids, self.folded))
        sources = pa.DictionaryArray.from_arrays(kinds.astype(np.int8), [POPULAR, ALS, FOLD_IN])
        values = [user_ids, (places + 1).astype(np.int16), movie_ids, scores[rows, places]]
        predicted = pa.nulls(len(rows), pa.float32()) if self.predict is None else self.predict(user_ids, movie_ids)
        arrays = [*map(pa.array, [*values, predicted]), sources.cast(pa.string())]
        return pa.Table.from_arrays(arrays, schema=columns.RECOMMENDATIONS)


def list_model(
    ranking: tuple[Indices, Floats, Indices, Floats],
    popular: tuple[Indices, NDArray[np.int32]],
    catalogue: Indices,
    predict: Predict | None,
    k: int,
    folded: Indices | None = None,
) -> ListModel:
    """Line a trained model up with the movies of a snapshot.

    Args:
        ranking: user_ids ascending, user_factors, movie_ids ascending, movie_factors.
        popular: movie_ids and the number of their training ratings, in any order.
        catalogue: movie ids of the snapshot, in any order.
        predict: stars of pairs; must be picklable. None where there is no rating model.
        k: list length.
        folded: users of `ranking` that were folded in after the training; nobody by default.
    """
    user_ids, user_factors, movie_ids, movie_factors = ranking
    catalogue = np.unique(catalogue)
    warm = positions(catalogue, movie_ids)
    counts = counts_of(catalogue, *popular)
    fallback = np.argsort(-counts, kind="stable")
    most = max(1, int(counts.max(initial=0)))
    return ListModel(
        k,
        predict,
        user_ids,
        user_factors,
        catalogue,
        warm[warm >= 0],
        MovieFactors(movie_factors[warm >= 0]),
        fallback,
        (counts[fallback] / most).astype(np.float32),
        np.empty(0, np.int32) if folded is None else folded,
    )


def counts_of(catalogue: Indices, movie_ids: Indices, counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Counts by movie, in the order of the catalogue; 0 where none is known.

    >>> counts_of(np.array([1, 2, 3], np.int32), np.array([3, 9], np.int32), np.array([5, 4])).tolist()
    [0, 0, 5]
    """
    at = positions(catalogue, movie_ids)
    in_order = np.zeros(len(catalogue), np.int64)
    in_order[at[at >= 0]] = counts[at >= 0]
    return in_order
