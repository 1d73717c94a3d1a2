"""Splits at instants: what was rated before is for training, what was rated from then on is the question.

Ratings of one instant are never parted, so a share is met as nearly as their timestamps allow.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError

Mask = NDArray[np.bool_]
# Folds are cut from the later half: each then trains on at least as much as half of what the final fit will see.
_ALWAYS_TRAINED = 0.5


def latest(instants: NDArray[np.int64], fraction: float) -> Mask:
    """The latest `fraction` of all ratings; at least one, and never all. Shape (n,) to (n,).

    Raises:
        DataError: all ratings are of one instant.

    >>> latest(np.array([10, 40, 20, 30, 40]), 0.2).tolist()  # both of instant 40, or none: both
    [False, True, False, False, True]
    """
    ordered = np.sort(instants)
    mask: Mask = instants >= ordered[_cut(ordered, 1 - fraction)]
    return mask


def expanding_folds(instants: NDArray[np.int64], n_folds: int) -> list[tuple[Mask, Mask]]:
    """The later half in `n_folds` consecutive blocks; each is validated by training on everything before it.

    Raises:
        DataError: there are too few distinct instants for that many blocks.

    >>> [(t.tolist(), v.tolist()) for t, v in expanding_folds(np.array([10, 20, 30, 40]), 2)][0]
    ([True, True, False, False], [False, False, True, False])
    """
    ordered = np.sort(instants)
    step = (1 - _ALWAYS_TRAINED) / n_folds
    cuts = [_cut(ordered, _ALWAYS_TRAINED + step * i) for i in range(n_folds)]
    if len(set(cuts)) < n_folds:
        raise DataError(
            f"{len(instants):,} ratings at {len(np.unique(instants)):,} instants do not part into {n_folds} blocks. "
            "Nothing was split. Ask for fewer folds, or split at random."
        )
    begins = [ordered[cut] for cut in cuts]
    ends = [*begins[1:], ordered[-1] + 1]
    return [(instants < at, (instants >= at) & (instants < end)) for at, end in zip(begins, ends, strict=True)]


def _cut(ordered: NDArray[np.int64], share: float) -> int:
    """How many ratings come before the cut that leaves as nearly as possible `share` of them before it."""
    n = len(ordered)
    wanted = min(max(round(share * n), 1), n - 1)
    at = ordered[wanted] if n > 1 else 0
    before, through = (int(np.searchsorted(ordered, at, side)) for side in ("left", "right"))
    possible = [cut for cut in (before, through) if 0 < cut < n]
    if not possible:
        raise DataError(
            f"{n:,} ratings all have one timestamp, so none is later than another. Nothing was split. "
            "Take data with timestamps, or split at random."
        )
    return min(possible, key=lambda cut: abs(cut - wanted))
