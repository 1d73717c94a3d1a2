"""From ids to their places in an ascending id array: the one lookup every array of the project needs."""

import numpy as np
from numpy.typing import NDArray


def positions(ids: NDArray[np.int32], wanted: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where each wanted id stands in an ascending id array; -1 where it does not.

    >>> positions(np.array([3, 5, 9], np.int32), np.array([9, 4, 3])).tolist()
    [2, -1, 0]
    """
    if not len(ids):
        return np.full(len(wanted), -1, np.int64)
    found = np.searchsorted(ids, wanted)
    found[found == len(ids)] = 0
    return np.where(ids[found] == wanted, found, -1).astype(np.int64)
