"""MLlib's ALS on data whose right answer is known by construction."""

import numpy as np
import pytest

from recsys.models.als import AlsParams, fit_als, training_frame
from recsys.spark.session import blas_in_use

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def parity_taste():
    """Even users like even movies (5 stars), odd users odd ones; the rest gets 1 star. A seventh is missing."""
    users, movies = (grid.ravel().astype(np.int32) for grid in np.meshgrid(np.arange(40), np.arange(30)))
    stars = np.where(users % 2 == movies % 2, 5.0, 1.0).astype(np.float32)
    known = (users * 3 + movies) % 7 != 0
    return users, movies, stars, known


def test_explicit_als_fills_in_the_missing_ratings(spark, parity_taste):
    users, movies, stars, known = parity_taste
    frame = training_frame(spark, users[known], movies[known], stars[known] - 3, 2)
    factors = fit_als(frame, AlsParams(rank=4, reg_param=0.01, max_iter=10), n_blocks=2)
    predicted = factors.dot(users[~known], movies[~known]) + 3
    assert np.abs(predicted - stars[~known]).max() < 0.2
    frame.unpersist()


def test_implicit_als_ranks_liked_movies_first(spark, parity_taste):
    users, movies, stars, known = parity_taste
    liked = known & (stars == 5)
    frame = training_frame(spark, users[liked], movies[liked], stars[liked], 2)
    factors = fit_als(frame, AlsParams(rank=4, reg_param=0.05, max_iter=10, alpha=1.0), n_blocks=2)
    missing = ~known
    score = factors.dot(users[missing], movies[missing])
    assert score[stars[missing] == 5].min() > score[stars[missing] == 1].max()
    frame.unpersist()


def test_sixty_iterations_do_not_break_the_stack(spark, parity_taste):
    users, movies, stars, known = parity_taste
    frame = training_frame(spark, users[known], movies[known], stars[known], 2)
    factors = fit_als(frame, AlsParams(rank=2, reg_param=0.1, max_iter=60), n_blocks=2)
    assert np.isfinite(factors.user_factors).all()
    frame.unpersist()


def test_ids_come_back_ascending_and_complete(spark):
    users, movies = np.array([900, 5, 33, 5], np.int32), np.array([7, 1_000_000, 7, 3], np.int32)
    frame = training_frame(spark, users, movies, np.ones(4, np.float32), 2)
    factors = fit_als(frame, AlsParams(rank=2, reg_param=0.1, max_iter=2), n_blocks=2)
    assert factors.user_ids.tolist() == [5, 33, 900]
    assert factors.movie_ids.tolist() == [3, 7, 1_000_000]
    assert factors.user_factors.shape == (3, 2)
    frame.unpersist()


def test_a_fit_leaves_nothing_behind_in_spark(spark, parity_taste):
    """MLlib caches both sides of every model; a search of hundreds of fits would fill the heap with them."""
    frame = training_frame(spark, *parity_taste[:3], n_partitions=1)
    before = spark.sparkContext._jsc.getPersistentRDDs().size()
    fit_als(frame, AlsParams(rank=2, reg_param=0.1, max_iter=1), n_blocks=1)
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == before
    frame.unpersist()


def test_the_blas_in_use_has_a_name(spark):
    assert blas_in_use(spark).endswith("BLAS")
