"""How long it takes and what it needs at other sizes: ``python -m benchmarks.sizing --measured pipeline.json``.

Reads the line of JSON that ``python -m benchmarks.pipeline`` ends with and fits each step's core-seconds as a sum of a
constant and what the step works on, none negative. What is printed for sizes that were measured is what was measured;
all else is a projection from two cores of one machine, and says so. Steps of one process do not gain from more cores;
steps inside Spark are taken to share them as well as they shared the two.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.optimize import nnls

from benchmarks.measuring import report

# What the work of a step grows with, besides a constant.
DRIVERS = {
    "parse": ("ratings",),
    "validate": ("ratings",),
    "publish": ("ratings",),
    "explore": ("ratings",),
    "split": ("ratings",),
    "search": ("ratings", "pairs"),
    "fit": ("ratings",),
    "evaluate": ("ratings", "pairs"),
    "register": ("users",),
    "promote": (),
    # Ratings and pairs grow together where it was measured; what grows faster is the one to go on from.
    "score_lists": ("pairs",),
    "score_similar": ("movie_pairs",),
    "publish_tables": ("ratings", "users"),
}
# Steps whose tasks run on all cores of a cluster.
SPREAD = ("validate", "explore", "search", "fit", "score_lists", "score_similar")
_MEASURED_CORES = 2
# In measured data a user comes with 154 ratings. Further users take two models' factors of rank 32 (256 bytes) in four
# copies: fitted, joined, stored, served.
_RATINGS_PER_USER, _USER_GB = 154, 1_024e-9


@dataclass(frozen=True)
class Size:
    """Data of a size, and the cores they are worked on with."""

    n_ratings: int
    n_users: int
    n_movies: int
    n_cores: int = _MEASURED_CORES

    def of(self, driver: str) -> float:
        """How much there is of what a step's work grows with."""
        amounts = {
            "ratings": self.n_ratings,
            "users": self.n_users,
            "pairs": self.n_users * self.n_movies,
            "movie_pairs": self.n_movies**2,
        }
        return float(amounts[driver])


# The largest release of MovieLens, the Netflix Prize's data, and what large services have.
PROJECTED = (
    Size(32_000_204, 200_948, 87_585),
    Size(32_000_204, 200_948, 87_585, 8),
    Size(100_480_507, 480_189, 17_770, 8),
    Size(1_000_000_000, 10_000_000, 100_000, 64),
    Size(1_000_000_000, 100_000_000, 100_000, 64),
    Size(1_000_000_000, 100_000_000, 100_000, 256),
)


class CostModel:
    """Core-seconds, wall seconds and memory of the pipeline at any size, from some that were measured."""

    def __init__(self, measured: list[dict[str, Any]]) -> None:
        self._sizes = [size_of(each) for each in measured]
        self._core_s = {step: self._fitted(step, [each["cpu_s"][step] for each in measured]) for step in DRIVERS}
        self._wall_s = {step: self._fitted(step, [each["wall_s"][step] for each in measured]) for step in DRIVERS}
        self._memory = _solved(
            [[1.0, size.n_ratings] for size in self._sizes], [each["max_peak_gb"] for each in measured]
        )
        largest = max(measured, key=lambda each: each["n_ratings"])
        self._efficiency = {
            step: min(1.0, largest["cpu_s"][step] / (_MEASURED_CORES * largest["wall_s"][step])) for step in SPREAD
        }

    def core_s(self, step: str, size: Size) -> float:
        """Processor seconds of a step, of all cores together."""
        return float(self._core_s[step] @ _amounts(step, size))

    def wall_s(self, step: str, size: Size) -> float:
        """Seconds of a step on the cores of `size`; its constant part, such as starting Spark, takes one core."""
        if step not in SPREAD:
            return float(self._wall_s[step] @ _amounts(step, size))
        constant = min(self._core_s[step][0], self._wall_s[step][0])
        work = self.core_s(step, size) - constant
        return float(constant + work / (size.n_cores * self._efficiency[step]))

    def minutes(self, size: Size) -> float:
        return sum(self.wall_s(step, size) for step in DRIVERS) / 60

    def memory_gb(self, size: Size) -> float:
        """All processes of the driver's machine together, at their peak."""
        more_users = max(0.0, size.n_users - size.n_ratings / _RATINGS_PER_USER)
        return float(self._memory @ [1.0, size.n_ratings]) + _USER_GB * more_users

    def _fitted(self, step: str, costs: list[float]) -> Any:
        return _solved([_amounts(step, size) for size in self._sizes], costs)


def size_of(measured: dict[str, Any]) -> Size:
    """The size of a measured pipeline."""
    return Size(measured["n_ratings"], measured["n_users"], measured["n_movies"])


def _amounts(step: str, size: Size) -> list[float]:
    return [1.0, *(size.of(driver) for driver in DRIVERS[step])]


def _solved(amounts: list[list[float]], costs: list[float]) -> Any:
    """Non-negative costs of each amount by least squares of the relative error: small sizes count like large ones."""
    weights = 1 / np.maximum(np.array(costs), 1e-9)
    scale = np.max(amounts, axis=0)
    return nnls(np.array(amounts) / scale * weights[:, None], np.ones(len(costs)))[0] / scale


def main(
    measured: Annotated[Path, typer.Option(help="A file whose last line benchmarks.pipeline printed.")],
) -> None:
    """Print the table of sizes: measured ones first, then projections."""
    found = json.loads(measured.read_text().strip().splitlines()[-1])["sizes"]
    model = CostModel(found)
    rows = []
    for each in found:
        at = f"{each['total_wall_s'] / 60:.1f}", f"{each['max_peak_gb']:.1f}"
        rows.append((size_of(each), "measured", *at, f"{model.minutes(size_of(each)):.1f}"))
    rows += [
        (size, "projected", f"{model.minutes(size):.0f}", f"{model.memory_gb(size):.0f}", "") for size in PROJECTED
    ]
    columns = ["ratings", "users", "movies", "cores", "", "minutes", "driver GB", "by the model"]
    lines = [
        [f"{size.n_ratings:,}", f"{size.n_users:,}", f"{size.n_movies:,}", str(size.n_cores), *texts]
        for size, *texts in rows
    ]
    document = {"minutes": [[size.n_ratings, size.n_users, size.n_cores, kind, m] for size, kind, m, *_ in rows]}
    report("the whole pipeline by size", columns, lines, document)


if __name__ == "__main__":
    typer.run(main)
