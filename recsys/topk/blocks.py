"""The path of `top_k` that needs no compiler: products of blocks by BLAS, thresholds, and NumPy's selection.

Users are scored in blocks against blocks of movies, so memory stays bounded whatever the sizes. A running
threshold per user (the score of its present k-th movie) lets nearly every score of later blocks be dropped
by one comparison. On 162,541 users x 59,047 movies at rank 64 that cost a third of a full argpartition.

Ties go to the lower movie index, also at the cut: `argpartition` alone picks among tied movies at random.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]
Offsets = NDArray[np.int64]
Doubles = NDArray[np.float64]

_USER_BLOCK = 512
_MOVIE_BLOCK = 2_048
_PAIRS = 1 << 17  # candidates scored again at once: 64 MB at rank 64


class Layout(NamedTuple):
    """Movie factors as given, shape (m, rank), and transposed, cut into blocks of at most `_MOVIE_BLOCK` columns."""

    factors: Floats
    blocks: list[Floats]


def prepare(factors: Floats) -> Layout:
    """Lay movie factors of shape (m, rank) out for `fill`."""
    cuts = range(0, len(factors), _MOVIE_BLOCK)
    return Layout(factors, [np.ascontiguousarray(factors[at : at + _MOVIE_BLOCK].T) for at in cuts])


def fill(
    users: Floats, movies: Layout, slack: Doubles, indptr: Offsets, seen: Offsets, best: Indices, scores: Floats
) -> None:
    """Fill the empty lists `best` and `scores`, both of shape (n, k); arguments as `top_k` has checked them."""
    for start in range(0, len(users), _USER_BLOCK):
        stop = min(start + _USER_BLOCK, len(users))
        rows = np.repeat(np.arange(stop - start), np.diff(indptr[start : stop + 1]))
        part = (rows, seen[indptr[start] : indptr[stop]])
        _score_block(users[start:stop], movies, part, slack[start:stop], best[start:stop], scores[start:stop])


def _score_block(
    users: Floats,
    movies: Layout,
    seen: tuple[NDArray[np.integer], NDArray[np.int64]],
    slack: Doubles,
    best: Indices,
    scores: Floats,
) -> None:
    """Fill `best` and `scores` of one block of users, movie block by movie block."""

    def exact(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
        values = np.empty(len(rows), np.float32)
        for at in range(0, len(rows), _PAIRS):
            pairs = slice(at, at + _PAIRS)
            values[pairs] = _exact(users[rows[pairs]], movies.factors[columns[pairs]])
        return values

    rows, columns = seen
    order = np.argsort(columns // _MOVIE_BLOCK, kind="stable")
    rows, columns = rows[order], columns[order]
    cuts = np.searchsorted(columns // _MOVIE_BLOCK, np.arange(len(movies.blocks) + 1))
    for number, block in enumerate(movies.blocks):
        product = users @ block
        here = slice(cuts[number], cuts[number + 1])
        product[rows[here], columns[here] - number * _MOVIE_BLOCK] = -np.inf
        merge(product, number * _MOVIE_BLOCK, best, scores, slack[:, None], exact)


def _exact(users: Floats, movies: Floats) -> Floats:
    """Scores of pairs in double precision, summed in the order that `recsys.topk.fused` sums in too."""
    whole = users.shape[1] - users.shape[1] % 4
    sums = np.zeros((len(users), 4))
    for at in range(0, whole, 4):
        sums += users[:, at : at + 4].astype(np.float64) * movies[:, at : at + 4]
    for at in range(whole, users.shape[1]):
        sums[:, 0] += users[:, at].astype(np.float64) * movies[:, at]
    exact: Floats = ((sums[:, 0] + sums[:, 1]) + (sums[:, 2] + sums[:, 3])).astype(np.float32)
    return exact


def merge(
    product: Floats,
    offset: int,
    best: Indices,
    scores: Floats,
    slack: Doubles | float = 0.0,
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


def _below(scores: Floats, slack: Doubles | float) -> Floats:
    """Scores less their slack, rounded down: float32 again, which compares twice as fast with a product."""
    if isinstance(slack, float):
        return scores
    lower: Floats = np.nextafter((scores - slack).astype(np.float32), np.float32(-np.inf))
    return lower
