"""What it costs to take in a large data set: ``python -m benchmarks.ingest [--ratings 25000000]``.

An invented archive of the given size is written first (not measured), then the tasks of `ingest_ratings` run as the
scheduler runs them: parse, validate, publish, explore.
"""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring import Cost, measure, report
from recsys.config import IngestConfig, Settings
from recsys.messages import EdaReportRef, SnapshotRef, SourceArchive, StagedTables, ValidationResult
from recsys.workspace import Workspace


def download(config: IngestConfig, settings: Settings) -> SourceArchive:
    from recsys.ingest import tasks

    return tasks.download(Workspace(settings), config, "benchmark")


def parse(archive: SourceArchive, settings: Settings) -> StagedTables:
    from recsys.ingest import tasks

    return tasks.parse(Workspace(settings), archive)


def validate(staged: StagedTables, config: IngestConfig, settings: Settings) -> ValidationResult:
    from recsys.ingest import tasks

    return tasks.validate(Workspace(settings), staged, config)


def publish(archive: SourceArchive, settings: Settings) -> SnapshotRef:
    from recsys.ingest import tasks

    return tasks.publish(Workspace(settings), archive)


def explore(snapshot: SnapshotRef, settings: Settings) -> EdaReportRef:
    from recsys.ingest import tasks

    return tasks.explore(Workspace(settings), snapshot.snapshot_id)


def main(
    ratings: Annotated[int, typer.Option(help="Ratings to invent.")] = 25_000_000,
    users: Annotated[int, typer.Option(help="Users to invent.")] = 162_000,
    movies: Annotated[int, typer.Option(help="Movies to invent.")] = 59_000,
    state: Annotated[str, typer.Option(help="Folder to work in, kept afterwards; a temporary one by default.")] = "",
) -> None:
    """Measure parse, validate, publish and explore."""
    config = IngestConfig(sample_ratings=ratings, sample_users=users, sample_movies=movies)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=Path(state or folder))
        archive = measure(download, config, settings).result
        costs: dict[str, Cost] = {"parse": measure(parse, archive, settings)}
        staged = costs["parse"].result
        costs["validate"] = measure(validate, staged, config, settings)
        costs["publish"] = measure(publish, archive, settings)
        costs["explore"] = measure(explore, costs["publish"].result, settings)
    gigabytes = {name: cost.peak_bytes / 1e9 for name, cost in costs.items()}
    rows = [[name, f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{gigabytes[name]:.2f}"] for name, cost in costs.items()]
    asked = sum(costs[name].wall_s for name in ("parse", "validate", "explore"))
    document = {
        "n_ratings": staged.n_rows["ratings"],
        "wall_s": {name: round(cost.wall_s, 1) for name, cost in costs.items()},
        "cpu_s": {name: round(cost.cpu_s, 1) for name, cost in costs.items()},
        "peak_gb": {name: round(value, 2) for name, value in gigabytes.items()},
        "parse_validate_explore_s": round(asked, 1),
        "max_peak_gb": round(max(gigabytes.values()), 2),
    }
    report(f"ingest of {staged.n_rows['ratings']:,} ratings", ["step", "wall s", "CPU s", "peak GB"], rows, document)


if __name__ == "__main__":
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", "-XX:-UsePerfData")
    typer.run(main)
