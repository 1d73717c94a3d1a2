"""What ALS has to be better than: chance, popularity, averages, and the classic neighbour and matrix methods.

Each is fitted on the stars of a `RatingMatrix` (users x movies, SciPy CSR) and gives a `Scorer`. All are
deterministic. Unless stated otherwise, a movie the user has not rated counts as 0 stars: that is what makes these
methods rank well, where fitting the rated entries alone predicts stars well.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_array, vstack
from scipy.sparse.linalg import LinearOperator, svds

from recsys.baselines.scorers import Dice, LowRank, MovieToMovie, SameForAll, Scorer
from recsys.errors import ConfigError, DataError
from recsys.models.biases import fit_biases

Matrix = NDArray[np.float64]
_MOVIE_BLOCK = 512
_MOST_MOVIES, _MOST_RATINGS, _MOST_PAIRS = 20_000, 5_000_000, 2_000_000_000


def fit_random(stars: Any, seed: int = 42) -> Dice:
    """Chance: what any model must beat, and the widest coverage there is."""
    return Dice(stars.shape[1], seed)


def fit_popularity(stars: Any) -> SameForAll:
    """Most rated first.

    >>> fit_popularity(csr_array([[5.0, 0.0], [1.0, 2.0]])).scores(np.array([0])).tolist()
    [[2.0, 1.0]]
    """
    return SameForAll(np.bincount(stars.indices, minlength=stars.shape[1]).astype(np.float32))


def fit_bias_order(stars: Any, damping: float = 5.0) -> SameForAll:
    """Best rated first: damped movie biases. A user's own bias moves all movies alike and changes no order.

    >>> fit_bias_order(csr_array([[5.0, 1.0], [4.0, 0.0]]), damping=1.0).scores(np.array([0])).argmax()
    np.int64(0)
    """
    pairs = stars.tocoo()
    biases = fit_biases(pairs.row.astype(np.int32), pairs.col.astype(np.int32), pairs.data, damping)
    every = np.zeros(stars.shape[1], np.float32)
    every[biases.movie_ids] = biases.movie_bias
    return SameForAll(every)


def fit_svd(stars: Any, rank: int = 32, seed: int = 42) -> LowRank:
    """Reconstruction from the leading singular vectors of the matrix, each user's mean over all movies taken out.

    As in the tutorials that fill unknown ratings with 0; near to PureSVD (Cremonesi, Koren & Turrin, 2010), which
    takes no mean out. The mean moves all of a user's movies alike, so it is not added back.

    Args:
        stars: sparse; shape (n_users, n_movies).
        rank: singular vectors kept; no more than one less than the smaller side.
        seed: of the iteration's start.
    """
    means = np.asarray(stars.mean(axis=1)).ravel()

    def centred(x: Matrix) -> Matrix:
        product: Matrix = stars @ x - np.multiply.outer(means, x.sum(axis=0))
        return product

    def transposed(y: Matrix) -> Matrix:
        product: Matrix = stars.T @ y - means @ y
        return product

    operator = LinearOperator(stars.shape, centred, transposed, centred, np.float64, transposed)
    left, singular, right = svds(operator, _possible(rank, stars), rng=np.random.default_rng(seed))
    return LowRank((left * singular).astype(np.float32), right.T.astype(np.float32))


def fit_svd_cosine(stars: Any, rank: int = 32, seed: int = 42) -> LowRank:
    """Movies as points in the space of the leading singular vectors, scored by cosine to what the user rated.

    A user's score of a movie is the sum of its cosines to all rated movies, each times its stars. Parameters as in
    `fit_svd`; no mean is taken out.
    """
    _, singular, right = svds(stars.astype(np.float64), _possible(rank, stars), rng=np.random.default_rng(seed))
    return _cosine_scorer(stars, right.T * singular)


def fit_pca_cosine(stars: Any, rank: int = 32, seed: int = 42) -> LowRank:
    """As `fit_svd_cosine`, in the space of the principal components (scikit-learn): means are taken out."""
    from sklearn.decomposition import PCA

    pca = PCA(_possible(rank, stars), svd_solver="arpack", random_state=seed)
    return _cosine_scorer(stars, pca.fit_transform(csr_array(stars.T, dtype=np.float64)))


def fit_item_knn(stars: Any, n_neighbours: int = 100, shrinkage: float = 10.0) -> MovieToMovie:
    """Neighbours by shrunken cosine of the movies' columns: ``a·b / (|a| |b| + shrinkage)``.

    A user's score of a movie is the sum over its neighbours of similarity times stars (Sarwar et al., 2001, without
    the division by the similarities' sum, which ranks better: Cremonesi, Koren & Turrin, 2010).

    Args:
        stars: sparse; shape (n_users, n_movies).
        n_neighbours: kept of each movie, the most similar; at equal similarity the lower column.
        shrinkage: keeps movies with few ratings from being very similar by chance; in squared stars.

    >>> knn = fit_item_knn(csr_array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [2.0, 0.0, 0.0]]), 1, shrinkage=0.0)
    >>> knn.scores(np.array([1])).astype(float).round(3).tolist()  # cosines 1/√10 and 1/√2; movie 1's nearest is 2
    [[0.316, 0.707, 0.707]]
    """
    columns = csr_array(stars.T, dtype=np.float64)
    norms = np.sqrt(columns.multiply(columns).sum(axis=1))
    parts = []
    for start in range(0, len(norms), _MOVIE_BLOCK):
        block = slice(start, min(start + _MOVIE_BLOCK, len(norms)))
        dots = (columns[block] @ columns.T).toarray()
        scale = np.multiply.outer(norms[block], norms) + shrinkage
        similar = np.divide(dots, scale, out=np.zeros_like(dots), where=dots > 0)
        similar[np.arange(len(similar)), np.arange(len(norms))[block]] = 0.0
        parts.append(csr_array(_largest(similar, n_neighbours), dtype=np.float32))
    return MovieToMovie(csr_array(stars), csr_array(vstack(parts).T))


def ease_size_bytes(n_movies: int) -> int:
    """Memory a fit of EASE takes at its peak: a float64 matrix of movies by movies, and its float32 copy.

    >>> ease_size_bytes(10_000)
    1200000000
    """
    return n_movies**2 * (8 + 4)


def fit_ease(stars: Any, reg_param: float = 500.0, limit_bytes: int = 2 * 2**30) -> MovieToMovie:
    """EASE: the ridge regression of every movie on all others, in closed form (Steck, 2019).

    With ``P = (X'X + reg_param * I)^-1`` the weights are ``I - P / diag(P)``, and 0 on the diagonal. X is 1 where
    rated, as in the paper.

    Args:
        stars: sparse; shape (n_users, n_movies).
        reg_param: of the ridge, in ratings, above 0; grows with the data: 200 to 1,000 on MovieLens.
        limit_bytes: the fit may take that much memory.

    Raises:
        ConfigError: the catalogue is too large for that, or `reg_param` is not above 0.
    """
    n_movies = stars.shape[1]
    if (size_bytes := ease_size_bytes(n_movies)) > limit_bytes:
        raise ConfigError(
            f"EASE on {n_movies:,} movies takes {size_bytes / 2**30:.1f} GiB, {limit_bytes / 2**30:.1f} are allowed. "
            "It was not fitted. Raise the limit, or leave EASE out of the comparison."
        )
    if reg_param <= 0:
        raise ConfigError(f"reg_param is {reg_param}, above 0 is needed. EASE was not fitted. Correct the value.")
    rated = csr_array((np.ones(stars.nnz), stars.indices, stars.indptr), shape=stars.shape)
    weights = _inverse(rated, reg_param)
    diagonal = weights.diagonal().copy()
    weights /= -diagonal
    np.fill_diagonal(weights, 0.0)
    return MovieToMovie(csr_array(rated, dtype=np.float32), weights.astype(np.float32))


def _inverse(rated: Any, reg_param: float) -> Matrix:
    """``(X'X + reg_param * I)^-1`` in one matrix of memory: filled by blocks, inverted in place by Cholesky."""
    n_movies = rated.shape[1]
    matrix = np.empty((n_movies, n_movies), np.float64, order="F")
    columns = csr_array(rated.T)
    for start in range(0, n_movies, _MOVIE_BLOCK):
        block = slice(start, start + _MOVIE_BLOCK)
        matrix[:, block] = (columns[block] @ rated).toarray().T
    matrix[np.diag_indices(n_movies)] += reg_param
    factor, _ = dpotrf(matrix, lower=1, overwrite_a=1)
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    for start in range(0, n_movies, _MOVIE_BLOCK):  # LAPACK fills the lower triangle only
        stop = min(start + _MOVIE_BLOCK, n_movies)
        corner = inverse[start:stop, start:stop]
        corner[:] = np.tril(corner) + np.tril(corner, -1).T
        inverse[start:stop, stop:] = inverse[stop:, start:stop].T
    return np.asarray(inverse)


def _cosine_scorer(stars: Any, points: Matrix) -> LowRank:
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    unit = np.divide(points, norms, out=np.zeros_like(points), where=norms > 0)
    return LowRank((stars @ unit).astype(np.float32), unit.astype(np.float32))


def _largest(values: Matrix, k: int) -> Matrix:
    """The k largest of each row, ties to the lower column; 0 elsewhere. Values are not negative."""
    if values.shape[1] <= k:
        return values
    least = np.partition(values, -k, axis=1)[:, -k:][:, :1]
    above, tied = values > least, values == least
    room = k - above.sum(axis=1, keepdims=True)
    return np.where(above | (tied & (np.cumsum(tied, axis=1) <= room)), values, 0.0)


def _possible(rank: int, stars: Any) -> int:
    n_users, n_movies = stars.shape
    if min(n_users, n_movies) < 2:
        raise DataError(
            f"a matrix of {n_users:,} users and {n_movies:,} movies has no singular vectors to find, 2 of each are "
            "needed. Nothing was fitted. Take more data, or leave this baseline out."
        )
    return int(min(rank, n_users - 1, n_movies - 1))


def too_large(name: str, stars: Any, limit_bytes: int = 2 * 2**30) -> str:
    """Why a baseline is not worth fitting on so much data, as half a sentence; empty where it is.

    EASE is bounded by memory; what compares every movie with every other, and PCA, by the time they take.

    >>> too_large("svd", csr_array((3, 200_000))), too_large("ease", csr_array((3, 20_000)))
    ('', 'its matrix of 20,000 x 20,000 movies takes 4.5 GiB, 2.0 are allowed')
    """
    n_movies = stars.shape[1]
    if name == "ease" and (size_bytes := ease_size_bytes(n_movies)) > limit_bytes:
        size = f"{size_bytes / 2**30:.1f} GiB, {limit_bytes / 2**30:.1f} are allowed"
        return f"its matrix of {n_movies:,} x {n_movies:,} movies takes {size}"
    if name == "random" and math.prod(stars.shape) > _MOST_PAIRS:
        return f"{math.prod(stars.shape):,} pairs of user and movie are more than {_MOST_PAIRS:,}"
    if name in ("item_knn", "pca_cosine") and (n_movies > _MOST_MOVIES or stars.nnz > _MOST_RATINGS):
        return f"{stars.nnz:,} ratings of {n_movies:,} movies are more than {_MOST_RATINGS:,} or {_MOST_MOVIES:,}"
    return ""


BASELINES: dict[str, Callable[..., Scorer]] = {
    "random": fit_random,
    "popularity": fit_popularity,
    "bias_order": fit_bias_order,
    "svd": fit_svd,
    "svd_cosine": fit_svd_cosine,
    "pca_cosine": fit_pca_cosine,
    "item_knn": fit_item_knn,
    "ease": fit_ease,
}
