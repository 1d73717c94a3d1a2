"""Random splits drawn from a hash of the pair, not from a generator's state.

A rating's side depends on its user, its movie and the seed alone. So the split does not depend on row
order, and a rating held out today is held out of every later snapshot too: a champion trained last month
has never seen this month's holdout, and the two can be compared on it.
"""

import numpy as np
from numpy.typing import NDArray

_HOLDOUT_SALT = 0x68_6F_6C_64
_FOLD_SALT = 0x66_6F_6C_64


def is_holdout(
    user_ids: NDArray[np.integer], movie_ids: NDArray[np.integer], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Which ratings are kept from all training; about `fraction` of them. Shapes (n,), (n,) to (n,).

    >>> users, movies = np.repeat(np.arange(100), 100), np.tile(np.arange(100), 100)
    >>> bool(0.19 < is_holdout(users, movies, 0.2, seed=42).mean() < 0.21)
    True
    """
    held: NDArray[np.bool_] = uniform(user_ids, movie_ids, seed, _HOLDOUT_SALT) < fraction
    return held


def fold_of(
    user_ids: NDArray[np.integer], movie_ids: NDArray[np.integer], n_folds: int, seed: int
) -> NDArray[np.int64]:
    """The validation fold of each training rating, 0 to n_folds - 1; independent of `is_holdout`.

    >>> fold_of(np.array([1, 1, 2]), np.array([10, 20, 10]), n_folds=5, seed=42).shape
    (3,)
    """
    return (uniform(user_ids, movie_ids, seed, _FOLD_SALT) * n_folds).astype(np.int64)


def uniform(user_ids: NDArray[np.integer], movie_ids: NDArray[np.integer], seed: int, salt: int) -> NDArray[np.float64]:
    """One number in [0, 1) per pair: SplitMix64 (Steele, Lea & Flood, 2014) over user, movie, seed and salt.

    >>> uniform(np.array([1, 2, 1]), np.array([10, 10, 10]), seed=42, salt=0).round(3).tolist()
    [0.625, 0.743, 0.625]
    """
    pair = (user_ids.astype(np.uint64) << np.uint64(32)) | movie_ids.astype(np.uint32).astype(np.uint64)
    key = np.array([(seed << 32 ^ salt) & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)
    return (_mix(pair ^ _mix(key)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E37_79B9_7F4A_7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
