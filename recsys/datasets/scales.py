"""Rating scales: which one ratings may be on, told from the values that occur."""

import math
from collections.abc import Iterable
from typing import NamedTuple


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
