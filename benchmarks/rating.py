"""The search for a rating model: explicit points by RMSE inside train, and a blend of explicit and implicit members."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.fitting import Fits, Job, Params, ranking_job, rating_job, rating_model
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.evaluation.metrics import rmse
from recsys.models.biases import fit_biases
from recsys.models.blend import Blend, Support, blend_columns, blended, crossfitted, fit_blend
from recsys.models.ensemble import grow
from recsys.models.recommender import RatingModel

log = logging.getLogger(__name__)
# Stars of RMSE a further member must bring on validation, or it is not worth its fit.
_LEAST_GAIN = 1e-4


class Choice(NamedTuple):
    """What validation chose.

    Attributes:
        single: the best explicit point.
        single_rmse: its RMSE on validation.
        members: points of the blend; those with a flavour are implicit.
        blend: their weights.
        rmse: of the blend on validation, its weights cross-fitted.
    """

    single: Params
    single_rmse: float
    members: list[Params]
    blend: Blend
    rmse: float


class OutOfFold(NamedTuple):
    """Every candidate's scores of ratings it was not fitted on.

    Attributes:
        columns: `blend_columns` of all candidates; shape (n, 2 * n_candidates + 6).
        stars: shape (n,).
        base: the bias part, in stars; shape (n,).
    """

    columns: NDArray[np.float64]
    stars: NDArray[np.float32]
    base: NDArray[np.float32]

    def error(self, rest: NDArray[np.floating]) -> float:
        """RMSE of the bias part with `rest` on top, clipped to the scale."""
        return rmse(np.clip(self.base + rest, self.stars.min(), self.stars.max()), self.stars)

    def of(self, members: Sequence[int]) -> NDArray[np.float64]:
        """The columns of a blend of some candidates."""
        n = (self.columns.shape[1] - 6) // 2
        return self.columns[:, [*members, *(n + i for i in members), *range(2 * n, 2 * n + 6)]]


def choose(fits: Fits, evaluators: Sequence[Evaluator], points: Sequence[Params], n_members: int) -> Choice:
    """Judge explicit points by RMSE, then choose blend members greedily, with weights from out-of-fold scores.

    Args:
        fits: runs the fits.
        evaluators: the folds, carved out of train.
        points: explicit ones, and implicit ones, which have a flavour.
        n_members: members of the blend at most.
    """
    held = _score_out_of_fold(fits, evaluators, points)
    explicit = [i for i, point in enumerate(points) if "flavour" not in point]
    alone = [held.error(held.columns[:, i]) for i in explicit]
    for i in np.argsort(alone):
        log.info("validation RMSE %.4f: %s", alone[i], points[explicit[i]])
    rest = held.stars - held.base

    def value(members: tuple[int, ...]) -> float:
        return -held.error(crossfitted(held.of(members), rest))

    members, gained = grow(value, len(points), n_members, _LEAST_GAIN, repeats=False)
    chosen = [points[i] for i in members]
    log.info("validation RMSE %.4f by %s", -gained, chosen)
    single = points[explicit[int(np.argmin(alone))]]
    return Choice(single, min(alone), chosen, fit_blend(held.of(members), rest), -gained)


def fit_single(fits: Fits, train: Ratings, choice: Choice) -> RatingModel:
    """Biases and the best explicit fit on all of `train`."""
    [factors] = fits.all("rating model", [partial(_job, train, choice.single, fits.max_iter)])
    return rating_model(train, factors)


def fit_chosen_blend(fits: Fits, train: Ratings, choice: Choice) -> RatingModel:
    """Biases and the blend, its members fitted on all of `train`, its weights as validation gave them."""
    members = fits.all("blend members", [partial(_job, train, point, fits.max_iter) for point in choice.members])
    return rating_model(train, blended(members, choice.blend, Support.of(train.user_ids, train.movie_ids)))


def _job(train: Ratings, point: Params, max_iter: int) -> Job:
    if "flavour" in point:
        return ranking_job(train, point, max_iter, seed=1)
    return rating_job(train, fit_biases(train.user_ids, train.movie_ids, train.stars), point, max_iter, seed=1)


def _score_out_of_fold(fits: Fits, evaluators: Sequence[Evaluator], points: Sequence[Params]) -> OutOfFold:
    jobs = [partial(_job, evaluator.train, point, fits.max_iter) for evaluator in evaluators for point in points]
    models = iter(fits.all("rating search", jobs))
    columns, base = [], []
    for evaluator in evaluators:
        train, pairs = evaluator.train, (evaluator.test.user_ids, evaluator.test.movie_ids)
        scores = np.column_stack([next(models).dot(*pairs) for _ in points])
        columns.append(blend_columns(scores, Support.of(train.user_ids, train.movie_ids), *pairs))
        base.append(fit_biases(train.user_ids, train.movie_ids, train.stars).predict(*pairs))
    stars = np.concatenate([evaluator.test.stars for evaluator in evaluators])
    return OutOfFold(np.concatenate(columns), stars, np.concatenate(base))
