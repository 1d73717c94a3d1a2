"""The search of both models: what is searched, how, and the document that is kept of it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from recsys.config import TrainConfig
from recsys.search import strategies
from recsys.search.cross_validation import cross_validate
from recsys.search.space import Choice, LogInteger, LogUniform, Params, Space, fit_into
from recsys.search.trial import Objective, Trial
from recsys.training.fits.folds import FoldEvaluator
from recsys.training.report.training_report import Searched
from recsys.training.training_documents import ModelSearchRecord, OutcomeRecord, SearchRecord

MODELS = ("ranking", "rating")
# What did well on the MovieLens releases tried: worth a trial before anything is drawn.
KNOWN_GOOD: dict[str, list[Params]] = {
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


def search_models(
    folds: FoldEvaluator,
    config: TrainConfig,
    on_trial: Callable[[str, Trial], None],
    *,
    finished: Mapping[str, Sequence[Trial]] | None = None,
    first: Mapping[str, Params] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Searched]:
    """Search the ranking model, then the rating model; then fit their learning curves.

    Args:
        folds: on which candidates are judged.
        config: what is searched, and how.
        on_trial: called with the model and each newly finished trial, as soon as it is finished.
        finished: by model, trials of an interrupted search.
        first: by model, a candidate to begin with, such as the champion's.
        clock: seconds.
    """
    finished, first = finished or {}, first or {}
    # The limit is for all attempts together.
    spent_s = sum(trial.seconds for trials in finished.values() for trial in trials) / folds.n_parallel
    started = clock() - spent_s
    found = []
    for model in models(config):
        goal, searched = objective(model, config), space(model, config)
        outcome = cross_validate(
            model,
            strategy(model, config, first.get(model)),
            config.n_folds,
            partial(folds.evaluate, model),
            partial(on_trial, model),
            goal,
            n_parallel=folds.n_parallel,
            known=finished.get(model, ()),
            limit_s=_limit_s(model, config) - (clock() - started),
            clock=clock,
        )
        curve = learning_curve(partial(folds.evaluate, model), goal, outcome.trials, config, folds.n_parallel)
        found.append(Searched(model, goal, searched, outcome, curve))
    return found


def strategy(model: str, config: TrainConfig, champion: Params | None = None) -> strategies.Strategy:
    """The configured strategy; it begins with what the champion has, if there is one, and what is known to be good."""
    searched, goal = space(model, config), objective(model, config)
    defaults = {**KNOWN_GOOD[model][0], "max_iter": config.max_iter}
    first = [fit_into(searched, params, defaults) for params in (champion, *KNOWN_GOOD[model]) if params]
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
    evaluate: Callable[[Params, int], dict[str, float]],
    goal: Objective,
    judged: Sequence[Trial],
    config: TrainConfig,
    n_parallel: int,
) -> dict[int, float]:
    """The choice's metric on the first fold after 1, 2, 4, … iterations.

    Where it climbed the rungs of halving, the curve goes through them, and only what is below the first is fitted; a
    choice judged in full at once takes one and a half fits more.
    """
    chosen = goal.best(judged)
    n_iterations: int = chosen.params.get("max_iter", config.max_iter)
    curve: dict[int, float] = {
        trial.params.get("max_iter", n_iterations): trial.values(goal.metric)[0]
        for trial in judged
        if {**trial.params, "max_iter": n_iterations} == {**chosen.params, "max_iter": n_iterations}
    }
    longest_first = [2**i for i in reversed(range(n_iterations.bit_length())) if 2**i < min(curve)]
    with ThreadPoolExecutor(n_parallel) as pool:
        fitted = pool.map(lambda step: evaluate({**chosen.params, "max_iter": step}, 0)[goal.metric], longest_first)
    return dict(sorted({**curve, **dict(zip(longest_first, fitted, strict=True))}.items()))


def to_record(found: Sequence[Searched]) -> SearchRecord:
    """All searches as the document that is kept of them."""
    return SearchRecord(
        **{
            each.model: ModelSearchRecord(outcome=OutcomeRecord.of_outcome(each.outcome), curve=dict(each.curve))
            for each in found
        }
    )


def from_record(record: SearchRecord, config: TrainConfig) -> list[Searched]:
    """What `to_record` was given; objective and space follow from the configuration."""
    found = []
    for model in models(config):
        stored, searched = record.of_model(model), space(model, config)
        outcome = stored.outcome.outcome()
        trials = [replace(trial, params=_ordered(trial.params, searched)) for trial in outcome.trials]
        result = replace(outcome, trials=trials)
        found.append(Searched(model, objective(model, config), searched, result, stored.curve))
    return found


def _ordered(params: Params, searched: Space) -> Params:
    """JSON documents are written with sorted keys; people read the dimensions in the order of the space."""
    return {name: params[name] for name in dict.fromkeys([*searched, *params])}


def _limit_s(model: str, config: TrainConfig) -> float:
    """Seconds from the start by which a model's search is to end: the ranking model's share, then all."""
    if not config.search_minutes:
        return math.inf
    share = config.ranking_trials / (config.ranking_trials + config.rating_trials) if model == "ranking" else 1.0
    return 60 * config.search_minutes * share
