"""What each search strategy costs and finds: ``python -m benchmarks.search [--data ml-latest-small.zip]``.

Every strategy searches the ranking and the rating model as training does, over the same spaces and folds, with the
compiled engine; halving also without going on from the rung below. What it chooses is fitted on all of train and
judged on ratings held out of the whole search. Without `--data`, ratings of ml-latest-small's shape are invented.
One thread; processor seconds of fitting and judging.
"""

import os
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.measuring import report
from benchmarks.releases import read_ratings
from recsys.compiled.compiled_als import StatesInMemory
from recsys.config import TrainConfig
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.ingest.synthetic.taste import draw_ratings, invent_world
from recsys.search.cross_validation import Outcome, cross_validate
from recsys.search.space import Params, show
from recsys.search.trial import Trial
from recsys.splitting.random_split import fold_of, is_holdout
from recsys.training.fits.engines import Compiled, Fitter
from recsys.training.searching import MODELS, objective, strategy

_STATES_BYTES = 1 << 30
STRATEGIES = ("grid", "random", "bayesian", "halving", "halving_anew")


class FoldEvaluator:
    """Fits points on one set of ratings and evaluates them on another."""

    def __init__(self, train: Ratings, test: Ratings, config: TrainConfig, limit_bytes: int) -> None:
        self._evaluator = Evaluator(train, test, config.k, config.relevant_rating)
        engine = Compiled(train, StatesInMemory(limit_bytes))
        self._fitter = Fitter(engine, train, config.seed, config.max_iter, config.relevant_rating)

    def evaluate(self, model: str, point: Params) -> dict[str, float]:
        if model == "ranking":
            return self._evaluator.evaluate_ranking(self._fitter.ranking(point))[0]
        return self._evaluator.evaluate_rating(self._fitter.rating(point))


def invent(n_users: int, n_movies: int, n_ratings: int) -> Ratings:
    rng = np.random.default_rng(0)
    blocks = list(draw_ratings(invent_world(n_users, n_movies, n_ratings, rng), rng))
    users, movies, half_stars = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("users", "movies", "half_stars")
    )
    times = np.zeros(len(users), "datetime64[ms]")  # splits at random do not look at them
    return Ratings(users.astype(np.int32), movies.astype(np.int32), (half_stars / 2).astype(np.float32), times)


def search(name: str, model: str, train: Ratings, config: TrainConfig) -> tuple[Outcome, float]:
    """One search over folds of `train`, and the processor seconds it took; `halving_anew` keeps no state."""
    limit_bytes = 0 if name == "halving_anew" else _STATES_BYTES
    fold = fold_of(train.user_ids, train.movie_ids, config.n_folds, config.seed)
    evaluators = [
        FoldEvaluator(train.where(fold != n), train.where(fold == n), config, limit_bytes)
        for n in range(config.n_folds)
    ]
    taste = {"alpha": 1.0, "preference": "stars"} if model == "ranking" else {}
    for evaluator in evaluators:  # prepares the fold, and the first one compiles
        evaluator.evaluate(model, {"rank": 8, "reg_param": 10.0, "max_iter": 1} | taste)
    config = config.model_copy(update={"strategy": name.removesuffix("_anew")})
    began = time.process_time()
    outcome = cross_validate(
        model,
        strategy(model, config),
        config.n_folds,
        lambda point, n: evaluators[n].evaluate(model, point),
        _ignore,
        objective(model, config),
    )
    return outcome, time.process_time() - began


def run(name: str, model: str, train: Ratings, test: Ratings, config: TrainConfig, repeats: int) -> dict[str, Any]:
    """A search, the median of what it cost, and what its choice is worth on `test`."""
    searched = [search(name, model, train, config) for _ in range(repeats)]
    outcome, goal = searched[0][0], objective(model, config)
    cpu_s = statistics.median(spent_s for _, spent_s in searched)
    chosen = goal.best(outcome.trials)
    found = FoldEvaluator(train, test, config, _STATES_BYTES).evaluate(model, chosen.params)[goal.metric]
    typer.echo(f"{model} by {name}: {cpu_s:.1f} core-s, {goal.metric} {found:.4f}", err=True)
    return {
        "strategy": name,
        "model": model,
        "metric": goal.metric,
        "n_trials": len(outcome.trials),
        "cpu_s": round(cpu_s, 2),
        "validation": round(chosen.mean(goal.metric), 5),
        "test": round(found, 5),
        "point": chosen.params,
    }


def main(
    data: Annotated[str, typer.Option(help="A MovieLens archive or its folder; invented ratings by default.")] = "",
    ratings: Annotated[int, typer.Option(help="Ratings to invent, 165 a user.")] = 100_836,
    movies: Annotated[int, typer.Option(help="Movies to invent.")] = 9_742,
    trials: Annotated[int, typer.Option(help="Candidates for each model.")] = 24,
    iterations: Annotated[int, typer.Option(help="Of a full fit.")] = 24,
    folds: int = 3,
    repeats: Annotated[int, typer.Option(help="Searches of each kind; the median of their costs counts.")] = 1,
) -> None:
    """Search both models with every strategy."""
    found = read_ratings(Path(data)) if data else invent(ratings // 165, movies, ratings)
    config = TrainConfig(
        ranking_trials=trials, rating_trials=trials, max_iter=iterations, n_folds=folds, relevant_rating=4.0
    )
    held_out = is_holdout(found.user_ids, found.movie_ids, config.holdout_fraction, config.seed)
    train, test = found.where(~held_out), found.where(held_out)
    searches = [run(name, model, train, test, config, repeats) for model in MODELS for name in STRATEGIES]
    columns = ["model", "strategy", "n_trials", "cpu_s", "validation", "test"]
    rows = [[str(each[column]) for column in columns] + [show(each["point"])] for each in searches]
    report(f"searches on {len(found):,} ratings", [*columns, "choice"], rows, {"searches": searches})


def _ignore(_: Trial) -> None:
    """Nothing is logged: the searches are told by what they found."""


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    typer.run(main)
