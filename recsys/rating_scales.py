"""Rating scales: the ratings that one allows, and the one that the values found propose."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from recsys.config import NO_RATINGS
from recsys.errors import ConfigError

LARGEST_COUNT = 1e9  # of one row, where nobody rated; what is larger is a misread column, such as a time
HALF_STARS = tuple(n / 2 for n in range(1, 11))
_MAX_STARS = 20_001  # -100 to 100 in hundredths; longer ones are a mistyped step
_SCALE = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)-(-?[0-9]+(?:\.[0-9]+)?)/([0-9]*\.?[0-9]+)", re.ASCII)


def stars_of(low: float, high: float, step: float) -> tuple[float, ...]:
    """Every rating a scale allows, ascending, as the 32-bit floats that ratings are stored in.

    Args:
        low: the lowest rating.
        high: the highest; reached by whole steps from `low`.
        step: the distance of two neighbours.

    Raises:
        ConfigError: the scale has no step, runs downwards, does not end on `high`, or has over a thousand values.

    >>> stars_of(1, 5, 1)
    (1.0, 2.0, 3.0, 4.0, 5.0)
    >>> stars_of(0, 0.2, 0.1)  # what 32 bits make of 0.1 and 0.2
    (0.0, 0.10000000149011612, 0.20000000298023224)
    """
    first, last, stride = (Decimal(str(value)) for value in (low, high, step))
    n_steps, rest = divmod(last - first, stride) if stride > 0 else (Decimal(-1), Decimal(0))
    if n_steps < 0 or rest or n_steps >= _MAX_STARS:
        raise ConfigError(
            f"rating scale {low:g}-{high:g}/{step:g}: its highest rating must be reached from the lowest in whole "
            f"steps, fewer than {_MAX_STARS:,} of them. Nothing was checked. Give rating_scale as lowest-highest/step, "
            "such as 0.5-5/0.5."
        )
    return tuple(float(np.float32(first + n * stride)) for n in range(int(n_steps) + 1))


def parse_scale(text: str) -> tuple[float, ...]:
    """The ratings that a setting such as ``1-5/1`` allows.

    Raises:
        ConfigError: it is not of that form, or no scale.

    >>> parse_scale("0.5-2/0.5"), parse_scale("-1-1/1")
    ((0.5, 1.0, 1.5, 2.0), (-1.0, 0.0, 1.0))
    """
    match = _SCALE.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"rating_scale {text!r} is not of the form lowest-highest/step, such as 1-5/1 or -10-10/0.01. "
            "Nothing was checked."
        )
    low, high, step = map(float, match.groups())
    return stars_of(low, high, step)


class Scale(NamedTuple):
    """A scale as the setting `rating_scale` says it, and why these ratings may be on it."""

    text: str
    reason: str


# Whole steps first: the narrowest usual scale that holds all values.
_WHOLE = (
    (0, 1),
    (1, 5),
    (0, 5),
    (1, 7),
    (1, 10),
    (0, 10),
    (-1, 1),
    (-5, 5),
    (-10, 10),
    (1, 100),
    (0, 100),
    (-100, 100),
)
_BROKEN = ((0, 1), (0, 5), (0, 10), (-10, 10), (0, 100), (-100, 100))
_STEPS = (0.5, 0.25, 0.1, 0.01)


def propose_scale(values: Iterable[float]) -> Scale | None:
    """The narrowest usual scale on which all values are; None where they are counts, or no scale's at all.

    >>> propose_scale([1.0, 7.0, 10.0]).text, propose_scale([0.0, 1.0]).text, propose_scale([0.5, 5.0]).text
    ('1-10/1', '0-1/1', '0.5-5/0.5')
    >>> propose_scale([-9.81, 3.71]), propose_scale([1.0, 5000.0])
    (Scale(text='-10-10/0.01', reason='the ratings go from -9.81 to 3.71 in steps of 0.01'), None)
    """
    found = sorted({round(value, 4) for value in values if math.isfinite(value)})
    if not found:
        return None
    low, high = found[0], found[-1]
    span = f"the ratings go from {low:g} to {high:g} in"
    if all(value == int(value) for value in found):
        bounds = next(((a, b) for a, b in _WHOLE if a <= low and high <= b), None)
        return Scale(f"{bounds[0]}-{bounds[1]}/1", f"{span} whole steps") if bounds else None
    step = next(
        (step for step in _STEPS if all(abs(value / step - round(value / step)) < 1e-6 for value in found)), None
    )
    if step is None:
        return None
    if step == _STEPS[0] and low > 0 and high <= 5:
        return Scale("0.5-5/0.5", f"{span} halves")
    bounds = next(((a, b) for a, b in _BROKEN if a <= low and high <= b), None)
    return Scale(f"{bounds[0]}-{bounds[1]}/{step:g}", f"{span} steps of {step:g}") if bounds else None


def stars_on(scale: str) -> tuple[float, ...]:
    """The ratings of a snapshot's scale, none for counts; half stars where a snapshot of old does not say."""
    if scale == NO_RATINGS:
        return ()
    return parse_scale(scale) if scale else HALF_STARS
