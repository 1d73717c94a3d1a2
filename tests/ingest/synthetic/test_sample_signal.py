"""The sample is worth learning from: factors beat popularity at ranking, and biases at rating.

A plain NumPy ALS is the judge, so that this says something about the data and nothing about Spark.
"""

import numpy as np
import pytest

from recsys.ingest.synthetic.taste import draw_ratings, invent_world

N_USERS, N_MOVIES, N_RATINGS, K = 500, 750, 40_000, 10


@pytest.fixture(scope="module")
def split():
    """Stars as dense arrays, 0 where nobody rated: 80 % train, 20 % holdout."""
    rng = np.random.default_rng(42)
    world = invent_world(N_USERS, N_MOVIES, N_RATINGS, rng)
    train, holdout = np.zeros((2, N_USERS, N_MOVIES))
    for block in draw_ratings(world, rng):
        held_out = rng.random(len(block.users)) < 0.2
        for stars, rows in ((train, ~held_out), (holdout, held_out)):
            stars[block.users[rows], block.movies[rows]] = block.half_stars[rows] / 2
    return train, holdout


def ndcg(scores, train, holdout):
    top = np.argsort(-np.where(train > 0, -np.inf, scores), axis=1)[:, :K]
    discounts = 1 / np.log2(np.arange(2, K + 2))
    gains = (np.take_along_axis(holdout > 0, top, axis=1) * discounts).sum(axis=1)
    n_relevant = (holdout > 0).sum(axis=1)
    ideal = np.cumsum(discounts)[np.minimum(n_relevant, K) - 1]
    return (gains / ideal)[n_relevant > 0].mean()


def als(solve, n_factors=12, n_iterations=8):
    """Alternate `solve(user, factors of the movies)` and its mirror image; returns the product."""
    rng = np.random.default_rng(0)
    movies = rng.standard_normal((N_MOVIES, n_factors)) * 0.1
    for _ in range(n_iterations):
        users = np.array([solve(user, movies, False) for user in range(N_USERS)])
        movies = np.array([solve(movie, users, True) for movie in range(N_MOVIES)])
    return users @ movies.T


def test_implicit_als_clearly_beats_popularity(split):
    train, holdout = split

    def solve(i, others, is_movie, alpha=0.5, reg=5.0):
        stars = train[:, i] if is_movie else train[i]
        rated = np.flatnonzero(stars)
        weights = alpha * stars[rated]
        near = others[rated]
        gram = others.T @ others + reg * np.eye(others.shape[1]) + (near * weights[:, None]).T @ near
        return np.linalg.solve(gram, ((1 + weights)[:, None] * near).sum(axis=0))

    popularity = ndcg(np.tile((train > 0).sum(axis=0), (N_USERS, 1)).astype(float), train, holdout)
    assert 0.15 < popularity < 0.30
    assert ndcg(als(solve), train, holdout) > 1.3 * popularity


def test_factors_on_the_residuals_beat_biases_alone(split):
    train, holdout = split
    is_rated = train > 0
    mean = train[is_rated].mean()
    users, movies = np.zeros((N_USERS, 1)), np.zeros(N_MOVIES)
    for _ in range(5):
        movies = ((train - mean - users) * is_rated).sum(axis=0) / (is_rated.sum(axis=0) + 5)
        users = (((train - mean - movies) * is_rated).sum(axis=1) / (is_rated.sum(axis=1) + 5))[:, None]
    biases = mean + users + movies
    residuals = train - biases

    def solve(i, others, is_movie, reg=10.0):
        rated = np.flatnonzero(is_rated[:, i] if is_movie else is_rated[i])
        near = others[rated]
        left = (residuals[:, i] if is_movie else residuals[i])[rated]
        return np.linalg.solve(near.T @ near + reg * np.eye(others.shape[1]), near.T @ left)

    def rmse(predicted):
        return np.sqrt(np.mean((np.clip(predicted, 0.5, 5) - holdout)[holdout > 0] ** 2))

    assert rmse(biases) < 0.9
    assert rmse(biases + als(solve)) < 0.98 * rmse(biases)
