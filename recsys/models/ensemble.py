"""Several factor models as one: the dot product of concatenated factors is the sum of the members' scores.

So an ensemble is served, ranked and searched for neighbours by the same code as any single model. Fits of one
objective that differ in seed or hyper-parameters err in different places, and their sum errs less.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError
from recsys.ids import positions
from recsys.models.factors import Factors, Floats, Ids


def weighted_sum(members: Sequence[Factors], weights: Sequence[float] | None = None) -> Factors:
    """The model whose score of a pair is the weighted sum of the members' scores.

    Args:
        members: at least one; a pair that is cold to a member gets 0 from it.
        weights: one per member, of any sign; by default the mean is taken.

    Returns:
        Factors over the users and movies of all members; its rank is the sum of theirs.

    Raises:
        ConfigError: no members, or not as many weights.

    >>> ids = np.array([1], np.int32)
    >>> two = Factors(ids, np.full((1, 1), 2.0, np.float32), ids, np.ones((1, 1), np.float32))
    >>> three = Factors(ids, np.full((1, 1), 3.0, np.float32), ids + 1, np.ones((1, 1), np.float32))
    >>> weighted_sum([two, three], [1.0, 4.0]).dot(np.array([1, 1]), np.array([1, 2])).tolist()
    [2.0, 12.0]
    """
    shares = [1 / len(members) for _ in members] if weights is None else list(weights)
    if not members or len(shares) != len(members):
        raise ConfigError(
            f"{len(members)} members and {len(shares)} weights do not make an ensemble. Nothing was combined. "
            "Pass at least one member, and a weight for each."
        )
    users: Ids = reduce(np.union1d, (member.user_ids for member in members))
    movies: Ids = reduce(np.union1d, (member.movie_ids for member in members))
    # Each side carries half of a weight's size, so that neither side's factors get out of float32's best range.
    return Factors(
        users,
        _side_by_side(users, [(m.user_ids, m.user_factors * _root(w)) for m, w in zip(members, shares, strict=True)]),
        movies,
        _side_by_side(
            movies,
            [(m.movie_ids, m.movie_factors * np.sign(w) * _root(w)) for m, w in zip(members, shares, strict=True)],
        ),
    )


def grow(
    value: Callable[[tuple[int, ...]], float],
    n: int,
    n_members: int,
    least_gain: float = 0.0,
    *,
    start: tuple[int, ...] = (),
    repeats: bool = True,
) -> tuple[tuple[int, ...], float]:
    """Greedy selection of members by validation (Caruana et al., 2004): each time the one that helps most.

    Args:
        value: of a set of candidates, higher is better.
        n: candidates are 0 to n - 1.
        n_members: at most that many.
        least_gain: a member must bring more than that.
        start: members from the beginning.
        repeats: a candidate may be chosen again, and so weigh double.

    Returns:
        The members in the order of choosing, and their value.

    >>> grow(lambda chosen: -abs(sum(chosen) - 5), n=4, n_members=3)
    ((3, 2), 0)
    """
    chosen = start
    best = value(start) if start else -np.inf
    while len(chosen) < n_members:
        options = [(*chosen, i) for i in range(n) if repeats or i not in chosen]
        values = [value(option) for option in options]
        if not values or max(values) <= best + least_gain:
            break
        best = max(values)
        chosen = options[values.index(best)]
    return chosen, best


def _root(weight: float) -> np.float32:
    return np.float32(np.sqrt(abs(weight)))


def _side_by_side(ids: Ids, parts: list[tuple[Ids, NDArray[np.float32]]]) -> Floats:
    joined = np.zeros((len(ids), sum(rows.shape[1] for _, rows in parts)), np.float32)
    start = 0
    for members, rows in parts:
        joined[positions(ids, members), start : start + rows.shape[1]] = rows
        start += rows.shape[1]
    return joined
