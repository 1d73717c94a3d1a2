"""Every baseline against a slow way of saying the same, on matrices small enough to look at."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.decomposition import PCA

from recsys.baselines import baselines
from recsys.baselines.scorers import rating_matrix
from recsys.errors import ConfigError, DataError
from recsys.models.biases import fit_biases

EVERYBODY = np.arange(20)


@pytest.fixture
def dense():
    rng = np.random.default_rng(0)
    stars = rng.integers(1, 6, (20, 14)) * (rng.random((20, 14)) < 0.5)
    stars[:, 13] = 0  # a movie nobody rated
    stars[0, 0] = 5
    return stars.astype(np.float64)


@pytest.fixture
def stars(dense):
    return csr_array(dense.astype(np.float32))


def cosines(points):
    norms = np.linalg.norm(points, axis=1)
    norms[norms == 0] = np.inf
    return points @ points.T / np.multiply.outer(norms, norms)


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_scores_are_finite_deterministic_and_the_same_in_any_block(name, stars):
    scorer = baselines.BASELINES[name](stars)
    whole = scorer.scores(EVERYBODY)
    assert whole.shape == (20, 14)
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    some = np.array([17, 3, 3])
    np.testing.assert_allclose(scorer.scores(some), whole[some], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(baselines.BASELINES[name](stars).scores(EVERYBODY), whole, rtol=1e-4, atol=1e-4)
    assert scorer.scores(some[:0]).shape == (0, 14)


def test_random_differs_by_user_and_seed(stars):
    first, second = (baselines.fit_random(stars, seed).scores(EVERYBODY) for seed in (1, 2))
    assert len(np.unique(first)) == first.size
    assert (first != second).all()


def test_popularity_counts_ratings_whatever_their_stars(stars, dense):
    np.testing.assert_array_equal(baselines.fit_popularity(stars).scores(EVERYBODY)[5], (dense > 0).sum(axis=0))


def test_bias_order_is_that_of_the_fitted_biases(stars, dense):
    users, movies = (ids.astype(np.int32) for ids in np.nonzero(dense))
    expected = fit_biases(users, movies, dense[users, movies].astype(np.float32), damping=2.0).movie_bias
    got = baselines.fit_bias_order(stars, damping=2.0).scores(EVERYBODY)[0]
    np.testing.assert_allclose(got, [*expected, 0.0], atol=1e-6)  # the last movie has no rating


def test_svd_reconstructs_the_matrix_less_each_users_mean(stars, dense):
    centred = dense - dense.mean(axis=1, keepdims=True)
    left, singular, right = np.linalg.svd(centred)
    expected = (left[:, :4] * singular[:4]) @ right[:4]
    np.testing.assert_allclose(baselines.fit_svd(stars, rank=4).scores(EVERYBODY), expected, atol=1e-4)


def test_svd_cosine_sums_cosines_times_stars(stars, dense):
    _, singular, right = np.linalg.svd(dense)
    expected = dense @ cosines(right[:4].T * singular[:4])
    got = baselines.fit_svd_cosine(stars, rank=4).scores(EVERYBODY)
    # A movie without ratings is the zero point up to rounding, so its cosines are no more than noise.
    np.testing.assert_allclose(got[:, :13], expected[:, :13], atol=1e-3)


def test_pca_cosine_is_that_of_a_dense_pca(stars, dense):
    expected = dense @ cosines(PCA(4, svd_solver="full").fit_transform(dense.T))
    np.testing.assert_allclose(baselines.fit_pca_cosine(stars, rank=4).scores(EVERYBODY), expected, atol=1e-3)


@pytest.mark.parametrize(("n_neighbours", "shrinkage"), [(3, 0.0), (3, 20.0), (100, 5.0)])
def test_item_knn_equals_a_loop(stars, dense, n_neighbours, shrinkage, monkeypatch):
    monkeypatch.setattr(baselines, "_MOVIE_BLOCK", 5)
    expected = np.zeros((20, 14))
    for movie in range(14):
        similar = np.zeros(14)
        for other in set(range(14)) - {movie}:
            a, b = dense[:, movie], dense[:, other]
            if a @ b:
                similar[other] = a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + shrinkage)
        for other in np.argsort(-similar, kind="stable")[:n_neighbours]:
            expected[:, movie] += dense[:, other] * similar[other]
    got = baselines.fit_item_knn(stars, n_neighbours, shrinkage).scores(EVERYBODY)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_of_equally_similar_neighbours_the_lower_column_stays():
    twins = csr_array(np.array([[1.0, 1, 1, 1], [0, 0, 0, 2]]))
    weights = baselines.fit_item_knn(twins, n_neighbours=1, shrinkage=0.0).weights.toarray()
    assert np.argmax(weights, axis=0).tolist() == [1, 0, 0, 0]
    assert (weights > 0).sum(axis=0).tolist() == [1, 1, 1, 1]


def test_ease_is_the_ridge_regression_of_each_movie_on_all_others(stars, dense, monkeypatch):
    monkeypatch.setattr(baselines, "_MOVIE_BLOCK", 5)
    rated = (dense > 0).astype(float)
    expected = np.zeros((14, 14))
    for movie in range(14):
        others = np.delete(np.arange(14), movie)
        x = rated[:, others]
        expected[others, movie] = np.linalg.solve(x.T @ x + 3.0 * np.eye(13), x.T @ rated[:, movie])
    scorer = baselines.fit_ease(stars, reg_param=3.0)
    np.testing.assert_allclose(scorer.weights, expected, atol=1e-6)
    np.testing.assert_allclose(scorer.scores(EVERYBODY), rated @ expected, atol=1e-5)


def test_ease_satisfies_its_normal_equations(stars, dense):
    rated = (dense > 0).astype(float)
    weights = baselines.fit_ease(stars, reg_param=3.0).weights
    assert (weights.diagonal() == 0).all()
    rest = (rated.T @ rated + 3.0 * np.eye(14)) @ weights - rated.T @ rated
    np.testing.assert_allclose(rest - np.diag(rest.diagonal()), 0, atol=1e-5)  # stationary but for the diagonal


def test_ease_refuses_a_catalogue_that_does_not_fit_and_a_ridge_of_zero(stars):
    with pytest.raises(ConfigError, match=r"EASE on 14 movies takes .* It was not fitted"):
        baselines.fit_ease(stars, limit_bytes=14 * 14 * 12 - 1)
    baselines.fit_ease(stars, limit_bytes=14 * 14 * 12)
    with pytest.raises(ConfigError, match="above 0"):
        baselines.fit_ease(stars, reg_param=0.0)


@pytest.mark.parametrize("fit", [baselines.fit_svd, baselines.fit_svd_cosine, baselines.fit_pca_cosine])
def test_a_rank_beyond_the_data_is_cut_and_one_user_is_refused(fit, stars):
    assert np.isfinite(fit(stars, rank=1_000).scores(EVERYBODY)).all()
    with pytest.raises(DataError, match="1 users and 3 movies"):
        fit(csr_array(np.ones((1, 3), np.float32)))


def test_even_users_are_shown_even_movies_by_all_that_learn():
    users, movies = (grid.ravel().astype(np.int32) for grid in np.meshgrid(np.arange(40), np.arange(30)))
    rated = (users % 2 == movies % 2) & ((users * 3 + movies) % 7 != 0)
    matrix = rating_matrix(users[rated], movies[rated], np.full(rated.sum(), 5.0))
    for name in ("svd", "svd_cosine", "pca_cosine", "item_knn", "ease"):
        scores = baselines.BASELINES[name](matrix.stars, **({"rank": 2} if "svd" in name or "pca" in name else {}))
        block = scores.scores(np.array([4]))[0]
        assert block[matrix.movie_ids % 2 == 0].min() > block[matrix.movie_ids % 2 == 1].max(), name
