"""The search of both models: what is searched, how, and the record it leaves."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

from recsys.config import TrainConfig
from recsys.search import strategies
from recsys.search.cross_validation import Outcome, cross_validate
from recsys.search.space import Choice, LogInteger, LogUniform, Point, Space, fit_into
from recsys.search.trial import Objective, Trial
from recsys.tracking.tracking import Tracking
from recsys.training import runs
from recsys.training.folds import Judges
from recsys.training.report.training_report import Searched

MODELS = ("ranking", "rating")
# Points that did well on the MovieLens releases tried: worth a trial before anything is drawn.
KNOWN_GOOD: dict[str, list[Point]] = {
    "ranking": [
        {"rank": 32, "reg_param": 0.1, "alpha": 3.5, "preference": "stars"},
        {"rank": 32, "reg_param": 0.1, "alpha": 3.5, "preference": "liked"},
    ],
    "rating": [{"rank": 32, "reg_param": 0.15}],
}


def models(config: TrainConfig) -> tuple[str, ...]:
    """The models that are searched, the one that orders lists first; where nobody rated, it is the only one."""
    return MODELS if config.has_rating_model else MODELS[:1]


# Days in which a rating loses half its say, where the question is what somebody will like next.
_HALF_LIVES = (None, 30.0, 120.0, 480.0)


def space(model: str, config: TrainConfig) -> Space:
    """What is searched for a model; log scales where there is an order.

    On ML-100K the best ranking models have alpha 0.2 to 4, reg_param 0.05 to 0.4 and rank 20 to 80.
    """
    found: Space = {
        "rank": LogInteger(min(8, config.max_rank), config.max_rank),
        "reg_param": LogUniform(0.01, 1.0),
    }
    if model == "ranking":
        found["alpha"] = LogUniform(0.1, 40.0)
        found["preference"] = Choice(config.preferences)
        if config.split in ("time", "last_n"):
            found["half_life_days"] = Choice(_HALF_LIVES)
    if config.min_iter and config.strategy != "halving":
        found["max_iter"] = LogInteger(config.min_iter, config.max_iter)
    return found


def objective(model: str, config: TrainConfig) -> Objective:
    return Objective(f"ndcg_at_{config.k}") if model == "ranking" else Objective("rmse", lower_is_better=True)


def search_both(
    folds: Judges,
    split: dict[str, Any],
    config: TrainConfig,
    tracking: Tracking,
    run_id: str,
    clock: Callable[[], float] = time.monotonic,
) -> list[Searched]:
    """Search the ranking model, then the rating model, each trial a nested run; then fit their learning curves."""
    known = {model: runs.finished_trials(tracking, run_id, model) for model in models(config)}
    # The limit is for all attempts together.
    spent_s = sum(trial.seconds for finished in known.values() for trial in finished) / folds.n_parallel
    started = clock() - spent_s
    champion = runs.champion_points(tracking, split["dataset"])
    found = []
    for model in models(config):
        goal, searched = objective(model, config), space(model, config)
        outcome = cross_validate(
            model,
            strategy(model, config, champion.get(model)),
            config.n_folds,
            partial(folds.judge, model),
            partial(runs.log_trial, tracking, run_id, split, config, model),
            goal,
            n_parallel=folds.n_parallel,
            known=known[model],
            limit_s=_limit_s(model, config) - (clock() - started),
            clock=clock,
        )
        curve = learning_curve(partial(folds.judge, model), goal, outcome.trials, config, folds.n_parallel)
        found.append(Searched(model, goal, searched, outcome, curve))
    return found


def strategy(model: str, config: TrainConfig, champion: Point | None = None) -> strategies.Strategy:
    """The configured strategy, which begins with the champion's point, if there is one, and the known-good ones."""
    searched, goal = space(model, config), objective(model, config)
    defaults = {**KNOWN_GOOD[model][0], "max_iter": config.max_iter}
    first = [fit_into(searched, point, defaults) for point in (champion, *KNOWN_GOOD[model]) if point]
    n_trials = config.ranking_trials if model == "ranking" else config.rating_trials
    return strategies.make(
        config.strategy,
        searched,
        n_trials,
        goal,
        config.seed,
        first,
        config.max_iter,
        max(3, config.min_iter),
        is_resumed=config.search_engine == "compiled",
    )


def learning_curve(
    judge: Callable[[Point, int], dict[str, float]],
    goal: Objective,
    judged: Sequence[Trial],
    config: TrainConfig,
    n_parallel: int,
) -> dict[int, float]:
    """The chosen point's metric on the first fold after 1, 2, 4, … iterations.

    Where it climbed the rungs of halving, the curve goes through them, and only what is below the first is fitted; a
    point judged in full at once takes one and a half fits more.
    """
    chosen = goal.best(judged)
    n_iterations: int = chosen.point.get("max_iter", config.max_iter)
    curve: dict[int, float] = {
        trial.point.get("max_iter", n_iterations): trial.values(goal.metric)[0]
        for trial in judged
        if {**trial.point, "max_iter": n_iterations} == {**chosen.point, "max_iter": n_iterations}
    }
    longest_first = [2**i for i in reversed(range(n_iterations.bit_length())) if 2**i < min(curve)]
    with ThreadPoolExecutor(n_parallel) as pool:
        fitted = pool.map(lambda step: judge({**chosen.point, "max_iter": step}, 0)[goal.metric], longest_first)
    return dict(sorted({**curve, **dict(zip(longest_first, fitted, strict=True))}.items()))


def to_record(found: list[Searched]) -> dict[str, Any]:
    """All searches as a JSON document."""
    return {
        each.model: {"outcome": asdict(each.outcome), "curve": {str(n): value for n, value in each.curve.items()}}
        for each in found
    }


def from_record(record: dict[str, Any], config: TrainConfig) -> list[Searched]:
    """What `to_record` was given; objective and space follow from the configuration."""
    found = []
    for model in models(config):
        outcome, curve, searched = record[model]["outcome"], record[model]["curve"], space(model, config)
        judged = [Trial(**{**trial, "point": _ordered(trial["point"], searched)}) for trial in outcome["trials"]]
        by_step = {int(n): value for n, value in curve.items()}
        result = Outcome(**{**outcome, "trials": judged})
        found.append(Searched(model, objective(model, config), searched, result, by_step))
    return found


def _ordered(point: Point, searched: Space) -> Point:
    """JSON documents are written with sorted keys; people read the dimensions in the order of the space."""
    return {name: point[name] for name in dict.fromkeys([*searched, *point])}


def _limit_s(model: str, config: TrainConfig) -> float:
    """Seconds from the start by which a model's search is to end: the ranking model's share, then all."""
    if not config.search_minutes:
        return math.inf
    share = config.ranking_trials / (config.ranking_trials + config.rating_trials) if model == "ranking" else 1.0
    return 60 * config.search_minutes * share
