"""Splits inside each user's or each movie's ratings: a share of them at random, or the latest few."""

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError

Ids = NDArray[np.integer]
Mask = NDArray[np.bool_]


def places_within(groups: Ids, *keys: NDArray[np.number]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each row's place in its group, from 0, when the group is sorted by the keys, and the size of the group.

    Args:
        groups: which group each row belongs to; shape (n,).
        keys: the first decides, the next breaks its ties; each of shape (n,).

    >>> places, sizes = places_within(np.array([7, 8, 7]), np.array([20, 10, 5]))
    >>> places.tolist(), sizes.tolist()
    ([1, 0, 0], [2, 1, 2])
    """
    _, rows, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.lexsort((*keys[::-1], rows))
    places = np.empty(len(groups), np.int64)
    places[order] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return places, sizes[rows]


def share_of_each(groups: Ids, others: Ids, draws: NDArray[np.float64], fraction: float) -> Mask:
    """The same share of every group: the nearest whole number of its ratings, but never all of them.

    So of a group with fewer than ``0.5 / fraction`` ratings nothing is taken, and the share of all ratings is a
    little below `fraction` where many groups are small.

    Args:
        groups: the user (or the movie) of each rating; shape (n,).
        others: its movie (or user), which breaks ties between draws; shape (n,).
        draws: a random number per rating; the lowest of a group are taken; shape (n,).
        fraction: between 0 and 1.

    >>> share_of_each(np.array([1, 1, 1, 1, 2]), np.arange(5), np.array([0.9, 0.2, 0.4, 0.1, 0.3]), 0.5).tolist()
    [False, True, False, True, False]
    """
    places, sizes = places_within(groups, draws, others)
    taken: Mask = places < np.minimum(np.floor(fraction * sizes + 0.5), sizes - 1)
    return taken


def folds_of_each(
    groups: Ids, others: Ids, draws: NDArray[np.float64], starts: NDArray[np.float64], n_folds: int
) -> NDArray[np.int64]:
    """A fold for each rating, 0 to n_folds - 1, such that every group is spread over the folds as evenly as can be.

    Args:
        groups: as in `share_of_each`.
        others: as in `share_of_each`.
        draws: as in `share_of_each`; decide the order of dealing out.
        starts: a number in [0, 1), the same for all ratings of a group: the fold where its dealing begins. Without
            it all groups of one rating would meet in fold 0.
        n_folds: at least 2.

    >>> folds_of_each(np.array([1, 1, 1]), np.arange(3), np.array([0.3, 0.1, 0.2]), np.full(3, 0.5), 2).tolist()
    [1, 1, 0]
    """
    places, _ = places_within(groups, draws, others)
    return (places + (starts * n_folds).astype(np.int64)) % n_folds


def last_of_each(user_ids: Ids, movie_ids: Ids, instants: NDArray[np.int64], n_last: int) -> Mask:
    """Each user's latest `n_last` ratings, but never the first one; at one instant the higher movie id is later.

    >>> last_of_each(np.array([1, 1, 1, 2]), np.array([5, 6, 7, 5]), np.array([30, 20, 20, 10]), 2).tolist()
    [True, False, True, False]
    """
    places, sizes = places_within(user_ids, instants, movie_ids)
    taken: Mask = (places > 0) & (places >= sizes - n_last)
    return taken


def last_blocks(
    user_ids: Ids, movie_ids: Ids, instants: NDArray[np.int64], n_last: int, n_folds: int
) -> list[tuple[Mask, Mask]]:
    """The latest `n_last` ratings of each user are the last fold's validation, the `n_last` before the fold's before.

    A fold trains on what is older than its validation, and always on each user's first rating.

    Raises:
        DataError: nobody has ratings enough for the earliest fold.

    >>> users, movies = np.ones(4, int), np.arange(4)
    >>> [(t.tolist(), v.tolist()) for t, v in last_blocks(users, movies, np.array([40, 30, 20, 10]), 1, 2)][0]
    ([False, False, True, True], [False, True, False, False])
    """
    places, sizes = places_within(user_ids, instants, movie_ids)
    from_end = sizes - 1 - places
    if not (sizes > (n_folds - 1) * n_last + 1).any():
        raise DataError(
            f"{n_folds} folds of each user's last {n_last} ratings need a user with {(n_folds - 1) * n_last + 2} "
            f"ratings, the most anybody has is {int(sizes.max(initial=0))}. Nothing was split. Ask for fewer folds."
        )
    block = from_end // n_last
    return [((block > i) | (places == 0), (block == i) & (places > 0)) for i in reversed(range(n_folds))]
