"""Search spaces on a log scale, walked as a grid or by a scrambled Halton sequence."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

Point = dict[str, Any]


@dataclass(frozen=True)
class LogUniform:
    """A positive real between `low` and `high`, uniform on the log scale; three significant digits."""

    low: float
    high: float

    def at(self, u: float) -> float:
        """The value at the quantile `u` in [0, 1].

        >>> LogUniform(0.01, 1).at(0.5)
        0.1
        """
        value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        return float(f"{value:.3g}")


@dataclass(frozen=True)
class PowerOfTwo:
    """A power of two between `low` and `high`, each equally likely."""

    low: int
    high: int

    def at(self, u: float) -> int:
        """The value at the quantile `u` in [0, 1].

        >>> [PowerOfTwo(8, 64).at(u) for u in (0.0, 0.3, 0.6, 1.0)]
        [8, 16, 32, 64]
        """
        first, last = math.ceil(math.log2(self.low)), math.floor(math.log2(self.high))
        return int(2 ** min(last, first + int(u * (last - first + 1))))


Space = dict[str, LogUniform | PowerOfTwo]


def draw(space: Space, n: int, strategy: str, seed: int, first: list[Point] | None = None) -> list[Point]:
    """Up to `n` different points, those of `first` ahead of the drawn ones.

    Args:
        space: dimension by name.
        n: how many candidates there is time for.
        strategy: ``grid`` spreads n points evenly over the space; ``random`` takes a scrambled Halton
            sequence, which covers few points better than independent draws (Bergstra & Bengio, 2012).
        seed: same seed, same points.
        first: points worth trying before any other, such as the present champion's.

    >>> draw({"reg_param": LogUniform(0.01, 1)}, 3, "grid", seed=0)
    [{'reg_param': 0.01}, {'reg_param': 0.1}, {'reg_param': 1.0}]
    """
    points = [dict(zip(space, values, strict=True)) for values in _quantiles(space, n, strategy, seed)]
    different: list[Point] = []
    for point in [*(first or []), *points]:
        if point not in different:
            different.append(point)
    return different[:n]


def _quantiles(space: Space, n: int, strategy: str, seed: int) -> list[tuple[Any, ...]]:
    dimensions = list(space.values())
    if strategy == "grid":
        return _grid(dimensions, n)
    from scipy.stats import qmc

    sample = qmc.Halton(d=len(dimensions), scramble=True, rng=seed).random(2 * n)
    return [tuple(d.at(float(u)) for d, u in zip(dimensions, row, strict=True)) for row in sample]


def _grid(dimensions: list[LogUniform | PowerOfTwo], n: int) -> list[tuple[Any, ...]]:
    """The smallest even grid with at least `n` points, thinned evenly to `n`."""
    per_dimension = 1
    while per_dimension ** len(dimensions) < n:
        per_dimension += 1
    steps = [i / max(1, per_dimension - 1) for i in range(per_dimension)] if per_dimension > 1 else [0.5]
    product = list(itertools.product(*([d.at(u) for u in steps] for d in dimensions)))
    unique = list(dict.fromkeys(product))
    if len(unique) <= n:
        return unique
    return [unique[round(i * (len(unique) - 1) / max(1, n - 1))] for i in range(n)]
