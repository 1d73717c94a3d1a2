"""How a model is judged: the wiring between models, the top-k kernel and the metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import columns
from recsys.baselines.scorers import LowRank, RatingMatrix, SameForAll, Scorer, rating_matrix
from recsys.errors import ConfigError
from recsys.evaluation import beyond_accuracy, metrics
from recsys.ids import distinct, positions
from recsys.models.factors import Factors
from recsys.models.recommender import RatingModel
from recsys.topk.exact import select_top, top_k

PerUser = dict[str, NDArray[np.float64]]
Lists = NDArray[np.int64]
RankingMetric = Callable[[NDArray[np.bool_], NDArray[np.integer]], NDArray[np.float64]]
_USER_BLOCK = 512
# Diversity compares all raters of the listed movies: at 25 million ratings that is only affordable for some users.
_DIVERSITY_USERS = 2_000


@dataclass(frozen=True)
class Ratings:
    """Ratings as columns: users, movies, stars and UTC timestamps, all of shape (n,)."""

    user_ids: NDArray[np.int32]
    movie_ids: NDArray[np.int32]
    stars: NDArray[np.float32]
    timestamps: NDArray[np.datetime64]

    @classmethod
    def from_table(cls, table: pa.Table) -> "Ratings":
        return cls(*(table.column(name).to_numpy() for name in columns.RATINGS.names))

    def __len__(self) -> int:
        return len(self.user_ids)

    def where(self, keep: NDArray[np.bool_]) -> "Ratings":
        return Ratings(self.user_ids[keep], self.movie_ids[keep], self.stars[keep], self.timestamps[keep])

    def pairs(self) -> NDArray[np.int64]:
        """User and movie of each rating as one number."""
        return (self.user_ids.astype(np.int64) << 32) | self.movie_ids.astype(np.int64)


class Evaluator:
    """Training ratings with the questions asked about them: whom to rank for, what would be right.

    Args:
        train: what the models were fitted on; its movies are the catalogue that lists are drawn from.
        test: ratings kept back from the models.
        k: list length.
        relevant_rating: stars from which a held-out movie counts as a good recommendation.
        has_cold_users: whether lists are asked for users without a training rating too.
        ranking_metrics: what `evaluate_lists` computes, by name.
    """

    def __init__(
        self,
        train: Ratings,
        test: Ratings,
        k: int,
        relevant_rating: float,
        *,
        has_cold_users: bool = True,
        ranking_metrics: Mapping[str, RankingMetric] = metrics.RANKING_METRICS,
    ) -> None:
        self._ranking_metrics = ranking_metrics
        self.train, self.test, self.k, self.relevant_rating = train, test, k, relevant_rating
        self.catalogue = distinct(train.movie_ids)
        liked = test.where(test.stars >= relevant_rating)
        if not has_cold_users:
            liked = liked.where(np.isin(liked.user_ids, train.user_ids))
        self.user_ids = distinct(liked.user_ids)
        # Movies nobody rated in training cannot be recommended, yet they count as missed.
        self._all_movies = np.union1d(self.catalogue, liked.movie_ids)
        rows = positions(self.user_ids, liked.user_ids)
        self._relevant = distinct(rows * len(self._all_movies) + positions(self._all_movies, liked.movie_ids))
        self._n_relevant = np.bincount(self._relevant // len(self._all_movies), minlength=len(self.user_ids))

    @cached_property
    def popularity(self) -> Factors:
        """Ratings per movie as a factorisation of rank 1: the same list for everybody."""
        users, counts = distinct(self.train.user_ids), self._counts[:, None].astype(np.float32)
        return Factors(users, np.ones((len(users), 1), np.float32), self.catalogue, counts)

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        """Training ratings of each movie of the catalogue."""
        return np.bincount(positions(self.catalogue, self.train.movie_ids), minlength=len(self.catalogue))

    def rank(self, factors: Factors) -> Lists:
        """Movie ids of each examined user's list, best first, padded with -1; shape (n_users, k).

        Users the model does not know get the most popular movies, as they will when served.
        """
        lists = np.full((len(self.user_ids), self.k), -1, np.int64)
        at = positions(factors.user_ids, self.user_ids)
        warm = at >= 0
        lists[warm] = self._top(factors.user_factors[at[warm]], factors, self.user_ids[warm])
        lists[~warm] = self._top(np.ones((int((~warm).sum()), 1), np.float32), self.popularity, self.user_ids[~warm])
        return lists

    def rank_all(self, scorer: Scorer) -> Lists:
        """Lists as of `rank`, from a model that scores the whole catalogue: the columns of `matrix`."""
        if isinstance(scorer, SameForAll):
            scorer = LowRank(np.ones((len(self.matrix.user_ids), 1), np.float32), scorer.movie_scores[:, None])
        if isinstance(scorer, LowRank):
            vectors = scorer.user_vectors, self.matrix.movie_ids, scorer.movie_vectors
            return self.rank(Factors(self.matrix.user_ids, *vectors))
        lists = np.full((len(self.user_ids), self.k), -1, np.int64)
        rows = positions(self.matrix.user_ids, self.user_ids)
        warm = np.flatnonzero(rows >= 0)
        for start in range(0, len(warm), _USER_BLOCK):
            users = warm[start : start + _USER_BLOCK]
            scores = scorer.scores(rows[users]).copy()
            seen = self.matrix.stars[rows[users]].tocoo()
            scores[seen.row, seen.col] = -np.inf
            found, _ = select_top(scores, self.k)
            lists[users] = np.where(found >= 0, self.catalogue[found], -1)
        cold = rows < 0
        lists[cold] = self._top(np.ones((int(cold.sum()), 1), np.float32), self.popularity, self.user_ids[cold])
        return lists

    @cached_property
    def matrix(self) -> RatingMatrix:
        """The training ratings as the baselines are fitted on them."""
        return rating_matrix(self.train.user_ids, self.train.movie_ids, self.train.stars)

    @cached_property
    def _raters(self) -> Any:
        """Who rated each movie of the catalogue: a SciPy sparse array of ones; shape (n_movies, n_users)."""
        return self.matrix.stars.astype(bool).astype(np.float32).T.tocsr()

    def evaluate_ranking(self, factors: Factors) -> tuple[dict[str, float], PerUser]:
        """Means over users, and the values per user in the order of `user_ids`."""
        return self.evaluate_lists(self.rank(factors))

    def evaluate_lists(self, lists: Lists) -> tuple[dict[str, float], PerUser]:
        """Accuracy of lists in the order of `user_ids`: means over users, and the values per user.

        Raises:
            ConfigError: nothing held out counts as a good recommendation, so no list can be right.
        """
        if not len(self.user_ids):
            raise ConfigError(none_relevant(self.test.stars, self.relevant_rating))
        hit = metrics.hits(_index(self._all_movies, lists), self._relevant, len(self._all_movies))
        per_user = {f"{name}_at_{self.k}": f(hit, self._n_relevant) for name, f in self._ranking_metrics.items()}
        means = {name: float(np.nanmean(values)) for name, values in per_user.items()}
        ranked = _index(self.catalogue, lists)
        means["coverage"] = beyond_accuracy.catalogue_coverage(ranked, len(self.catalogue))
        means["mean_popularity"] = beyond_accuracy.mean_popularity(ranked, self._counts)
        return means, per_user

    def describe_lists(self, lists: Lists) -> dict[str, float]:
        """What the lists are like, whether right or wrong: Gini of exposure, novelty, diversity, popularity lift.

        Diversity is of at most 2,000 users, evenly spread over the ids.
        """
        ranked = _index(self.catalogue, lists)
        some = ranked[np.unique(np.linspace(0, len(ranked) - 1, _DIVERSITY_USERS).astype(np.int64))]
        return {
            "gini": beyond_accuracy.exposure_gini(ranked, len(self.catalogue)),
            "novelty": _mean(beyond_accuracy.novelty(ranked, self._counts)),
            "diversity": _mean(beyond_accuracy.intra_list_diversity(some, self._raters)),
            "popularity_lift": beyond_accuracy.popularity_lift(
                ranked, self._counts, *self._seen(self.user_ids, self.catalogue)
            ),
        }

    def evaluate_rating(self, model: RatingModel) -> dict[str, float]:
        """RMSE, MAE and R² of the stars over all held-out ratings, cold users and movies included.

        `rating_coverage` is the share of them whose user and movie both have factors; the rest gets the bias part.
        """
        predicted, actual = self.stars(model)
        warm = positions(model.residuals.user_ids, self.test.user_ids) >= 0
        warm &= positions(model.residuals.movie_ids, self.test.movie_ids) >= 0
        return {
            "rmse": metrics.rmse(predicted, actual),
            "mae": metrics.mae(predicted, actual),
            "r2": metrics.rsquared(predicted, actual),
            "rating_coverage": float(warm.mean()),
        }

    def n_seen(self) -> NDArray[np.int64]:
        """Training ratings of each of `user_ids`."""
        rows = positions(self.user_ids, self.train.user_ids)
        return np.bincount(rows[rows >= 0], minlength=len(self.user_ids))

    def stars(self, model: RatingModel) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Predicted and actual stars of all held-out ratings."""
        return model.predict(self.test.user_ids, self.test.movie_ids), self.test.stars

    def _top(self, vectors: NDArray[np.float32], factors: Factors, user_ids: NDArray[np.int32]) -> Lists:
        indptr, indices = self._seen(user_ids, factors.movie_ids)
        found, _ = top_k(vectors, factors.movie_factors, self.k, indptr, indices)
        return np.where(found >= 0, factors.movie_ids[found], -1).astype(np.int64)

    def _seen(
        self, user_ids: NDArray[np.int32], movie_ids: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Rated movies per user as rows of a CSR matrix, in positions of `movie_ids`, which ascend."""
        at = positions(self.matrix.user_ids, user_ids)
        rated = self.matrix.stars[at[at >= 0]]
        lengths = np.zeros(len(user_ids), np.int64)
        lengths[at >= 0] = np.diff(rated.indptr)
        indptr, indices = np.concatenate([[0], np.cumsum(lengths)]), rated.indices
        if not np.array_equal(movie_ids, self.catalogue):
            indices = positions(movie_ids, self.catalogue)[indices]
            known = indices >= 0
            indptr, indices = np.concatenate([[0], np.cumsum(known)])[indptr], indices[known]
        return indptr, indices.astype(np.int32, copy=False)


def none_relevant(stars: NDArray[np.floating], relevant_rating: float) -> str:
    """What to say where none of the ratings that lists are judged by reaches `relevant_rating`.

    >>> none_relevant(np.array([1.0, 3.5]), 4.0).split(". ")[0]
    'None of the 2 ratings that lists are judged by reaches relevant_rating 4, the highest is 3.5'
    """
    highest = f"the highest is {stars.max():g}" if len(stars) else "as there are none"
    return (
        f"None of the {len(stars):,} ratings that lists are judged by reaches relevant_rating {relevant_rating:g}, "
        f"{highest}. Lists cannot be judged so, and nothing was trained. Lower relevant_rating to what counts as liked "
        "on this scale, or hold out more ratings (holdout_fraction, fewer n_folds)."
    )


def _index(ids: NDArray[np.int32], lists: NDArray[np.int64]) -> NDArray[np.int64]:
    return positions(ids, lists.ravel()).reshape(lists.shape)


def _mean(values: NDArray[np.float64]) -> float:
    """Over those that are known; NaN where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
