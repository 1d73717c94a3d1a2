"""What ours is compared with, chosen on the same validation folds: all baselines, and explicit ALS as usually used."""

import itertools
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.fitting import Fits, Params, rating_model, stars_job, stars_model
from benchmarks.ranking import ndcg
from recsys.baselines.baselines import BASELINES
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.models.factors import Factors
from recsys.models.recommender import RatingModel

log = logging.getLogger(__name__)
GRIDS: dict[str, dict[str, list[Any]]] = {
    "svd": {"rank": [8, 16, 32, 64]},
    "svd_cosine": {"rank": [8, 16, 32, 64]},
    "pca_cosine": {"rank": [8, 16, 32, 64]},
    "item_knn": {"n_neighbours": [50, 100, 200], "shrinkage": [0.0, 100.0, 1000.0]},
    "ease": {"reg_param": [100.0, 200.0, 400.0, 800.0, 1600.0]},
}
STARS_GRID: list[Params] = [{"rank": 10, "reg_param": reg_param} for reg_param in (0.02, 0.05, 0.1, 0.2)]


def choose_baseline(name: str, evaluators: Sequence[Evaluator]) -> Params:
    """The setting of a baseline with the best mean nDCG over the folds; none where it has none."""
    grid = GRIDS.get(name, {})
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(points) == 1:
        return points[0]
    values = [
        np.mean(
            [
                ndcg(evaluator, evaluator.rank_all(BASELINES[name](evaluator.matrix.stars, **p)))
                for evaluator in evaluators
            ]
        )
        for p in points
    ]
    best = int(np.argmax(values))
    log.info("%s: validation nDCG %.4f with %s", name, values[best], points[best])
    return points[best]


def choose_stars(fits: Fits, evaluator: Evaluator) -> Params:
    """The setting of explicit ALS on raw stars with the lowest RMSE: what tuning it for lists usually means."""
    jobs = [partial(stars_job, evaluator.train, point, fits.max_iter, 1) for point in STARS_GRID]
    models = [stars_model(evaluator.train, factors) for factors in fits.all("explicit ALS", jobs)]
    errors = [evaluator.evaluate_rating(model)["rmse"] for model in models]
    return STARS_GRID[int(np.argmin(errors))]


def fit_stars(fits: Fits, train: Ratings, point: Params) -> Factors:
    """Explicit ALS on raw stars."""
    [factors] = fits.all("explicit ALS", [partial(stars_job, train, point, fits.max_iter, 1)])
    return factors


def biases_alone(train: Ratings) -> RatingModel:
    """Damped user and movie averages."""
    none, nothing = np.empty(0, np.int32), np.empty((0, 1), np.float32)
    return rating_model(train, Factors(none, nothing, none, nothing))
