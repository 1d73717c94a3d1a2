"""The search for a rating model: explicit points by RMSE inside train, and a blend of explicit and implicit members."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.fitting import Fits, Point, ranking_job, rating_job, rating_model
from benchmarks.protocols import Columns
from benchmarks.ranking import grow
from recsys.evaluation.metrics import rmse
from recsys.models.biases import fit_biases
from recsys.models.blend import Blend, Support, blend_columns, blended, crossfitted, fit_blend
from recsys.models.recommender import RatingModel

log = logging.getLogger(__name__)
# Stars of RMSE a further member must bring on validation, or it is not worth its fit.
_LEAST_GAIN = 1e-4


class Carve(NamedTuple):
    """One fold inside train."""

    train: Columns
    validation: Columns


class Choice(NamedTuple):
    """What validation chose.

    Attributes:
        single: the best explicit point.
        single_rmse: its RMSE on validation.
        members: points of the blend; those with a flavour are implicit.
        blend: their weights.
        rmse: of the blend on validation, its weights cross-fitted.
    """

    single: Point
    single_rmse: float
    members: list[Point]
    blend: Blend
    rmse: float


def choose(fits: Fits, carves: Sequence[Carve], points: Sequence[Point], n_members: int) -> Choice:
    """Judge explicit points by RMSE, then choose blend members greedily, with weights from out-of-fold scores.

    Args:
        fits: runs the fits.
        carves: folds inside train.
        points: explicit ones, and implicit ones, which have a flavour.
        n_members: members of the blend at most.
    """
    jobs = [partial(_job, carve.train, point, fits.max_iter) for point in points for carve in carves]
    models = iter(fits.all("rating search", jobs))
    of_point = [[next(models).dot(c.validation.user_ids, c.validation.movie_ids) for c in carves] for _ in points]
    cut = [np.column_stack(of_carve) for of_carve in zip(*of_point, strict=True)]
    scores = np.concatenate(cut)
    stars = np.concatenate([carve.validation.stars for carve in carves])
    base = np.concatenate([_bias_part(carve) for carve in carves])
    low, high = stars.min(), stars.max()

    def error(rest: NDArray[np.floating]) -> float:
        return rmse(np.clip(base + rest, low, high), stars)

    explicit = [i for i, point in enumerate(points) if "flavour" not in point]
    alone = [error(scores[:, i]) for i in explicit]
    for i in np.argsort(alone):
        log.info("validation RMSE %.4f: %s", alone[i], points[explicit[i]])
    best = explicit[int(np.argmin(alone))]

    columns = np.concatenate([_columns(carve, part) for carve, part in zip(carves, cut, strict=True)])

    def of_members(chosen: tuple[int, ...]) -> NDArray[np.float64]:
        shift = range(2 * len(points), columns.shape[1])
        return columns[:, [*chosen, *(len(points) + i for i in chosen), *shift]]

    def value(chosen: tuple[int, ...]) -> float:
        return -error(crossfitted(of_members(chosen), stars - base))

    members, gained = grow(value, len(points), n_members, _LEAST_GAIN, repeats=False)
    blend = fit_blend(of_members(members), stars - base)
    log.info("validation RMSE %.4f by %s", -gained, [points[i] for i in members])
    return Choice(points[best], min(alone), [points[i] for i in members], blend, -gained)


def fit_single(fits: Fits, train: Columns, choice: Choice) -> RatingModel:
    """Biases and the best explicit fit on all of `train`."""
    [factors] = fits.all("rating model", [partial(_job, train, choice.single, fits.max_iter)])
    return rating_model(train, factors)


def fit_chosen_blend(fits: Fits, train: Columns, choice: Choice) -> RatingModel:
    """Biases and the blend, its members fitted on all of `train`, its weights as validation gave them."""
    members = fits.all("blend members", [partial(_job, train, point, fits.max_iter) for point in choice.members])
    return rating_model(train, blended(members, choice.blend, Support.of(train.user_ids, train.movie_ids)))


def _job(train: Columns, point: Point, max_iter: int) -> object:
    if "flavour" in point:
        return ranking_job(train, point, max_iter, seed=1)
    return rating_job(train, fit_biases(train.user_ids, train.movie_ids, train.stars), point, max_iter, seed=1)


def _columns(carve: Carve, scores: NDArray[np.float32]) -> NDArray[np.float64]:
    support = Support.of(carve.train.user_ids, carve.train.movie_ids)
    return blend_columns(scores, support, carve.validation.user_ids, carve.validation.movie_ids)


def _bias_part(carve: Carve) -> NDArray[np.float32]:
    biases = fit_biases(carve.train.user_ids, carve.train.movie_ids, carve.train.stars)
    return biases.predict(carve.validation.user_ids, carve.validation.movie_ids)
