"""Our models and the baselines on the published protocols: one JSON line per model on stdout, progress on stderr.

``python -m benchmarks.quality PROTOCOL --data PATH``. Everything is chosen on folds carved out of train; test is asked
once per model, after that. What the protocols are: `benchmarks.protocols`; what is searched: `benchmarks.plans`.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ranking, rating, references
from benchmarks.fitting import Fits, as_fitted, stars_model
from benchmarks.plans import PLANS, Plan, plan_of
from benchmarks.releases import read_ratings
from recsys.baselines.baselines import BASELINES
from recsys.config import Settings
from recsys.errors import RecsysError
from recsys.evaluation.evaluator import Evaluator, Lists, Ratings
from recsys.models.recommender import RatingModel
from recsys.spark.session import spark_session

log = logging.getLogger("benchmarks.quality")
METRICS = (
    *("ndcg_at_10", "map_at_10", "precision_at_10", "recall_at_10", "mrr_at_10", "hit_rate_at_10"),
    *("coverage", "gini", "novelty", "rmse", "mae"),
)
Line = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Run one protocol; 0 when all lines are printed, 1 when something said why not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.split("\n")[0])
    parser.add_argument("protocol", choices=sorted(PLANS))
    parser.add_argument("--data", type=Path, required=True, help="a release's archive, folder or ratings file")
    parser.add_argument("--quick", action="store_true", help="a tiny search: shows that it works, not what it can do")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("py4j", "recsys.spark"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        for line in run(options.protocol, read_ratings(options.data), is_quick=options.quick):
            print(json.dumps(line), flush=True)
    except RecsysError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(protocol: str, ratings: Ratings, *, is_quick: bool = False) -> Iterator[Line]:
    """One line per model: ours first, then the baselines; metrics are means over the protocol's folds."""
    plan = plan_of(protocol, is_quick=is_quick)
    with spark_session(Settings(), "benchmarks.quality", n_partitions=2) as spark:
        fits = Fits(spark, plan.max_iter)
        parts = plan.parts(ratings)
        folds = []
        for number, part in enumerate(parts):
            log.info("%s: split %d of %d", protocol, number + 1, len(parts))
            folds.append(list(_evaluate_all(fits, plan, plan.evaluator(ratings, part))))
    for lines in zip(*folds, strict=True):
        yield _line(protocol, list(lines))


def _evaluate_all(fits: Fits, plan: Plan, evaluator: Evaluator) -> Iterator[Line]:
    """Every model of the plan on one split, each chosen, fitted and judged."""
    inner = [plan.evaluator(evaluator.train, part) for part in plan.carve(evaluator.train)[: plan.n_folds]]
    if plan.budget:
        yield from _our_rankings(fits, plan, evaluator, inner)
    if plan.rating:
        yield from _our_ratings(fits, plan, evaluator, inner[: plan.rating.n_carves])
    yield from _explicit_als(fits, plan, evaluator, inner[0])
    if plan.rating:
        yield _measured(
            "biases", {"damping": 5.0}, lambda: evaluator.evaluate_rating(references.biases_alone(evaluator.train))
        )
    if plan.budget:
        yield from _baselines(evaluator, inner[: plan.n_baseline_folds])


def _our_rankings(fits: Fits, plan: Plan, evaluator: Evaluator, inner: list[Evaluator]) -> Iterator[Line]:
    begun = time.monotonic()
    choice = ranking.choose(fits, inner, plan.ranking_points(plan.budget.n_points), plan.budget)
    searched = time.monotonic() - begun
    for name, members, value in (
        ("ours-ranking", choice.members, choice.value),
        ("ours-ranking-single", [choice.single], choice.single_value),
    ):
        n_seeds = plan.budget.n_seeds if len(members) > 1 else 1

        def judged(members: list[dict[str, Any]] = members, n_seeds: int = n_seeds) -> dict[str, float]:
            return _evaluate_lists(
                evaluator, evaluator.rank(ranking.fit_members(fits, evaluator.train, members, n_seeds))
            )

        params = {
            "members": [as_fitted(evaluator.train, point) for point in members],
            "n_seeds": n_seeds,
            "max_iter": fits.max_iter,
        }
        yield _measured(name, params, judged, searched) | {"validation": value}


def _our_ratings(fits: Fits, plan: Plan, evaluator: Evaluator, inner: list[Evaluator]) -> Iterator[Line]:
    begun = time.monotonic()
    choice = rating.choose(fits, inner, plan.rating.points(), plan.rating.n_members)
    searched = time.monotonic() - begun
    weights = {name: values.round(4).tolist() for name, values in choice.blend._asdict().items()}
    blend = {
        "members": [as_fitted(evaluator.train, point) for point in choice.members],
        **weights,
        "max_iter": fits.max_iter,
    }
    single = {"members": [choice.single], "max_iter": fits.max_iter}
    for name, params, fit, value in (
        ("ours-rating", blend, rating.fit_chosen_blend, choice.rmse),
        ("ours-rating-single", single, rating.fit_single, choice.single_rmse),
    ):

        def judged(fit: Callable[..., RatingModel] = fit) -> dict[str, float]:
            return evaluator.evaluate_rating(fit(fits, evaluator.train, choice))

        yield _measured(name, params, judged, searched) | {"validation": value}


def _explicit_als(fits: Fits, plan: Plan, evaluator: Evaluator, inner: Evaluator) -> Iterator[Line]:
    """ALS on raw stars: its RMSE, and the lists that ordering by predicted stars makes."""
    begun = time.monotonic()
    point = references.choose_stars(fits, inner)
    searched = time.monotonic() - begun

    def judged() -> dict[str, float]:
        factors = references.fit_stars(fits, evaluator.train, point)
        stars = evaluator.evaluate_rating(stars_model(evaluator.train, factors)) if plan.rating else {}
        return stars | (_evaluate_lists(evaluator, evaluator.rank(factors)) if plan.budget else {})

    yield _measured("als-explicit", {**point, "max_iter": fits.max_iter}, judged, searched)


def _baselines(evaluator: Evaluator, inner: list[Evaluator]) -> Iterator[Line]:
    for name, fit in BASELINES.items():
        begun = time.monotonic()
        point = references.choose_baseline(name, inner)
        searched = time.monotonic() - begun

        def judged(fit: Callable[..., Any] = fit, point: dict[str, Any] = point) -> dict[str, float]:
            return _evaluate_lists(evaluator, evaluator.rank_all(fit(evaluator.matrix.stars, **point)))

        yield _measured(name.replace("_", "-"), point, judged, searched)


def _evaluate_lists(evaluator: Evaluator, lists: Lists) -> dict[str, float]:
    """All ranking metrics and what the lists are like, as means over users."""
    return evaluator.evaluate_lists(lists)[0] | evaluator.describe_lists(lists)


def _measured(
    model: str, params: dict[str, Any], judged: Callable[[], dict[str, float]], searched: float = 0.0
) -> Line:
    """A model's line: what it was fitted with, what it is worth, what search and fit took together."""
    begun = time.monotonic()
    found = judged()
    log.info("%s: %s", model, {name: round(value, 4) for name, value in found.items()})
    return {"model": model, "metrics": found, "params": params, "seconds": searched + time.monotonic() - begun}


def _line(protocol: str, folds: list[Line]) -> Line:
    """Means over folds under the names of all metrics; null where a metric is not defined for the model or protocol."""
    means = mean_of_folds([fold["metrics"] for fold in folds])
    params = [fold["params"] for fold in folds]
    line = {"protocol": protocol, "model": folds[0]["model"]}
    line |= {name: round(means[name], 6) if name in means else None for name in METRICS}
    if "validation" in folds[0]:
        line["validation"] = round(sum(fold["validation"] for fold in folds) / len(folds), 6)
    line |= {"n_folds": len(folds), "params": params[0] if len(params) == 1 else params}
    return line | {"seconds": round(sum(fold["seconds"] for fold in folds), 1)}


def mean_of_folds(results: list[Mapping[str, float]]) -> dict[str, float]:
    """Each metric's mean over folds.

    >>> mean_of_folds([{"rmse": 1.0}, {"rmse": 3.0}])
    {'rmse': 2.0}
    """
    return {name: float(np.mean([fold[name] for fold in results])) for name in results[0]}


if __name__ == "__main__":
    sys.exit(main())
