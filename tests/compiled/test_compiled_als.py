"""Compiled ALS against least squares written as the objectives read, and against MLlib from the same beginning."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recsys.compiled import compiled_als
from recsys.compiled.compiled_als import Fits, State, StatesInMemory, fit, iterate, start, to_factors
from recsys.compiled.interactions import Interactions
from recsys.errors import ConfigError, DataError
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.ingest.synthetic.taste import draw_ratings, invent_world
from recsys.models.als import AlsParams, fit_als, training_frame
from recsys.models.biases import fit_biases
from recsys.models.recommender import RatingModel

N_USERS, N_MOVIES = 60, 50


@pytest.fixture(scope="module")
def drawn():
    """Users with 1 to 50 ratings, so that every rank meets fewer ratings than factors and more; labels of all signs."""
    rng = np.random.default_rng(0)
    known = rng.random((N_USERS, N_MOVIES)) < rng.random((N_USERS, 1))
    known[:, 0] = known[0] = True
    users, movies = (ids.astype(np.int32) for ids in np.nonzero(known))
    order = rng.permutation(len(users))
    return users[order], movies[order], rng.integers(-1, 4, len(users)).astype(np.float32)


def reference_half_step(others, known, labels, reg_param, alpha):
    """One user's (or movie's) factors from dense rows, in double precision; `alpha` None: explicit."""
    if alpha is None:
        weights, targets, n = known.astype(float), labels, known.sum()
    else:
        weights, targets, n = 1 + alpha * np.abs(labels), (labels > 0).astype(float), (labels > 0).sum()
    if n == 0:
        return np.zeros(others.shape[1])
    left = (others.T * weights) @ others + reg_param * n * np.eye(others.shape[1])
    return np.linalg.solve(left, (others.T * weights) @ targets)


def reference(drawn, params, user_factors, n_iterations):
    users, movies, labels = drawn
    known, dense = np.zeros((N_USERS, N_MOVIES), bool), np.zeros((N_USERS, N_MOVIES))
    known[users, movies], dense[users, movies] = True, labels
    rest = params.reg_param, params.alpha
    user_factors = user_factors.astype(float)
    for _ in range(n_iterations):
        pairs = zip(known.T, dense.T, strict=True)
        movie_factors = np.array([reference_half_step(user_factors, *pair, *rest) for pair in pairs])
        pairs = zip(known, dense, strict=True)
        user_factors = np.array([reference_half_step(movie_factors, *pair, *rest) for pair in pairs])
    return user_factors, movie_factors


@pytest.mark.parametrize("rank", [2, 8, 10, 16, 17, 64, 100])  # below, at and above the tile's sides
@pytest.mark.parametrize("alpha", [None, 0.5, 40.0])
def test_three_iterations_are_those_of_dense_least_squares(drawn, rank, alpha):
    params = AlsParams(rank=rank, reg_param=0.05, max_iter=3, alpha=alpha)
    data = Interactions.of(*drawn[:2])
    begun = start(data, params)
    fitted = iterate(data, data.arranged(drawn[2]), params, begun, 3)
    user_factors, movie_factors = reference(drawn, params, begun.user_factors, 3)
    np.testing.assert_allclose(fitted.user_factors, user_factors, atol=1e-4)
    np.testing.assert_allclose(fitted.user_factors @ fitted.movie_factors.T, user_factors @ movie_factors.T, atol=1e-4)


def test_a_movie_of_more_ratings_than_are_gathered_at_once():
    """300 users, 3 movies: three panels a movie, the last one not full."""
    users, movies = (ids.ravel().astype(np.int32) for ids in np.meshgrid(np.arange(300), np.arange(3)))
    labels = np.random.default_rng(1).normal(0, 1, 900).astype(np.float32)
    params = AlsParams(rank=5, reg_param=0.1, max_iter=1)
    data = Interactions.of(users, movies)
    begun = start(data, params)
    fitted = iterate(data, data.arranged(labels), params, begun, 1)
    for movie in range(3):
        left = begun.user_factors.T @ begun.user_factors + 0.1 * 300 * np.eye(5)
        right = begun.user_factors.T @ labels[movies == movie]
        np.testing.assert_allclose(fitted.movie_factors[movie], np.linalg.solve(left, right), atol=1e-5)


@pytest.mark.parametrize("alpha", [None, 2.0])
def test_a_resumed_fit_is_the_uninterrupted_one_to_the_last_bit(drawn, alpha):
    params = AlsParams(rank=12, reg_param=0.1, max_iter=6, alpha=alpha)
    data = Interactions.of(*drawn[:2])
    labels = data.arranged(drawn[2])
    halfway = iterate(data, labels, params, start(data, params), 3)
    kept = halfway.user_factors.copy()
    resumed = iterate(data, labels, params, halfway, 3)
    assert (halfway.n_iterations, resumed.n_iterations) == (3, 6)
    assert (halfway.user_factors == kept).all()
    whole = fit(data, labels, params)
    assert (whole.user_factors == resumed.user_factors).all()
    assert (whole.movie_factors == resumed.movie_factors).all()


def test_a_longer_fit_goes_on_from_a_shorter_one_while_memory_lasts(drawn, monkeypatch):
    """Two candidates of rank 4 keep (60 + 50) * 4 * 4 bytes = 1,760 each: 2,000 bytes are enough for the newer one."""
    asked = []

    def counted(data, labels, params, state, n_more):
        asked.append(n_more)
        return iterate(data, labels, params, state, n_more)

    monkeypatch.setattr(compiled_als, "iterate", counted)
    data = Interactions.of(*drawn[:2])
    labels = data.arranged(drawn[2])
    fits = Fits(data, StatesInMemory(limit_bytes=2_000))
    one, other = (AlsParams(rank=4, reg_param=reg_param, max_iter=3) for reg_param in (0.1, 0.2))
    longer = AlsParams(rank=4, reg_param=0.1, max_iter=5)
    fits.fit("stars", labels, one)
    resumed = fits.fit("stars", labels, longer)
    fits.fit("stars", labels, one)  # shorter than what is kept: from the start, and the longer one stays
    fits.fit("stars", labels, longer)
    fits.fit("stars", labels, other)  # takes the place of the first
    again = fits.fit("stars", labels, longer)
    assert asked == [3, 2, 3, 0, 3, 5]
    assert (resumed.user_factors == again.user_factors).all()
    fits.fit("centred", labels, longer)
    assert asked[-1] == 5


def state_of(n_bytes, n_iterations=1):
    factors = np.zeros((n_bytes // 8, 1), np.float32)  # half of the bytes each
    return State(factors, factors, n_iterations)


def test_the_state_not_used_for_longest_goes_first_and_looking_at_one_is_use():
    states, params = StatesInMemory(limit_bytes=2_000), AlsParams(rank=1, reg_param=0.1, max_iter=1)
    for scheme in ("one", "other"):
        states.put(scheme, params, state_of(800))
    assert states.get("one", params)
    states.put("third", params, state_of(800))
    assert [scheme for scheme in ("one", "other", "third") if states.get(scheme, params)] == ["one", "third"]


def test_a_state_larger_than_the_limit_is_not_kept_and_pushes_out_no_other():
    states, params = StatesInMemory(limit_bytes=2_000), AlsParams(rank=1, reg_param=0.1, max_iter=1)
    states.put("one", params, state_of(800))
    states.put("large", params, state_of(4_000))
    assert states.get("large", params) is None
    assert states.get("one", params)


def test_fits_side_by_side_give_what_they_give_alone(drawn):
    data = Interactions.of(*drawn[:2])
    labels = data.arranged(drawn[2])
    alphas = [None, 1.0] * 4
    each = [AlsParams(rank=8 + n, reg_param=0.1, max_iter=20, alpha=alpha) for n, alpha in enumerate(alphas)]
    alone = [fit(data, labels, params) for params in each]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda params: fit(data, labels, params), each))
    for one, other in zip(alone, together, strict=True):
        assert (one.user_factors == other.user_factors).all()


def test_the_seed_decides_the_beginning_and_its_rows_have_length_1(drawn):
    data = Interactions.of(*drawn[:2])
    first, again, other = (
        start(data, AlsParams(rank=3, reg_param=0.1, max_iter=1, seed=seed)).user_factors for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-6)


def test_a_pair_given_twice_counts_twice():
    """One user, one movie, labels 1 and 3, the user at 1: x = (1 + 3) / (2 + 0.5 * 2)."""
    twice = np.array([7, 7], np.int32)
    data = Interactions.of(twice, twice)
    params = AlsParams(rank=1, reg_param=0.5, max_iter=1)
    begun = State(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32), 0)
    fitted = iterate(data, data.arranged(np.array([1, 3], np.float32)), params, begun, 1)
    assert fitted.movie_factors[0, 0] == pytest.approx(4 / 3)


def test_who_likes_nothing_gets_zeros_under_the_implicit_objective():
    users, movies = np.array([1, 1, 5], np.int32), np.array([10, 20, 20], np.int32)
    data = Interactions.of(users, movies)
    labels = data.arranged(np.array([1, 1, -2], np.float32))
    factors = fit(data, labels, AlsParams(rank=2, reg_param=0.1, max_iter=2, alpha=1.0))
    assert factors.user_ids.tolist() == [1, 5]
    assert factors.movie_ids.tolist() == [10, 20]
    assert factors.user_factors[1].tolist() == [0, 0]
    assert np.isfinite(factors.movie_factors).all()


def test_labels_of_0_everywhere_give_factors_of_0(drawn):
    data = Interactions.of(*drawn[:2])
    factors = fit(data, data.arranged(np.zeros(len(drawn[0]), np.float32)), AlsParams(rank=4, reg_param=1, max_iter=1))
    assert not factors.user_factors.any()
    assert not factors.movie_factors.any()


def test_what_cannot_be_fitted_is_refused(drawn):
    nobody = np.empty(0, np.int32)
    with pytest.raises(DataError, match=r"0 ratings: 1 to .* can be fitted"):
        Interactions.of(nobody, nobody)
    data = Interactions.of(*drawn[:2])
    with pytest.raises(DataError, match="one finite label each"):
        data.arranged(drawn[2][:-1])
    with pytest.raises(DataError, match="one finite label each"):
        data.arranged(np.full(len(drawn[2]), np.nan, np.float32))
    labels = data.arranged(drawn[2])
    for wrong in ({"reg_param": 0.0}, {"reg_param": 0.1, "alpha": 0.0}):
        with pytest.raises(ConfigError, match="both must be above 0"):
            fit(data, labels, AlsParams(rank=2, max_iter=1, **wrong))
    # Five movies cannot tell eight factors: without a ridge there is no one answer.
    users, movies = np.repeat(np.arange(3, dtype=np.int32), 40), np.tile(np.arange(5, dtype=np.int32), 24)
    data = Interactions.of(users, movies)
    with pytest.raises(DataError, match=r"reg_param 1e-30 is too small for float32"):
        fit(data, data.arranged(movies + np.float32(1)), AlsParams(rank=8, max_iter=2, reg_param=1e-30))


@pytest.fixture(scope="module")
def invented():
    """40,000 ratings by 600 users of 500 movies with real ones' popularity and noise, a fifth held out."""
    rng = np.random.default_rng(7)
    blocks = list(draw_ratings(invent_world(600, 500, 40_000, rng), rng))
    users, movies, half_stars = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("users", "movies", "half_stars")
    )
    when = np.full(len(users), "2020-01-01", "datetime64[ms]")
    ratings = Ratings(users.astype(np.int32), movies.astype(np.int32), (half_stars / 2).astype(np.float32), when)
    held_out = rng.random(len(ratings)) < 0.2
    return ratings.where(~held_out), ratings.where(held_out)


def both_engines(spark, train, labels, params):
    """Fits of MLlib and of ours from MLlib's initial factors, which a fit without iterations returns."""
    frame = training_frame(spark, train.user_ids, train.movie_ids, labels, 2)
    initial = fit_als(frame, params.model_copy(update={"max_iter": 0}), n_blocks=2)
    theirs = fit_als(frame, params, n_blocks=2)
    frame.unpersist()
    data = Interactions.of(train.user_ids, train.movie_ids)
    begun = State(initial.user_factors, initial.movie_factors, 0)
    ours = iterate(data, data.arranged(labels), params, begun, params.max_iter)
    return theirs, to_factors(data, ours)


@pytest.mark.spark
@pytest.mark.parametrize(("rank", "reg_param"), [(10, 0.05), (64, 0.15)])
def test_explicit_fits_predict_as_mllib_does(spark, invented, rank, reg_param):
    train, test = invented
    biases = fit_biases(train.user_ids, train.movie_ids, train.stars)
    labels = train.stars - biases.predict(train.user_ids, train.movie_ids)
    theirs, ours = both_engines(spark, train, labels, AlsParams(rank=rank, reg_param=reg_param, max_iter=8))
    np.testing.assert_allclose(ours.user_factors, theirs.user_factors, atol=1e-3)
    evaluator = Evaluator(train, test, k=10, relevant_rating=4.0)
    rmse = [evaluator.evaluate_rating(RatingModel(biases, factors, 0.5, 5.0))["rmse"] for factors in (ours, theirs)]
    assert abs(rmse[0] - rmse[1]) < 0.002


@pytest.mark.spark
@pytest.mark.parametrize(("rank", "alpha"), [(10, 1.0), (64, 20.0)])
@pytest.mark.parametrize("centre", [0.0, 3.0])  # stars as they are; and dislikes as labels below 0
def test_implicit_fits_rank_as_mllib_does(spark, invented, rank, alpha, centre):
    train, test = invented
    params = AlsParams(rank=rank, reg_param=0.1, max_iter=8, alpha=alpha)
    theirs, ours = both_engines(spark, train, train.stars - np.float32(centre), params)
    np.testing.assert_allclose(ours.user_factors, theirs.user_factors, atol=1e-3)
    evaluator = Evaluator(train, test, k=10, relevant_rating=4.0)
    ndcg = [evaluator.evaluate_ranking(factors)[0]["ndcg_at_10"] for factors in (ours, theirs)]
    assert abs(ndcg[0] - ndcg[1]) < 0.005


@pytest.mark.spark
@pytest.mark.slow
def test_beginnings_of_our_own_do_as_well_as_mllib_s(spark, invented):
    """The mean of three seeds each. One seed of MLlib differs from another by up to 0.011 here."""
    train, test = invented
    evaluator = Evaluator(train, test, k=10, relevant_rating=4.0)
    frame = training_frame(spark, train.user_ids, train.movie_ids, train.stars, 2)
    data = Interactions.of(train.user_ids, train.movie_ids)
    labels = data.arranged(train.stars)
    each = [AlsParams(rank=16, reg_param=0.1, max_iter=8, alpha=1.0, seed=seed) for seed in (1, 2, 3)]
    ours = [evaluator.evaluate_ranking(fit(data, labels, params))[0]["ndcg_at_10"] for params in each]
    theirs = [evaluator.evaluate_ranking(fit_als(frame, params, 2))[0]["ndcg_at_10"] for params in each]
    frame.unpersist()
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.01
