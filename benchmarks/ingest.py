"""What it costs to take in a large data set: ``python -m benchmarks.ingest [--ratings 25000000]``.

An invented archive of the given size is written first (not measured), then the jobs of `ingest_ratings` run as the
scheduler runs them: parse, validate, publish, explore.
"""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.measuring import Cost, measure, report
from recsys.config import IngestConfig, Settings


def download(config: IngestConfig, settings: Settings) -> Any:
    from recsys.ingest import tasks

    return tasks.download(config, "benchmark", settings)


def parse(downloaded: Any, settings: Settings) -> Any:
    from recsys.ingest import tasks

    return tasks.parse(downloaded, settings)


def validate(parsed: Any, config: IngestConfig, settings: Settings) -> Any:
    from recsys.ingest import quality

    return quality.validate(parsed, config, settings)


def publish(parsed: Any, settings: Settings) -> Any:
    from recsys.ingest import publishing

    return publishing.publish(parsed, settings)


def explore(snapshot: Any, settings: Settings) -> Any:
    from recsys.ingest import eda_task

    return eda_task.explore(snapshot["snapshot_id"], settings)


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
        downloaded = measure(download, config, settings).result
        costs: dict[str, Cost] = {"parse": measure(parse, downloaded, settings)}
        parsed = costs["parse"].result
        costs["validate"] = measure(validate, parsed, config, settings)
        costs["publish"] = measure(publish, parsed, settings)
        costs["explore"] = measure(explore, costs["publish"].result, settings)
    gigabytes = {name: cost.peak_bytes / 1e9 for name, cost in costs.items()}
    rows = [[name, f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{gigabytes[name]:.2f}"] for name, cost in costs.items()]
    asked = sum(costs[name].wall_s for name in ("parse", "validate", "explore"))
    document = {
        "n_ratings": parsed["n_ratings"],
        "wall_s": {name: round(cost.wall_s, 1) for name, cost in costs.items()},
        "cpu_s": {name: round(cost.cpu_s, 1) for name, cost in costs.items()},
        "peak_gb": {name: round(value, 2) for name, value in gigabytes.items()},
        "parse_validate_explore_s": round(asked, 1),
        "max_peak_gb": round(max(gigabytes.values()), 2),
    }
    report(f"ingest of {parsed['n_ratings']:,} ratings", ["step", "wall s", "CPU s", "peak GB"], rows, document)


if __name__ == "__main__":
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", "-XX:-UsePerfData")
    typer.run(main)
