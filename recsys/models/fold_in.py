"""A new user's part of both models from a handful of ratings: the least-squares problem ALS solves for every user.

MLlib updates users last. So folding in what a known user was trained on gives back that user's fitted factors, up
to the rounding of float32; the tests hold MLlib itself to that. Movies the model does not know are passed over.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError
from recsys.ids import positions
from recsys.models.factors import Biases, Factors, Floats

Matrix = NDArray[np.float64]


def gram(factors: Floats) -> Matrix:
    """The sum of the outer products of all rows with themselves; shape (n, rank) to (rank, rank).

    >>> gram(np.array([[1, 0], [1, 2]], np.float32)).tolist()
    [[2.0, 2.0], [2.0, 4.0]]
    """
    exact = factors.astype(np.float64)
    product: Matrix = exact.T @ exact
    return product


def ranking_vector(
    ranking: Factors,
    movie_ids: NDArray[np.integer],
    labels: NDArray[np.floating],
    alpha: float,
    reg_param: float,
    all_movies: Matrix | None = None,
) -> Floats:
    """Factors of a new user under MLlib's implicit objective (Hu, Koren & Volinsky, 2008).

    Every movie of the model counts, with confidence 1 in preference 0, but for those labelled: confidence
    ``1 + alpha * |label|`` in 1 where the label is positive, else in 0. The ridge is `reg_param` times the number of
    positive labels, as MLlib has it.

    Args:
        ranking: the fitted model.
        movie_ids: what the user rated; shape (n,).
        labels: preference strengths, made as those of the training (`recsys.models.preferences`); shape (n,).
        alpha: as fitted.
        reg_param: as fitted, above 0.
        all_movies: `gram` of the movie factors, when many users are folded in; computed if left out.

    Returns:
        A row to be multiplied with the movie factors, all zeros where nothing the model knows is liked: such a user
        is due the fallback list; shape (rank,).

    Raises:
        ConfigError: `reg_param` is not above 0.

    >>> movies = Factors(np.array([1], np.int32), np.ones((1, 1), np.float32),
    ...                  np.array([7, 8], np.int32), np.array([[1.0], [2.0]], np.float32))
    >>> ranking_vector(movies, np.array([8]), np.array([1.0]), alpha=1.0, reg_param=7.0).tolist()
    [0.25]

    which is (1 + 1) * 2 / (1 + 4 + 1 * 4 + 7).
    """
    _check(reg_param)
    factors, strengths = _known(ranking, movie_ids, labels)
    liked = strengths > 0
    if not liked.any():
        return np.zeros(ranking.rank, np.float32)
    extra = alpha * np.abs(strengths)
    everything = gram(ranking.movie_factors) if all_movies is None else all_movies
    left = everything + (factors * extra[:, None]).T @ factors
    return _solve(left, factors[liked].T @ (1 + extra[liked]), reg_param * int(liked.sum()))


def rating_vector(
    residuals: Factors, movie_ids: NDArray[np.integer], rest: NDArray[np.floating], reg_param: float
) -> Floats:
    """Factors of a new user under MLlib's explicit objective (Zhou et al., 2008).

    Args:
        residuals: the fitted model.
        movie_ids: what the user rated; shape (n,).
        rest: stars less the bias part, the user's own bias (`user_bias`) in it; shape (n,).
        reg_param: as fitted, above 0.

    Returns:
        A row to be multiplied with the movie factors, zeros where the model knows none of the movies; shape (rank,).

    Raises:
        ConfigError: `reg_param` is not above 0.

    >>> movies = Factors(np.array([1], np.int32), np.ones((1, 1), np.float32),
    ...                  np.array([7, 8], np.int32), np.array([[1.0], [2.0]], np.float32))
    >>> rating_vector(movies, np.array([7, 8]), np.array([0.5, 1.0]), reg_param=1.5).tolist()
    [0.3125]

    which is (1 * 0.5 + 2 * 1.0) / (1 + 4 + 1.5 * 2).
    """
    _check(reg_param)
    factors, targets = _known(residuals, movie_ids, rest)
    if not len(factors):
        return np.zeros(residuals.rank, np.float32)
    return _solve(factors.T @ factors, factors.T @ targets, reg_param * len(factors))


def user_bias(
    biases: Biases, movie_ids: NDArray[np.integer], stars: NDArray[np.floating], damping: float = 5.0
) -> float:
    """How much more generous a new user is than the average one, in stars; damped as in `fit_biases`.

    >>> ids, none = np.array([7], np.int32), np.empty(0, np.float32)
    >>> biases = Biases(3.5, np.empty(0, np.int32), none, ids, np.array([0.5], np.float32))
    >>> user_bias(biases, np.array([7, 99]), np.array([5.0, 4.5]), damping=2.0)  # (1 + 1) / (2 + 2)
    0.5
    """
    nobody = np.full(len(movie_ids), -1)  # no id is negative: the bias part of an unknown user
    rest = stars.astype(np.float64) - biases.predict(nobody, movie_ids)
    return float(rest.sum() / (len(rest) + damping))


def _known(
    model: Factors, movie_ids: NDArray[np.integer], values: NDArray[np.floating]
) -> tuple[Matrix, NDArray[np.float64]]:
    at = positions(model.movie_ids, movie_ids)
    return model.movie_factors[at[at >= 0]].astype(np.float64), values[at >= 0].astype(np.float64)


def _solve(left: Matrix, right: NDArray[np.float64], ridge: float) -> Floats:
    solution: Floats = np.linalg.solve(left + ridge * np.eye(len(left)), right).astype(np.float32)
    return solution


def _check(reg_param: float) -> None:
    if reg_param <= 0:
        raise ConfigError(
            f"reg_param is {reg_param}, above 0 is needed: a few ratings do not determine all factors. "
            "Nobody was folded in. Pass the reg_param the model was fitted with."
        )
