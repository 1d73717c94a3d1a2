"""How a candidate is fitted and judged: the wiring between models, the top-k kernel and the metrics."""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.evaluation import beyond_accuracy, metrics
from recsys.ids import positions
from recsys.models.als import AlsParams, fit_als, training_frame
from recsys.models.biases import fit_biases
from recsys.models.factors import Biases, Factors
from recsys.models.recommender import RatingModel
from recsys.scoring.topk import top_k

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
PerUser = dict[str, NDArray[np.float64]]
_RATINGS_PER_BLOCK = 500_000


@dataclass(frozen=True)
class Ratings:
    """Ratings as columns: users, movies and stars, all of shape (n,)."""

    user_ids: NDArray[np.int32]
    movie_ids: NDArray[np.int32]
    stars: NDArray[np.float32]

    @classmethod
    def from_table(cls, table: pa.Table) -> "Ratings":
        return cls(*(table.column(name).to_numpy() for name in ("user_id", "movie_id", "rating")))

    def __len__(self) -> int:
        return len(self.user_ids)

    def where(self, keep: NDArray[np.bool_]) -> "Ratings":
        return Ratings(self.user_ids[keep], self.movie_ids[keep], self.stars[keep])


class Exam:
    """Training ratings with the questions asked about them: whom to rank for, what would be right.

    Args:
        train: what the models were fitted on; its movies are the catalogue that lists are drawn from.
        test: ratings kept back from the models.
        k: list length.
        relevant_rating: stars from which a held-out movie counts as a good recommendation.
    """

    def __init__(self, train: Ratings, test: Ratings, k: int, relevant_rating: float) -> None:
        self.train, self.test, self.k = train, test, k
        self.catalogue = np.unique(train.movie_ids)
        liked = test.where(test.stars >= relevant_rating)
        self.user_ids = np.unique(liked.user_ids)
        # Movies nobody rated in training cannot be recommended, yet they count as missed.
        self._all_movies = np.union1d(self.catalogue, liked.movie_ids)
        rows = positions(self.user_ids, liked.user_ids)
        self._relevant = np.unique(rows * len(self._all_movies) + positions(self._all_movies, liked.movie_ids))
        self._n_relevant = np.bincount(self._relevant // len(self._all_movies), minlength=len(self.user_ids))

    @cached_property
    def popularity(self) -> Factors:
        """Ratings per movie as a factorisation of rank 1: the same list for everybody."""
        counts = np.bincount(positions(self.catalogue, self.train.movie_ids), minlength=len(self.catalogue))
        users = np.unique(self.train.user_ids)
        return Factors(users, np.ones((len(users), 1), np.float32), self.catalogue, counts[:, None].astype(np.float32))

    def rank(self, factors: Factors) -> NDArray[np.int64]:
        """Movie ids of each examined user's list, best first, padded with -1; shape (n_users, k).

        Users the model does not know get the most popular movies, as they will when served.
        """
        lists = np.full((len(self.user_ids), self.k), -1, np.int64)
        at = positions(factors.user_ids, self.user_ids)
        warm = at >= 0
        lists[warm] = self._top(factors.user_factors[at[warm]], factors, self.user_ids[warm])
        lists[~warm] = self._top(np.ones((int((~warm).sum()), 1), np.float32), self.popularity, self.user_ids[~warm])
        return lists

    def judge_ranking(self, factors: Factors) -> tuple[dict[str, float], PerUser]:
        """Means over users, and the values per user in the order of `user_ids`."""
        lists = self.rank(factors)
        hit = metrics.hits(_index(self._all_movies, lists), self._relevant, len(self._all_movies))
        per_user = {f"{name}_at_{self.k}": f(hit, self._n_relevant) for name, f in metrics.RANKING_METRICS.items()}
        means = {name: float(np.nanmean(values)) for name, values in per_user.items()} if len(hit) else {}
        ranked = _index(self.catalogue, lists)
        means["coverage"] = beyond_accuracy.catalogue_coverage(ranked, len(self.catalogue))
        counts = self.popularity.movie_factors[:, 0].astype(np.int64)
        means["mean_popularity"] = beyond_accuracy.mean_popularity(ranked, counts)
        return means, per_user

    def judge_rating(self, model: RatingModel) -> dict[str, float]:
        """RMSE and MAE in stars over all held-out ratings, cold users and movies included."""
        predicted = model.predict(self.test.user_ids, self.test.movie_ids)
        return {"rmse": metrics.rmse(predicted, self.test.stars), "mae": metrics.mae(predicted, self.test.stars)}

    def n_seen(self) -> NDArray[np.int64]:
        """Training ratings of each of `user_ids`."""
        rows = positions(self.user_ids, self.train.user_ids)
        return np.bincount(rows[rows >= 0], minlength=len(self.user_ids))

    def stars(self, model: RatingModel) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Predicted and actual stars of all held-out ratings."""
        return model.predict(self.test.user_ids, self.test.movie_ids), self.test.stars

    def _top(self, vectors: NDArray[np.float32], factors: Factors, user_ids: NDArray[np.int32]) -> NDArray[np.int64]:
        indptr, indices = self._seen(user_ids, factors.movie_ids)
        found, _ = top_k(vectors, factors.movie_factors, self.k, indptr, indices)
        return np.where(found >= 0, factors.movie_ids[found], -1).astype(np.int64)

    def _seen(
        self, user_ids: NDArray[np.int32], movie_ids: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Rated movies per user as rows of a CSR matrix, in positions of `movie_ids`."""
        rows, columns = positions(user_ids, self.train.user_ids), positions(movie_ids, self.train.movie_ids)
        known = (rows >= 0) & (columns >= 0)
        rows, columns = rows[known], columns[known]
        order = np.lexsort((columns, rows))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(user_ids)))])
        return indptr.astype(np.int64), columns[order].astype(np.int32)


def _index(ids: NDArray[np.int32], lists: NDArray[np.int64]) -> NDArray[np.int64]:
    return positions(ids, lists.ravel()).reshape(lists.shape)


class Fitter:
    """Fits of both models on one set of training ratings, its Spark inputs prepared once.

    `max_iter` holds where a point does not say otherwise.
    """

    def __init__(self, spark: "SparkSession", train: Ratings, seed: int, max_iter: int) -> None:
        self._spark, self._train, self._seed, self._max_iter = spark, train, seed, max_iter
        # Small fits run side by side, one per core: more blocks only add shuffles (3.9 core-s against 3.2 a fit
        # on ml-latest-small).
        n_cores = spark.sparkContext.defaultParallelism
        self._n_blocks = min(n_cores, 1 + len(train) // _RATINGS_PER_BLOCK)
        self.biases: Biases = fit_biases(train.user_ids, train.movie_ids, train.stars)

    @cached_property
    def _preferences(self) -> "DataFrame":
        return self._frame(self._train.stars)

    @cached_property
    def _residuals(self) -> "DataFrame":
        return self._frame(self._train.stars - self.biases.predict(self._train.user_ids, self._train.movie_ids))

    def prepare(self) -> None:
        """Build the inputs now, in this thread: `cached_property` does not lock."""
        _ = self._preferences, self._residuals

    def ranking(self, point: dict[str, Any]) -> Factors:
        """Implicit ALS on the stars as preference strengths."""
        return fit_als(self._preferences, self._params(point), self._n_blocks)

    def rating(self, point: dict[str, Any]) -> RatingModel:
        """Explicit ALS on what the biases leave over."""
        residuals = fit_als(self._residuals, self._params(point), self._n_blocks)
        return RatingModel(self.biases, residuals, float(self._train.stars.min()), float(self._train.stars.max()))

    def _params(self, point: dict[str, Any]) -> AlsParams:
        return AlsParams(**{"max_iter": self._max_iter, **point}, seed=self._seed)

    def _frame(self, labels: NDArray[np.float32]) -> "DataFrame":
        return training_frame(self._spark, self._train.user_ids, self._train.movie_ids, labels, self._n_blocks)
