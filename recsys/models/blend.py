"""Predicted stars from several models at once: what the biases leave over, regressed on the members' scores.

An implicit model knows what a user chooses to watch, an explicit one how they rate it; the first says much about the
second (Koren, 2008, on SVD++). How far a member is to be trusted depends on how much the user has rated, so each
weight may grow with the logarithm of that, and so may the shift with the user's and the movie's: feature-weighted
linear stacking (Sill et al., 2009). The blend is again one factor model, so it is served as any rating model is.

Weights must come from ratings that no member was fitted on: on their own training ratings the members flatter
themselves, the one that overfits most above all.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.ids import positions
from recsys.models.ensemble import weighted_sum
from recsys.models.factors import Factors, Ids

Matrix = NDArray[np.float64]
_N_PARTS = 5


class Support(NamedTuple):
    """How much each user and movie was rated in training: ``log(1 + n)``, ids ascending."""

    user_ids: Ids
    user_logs: NDArray[np.float64]
    movie_ids: Ids
    movie_logs: NDArray[np.float64]

    @classmethod
    def of(cls, user_ids: NDArray[np.int32], movie_ids: NDArray[np.int32]) -> "Support":
        """Counted over training ratings; two arrays of shape (n,).

        >>> Support.of(np.array([5, 5, 9]), np.array([7, 8, 8])).user_logs.round(4).tolist()
        [1.0986, 0.6931]
        """
        users, n_of_user = np.unique(user_ids, return_counts=True)
        movies, n_of_movie = np.unique(movie_ids, return_counts=True)
        return cls(users, np.log1p(n_of_user), movies, np.log1p(n_of_movie))


class Blend(NamedTuple):
    """The weight of member i is ``levels[i] + slopes[i] * user_log``, in stars per unit of its score.

    Attributes:
        levels: shape (n_members,).
        slopes: shape (n_members,).
        shift: of 1, user_log, user_log², movie_log, movie_log² and user_log * movie_log; in stars; shape (6,).
    """

    levels: NDArray[np.float64]
    slopes: NDArray[np.float64]
    shift: NDArray[np.float64]


def blend_columns(
    scores: NDArray[np.floating],
    support: Support,
    user_ids: NDArray[np.integer],
    movie_ids: NDArray[np.integer],
) -> Matrix:
    """What the blend is a linear function of, for pairs.

    Args:
        scores: of each member for each pair; shape (n, n_members).
        support: of the ratings the members were fitted on.
        user_ids: shape (n,).
        movie_ids: shape (n,).

    Returns:
        Scores, scores times user_log, and the six parts of the shift; zeros where user or movie is cold;
        shape (n, 2 * n_members + 6).

    >>> support = Support.of(np.array([1]), np.array([5]))
    >>> blend_columns(np.array([[2.0], [2.0]]), support, np.array([1, 1]), np.array([5, 6])).round(2).tolist()
    [[2.0, 1.39, 1.0, 0.69, 0.48, 0.69, 0.48, 0.48], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    users, movies = positions(support.user_ids, user_ids), positions(support.movie_ids, movie_ids)
    warm = ((users >= 0) & (movies >= 0))[:, None]
    of_user, of_movie = support.user_logs[users], support.movie_logs[movies]
    shift = [np.ones(len(users)), of_user, of_user**2, of_movie, of_movie**2, of_user * of_movie]
    columns: Matrix = np.column_stack([scores, scores * of_user[:, None], *shift]) * warm
    return columns


def fit_blend(columns: Matrix, rest: NDArray[np.floating]) -> Blend:
    """Least squares.

    Args:
        columns: `blend_columns` of ratings that the members were not fitted on; shape (n, 2 * n_members + 6).
        rest: those ratings less their bias part, in stars; shape (n,).

    Raises:
        DataError: fewer ratings than columns.

    >>> rng = np.random.default_rng(0)
    >>> columns = rng.random((50, 8))
    >>> fit_blend(columns, columns @ np.arange(8.0)).shift.round(6).tolist()
    [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    solution = _least_squares(columns, rest)
    n_members = (len(solution) - 6) // 2
    return Blend(solution[:n_members], solution[n_members : 2 * n_members], solution[2 * n_members :])


def crossfitted(columns: Matrix, rest: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each rating's blended score by weights fitted on other ratings: what sets of members are compared by.

    Every fifth rating is left out together. Arguments and errors as in `fit_blend`; shape (n,).

    >>> columns = np.random.default_rng(0).random((50, 8))
    >>> bool(np.allclose(crossfitted(columns, columns.sum(axis=1)), columns.sum(axis=1)))
    True
    """
    scores = np.empty(len(rest))
    part = np.arange(len(rest)) % _N_PARTS
    for i in range(_N_PARTS):
        scores[part == i] = columns[part == i] @ _least_squares(columns[part != i], rest[part != i])
    return scores


def blended(members: Sequence[Factors], blend: Blend, support: Support) -> Factors:
    """The members as one model of what the biases leave over; `recsys.models.recommender.RatingModel` takes it.

    Its score of a pair is that pair's `blend_columns` times the weights, so a cold pair gets the bias part alone.

    Args:
        members: fitted on the same ratings.
        blend: their weights, in that order.
        support: of those ratings.

    >>> ids = np.array([1], np.int32)
    >>> member = Factors(ids, np.full((1, 1), 3.0, np.float32), ids, np.ones((1, 1), np.float32))
    >>> half = Blend(np.array([0.5]), np.zeros(1), np.array([-0.25, 0, 0, 0, 0, 0]))
    >>> blended([member], half, Support.of(ids, ids)).dot(np.array([1, 1]), np.array([1, 2])).tolist()
    [1.25, 0.0]
    """
    parts = []
    for member, level, slope in zip(members, blend.levels, blend.slopes, strict=True):
        weights = level + slope * support.user_logs[positions(support.user_ids, member.user_ids)]
        scaled = (member.user_factors * weights[:, None]).astype(np.float32)
        parts.append(Factors(member.user_ids, scaled, member.movie_ids, member.movie_factors))
    return weighted_sum([*parts, _shift(blend, support)], [1.0] * (len(parts) + 1))


def _shift(blend: Blend, support: Support) -> Factors:
    """The six parts as a model of rank 3: one of the user, one of the movie, and one of both."""
    one, user, user2, movie, movie2, both = blend.shift
    of_user, of_movie = support.user_logs, support.movie_logs
    users = np.column_stack([one + user * of_user + user2 * of_user**2, np.ones(len(of_user)), both * of_user])
    movies = np.column_stack([np.ones(len(of_movie)), movie * of_movie + movie2 * of_movie**2, of_movie])
    return Factors(support.user_ids, users.astype(np.float32), support.movie_ids, movies.astype(np.float32))


def _least_squares(columns: Matrix, rest: NDArray[np.floating]) -> NDArray[np.float64]:
    n, n_columns = columns.shape
    if n < n_columns:
        raise DataError(
            f"{n:,} held-out ratings do not determine {n_columns} weights, as many are needed. Nothing was blended. "
            "Hold out more ratings, or blend fewer members."
        )
    solution = np.linalg.lstsq(columns, rest.astype(np.float64), rcond=None)[0]
    return np.asarray(solution, np.float64)
