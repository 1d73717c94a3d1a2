"""Biases match the ridge solution; cold ids get the bias part, never NaN; the pair survives its bytes."""

import numpy as np
import pytest

from recsys.models.biases import fit_biases
from recsys.models.factors import Factors
from recsys.models.recommender import RatingModel, Recommender


def int32(*values):
    return np.array(values, np.int32)


def float32(*values):
    return np.array(values, np.float32)


def test_biases_equal_the_closed_form_of_the_ridge_problem():
    rng = np.random.default_rng(0)
    users, movies = rng.integers(0, 6, 60).astype(np.int32), rng.integers(0, 5, 60).astype(np.int32)
    stars = rng.integers(1, 6, 60).astype(np.float32)
    fitted = fit_biases(users, movies, stars, damping=3.0)
    design = np.zeros((60, 11))
    design[np.arange(60), users] = 1
    design[np.arange(60), 6 + movies] = 1
    exact = np.linalg.solve(design.T @ design + 3.0 * np.eye(11), design.T @ (stars - stars.mean()))
    np.testing.assert_allclose(np.concatenate([fitted.user_bias, fitted.movie_bias]), exact, atol=2e-3)


def test_a_single_rating_moves_its_user_by_the_damped_share():
    # mean 3, deviation 2: the movie takes 2/(1+1) = 1, then the user (2-1)/(1+1) = 0.5, and so on to 2/3 each.
    fitted = fit_biases(int32(1, 2), int32(1, 2), float32(5, 1), damping=1.0)
    np.testing.assert_allclose(fitted.user_bias, [2 / 3, -2 / 3], atol=1e-5)


@pytest.fixture
def rating_model():
    biases = fit_biases(int32(1, 1, 2), int32(10, 20, 10), float32(4, 2, 5))
    residuals = Factors(int32(1, 2), float32([1, 0], [0, 1]), int32(10, 20), float32([0.5, 9.0], [9.0, -0.5]))
    return RatingModel(biases, residuals, low=0.5, high=5.0)


def test_predictions_are_bias_plus_factors_clipped_to_the_scale(rating_model):
    bias = rating_model.biases.predict(int32(1, 2), int32(10, 10))
    got = rating_model.predict(int32(1, 2), int32(10, 10))
    np.testing.assert_allclose(got, [bias[0] + 0.5, 5.0], rtol=1e-6)  # user 2: bias + 9.0 is over the scale


def test_cold_users_and_movies_get_the_bias_part_and_never_nan(rating_model):
    got = rating_model.predict(int32(99, 1, 99), int32(10, 99, 99))
    biases = rating_model.biases
    expected = [biases.mean + biases.movie_bias[0], biases.mean + biases.user_bias[0], biases.mean]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_the_pair_survives_its_bytes(rating_model):
    pair = Recommender(rating_model.residuals, rating_model, int32(10, 20), int32(2, 1))
    again = Recommender.from_bytes(pair.to_bytes())
    users, movies = int32(1, 2, 99), int32(20, 10, 10)
    np.testing.assert_array_equal(again.rating.predict(users, movies), pair.rating.predict(users, movies))
    np.testing.assert_array_equal(again.ranking.movie_factors, pair.ranking.movie_factors)
    np.testing.assert_array_equal(again.popular_ids, [10, 20])


def test_scores_of_many_pairs_are_those_of_each_pair():
    rng = np.random.default_rng(0)
    users, movies = np.arange(0, 80, 2, dtype=np.int32), np.arange(30, dtype=np.int32)
    factors = Factors(users, rng.random((40, 5), np.float32), movies, rng.random((30, 5), np.float32))
    user_ids, movie_ids = rng.integers(0, 80, 20_000), rng.integers(0, 33, 20_000)  # more than a block, some cold
    scores = factors.dot(user_ids, movie_ids)
    is_warm = (user_ids % 2 == 0) & (movie_ids < 30)
    product = factors.user_factors @ factors.movie_factors.T
    np.testing.assert_allclose(scores[is_warm], product[user_ids[is_warm] // 2, movie_ids[is_warm]], rtol=1e-6)
    assert not scores[~is_warm].any()
