"""How many models to combine where test is another time: ``python -m benchmarks.combining --data PATH [--data PATH]``.

Greedy selection of members learns the validation period; how much of that holds later is a question to other data than
those a protocol tests on. The first part of a release, up to a share of its ratings in order of time, is a problem of
its own: the latest fifth of it is test, folds and points are those of `replay-1m`. Each way of combining is judged once
on each test; a way that is best over all problems may then be taken to a protocol whose test it has not seen.

Fits are those of the compiled engine, which finds what MLlib finds (`tests/compiled/test_compiled_als.py`).
"""

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.fitting import Job, ranking_job
from benchmarks.measuring import report
from benchmarks.plans import PLANS
from benchmarks.ranking import Budget, Scored, all_scores, combine, finalists, ndcg
from benchmarks.releases import read_ratings
from recsys.compiled.compiled_als import fit
from recsys.compiled.interactions import Interactions
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.models.factors import Factors

PROTOCOL = "replay-1m"
_N_FINALISTS = 16
# Members from the beginning, the best by validation, and members at most.
WAYS = {
    "best": (1, 1),
    "greedy": (0, 12),
    "3, then greedy": (3, 12),
    "6, then greedy": (6, 12),
    "mean of 4": (4, 4),
    "mean of 8": (8, 8),
    "mean of 16": (16, 16),
}


class CompiledFits:
    """`benchmarks.fitting.Fits` by compiled code, two at once."""

    max_iter = 12

    def all(self, what: str, jobs: Iterable[Callable[[], Job]]) -> list[Factors]:
        """The fitted models in the order of the jobs."""

        def run(make: Callable[[], Job]) -> Factors:
            train, labels, params = make()
            data = Interactions.of(train.user_ids, train.movie_ids)
            return fit(data, data.arranged(labels), params)

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(run, jobs))


def problems(path: Path, shares: Iterable[float]) -> Iterable[tuple[str, Evaluator]]:
    """The first parts of a release by time, each with its latest fifth as test."""
    ratings = read_ratings(path)
    in_time = ratings.where(np.argsort(ratings.timestamps, kind="stable"))
    for share in shares:
        first: Ratings = in_time.where(np.arange(len(in_time.stars)) < share * len(in_time.stars))
        plan = PLANS[PROTOCOL]
        yield f"{path.stem}, first {share:.0%}", plan.evaluator(first, plan.parts(first)[0])


def evaluate(evaluator: Evaluator, n_points: int) -> dict[str, float]:
    """Test nDCG of every way of combining; all choose from the same finalists by the same validation."""
    plan, fits, found = PLANS[PROTOCOL], CompiledFits(), {}
    inner = [plan.evaluator(evaluator.train, part) for part in plan.carve(evaluator.train)[: plan.n_folds]]
    search = Budget(n_points, plan.n_folds, min(_N_FINALISTS, n_points), n_members=1, n_seeds=1)
    points, models = finalists(fits, inner, plan.ranking_points(n_points), search)
    jobs = [partial(ranking_job, evaluator.train, point, fits.max_iter, 1) for point in points]
    scores = [all_scores(evaluator, model) for model in fits.all("finalists on train", jobs)]
    for name, (n_start, n_members) in WAYS.items():
        members = combine(inner, points, models, search._replace(n_start=n_start, n_members=n_members)).members
        sum_of_members = np.sum([scores[points.index(member)] for member in members], axis=0)
        found[name] = ndcg(evaluator, evaluator.rank_all(Scored(evaluator, sum_of_members)))
        print(f"  {name}: {found[name]:.4f}", file=sys.stderr)
    return found


def main(
    data: Annotated[list[Path], typer.Option(help="A release's archive, folder or ratings file; may be repeated.")],
    shares: Annotated[str, typer.Option(help="Where each problem ends, by commas.")] = "0.6,0.7,0.8,0.9,1.0",
    points: Annotated[int, typer.Option(help="Points of the search.")] = 60,
) -> None:
    """Judge every way on every problem."""
    found = {}
    for path in data:
        for name, evaluator in problems(path, [float(share) for share in shares.split(",")]):
            print(f"{name}: {len(evaluator.user_ids)} users tested", file=sys.stderr)
            found[name] = evaluate(evaluator, points)
    means = {way: float(np.mean([values[way] for values in found.values()])) for way in WAYS}
    lines = [[name, *(f"{values[way]:.4f}" for way in WAYS)] for name, values in {**found, "mean": means}.items()]
    report("test nDCG@10 by the way of combining", ["problem", *WAYS], lines, {"problems": found, "means": means})


if __name__ == "__main__":
    typer.run(main)
