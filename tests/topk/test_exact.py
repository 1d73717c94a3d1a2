"""The kernel equals a brute-force reference, ties included, and refuses what has no order."""

import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import topk
from recsys.errors import ConfigError, DataError
from recsys.topk import blocks, exact, fused
from recsys.topk.exact import MovieFactors, select_top, top_k


def reference(users, movies, k, seen):
    """Every score, one full sort per user: by score descending, then by movie index."""
    best = np.full((len(users), k), -1, np.int32)
    values = np.full((len(users), k), -np.inf, np.float32)
    scores = users @ movies.T
    for row, left_out in enumerate(seen):
        allowed = np.setdiff1d(np.arange(len(movies)), np.array(sorted(left_out), int))
        order = allowed[np.lexsort((allowed, -scores[row, allowed]))][:k]
        best[row, : len(order)], values[row, : len(order)] = order, scores[row, order]
    return best, values


def csr(seen):
    indptr = np.concatenate([[0], np.cumsum([len(left_out) for left_out in seen])]).astype(np.int64)
    return indptr, np.array([movie for left_out in seen for movie in left_out], np.int32)


@st.composite
def problems(draw, elements):
    rank = draw(st.integers(1, 4))
    n_users, n_movies = draw(st.integers(0, 6)), draw(st.integers(0, 12))
    rows = st.lists(elements, min_size=rank, max_size=rank)
    users = draw(st.lists(rows, min_size=n_users, max_size=n_users))
    movies = draw(st.lists(rows, min_size=n_movies, max_size=n_movies))
    one = st.lists(st.integers(0, n_movies - 1), max_size=2 * n_movies) if n_movies else st.just([])
    seen = draw(st.lists(one, min_size=n_users, max_size=n_users))
    return (
        np.array(users, np.float32).reshape(n_users, rank),
        np.array(movies, np.float32).reshape(n_movies, rank),
        draw(st.integers(1, 15)),
        seen,
    )


@pytest.fixture(params=[fused, blocks], ids=["compiled", "numpy"])
def path(request, monkeypatch):
    monkeypatch.setattr(exact, "_path", lambda: request.param)
    return request.param


@pytest.fixture(params=[None, (512, 2048, 1 << 17), (2, 4, 2), (1, 1, 1), (3, 2, 2)], ids=str)
def block_sizes(request, monkeypatch):
    """The compiled path, and the other one with blocks of users, of movies and of pairs."""
    monkeypatch.setattr(exact, "_path", lambda: blocks if request.param else fused)
    for name, size in zip(("_USER_BLOCK", "_MOVIE_BLOCK", "_PAIRS"), request.param or (), strict=bool(request.param)):
        monkeypatch.setattr(blocks, name, size)


# Small whole numbers multiply and add without rounding, so equal scores are exactly equal: ties everywhere.
@pytest.mark.usefixtures("block_sizes")
def test_equals_the_reference_where_scores_tie():
    @given(problems(st.integers(-2, 2)))
    @settings(max_examples=150, deadline=None)
    def check(problem):
        users, movies, k, seen = problem
        found, scores = top_k(users, movies, k, *csr(seen))
        expected, values = reference(users, movies, k, seen)
        assert found.tolist() == expected.tolist()
        assert scores.tolist() == values.tolist()
        assert (found.dtype, scores.dtype) == (np.int32, np.float32)

    check()


@pytest.mark.usefixtures("path")
def test_equals_the_reference_within_rounding_for_any_floats():
    @given(problems(st.floats(-100, 100, width=32, allow_subnormal=True)))
    @settings(max_examples=200, deadline=None)
    def check(problem):
        users, movies, k, seen = problem
        found, scores = top_k(users, movies, k, *csr(seen))
        _, values = reference(users, movies, k, seen)
        np.testing.assert_allclose(scores, values, rtol=1e-5, atol=1e-1)
        for row, left_out in enumerate(seen):
            listed = found[row][found[row] >= 0]
            assert not set(listed) & set(left_out)
            assert len(set(listed)) == len(listed) == min(k, len(movies) - len(set(left_out)))
            assert (np.diff(scores[row][: len(listed)]) <= 0).all()

    check()


@given(problems(st.floats(-100, 100, width=32, allow_subnormal=True)))
@settings(max_examples=200, deadline=None)
def test_both_paths_give_the_same_lists_and_the_same_bits(problem):
    users, movies, k, seen = problem
    found, scores = by_path(fused, users, movies, k, *csr(seen))
    found_by_blocks, scores_by_blocks = by_path(blocks, users, movies, k, *csr(seen))
    assert found.tolist() == found_by_blocks.tolist()
    assert scores.tobytes() == scores_by_blocks.tobytes()


@pytest.mark.parametrize("rank", [1, 3, 64, 65])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_both_paths_give_the_same_bits_over_many_blocks_panels_and_groups(rank, k):
    rng = np.random.default_rng(rank)
    # Norms spread as those of fitted factors do, so that the compiled path leaves panels out.
    users, movies = (
        (rng.normal(size=(n, rank)) * np.exp(0.5 * rng.normal(size=(n, 1)))).astype(np.float32) for n in (601, 5_003)
    )
    seen = csr([rng.choice(5_003, size=rng.integers(0, 300)).tolist() for _ in users])
    found, scores = by_path(fused, users, movies, k, *seen)
    found_by_blocks, scores_by_blocks = by_path(blocks, users, movies, k, *seen)
    np.testing.assert_array_equal(found, found_by_blocks)
    np.testing.assert_array_equal(scores, scores_by_blocks)


def by_path(path, users, movies, *arguments):
    return top_k(users, MovieFactors(movies, path), *arguments)


@pytest.mark.usefixtures("path")
def test_denormal_scores_keep_their_order():
    tiny = np.float32(1e-40)  # below the smallest normal float32, 1.2e-38
    movies = np.array([[1], [3], [2]], np.float32) * tiny
    found, scores = top_k(np.ones((1, 1), np.float32), movies, 3, np.array([0, 0]), np.array([], int))
    assert found.tolist() == [[1, 2, 0]]
    assert scores[0, 0] == np.float32(3) * tiny


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("n_movies", [700, 2_048, 5_000])
def test_movies_with_equal_factors_tie_wherever_they_stand(n_movies):
    rng = np.random.default_rng(0)
    users = rng.normal(size=(530, 33)).astype(np.float32)
    movies = np.tile(rng.normal(size=(100, 33)).astype(np.float32), (n_movies // 100, 1))  # each factor repeats
    found, scores = top_k(users, movies, 10, np.zeros(531, int), np.array([], int))
    n_copies = len(movies) // 100
    # The best factor's copies fill the list in ascending order, then the copies of the second.
    copies = min(10, n_copies)
    np.testing.assert_array_equal(found[:, :copies], found[:, :1] + 100 * np.arange(copies))
    assert (found[:, 0] < 100).all()
    assert (scores[:, :copies] == scores[:, :1]).all()


@pytest.mark.usefixtures("path")
def test_the_answer_does_not_depend_on_how_users_are_grouped():
    rng = np.random.default_rng(1)
    users, movies = rng.normal(size=(700, 16)).astype(np.float32), rng.normal(size=(3_000, 16)).astype(np.float32)
    whole, scores = top_k(users, movies, 10, np.zeros(701, int), np.array([], int))
    for rows in (slice(0, 1), slice(5, 300), slice(690, 700)):
        n = len(users[rows])
        part, part_scores = top_k(users[rows], movies, 10, np.zeros(n + 1, int), np.array([], int))
        np.testing.assert_array_equal(part, whole[rows])
        np.testing.assert_array_equal(part_scores, scores[rows])


@pytest.mark.usefixtures("path")
def test_large_problem_over_many_blocks_equals_the_reference():
    rng = np.random.default_rng(2)
    users, movies = rng.normal(size=(600, 8)).astype(np.float32), rng.normal(size=(6_000, 8)).astype(np.float32)
    seen = [rng.choice(6_000, size=rng.integers(0, 200), replace=False).tolist() for _ in users]
    found, scores = top_k(users, movies, 10, *csr(seen))
    expected, values = reference(users, movies, 10, seen)
    np.testing.assert_allclose(scores, values, rtol=1e-5, atol=1e-6)
    assert (found == expected).mean() > 0.999  # the rest are neighbours in rank that round to one score


@pytest.mark.usefixtures("path")
def test_a_user_who_saw_everything_gets_an_empty_list_and_a_short_catalogue_a_short_one():
    users, movies = np.ones((2, 1), np.float32), np.array([[1], [2]], np.float32)
    found, scores = top_k(users, movies, 3, *csr([[0, 1], []]))
    assert found.tolist() == [[-1, -1, -1], [1, 0, -1]]
    assert scores.tolist() == [[-np.inf] * 3, [2, 1, -np.inf]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["user", "movie"])
def test_factors_that_are_not_finite_are_refused_by_name(bad, side):
    users, movies = np.ones((3, 2), np.float32), np.ones((4, 2), np.float32)
    (users if side == "user" else movies)[1, 1] = bad
    with pytest.raises(DataError, match=rf"{side} factors: 1 of \d rows are NaN or infinite.*the first is row 1"):
        top_k(users, movies, 2, np.zeros(4, int), np.array([], int))


def test_factors_whose_scores_would_overflow_are_refused():
    huge = np.full((1, 1), 1e30, np.float32)  # 1e30 * 1e30 is beyond float32
    with pytest.raises(DataError, match="overflow"):
        top_k(huge, huge, 1, np.array([0, 0]), np.array([], int))


@pytest.mark.parametrize(
    ("indptr", "seen"),
    [([0, 1], [4]), ([0, 1], [-1]), ([0, 2], [1]), ([0], []), ([1, 1], [0])],
    ids=["beyond the catalogue", "negative", "too few", "no offsets", "does not begin at 0"],
)
def test_seen_movies_that_do_not_fit_are_refused(indptr, seen):
    with pytest.raises(DataError, match="seen"):
        top_k(np.ones((1, 1), np.float32), np.ones((4, 1), np.float32), 1, np.array(indptr), np.array(seen, int))


def test_shapes_and_k_are_checked():
    none = np.array([], int)
    with pytest.raises(DataError, match="do not multiply"):
        top_k(np.ones((1, 2), np.float32), np.ones((4, 3), np.float32), 1, np.array([0, 0]), none)
    with pytest.raises(ConfigError, match="k is 0"):
        top_k(np.ones((1, 2), np.float32), np.ones((4, 2), np.float32), 0, np.array([0, 0]), none)


@pytest.mark.usefixtures("path")
def test_movies_laid_out_once_serve_many_calls_and_travel_as_bare_factors():
    rng = np.random.default_rng(3)
    users, factors = rng.normal(size=(20, 5)).astype(np.float32), rng.normal(size=(300, 5)).astype(np.float32)
    seen = np.zeros(21, int), np.array([], int)
    expected, _ = top_k(users, factors, 4, *seen)
    movies = MovieFactors(factors)
    for shared in (movies, movies, pickle.loads(pickle.dumps(movies))):
        np.testing.assert_array_equal(top_k(users, shared, 4, *seen)[0], expected)
    assert len(pickle.dumps(movies)) < factors.nbytes + 500  # without the layout, which is as large again


def test_arrays_that_may_not_be_written_or_are_not_contiguous_are_read():
    rng = np.random.default_rng(4)
    wide, factors = rng.normal(size=(20, 10)).astype(np.float32), rng.normal(size=(300, 5)).astype(np.float32)
    users, seen = np.ascontiguousarray(wide[:, ::2]), (np.zeros(21, int), np.array([], int))
    expected, _ = top_k(users, factors, 4, *seen)
    for array in (users, factors, *seen):
        array.setflags(write=False)
    np.testing.assert_array_equal(top_k(users, factors, 4, *seen)[0], expected)
    np.testing.assert_array_equal(top_k(wide[:, ::2], np.asfortranarray(factors), 4, *seen)[0], expected)


def test_without_the_compiler_numpy_does_the_work_and_the_log_says_so(monkeypatch, caplog):
    monkeypatch.delattr(topk, "fused", raising=False)
    monkeypatch.setitem(sys.modules, "recsys.topk.fused", None)  # as if numba could not be imported
    assert exact._path.__wrapped__() is blocks
    assert "not compiled" in caplog.text


@given(st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), max_size=5), st.integers(1, 9))
@settings(deadline=None)
def test_select_top_sorts_by_score_then_column(rows, k):
    scores = np.array(rows, np.float32).reshape(len(rows), 7)
    found, values = select_top(scores, k)
    for row, listed in enumerate(found):
        expected = sorted(range(7), key=lambda column: (-scores[row, column], column))[:k]
        assert listed[: len(expected)].tolist() == expected
        assert values[row, : len(expected)].tolist() == scores[row, expected].tolist()
        assert (listed[len(expected) :] == -1).all()
