"""What a rating says about wanting a movie: the labels that implicit ALS learns from.

MLlib reads a label r as confidence ``1 + alpha * |r|`` in the preference 1 where r > 0, and 0 where r < 0. A label of
0 says as much as no rating at all, so no row need be dropped and every user and movie keeps its factors.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError, DataError
from recsys.ids import distinct, positions

Scheme = Literal["stars", "centred", "liked", "all"]
_DAY = np.timedelta64(1, "D")


def preference(
    stars: NDArray[np.floating],
    user_ids: NDArray[np.integer],
    timestamps: NDArray[np.datetime64],
    scheme: Scheme = "stars",
    power: float = 1.0,
    threshold: float = 4.0,
    half_life_days: float | None = None,
    damping: float = 5.0,
    *,
    mean: float | None = None,
    newest: np.datetime64 | None = None,
) -> NDArray[np.float32]:
    """Labels of training ratings, or of new ones as they would have been among the training ratings.

    Args:
        stars: shape (n,).
        user_ids: shape (n,).
        timestamps: used by the decay alone; shape (n,).
        scheme: `stars`: as given. `centred`: minus the user's damped mean, so that what a user likes less than usual
            is a confident dislike. `liked`: 1 from `threshold` stars on, else 0. `all`: 1, whatever the stars.
        power: the label's size is raised to it, its sign kept; above 1 the extremes weigh more.
        threshold: stars; `liked` alone.
        half_life_days: a rating that much older than the newest weighs half, and so on; None: age does not matter.
        damping: ratings' worth of pull of a user's mean towards everybody's; `centred` alone.
        mean: everybody's, in stars; by default of these ratings.
        newest: from when the age of a rating counts; by default the newest of these; what is newer has no age.

    Returns:
        Labels as float32; shape (n,).

    Raises:
        ConfigError: an unknown scheme, or a power or half-life that is not above 0.
        DataError: decay is asked for and a timestamp is missing.

    >>> stars, users = np.array([5.0, 3.0, 4.0]), np.array([1, 1, 2])
    >>> times = np.array(["2001-01-31", "2001-01-01", "2001-01-31"], "datetime64[ms]")
    >>> preference(stars, users, times, power=2).tolist()
    [25.0, 9.0, 16.0]
    >>> preference(stars, users, times, "centred").tolist()  # all means are 4, damped or not
    [1.0, -1.0, 0.0]
    >>> preference(stars, users, times, "liked").tolist()
    [1.0, 0.0, 1.0]
    >>> preference(stars, users, times, "all", half_life_days=15).tolist()  # 30 days are two half-lives
    [1.0, 0.25, 1.0]
    """
    if scheme not in get_args(Scheme) or power <= 0 or (half_life_days is not None and half_life_days <= 0):
        raise ConfigError(
            f"preference scheme {scheme!r}, power {power}, half-life {half_life_days}: the scheme is one of "
            f"{', '.join(get_args(Scheme))}, the others are above 0. Nothing was fitted. Correct the value."
        )
    exact = stars.astype(np.float64)
    if scheme == "centred":
        exact = exact - _damped_means(exact, user_ids, damping, mean)
    elif scheme == "liked":
        exact = (exact >= threshold).astype(np.float64)
    elif scheme == "all":
        exact = np.ones(len(exact))
    labels = np.sign(exact) * np.abs(exact) ** power
    if half_life_days is not None:
        labels = labels * _decay(timestamps, half_life_days, newest)
    return labels.astype(np.float32)


def _damped_means(
    stars: NDArray[np.float64], user_ids: NDArray[np.integer], damping: float, mean: float | None
) -> NDArray[np.float64]:
    """Each rating's user mean, as if the user had given `damping` more ratings of everybody's mean."""
    rows = positions(distinct(user_ids), user_ids)
    pull = damping * (stars.mean() if mean is None else mean)
    means: NDArray[np.float64] = (np.bincount(rows, stars) + pull) / (np.bincount(rows) + damping)
    return means[rows]


def _decay(
    timestamps: NDArray[np.datetime64], half_life_days: float, newest: np.datetime64 | None
) -> NDArray[np.float64]:
    if n_missing := int(np.isnat(timestamps).sum()):
        raise DataError(
            f"{n_missing:,} of {len(timestamps):,} ratings have no timestamp, so their age is unknown; 0 allowed. "
            "Nothing was fitted. Leave them out, or set no half-life."
        )
    age_days = np.maximum((timestamps.max() if newest is None else newest) - timestamps, 0 * _DAY) / _DAY
    weights: NDArray[np.float64] = np.exp2(-age_days / half_life_days)
    return weights
