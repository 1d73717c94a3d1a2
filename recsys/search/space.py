"""Search spaces: dimensions on a log scale or of named choices, walked as a grid or by a Halton sequence."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Params = dict[str, Any]
_EDGE = 0.05


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
        return self.nearest(math.exp(math.log(self.low) + u * math.log(self.high / self.low)))

    def nearest(self, value: float) -> float:
        """The value of the dimension that is closest to `value`."""
        return min(max(float(f"{value:.3g}"), self.low), self.high)


@dataclass(frozen=True)
class LogInteger:
    """A whole number from `low` to `high`, both at least 1, uniform on the log scale."""

    low: int
    high: int

    def at(self, u: float) -> int:
        """The value at the quantile `u` in [0, 1].

        >>> [LogInteger(8, 64).at(u) for u in (0, 1 / 3, 0.5, 2 / 3, 1)]
        [8, 16, 23, 32, 64]
        """
        return self.nearest(math.exp(math.log(self.low) + u * math.log(self.high / self.low)))

    def nearest(self, value: float) -> int:
        """The value of the dimension that is closest to `value`."""
        return min(max(round(value), self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values without an order, such as a weighting scheme.

    None may be among them: ``Choice((None, 30.0, 365.0))`` is an optional half-life in days.
    """

    options: tuple[str | float | None, ...]

    def at(self, u: float) -> str | float | None:
        """The option at the quantile `u` in [0, 1], each equally likely.

        >>> [Choice(("stars", "liked")).at(u) for u in (0, 0.49, 0.5, 1)]
        ['stars', 'stars', 'liked', 'liked']
        """
        return self.options[min(len(self.options) - 1, int(u * len(self.options)))]

    def nearest(self, value: Any) -> str | float | None:
        """`value` itself, or the first option where it is none of them."""
        return value if value in self.options else self.options[0]


Dimension = LogUniform | LogInteger | Choice
Space = dict[str, Dimension]


def fit_into(space: Space, params: Mapping[str, Any], defaults: Mapping[str, Any]) -> Params:
    """What did well elsewhere, made a candidate of this space: other names left out, missing ones filled in, clipped.

    Raises:
        KeyError: neither they nor the defaults know a numeric dimension.

    >>> space = {"rank": LogInteger(8, 32), "reg_param": LogUniform(0.01, 1), "weights": Choice(("stars", "liked"))}
    >>> fit_into(space, {"rank": 64, "alpha": 2.0}, {"reg_param": 0.1})
    {'rank': 32, 'reg_param': 0.1, 'weights': 'stars'}
    """
    known = {name: d.options[0] for name, d in space.items() if isinstance(d, Choice)} | {**defaults, **params}
    return {name: dimension.nearest(known[name]) for name, dimension in space.items()}


def grid(space: Space, n: int) -> list[Params]:
    """Every candidate of the largest even grid of at most `n`.

    Levels are handed out one by one, to the dimension with the fewest among those for which there is room. A dimension
    with one level stands at its middle, one with more has both its ends.

    >>> grid({"rank": LogInteger(8, 32), "reg_param": LogUniform(0.01, 1)}, 5)[1:3]
    [{'rank': 8, 'reg_param': 1.0}, {'rank': 32, 'reg_param': 0.01}]
    >>> [params["reg_param"] for params in grid({"reg_param": LogUniform(0.01, 1)}, 3)]
    [0.01, 0.1, 1.0]
    """
    levels = dict.fromkeys(space, 1)
    axes = {name: _levels(dimension, 1) for name, dimension in space.items()}
    open_names = list(space)
    while open_names:
        name = min(open_names, key=lambda each: levels[each])
        more = _levels(space[name], levels[name] + 1)
        others = math.prod(len(axis) for other, axis in axes.items() if other != name)
        if len(more) * others > n or len(more) == len(axes[name]):
            open_names.remove(name)
        else:
            levels[name], axes[name] = levels[name] + 1, more
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*axes.values())]


def halton(space: Space, seed: int, n: int) -> Iterator[Params]:
    """Candidates of a scrambled Halton sequence, which covers the space better than as many independent draws.

    Bergstra & Bengio (2012), section 5. Same seed, same candidates; a longer sequence begins with a shorter one.
    """
    from scipy.stats import qmc

    rows = qmc.Halton(d=len(space), scramble=True, rng=seed).random(n)
    for row in rows:
        yield {name: dimension.at(float(u)) for (name, dimension), u in zip(space.items(), row, strict=True)}


def different(candidates: Iterable[Params], n: int) -> list[Params]:
    """The first `n` different ones.

    >>> different([{"rank": 8}, {"rank": 8}, {"rank": 9}, {"rank": 10}], 2)
    [{'rank': 8}, {'rank': 9}]
    """
    found: list[Params] = []
    for params in candidates:
        if len(found) >= n:
            break
        if params not in found:
            found.append(params)
    return found


def edges(space: Space, params: Params) -> dict[str, str]:
    """The numeric dimensions at whose end a candidate is, within a twentieth of the log scale: ``low`` or ``high``.

    >>> edges({"rank": LogInteger(8, 32), "reg_param": LogUniform(0.01, 1)}, {"rank": 32, "reg_param": 0.3})
    {'rank': 'high'}
    """
    found = {}
    for name, dimension in space.items():
        if isinstance(dimension, Choice) or dimension.low == dimension.high:
            continue
        u = math.log(params[name] / dimension.low) / math.log(dimension.high / dimension.low)
        if not _EDGE < u < 1 - _EDGE:
            found[name] = "low" if u <= _EDGE else "high"
    return found


def show(params: Mapping[str, Any]) -> str:
    """Hyper-parameters as text.

    >>> show({"rank": 32, "reg_param": 0.1, "half_life": None, "weights": "liked"})
    'rank=32 reg_param=0.1 half_life=none weights=liked'
    """
    return " ".join(f"{name}={show_value(value)}" for name, value in params.items())


def show_value(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)


def _levels(dimension: Dimension, n: int) -> list[Any]:
    """Up to `n` values of a dimension, evenly spread."""
    if isinstance(dimension, Choice):
        return list(dimension.options[:n])
    steps = [i / (n - 1) for i in range(n)] if n > 1 else [0.5]
    return list(dict.fromkeys(dimension.at(u) for u in steps))
