"""Folding in what a user was trained on gives back the user's fitted factors: by a small ALS, and by MLlib itself."""

import numpy as np
import pytest

from recsys.errors import ConfigError
from recsys.models.biases import fit_biases
from recsys.models.factors import Biases, Factors
from recsys.models.fold_in import gram, ranking_vector, rating_vector, user_bias

N_USERS, N_MOVIES, RANK = 12, 9, 3


def drawn(seed=0):
    """Every user and movie has ratings; labels of both signs and some zeros."""
    rng = np.random.default_rng(seed)
    known = rng.random((N_USERS, N_MOVIES)) < 0.5
    known[np.arange(N_USERS), np.arange(N_USERS) % N_MOVIES] = True
    users, movies = (ids.astype(np.int32) for ids in np.nonzero(known))
    return users, movies, rng.integers(-1, 4, len(users)).astype(np.float32)


def half_step(others, known, labels, reg_param, alpha):
    """One user's (or movie's) factors from dense rows, written as the objective reads; `alpha` None: explicit."""
    if alpha is None:
        weights, targets, n = known.astype(float), labels, known.sum()
    else:
        weights, targets, n = 1 + alpha * np.abs(labels) * known, (labels > 0) * known, ((labels > 0) & known).sum()
    left = (others.T * weights) @ others + reg_param * n * np.eye(others.shape[1])
    return np.linalg.solve(left, (others.T * weights) @ targets)


def converged_als(users, movies, labels, reg_param, alpha):
    """Alternate until nothing moves, users last as in MLlib."""
    known, dense = np.zeros((N_USERS, N_MOVIES), bool), np.zeros((N_USERS, N_MOVIES))
    known[users, movies], dense[users, movies] = True, labels
    user_factors = np.random.default_rng(1).normal(0, 1, (N_USERS, RANK))
    for _ in range(5_000):
        before = user_factors
        movie_factors = np.array(
            [half_step(before, known[:, m], dense[:, m], reg_param, alpha) for m in range(N_MOVIES)]
        )
        user_factors = np.array(
            [half_step(movie_factors, known[u], dense[u], reg_param, alpha) for u in range(N_USERS)]
        )
        if np.abs(user_factors - before).max() < 1e-9:
            break
    else:
        pytest.fail("the small ALS did not converge")
    ids = np.arange(N_USERS, dtype=np.int32), np.arange(N_MOVIES, dtype=np.int32)
    return Factors(ids[0], user_factors.astype(np.float32), ids[1], movie_factors.astype(np.float32))


@pytest.mark.parametrize("alpha", [0.5, 5.0])
def test_folding_in_reproduces_a_converged_implicit_als(alpha):
    users, movies, labels = drawn()
    fitted = converged_als(users, movies, labels, 0.1, alpha)
    for user in range(N_USERS):
        own = users == user
        folded = ranking_vector(fitted, movies[own], labels[own], alpha, 0.1)
        np.testing.assert_allclose(folded, fitted.user_factors[user], atol=1e-5)


def test_folding_in_reproduces_a_converged_explicit_als():
    users, movies, labels = drawn()
    fitted = converged_als(users, movies, labels, 0.3, None)
    for user in range(N_USERS):
        own = users == user
        folded = rating_vector(fitted, movies[own], labels[own], 0.3)
        np.testing.assert_allclose(folded, fitted.user_factors[user], atol=1e-5)


@pytest.mark.spark
@pytest.mark.parametrize("alpha", [None, 2.0])
def test_folding_in_reproduces_mllib_without_convergence(spark, alpha):
    from recsys.models.als import AlsParams, fit_als, training_frame

    users, movies, labels = drawn()
    frame = training_frame(spark, users, movies, labels, 2)
    fitted = fit_als(frame, AlsParams(rank=RANK, reg_param=0.2, max_iter=3, alpha=alpha), n_blocks=2)
    frame.unpersist()
    for user in range(N_USERS):
        own = users == user
        if alpha is None:
            folded = rating_vector(fitted, movies[own], labels[own], 0.2)
        else:
            folded = ranking_vector(fitted, movies[own], labels[own], alpha, 0.2)
        np.testing.assert_allclose(folded, fitted.user_factors[user], atol=1e-5)


@pytest.fixture
def fitted():
    rng = np.random.default_rng(3)
    vectors = rng.normal(0, 1, (N_MOVIES, RANK)).astype(np.float32)
    return Factors(np.zeros(1, np.int32), vectors[:1], np.arange(10, 10 + N_MOVIES, dtype=np.int32), vectors)


def test_a_label_of_zero_says_as_much_as_no_rating(fitted):
    with_zero = ranking_vector(fitted, np.array([10, 11, 12]), np.array([4.0, 0.0, 2.0]), 1.0, 0.1)
    without = ranking_vector(fitted, np.array([10, 12]), np.array([4.0, 2.0]), 1.0, 0.1)
    np.testing.assert_allclose(with_zero, without, rtol=1e-6)


def test_movies_the_model_does_not_know_are_passed_over(fitted):
    with_unknown, without = np.array([10, 99]), np.array([10])
    both, one = np.array([4.0, 5.0]), np.array([4.0])
    np.testing.assert_array_equal(
        ranking_vector(fitted, with_unknown, both, 1.0, 0.1), ranking_vector(fitted, without, one, 1.0, 0.1)
    )
    np.testing.assert_array_equal(
        rating_vector(fitted, with_unknown, both, 0.1), rating_vector(fitted, without, one, 0.1)
    )


def test_a_user_who_likes_nothing_known_gets_zeros_which_mean_the_fallback(fitted):
    assert not ranking_vector(fitted, np.array([10]), np.array([-2.0]), 1.0, 0.1).any()
    assert not ranking_vector(fitted, np.array([99]), np.array([5.0]), 1.0, 0.1).any()
    assert not rating_vector(fitted, np.array([99]), np.array([5.0]), 0.1).any()


def test_the_gram_matrix_may_be_computed_once_for_many_users(fitted):
    once = gram(fitted.movie_factors)
    arguments = fitted, np.array([10, 11]), np.array([1.0, 2.0]), 1.0, 0.1
    np.testing.assert_array_equal(ranking_vector(*arguments, all_movies=once), ranking_vector(*arguments))


def test_a_ridge_of_zero_is_refused(fitted):
    with pytest.raises(ConfigError, match="Nobody was folded in"):
        rating_vector(fitted, np.array([10]), np.array([1.0]), 0.0)


def test_the_bias_of_a_known_user_is_the_fitted_one():
    users, movies, _ = drawn()
    stars = np.random.default_rng(4).integers(1, 6, len(users)).astype(np.float32)
    biases = fit_biases(users, movies, stars, damping=3.0)
    for user in range(N_USERS):
        own = users == user
        assert user_bias(biases, movies[own], stars[own], damping=3.0) == pytest.approx(
            biases.user_bias[user], abs=1e-5
        )


def test_a_movie_without_a_bias_still_tells_of_the_users_generosity():
    none = np.empty(0, np.float32)
    biases = Biases(3.0, none.astype(np.int32), none, none.astype(np.int32), none)
    assert user_bias(biases, np.array([99]), np.array([5.0]), damping=1.0) == 1.0
