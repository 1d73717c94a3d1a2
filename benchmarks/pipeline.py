"""How the whole pipeline grows with the data: ``python -m benchmarks.pipeline [--ratings 100000,1000000,25000000]``.

Every job of the four DAGs runs as the scheduler runs it, in a process of its own: parse, validate, publish, explore,
split, search (both models, successive halving), fit, evaluate, register, promote, score, publish. Data are invented,
with ML-25M's proportions at every size: 154 ratings a user, and movies that grow with the square root.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.ingest import download, explore, parse, publish, validate
from benchmarks.measuring import Cost, interrupt, measure, report
from recsys.config import IngestConfig, ScoreConfig, Settings, TrainConfig
from recsys.messages import SnapshotRef
from recsys.workspace import Workspace

_LARGE = 25_000_000, 59_000
STEPS = ("parse", "validate", "publish", "explore", "split", "search", "fit", "evaluate", "register", "promote",
         "score_lists", "score_similar", "publish_tables")  # fmt: skip


def train_step(name: str, config: TrainConfig, settings: Settings, *messages: Any) -> Any:
    from recsys.training import tasks as training_tasks
    from recsys.workspace import Workspace

    return getattr(training_tasks, name)(Workspace(settings), *messages, config)


def split(snapshot: SnapshotRef, config: TrainConfig, settings: Settings) -> Any:
    from recsys.training import tasks as training_tasks
    from recsys.workspace import Workspace

    return training_tasks.split(Workspace(settings), snapshot.snapshot_id, config, "benchmark")


def score_step(name: str, champion: Any, config: ScoreConfig, settings: Settings) -> Any:
    from recsys.scoring import tasks as scoring_tasks

    return getattr(scoring_tasks, name)(Workspace(settings), champion, config, "benchmark")


def publish_tables(lists: Any, similar: Any, champion: Any, config: ScoreConfig, settings: Settings) -> Any:
    from recsys.scoring import tasks as scoring_tasks

    return scoring_tasks.publish(Workspace(settings), lists, similar, champion, config)


def proportions(n_ratings: int) -> tuple[int, int]:
    """Users and movies for a number of ratings, as ML-25M has them.

    >>> proportions(25_000_000), proportions(100_000)
    ((162337, 59000), (649, 3731))
    """
    return max(50, n_ratings // 154), max(100, round(_LARGE[1] * (n_ratings / _LARGE[0]) ** 0.5))


def run(
    n_ratings: int, config: TrainConfig, settings: Settings, interrupt_s: Mapping[str, float] | None = None
) -> tuple[dict[str, Cost], dict[str, Any]]:
    """All steps on invented data of a size: what each cost, and the model's figures on the holdout.

    Args:
        n_ratings: how many ratings to invent.
        config: of the training.
        settings: where state is kept.
        interrupt_s: kill each step after that many seconds, then run it again; its cost is then that of going on.
    """
    users, movies = proportions(n_ratings)
    ingest = IngestConfig(sample_ratings=n_ratings, sample_users=users, sample_movies=movies)
    costs: dict[str, Cost] = {}

    def step(name: str, job: Callable[..., Any], *args: Any) -> Any:
        if interrupt_s:
            was_killed = interrupt(job, *args, after_s=interrupt_s[name])
            typer.echo(f"{name} {'killed' if was_killed else 'done'} after {interrupt_s[name]:.1f} s", err=True)
        costs[name] = measure(job, *args)
        typer.echo(f"{n_ratings:,} ratings: {name} {costs[name].wall_s:.1f} s", err=True)
        return costs[name].result

    archive = measure(download, ingest, settings).result
    staged = step("parse", parse, archive, settings)
    step("validate", validate, staged, ingest, settings)
    snapshot = step("publish", publish, archive, settings)
    step("explore", explore, snapshot, settings)
    evaluated = step("split", split, snapshot, config, settings)
    for name in ("search", "fit", "evaluate"):
        evaluated = step(name, train_step, name, config, settings, evaluated)
    version = step("register", train_step, "register", config, settings, evaluated)
    champion = step("promote", train_step, "promote", config, settings, evaluated, version)
    scoring = ScoreConfig()
    lists, similar = (
        step(name, score_step, name, champion, scoring, settings) for name in ("score_lists", "score_similar")
    )
    step("publish_tables", publish_tables, lists, similar, champion, scoring, settings)
    return costs, evaluated.metrics


def main(
    ratings: Annotated[str, typer.Option(help="Sizes, by commas.")] = "100000,1000000,5000000,25000000",
    trials: Annotated[int, typer.Option(help="Candidates for each of the two models.")] = 12,
    members: Annotated[int, typer.Option(help="Fits a model is made of at most.")] = 1,
    state: Annotated[str, typer.Option(help="Folder to work in, kept afterwards; a temporary one by default.")] = "",
    halfway: Annotated[
        str, typer.Option(help="Output of an earlier run: every step is killed at half its time there, and run again.")
    ] = "",
) -> None:
    """Measure every step at every size."""
    config = TrainConfig(
        strategy="halving",
        ranking_trials=trials,
        rating_trials=trials,
        n_folds=2,
        n_members=members,
        baselines=("svd",),
        # Cost is weighed here: even a model that the gate would keep back goes through all steps.
        min_gain=-1,
        max_rmse_loss=1,
    )
    sizes = list(map(int, ratings.split(",")))
    earlier = _steps_of(Path(halfway)) if halfway else {}
    if halfway and (missing := sorted(set(sizes) - set(earlier))):
        raise typer.BadParameter(f"{halfway} has no run of {missing} ratings, only of {sorted(earlier)}. Nothing ran.")
    found = []
    for n_ratings in sizes:
        with tempfile.TemporaryDirectory() as folder:
            costs, metrics = run(
                n_ratings, config, Settings(state_dir=Path(state or folder) / str(n_ratings)), earlier.get(n_ratings)
            )
        found.append(
            {
                "n_ratings": n_ratings,
                **dict(zip(("n_users", "n_movies"), proportions(n_ratings), strict=True)),
                "wall_s": {name: round(cost.wall_s, 1) for name, cost in costs.items()},
                "cpu_s": {name: round(cost.cpu_s, 1) for name, cost in costs.items()},
                "total_wall_s": round(sum(cost.wall_s for cost in costs.values()), 1),
                "max_peak_gb": round(max(cost.peak_bytes for cost in costs.values()) / 1e9, 2),
                "metrics": {name: round(value, 4) for name, value in metrics.items()},
            }
        )
    rows = [[name, *(f"{each['wall_s'][name]:.1f}" for each in found)] for name in STEPS]
    rows.append(["all", *(f"{each['total_wall_s']:.1f}" for each in found)])
    rows.append(["peak GB", *(f"{each['max_peak_gb']:.2f}" for each in found)])
    columns = ["wall s", *(f"{each['n_ratings']:,}" for each in found)]
    report("pipeline by number of ratings", columns, rows, {"sizes": found})


def _steps_of(output: Path) -> dict[int, dict[str, float]]:
    """Half the wall seconds of each step by number of ratings, from the last line that this benchmark printed."""
    sizes = json.loads(output.read_text().splitlines()[-1])["sizes"]
    return {size["n_ratings"]: {name: wall_s / 2 for name, wall_s in size["wall_s"].items()} for size in sizes}


if __name__ == "__main__":
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", "-XX:-UsePerfData")
    typer.run(main)
