"""Members put together are one factor model that says what the members say, weighted."""

import numpy as np
import pytest

from recsys.errors import ConfigError, DataError
from recsys.models.blend import Blend, Support, blend_columns, blended, crossfitted, fit_blend
from recsys.models.ensemble import weighted_sum
from recsys.models.factors import Biases, Factors
from recsys.models.recommender import RatingModel, Recommender


def drawn(user_ids, movie_ids, rank, seed):
    rng = np.random.default_rng(seed)
    users, movies = np.array(user_ids, np.int32), np.array(movie_ids, np.int32)
    return Factors(
        users,
        rng.normal(size=(len(users), rank)).astype(np.float32),
        movies,
        rng.normal(size=(len(movies), rank)).astype(np.float32),
    )


@pytest.fixture
def members():
    """Two models that know different users and movies; user 4 and movie 70 are strangers to both."""
    return [drawn([1, 2, 9], [10, 30, 50], 2, 0), drawn([2, 3, 9], [10, 20, 50], 3, 1)]


@pytest.fixture
def pairs():
    users, movies = np.meshgrid([1, 2, 3, 4, 9], [10, 20, 30, 50, 70])
    return users.ravel(), movies.ravel()


@pytest.mark.parametrize("weights", [[1.0, 1.0], [2.0, -0.5], [0.0, 3.0]])
def test_an_ensemble_scores_the_weighted_sum_of_its_members_scores(members, pairs, weights):
    expected = sum(weight * member.dot(*pairs) for weight, member in zip(weights, members, strict=True))
    ensemble = weighted_sum(members, weights)
    np.testing.assert_allclose(ensemble.dot(*pairs), expected, atol=1e-5)
    assert ensemble.user_ids.tolist() == [1, 2, 3, 9]
    assert ensemble.movie_ids.tolist() == [10, 20, 30, 50]
    assert ensemble.rank == 5
    assert ensemble.user_factors.dtype == ensemble.movie_factors.dtype == np.float32


def test_without_weights_it_is_the_mean(members, pairs):
    mean = (members[0].dot(*pairs) + members[1].dot(*pairs)) / 2
    np.testing.assert_allclose(weighted_sum(members).dot(*pairs), mean, atol=1e-6)


@pytest.mark.parametrize(("n_members", "weights"), [(0, None), (2, [1.0]), (0, [1.0])])
def test_an_ensemble_of_nothing_or_with_other_weights_is_refused(members, n_members, weights):
    with pytest.raises(ConfigError, match="do not make an ensemble"):
        weighted_sum(members[:n_members], weights)


def test_support_counts_training_ratings():
    support = Support.of(np.array([5, 5, 5, 9]), np.array([70, 80, 90, 80]))
    assert np.expm1(support.user_logs).round(9).tolist() == [3, 1]
    assert np.expm1(support.movie_logs).round(9).tolist() == [1, 2, 1]


@pytest.fixture
def known():
    """Two members fitted on the same ratings of 60 users and 40 movies, and pairs of them."""
    users, movies = (grid.ravel().astype(np.int32) for grid in np.meshgrid(np.arange(60), np.arange(40)))
    kept = np.random.default_rng(3).random(len(users)) < np.linspace(0.1, 0.9, 60)[users]
    support = Support.of(users[kept], movies[kept])
    return [drawn(range(60), range(40), rank, rank) for rank in (2, 3)], support, users, movies


def test_least_squares_finds_the_weights_that_made_the_ratings(known):
    members, support, users, movies = known
    truth = Blend(np.array([0.4, -0.2]), np.array([0.1, 0.3]), np.array([-0.3, 0.2, 0.05, -0.1, 0.02, 0.04]))
    rest = blended(members, truth, support).dot(users, movies)
    scores = np.column_stack([member.dot(users, movies) for member in members])
    columns = blend_columns(scores, support, users, movies)
    np.testing.assert_allclose(columns @ np.concatenate(truth), rest, atol=1e-5)
    for found, true in zip(fit_blend(columns, rest), truth, strict=True):
        np.testing.assert_allclose(found, true, atol=1e-3)


def test_a_pair_that_is_cold_gets_the_bias_part_alone(known):
    members, support, *_ = known
    blend = Blend(np.ones(2), np.ones(2), np.ones(6))
    cold = np.array([0, 999, 999]), np.array([999, 0, 999])
    assert blended(members, blend, support).dot(*cold).tolist() == [0, 0, 0]
    assert not blend_columns(np.ones((3, 2)), support, *cold).any()


def test_crossfitted_scores_do_not_know_the_rating_they_are_for(known):
    _, support, users, movies = known
    rng = np.random.default_rng(0)
    columns = blend_columns(rng.normal(size=(len(users), 2)), support, users, movies)[:50]
    rest = rng.normal(size=50)
    changed = rest.copy()
    changed[10::5] += 100.0
    np.testing.assert_allclose(crossfitted(columns, changed)[::5], crossfitted(columns, rest)[::5])
    assert np.abs(crossfitted(columns, changed) - crossfitted(columns, rest))[1::5].min() > 0.1


def test_too_few_ratings_are_refused():
    with pytest.raises(DataError, match="7 held-out ratings do not determine 8 weights"):
        fit_blend(np.ones((7, 8)), np.ones(7))


def test_a_blend_is_served_and_stored_like_any_rating_model(known):
    members, support, users, movies = known
    rest = blended(members, Blend(np.array([0.4, 0.1]), np.zeros(2), np.zeros(6)), support)
    ids, none = np.arange(60, dtype=np.int32), np.zeros(60, np.float32)
    model = RatingModel(Biases(3.5, ids, none, ids[:40], none[:40]), rest, 1.0, 5.0)
    stored = Recommender(members[0], model, ids[:40], ids[:40])
    again = Recommender.from_bytes(stored.to_bytes()).rating
    np.testing.assert_array_equal(again.predict(users, movies), model.predict(users, movies))
