"""Exact top-k of a matrix product, rated movies left out: the kernel behind lists and neighbours.

There are two paths to the same answer: `recsys.topk.fused`, compiled by numba, and `recsys.topk.blocks`, which
needs NumPy only and several times as long.

What a product in float32 rounds depends on the processor and on where a score stands in it, so both paths only propose
by it: candidates within its largest error are scored again, each by itself in double precision. The answer is the same
on every machine, by either path and for every grouping of users, and movies with equal factors tie; ties go to the
lower movie index.
"""

import logging
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError, DataError
from recsys.topk import blocks

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]

_LARGEST = float(np.finfo(np.float32).max)


class MovieFactors:
    """Movie factors, checked and laid out once for many calls of `top_k`.

    A copy that travels to another process takes the bare factors along, and lays them out again as is best there.
    """

    def __init__(self, factors: Floats, path: Any = None) -> None:
        """Check the factors.

        Args:
            factors: shape (m, rank).
            path: the module `recsys.topk.fused` or `recsys.topk.blocks`; by default the faster one there is.

        Raises:
            DataError: a factor is NaN or infinite.
        """
        # Chosen before work is handed out: what is compiled here, other processes of this machine only load.
        self.path = path or _path()
        self.factors = np.asarray(factors, np.float32)
        if self.factors.ndim == 2:  # another shape is told about with that of the users
            _check_finite("movie", self.factors)

    def __len__(self) -> int:
        return len(self.factors)

    def __reduce__(self) -> tuple[Any, ...]:
        return MovieFactors, (self.factors,)

    @cached_property
    def layout(self) -> Any:
        """As the path reads them."""
        return self.path.prepare(self.factors)

    @cached_property
    def largest_norm(self) -> float:
        """Of a movie; 0 without movies."""
        return _largest_norm(self.factors) if len(self.factors) else 0.0


def top_k(
    user_factors: Floats,
    movie_factors: Floats | MovieFactors,
    k: int,
    seen_indptr: NDArray[np.integer],
    seen_indices: NDArray[np.integer],
) -> tuple[Indices, Floats]:
    """The k movies of highest score for each user, those already seen left out.

    Args:
        user_factors: shape (n, rank).
        movie_factors: shape (m, rank); as `MovieFactors` where several calls share them.
        k: list length, at least 1; may exceed m.
        seen_indptr: where each user's part of `seen_indices` begins; shape (n + 1,).
        seen_indices: movie positions in [0, m) to leave out, in any order, repeats allowed.

    Returns:
        Movie positions as int32, best first, padded with -1, and their scores as float32, padded with
        -inf; both of shape (n, k).

    Raises:
        ConfigError: k is below 1.
        DataError: shapes do not fit, a factor is NaN or infinite, or scores would overflow float32.

    >>> movies = np.array([[3.0], [1.0], [2.0], [2.0]], np.float32)
    >>> found, scores = top_k(np.ones((1, 1), np.float32), movies, 3, np.array([0, 1]), np.array([0]))
    >>> found.tolist(), scores.tolist()
    ([[2, 3, 1]], [[2.0, 2.0, 1.0]])
    """
    users = np.asarray(user_factors, np.float32)
    movies = movie_factors if isinstance(movie_factors, MovieFactors) else MovieFactors(movie_factors)
    indptr, seen = np.asarray(seen_indptr, np.int64), np.asarray(seen_indices, np.int64)
    _check(users, movies, k, indptr, seen)
    best = np.full((len(users), k), -1, np.int32)
    scores = np.full((len(users), k), -np.inf, np.float32)
    if len(users) and len(movies):
        movies.path.fill(users, movies.layout, _largest_error(users, movies), indptr, seen, best, scores)
    return best, scores


def select_top(scores: Floats, k: int) -> tuple[Indices, Floats]:
    """The k highest scores of each row; ties go to the lower column, -inf is never selected.

    Args:
        scores: shape (n, m), without NaN.
        k: at least 1; may exceed m.

    Returns:
        Columns as int32 padded with -1, and their scores padded with -inf; both of shape (n, k).

    >>> columns, values = select_top(np.array([[1.0, 5.0, 1.0, -np.inf]], np.float32), 4)
    >>> columns.tolist(), values.tolist()
    ([[1, 0, 2, -1]], [[5.0, 1.0, 1.0, -inf]])
    """
    best = np.full((len(scores), k), -1, np.int32)
    values = np.full((len(scores), k), -np.inf, np.float32)
    blocks.merge(scores, 0, best, values)
    return best, values


@cache
def _path() -> Any:
    """The module that does the work: compiled where that is possible."""
    try:
        from recsys.topk import fused
    except ImportError as error:
        log.warning("top-k is not compiled and takes several times as long: %s", error)
        return blocks
    return fused


def _largest_error(users: Floats, movies: MovieFactors) -> NDArray[np.float64]:
    """By how much a float32 product may miss a user's true scores, in any order of summation; shape (n,).

    The bound of Higham (2002, section 3.1) for inner products, with the largest norm of a movie; twice, because the
    exact score is rounded to float32 too.
    """
    rank = users.shape[1]
    norms = np.sqrt(np.einsum("ij,ij->i", users, users, dtype=np.float64))
    relative = 2 * (rank + 2) * float(np.finfo(np.float32).eps)
    error: NDArray[np.float64] = norms * movies.largest_norm * relative + rank * float(np.finfo(np.float32).tiny)
    return error


def _check(users: Floats, movies: MovieFactors, k: int, indptr: NDArray[np.int64], seen: NDArray[np.int64]) -> None:
    if k < 1:
        raise ConfigError(f"k is {k}, at least 1 is needed. Nothing was scored. Set k to the list length wanted.")
    if users.ndim != 2 or movies.factors.ndim != 2 or users.shape[1] != movies.factors.shape[1]:
        raise DataError(
            f"user factors of shape {users.shape} and movie factors of shape {movies.factors.shape} do not multiply. "
            "Nothing was scored. Pass both as (n, rank) of one model."
        )
    if len(indptr) != len(users) + 1 or indptr[0] != 0 or indptr[-1] != len(seen) or (np.diff(indptr) < 0).any():
        raise DataError(
            f"seen_indptr does not cut {len(seen):,} seen movies into the lists of {len(users):,} users. "
            "Nothing was scored. Pass n + 1 ascending offsets from 0 to the number of seen movies."
        )
    if len(seen) and not (seen.min() >= 0 and seen.max() < len(movies)):
        raise DataError(
            f"seen movie positions reach from {seen.min()} to {seen.max()}, the model has {len(movies):,} movies. "
            "Nothing was scored. Pass positions in the movie factors, not movie ids."
        )
    _check_finite("user", users)
    if len(users) and len(movies) and _largest_norm(users) * movies.largest_norm > _LARGEST:
        raise DataError(
            "the factors are so large that scores overflow float32. Nothing was scored. Train the model again."
        )


def _check_finite(what: str, factors: Floats) -> None:
    finite = np.isfinite(factors).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        raise DataError(
            f"{what} factors: {int((~finite).sum()):,} of {len(factors):,} rows are NaN or infinite, 0 allowed; "
            f"the first is row {first}. Nothing was scored. Train the model again."
        )


def _largest_norm(factors: Floats) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", factors, factors, dtype=np.float64).max()))
