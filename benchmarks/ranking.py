"""The search for a ranking model: points are judged inside train, the best of them are put together."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.fitting import Fits, Params, ranking_job
from recsys.baselines.scorers import Rows
from recsys.evaluation.evaluator import Evaluator, Lists, Ratings
from recsys.ids import positions
from recsys.models.ensemble import grow, weighted_sum
from recsys.models.factors import Factors, Floats
from recsys.search.space import Space, different, halton

log = logging.getLogger(__name__)


class Budget(NamedTuple):
    """How much is tried.

    Attributes:
        n_points: points judged on the first folds.
        n_first_folds: how many folds those are.
        n_finalists: points judged on all folds.
        n_members: fits in the ensemble at most, not counting seeds.
        n_seeds: seeds of each member.
        n_start: members from the beginning, the best by themselves: the "sorted initialization" that Caruana et al.
            (2004) set against learning the validation data. Where test is another period, greedy selection from
            nothing does.
    """

    n_points: int
    n_first_folds: int
    n_finalists: int
    n_members: int
    n_seeds: int
    n_start: int = 0


class Choice(NamedTuple):
    """What validation chose: the best point, and the members of the best ensemble (a point may occur twice)."""

    single: Params
    single_value: float
    members: list[Params]
    value: float


class Scored:
    """Scores that are known of every movie for the users of an evaluator: sums of scores, which are asked about often.

    Args:
        evaluator: whose users and movies they are.
        scores: shape (n_users, n_movies).
    """

    def __init__(self, evaluator: Evaluator, scores: Floats) -> None:
        self._rows, self._scores = positions(evaluator.matrix.user_ids, evaluator.user_ids), scores

    def scores(self, user_rows: Rows) -> Floats:
        """As of `Scorer`."""
        return self._scores[np.searchsorted(self._rows, user_rows)]


def all_scores(evaluator: Evaluator, factors: Factors) -> Floats:
    """Scores of all movies for an evaluator's users, 0 of those the model does not know; shape (n_users, n_movies)."""
    users, movies = (
        np.where((at >= 0)[:, None], vectors[at], np.float32(0))
        for at, vectors in (
            (positions(factors.user_ids, evaluator.user_ids), factors.user_factors),
            (positions(factors.movie_ids, evaluator.catalogue), factors.movie_factors),
        )
    )
    scores: Floats = users @ movies.T
    return scores


def ndcg(evaluator: Evaluator, lists: Lists) -> float:
    """Mean nDCG of lists."""
    return evaluator.evaluate_lists(lists)[0][f"ndcg_at_{evaluator.k}"]


def candidates(flavours: Sequence[str], space: Space, n: int, first: Sequence[Params], seed: int = 42) -> list[Params]:
    """`first`, then drawn points whose flavours, if any, take turns; `n` in all. A drawn rank is rounded.

    >>> from recsys.search.space import LogUniform
    >>> candidates(["stars"], {"rank": LogUniform(4, 4), "reg_param": LogUniform(0.1, 0.1)}, 1, [])
    [{'rank': 4, 'reg_param': 0.1, 'flavour': 'stars'}]
    """
    drawn = different(halton(space, seed, 2 * n), n)
    for i, point in enumerate(drawn):
        point["rank"] = round(point["rank"])
        if flavours:
            point["flavour"] = flavours[i % len(flavours)]
    return [*first, *drawn][:n]


def choose(fits: Fits, evaluators: Sequence[Evaluator], points: Sequence[Params], budget: Budget) -> Choice:
    """Judge all points on some folds, the best on all, and combine these by greedy selection.

    Args:
        fits: runs the fits.
        evaluators: the folds, carved out of train.
        points: the candidates.
        budget: how much is tried.
    """
    return combine(evaluators, *finalists(fits, evaluators, points, budget), budget)


def combine(
    evaluators: Sequence[Evaluator], points: Sequence[Params], models: Sequence[Sequence[Factors]], budget: Budget
) -> Choice:
    """The best of the finalists, and the best of their combinations; `models` by point, then by evaluator."""
    scores = [
        [all_scores(evaluator, m) for evaluator, m in zip(evaluators, of_point, strict=True)] for of_point in models
    ]

    def value(chosen: tuple[int, ...]) -> float:
        sums = (np.sum([scores[i][fold] for i in chosen], axis=0) for fold in range(len(evaluators)))
        return float(
            np.mean(
                [
                    ndcg(evaluator, evaluator.rank_all(Scored(evaluator, total)))
                    for evaluator, total in zip(evaluators, sums, strict=True)
                ]
            )
        )

    singles = [value((i,)) for i in range(len(points))]
    for i in np.argsort(singles)[::-1]:
        log.info("validation nDCG %.4f: %s", singles[i], points[i])
    best = int(np.argmax(singles))
    start = tuple(int(i) for i in np.argsort(singles)[::-1][: budget.n_start])
    members, ensemble_value = grow(value, len(points), budget.n_members, start=start)
    log.info("validation nDCG %.4f by %d members, %.4f by the best", ensemble_value, len(members), singles[best])
    return Choice(points[best], singles[best], [points[i] for i in members], ensemble_value)


def fit_members(fits: Fits, train: Ratings, members: Sequence[Params], n_seeds: int) -> Factors:
    """The mean of fits of all members on `train`, each from several seeds; a member chosen twice counts twice."""
    tasks = [
        (point, 1 + i * n_seeds + seed)
        for i, point in enumerate(different(members, len(members)))
        for seed in range(n_seeds)
    ]
    jobs = [partial(ranking_job, train, point, fits.max_iter, seed) for point, seed in tasks]
    weights = [members.count(point) / (len(members) * n_seeds) for point, _ in tasks]
    return weighted_sum(fits.all("ranking members", jobs), weights)


def finalists(
    fits: Fits, evaluators: Sequence[Evaluator], points: Sequence[Params], budget: Budget
) -> tuple[list[Params], list[list[Factors]]]:
    """The points that did best on the first folds, and their models by point, then by fold."""
    first, later = evaluators[: budget.n_first_folds], evaluators[budget.n_first_folds :]
    models = _fit_all(fits, "ranking search", first, points)
    values = [np.mean([ndcg(e, e.rank(m)) for e, m in zip(first, of_point, strict=True)]) for of_point in models]
    order = np.argsort(values)[::-1][: budget.n_finalists]
    best = [points[i] for i in order]
    more = _fit_all(fits, "ranking finalists", later, best)
    return best, [models[i] + of_point for i, of_point in zip(order, more, strict=True)]


def _fit_all(fits: Fits, what: str, evaluators: Sequence[Evaluator], points: Sequence[Params]) -> list[list[Factors]]:
    """Models by point, then by fold."""
    jobs = [
        partial(ranking_job, evaluator.train, point, fits.max_iter, 1) for point in points for evaluator in evaluators
    ]
    models = fits.all(what, jobs) if jobs else []
    return [models[i * len(evaluators) : (i + 1) * len(evaluators)] for i in range(len(points))]
