"""Exact top-k of a matrix product, rated movies left out: the kernel behind lists and neighbours.

Users are scored in blocks against blocks of movies, so memory stays bounded whatever the sizes. A running
threshold per user (the score of its present k-th movie) lets nearly every score of later blocks be dropped
by one comparison. On 162,541 users x 59,047 movies at rank 64 that cost a third of a full argpartition.

What BLAS rounds depends on the processor and on where a score stands in the product, so the product only proposes:
candidates within its largest error are scored again, each by itself in double precision. The answer is the same on
every machine and for every grouping of users, and movies with equal factors tie.

Ties go to the lower movie index, also at the cut: `argpartition` alone picks among tied movies at random.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError, DataError

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]

_USER_BLOCK = 512
_MOVIE_BLOCK = 2_048
_PAIRS = 1 << 17  # candidates scored again at once: 64 MB at rank 64
_LARGEST = float(np.finfo(np.float32).max)


def top_k(
    user_factors: Floats,
    movie_factors: Floats,
    k: int,
    seen_indptr: NDArray[np.integer],
    seen_indices: NDArray[np.integer],
) -> tuple[Indices, Floats]:
    """The k movies of highest score for each user, those already seen left out.

    Args:
        user_factors: shape (n, rank).
        movie_factors: shape (m, rank).
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
    users, movies = np.asarray(user_factors, np.float32), np.asarray(movie_factors, np.float32)
    indptr, seen = np.asarray(seen_indptr, np.int64), np.asarray(seen_indices, np.int64)
    _check(users, movies, k, indptr, seen)
    best = np.full((len(users), k), -1, np.int32)
    scores = np.full((len(users), k), -np.inf, np.float32)
    blocks = _movie_blocks(movies)
    slack = _largest_error(users, movies)
    for start in range(0, len(users), _USER_BLOCK):
        stop = min(start + _USER_BLOCK, len(users))
        rows = np.repeat(np.arange(stop - start), np.diff(indptr[start : stop + 1]))
        part = (rows, seen[indptr[start] : indptr[stop]])
        _score_block(users[start:stop], movies, blocks, part, slack[start:stop], best[start:stop], scores[start:stop])
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
    _merge(scores, 0, best, values)
    return best, values


def _movie_blocks(movies: Floats) -> list[Floats]:
    """Movie factors transposed and cut into blocks of at most `_MOVIE_BLOCK` columns."""
    return [np.ascontiguousarray(movies[at : at + _MOVIE_BLOCK].T) for at in range(0, len(movies), _MOVIE_BLOCK)]


def _largest_error(users: Floats, movies: Floats) -> NDArray[np.float64]:
    """By how much a float32 product may miss a user's true scores, in any order of summation; shape (n,).

    The bound of Higham (2002, section 3.1) for inner products, with the largest norm of a movie; twice, because the
    exact score is rounded to float32 too.
    """
    rank = users.shape[1]
    norms = np.sqrt(np.einsum("ij,ij->i", users, users, dtype=np.float64))
    relative = 2 * (rank + 2) * float(np.finfo(np.float32).eps)
    largest = _largest_norm(movies) if len(movies) else 0.0
    error: NDArray[np.float64] = norms * largest * relative + rank * float(np.finfo(np.float32).tiny)
    return error


def _score_block(
    users: Floats,
    movies: Floats,
    blocks: list[Floats],
    seen: tuple[NDArray[np.integer], NDArray[np.int64]],
    slack: NDArray[np.float64],
    best: Indices,
    scores: Floats,
) -> None:
    """Fill `best` and `scores` of one block of users, movie block by movie block."""

    def exact(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
        values = np.empty(len(rows), np.float32)
        for at in range(0, len(rows), _PAIRS):
            pairs = slice(at, at + _PAIRS)
            values[pairs] = np.einsum("ij,ij->i", users[rows[pairs]], movies[columns[pairs]], dtype=np.float64)
        return values

    rows, columns = seen
    order = np.argsort(columns // _MOVIE_BLOCK, kind="stable")
    rows, columns = rows[order], columns[order]
    cuts = np.searchsorted(columns // _MOVIE_BLOCK, np.arange(len(blocks) + 1))
    for number, block in enumerate(blocks):
        product = users @ block
        here = slice(cuts[number], cuts[number + 1])
        product[rows[here], columns[here] - number * _MOVIE_BLOCK] = -np.inf
        _merge(product, number * _MOVIE_BLOCK, best, scores, slack[:, None], exact)


def _merge(
    product: Floats,
    offset: int,
    best: Indices,
    scores: Floats,
    slack: NDArray[np.float64] | float = 0.0,
    exact: Callable[[NDArray[np.int64], NDArray[np.int64]], Floats] | None = None,
) -> None:
    """Let the columns of `product`, which stand for movies from `offset` on, compete for the lists, in place.

    Called in ascending order of `offset`: a movie that ties with the k-th of a full list comes later and loses.
    Where `product` may be off by `slack`, `exact` scores the candidates again.
    """
    k = scores.shape[1]
    wanted = product > _below(scores[:, -1:], slack)
    if np.count_nonzero(wanted) > 2 * k * len(product) and product.shape[1] > k:
        # No movie below the k-th best of its own block can enter; those tied with it still may.
        kth = np.partition(product, -k, axis=1)[:, -k:][:, :1]
        wanted &= product >= _below(kth, 2 * slack)
    rows, columns = np.nonzero(wanted)
    if not len(rows):
        return
    found = product[rows, columns] if exact is None else exact(rows, columns + offset)
    touched, counts = np.unique(rows, return_counts=True)
    owners = np.concatenate([np.repeat(touched, k), rows])
    movies = np.concatenate([best[touched].ravel(), (columns + offset).astype(np.int32)])
    values = np.concatenate([scores[touched].ravel(), found])
    # Stable by position: what a list holds already, in order, then newcomers in order of their index.
    order = np.lexsort((-values, owners))
    starts = np.concatenate([[0], np.cumsum(counts + k)[:-1]])
    kept = order[(starts[:, None] + np.arange(k)).ravel()]
    best[touched] = movies[kept].reshape(-1, k)
    scores[touched] = values[kept].reshape(-1, k)


def _below(scores: Floats, slack: NDArray[np.float64] | float) -> Floats:
    """Scores less their slack, rounded down: float32 again, which compares twice as fast with a product."""
    if isinstance(slack, float):
        return scores
    lower: Floats = np.nextafter((scores - slack).astype(np.float32), np.float32(-np.inf))
    return lower


def _check(users: Floats, movies: Floats, k: int, indptr: NDArray[np.int64], seen: NDArray[np.int64]) -> None:
    if k < 1:
        raise ConfigError(f"k is {k}, at least 1 is needed. Nothing was scored. Set k to the list length wanted.")
    if users.ndim != 2 or movies.ndim != 2 or users.shape[1] != movies.shape[1]:
        raise DataError(
            f"user factors of shape {users.shape} and movie factors of shape {movies.shape} do not multiply. "
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
    _check_finite("movie", movies)
    if len(users) and len(movies) and _largest_norm(users) * _largest_norm(movies) > _LARGEST:
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
