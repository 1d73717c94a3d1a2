"""MLlib fits of the benchmarks, side by side: every model of ours comes from `recsys.models.als.fit_als`."""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.evaluator import Ratings
from recsys.models.als import AlsParams, fit_als, training_frame
from recsys.models.biases import fit_biases
from recsys.models.factors import Biases, Factors
from recsys.models.preferences import preference
from recsys.models.recommender import RatingModel

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)
Params = dict[str, Any]
# What a rating says about wanting a movie, by a short name: arguments of `preference`.
FLAVOURS: dict[str, dict[str, Any]] = {
    "all": {"scheme": "all"},
    "root": {"scheme": "stars", "power": 0.5},
    "stars": {"scheme": "stars"},
    "squared": {"scheme": "stars", "power": 2.0},
    "centred": {"scheme": "centred"},
    "liked": {"scheme": "liked"},
}


class Job(NamedTuple):
    """One fit: on these ratings, with these labels."""

    train: Ratings
    labels: NDArray[np.float32]
    params: AlsParams


def ranking_job(train: Ratings, point: Params, max_iter: int, seed: int) -> Job:
    """An implicit fit of a point: flavour, strength, rank and reg_param.

    `strength` is the confidence that the average label adds, whatever the flavour's unit: alpha times that label.
    """
    flavour = FLAVOURS[point["flavour"]]
    labels = preference(train.stars, train.user_ids, train.timestamps, **flavour)
    alpha = point["strength"] / float(np.abs(labels[labels != 0]).mean())
    params = AlsParams(
        rank=point["rank"], reg_param=point["reg_param"], alpha=float(f"{alpha:.4g}"), max_iter=max_iter, seed=seed
    )
    return Job(train, labels, params)


def as_fitted(train: Ratings, point: Params) -> Params:
    """The point as MLlib was told it: with the alpha that its strength came to."""
    return {**point, "alpha": ranking_job(train, point, 1, 0).params.alpha} if "flavour" in point else point


def rating_job(train: Ratings, biases: Biases, point: Params, max_iter: int, seed: int) -> Job:
    """An explicit fit on what the biases leave over; a point is rank and reg_param."""
    rest = train.stars - biases.predict(train.user_ids, train.movie_ids)
    return Job(train, rest, AlsParams(**point, max_iter=max_iter, seed=seed))


def stars_job(train: Ratings, point: Params, max_iter: int, seed: int) -> Job:
    """An explicit fit on the stars as they are, as tutorials do it."""
    return Job(train, train.stars, AlsParams(**point, max_iter=max_iter, seed=seed))


def rating_model(train: Ratings, rest: Factors) -> RatingModel:
    """Biases of the training ratings, with factors for what they leave over."""
    biases = fit_biases(train.user_ids, train.movie_ids, train.stars)
    return RatingModel(biases, rest, float(train.stars.min()), float(train.stars.max()))


def stars_model(train: Ratings, factors: Factors) -> RatingModel:
    """Stars as the dot product alone; pairs that are cold get the mean of all stars, for want of anything better."""
    none, nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    mean = float(train.stars.mean(dtype=np.float64))
    shifted = Factors(
        factors.user_ids,
        np.column_stack([factors.user_factors, np.full(len(factors.user_ids), -mean, np.float32)]),
        factors.movie_ids,
        np.column_stack([factors.movie_factors, np.ones(len(factors.movie_ids), np.float32)]),
    )
    biases = Biases(mean, none, nothing, none, nothing)
    return RatingModel(biases, shifted, float(train.stars.min()), float(train.stars.max()))


class Fits:
    """Runs fits, as many at once as Spark has cores: on a million ratings and fewer that is faster than more blocks."""

    def __init__(self, spark: "SparkSession", max_iter: int) -> None:
        self.max_iter = max_iter
        self._spark, self._n_parallel = spark, spark.sparkContext.defaultParallelism

    def all(self, what: str, jobs: Iterable[Callable[[], Job]]) -> list[Factors]:
        """The fitted models in the order of the jobs; jobs are made when their turn comes."""
        makers, begun = list(jobs), time.monotonic()
        results = []
        with ThreadPoolExecutor(self._n_parallel) as pool:
            for factors in pool.map(self._fit, makers):
                results.append(factors)
                spent = time.monotonic() - begun
                left = spent / len(results) * (len(makers) - len(results))
                log.info(
                    "%s: fit %d of %d after %.0f s, about %.0f s left", what, len(results), len(makers), spent, left
                )
        return results

    def _fit(self, make: Callable[[], Job]) -> Factors:
        train, labels, params = make()
        frame = training_frame(self._spark, train.user_ids, train.movie_ids, labels, n_partitions=1)
        try:
            return fit_als(frame, params, n_blocks=1)
        finally:
            frame.unpersist()
