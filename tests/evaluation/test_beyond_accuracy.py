"""What lists are like, on lists short enough to check by hand."""

from math import log2

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys.evaluation import beyond_accuracy


@pytest.mark.parametrize(
    ("lists", "n_movies", "expected"),
    [
        ([[0, 1], [2, 3]], 4, 0.0),  # all alike
        ([[0], [0]], 4, 3 / 4),  # one takes all: 1 - 1/4
        ([[0, 1], [0, -1]], 2, 1 / 6),  # 1 and 2 of 3: half the mean difference (1) over the mean (3/2), over 2
    ],
)
def test_gini_of_exposure(lists, n_movies, expected):
    assert beyond_accuracy.exposure_gini(np.array(lists), n_movies) == pytest.approx(expected)


def test_gini_equals_half_the_relative_mean_absolute_difference():
    ranked = np.random.default_rng(0).integers(-1, 9, (20, 4))
    times = np.bincount(ranked[ranked >= 0], minlength=9)
    expected = np.abs(times[:, None] - times).mean() / (2 * times.mean())
    assert beyond_accuracy.exposure_gini(ranked, 9) == pytest.approx(expected)


def test_empty_lists_have_no_gini_no_lift_and_no_novelty():
    empty = np.array([[-1, -1]])
    assert np.isnan(beyond_accuracy.exposure_gini(empty, 3))
    assert np.isnan(beyond_accuracy.novelty(empty, np.array([1, 1, 1])))
    assert np.isnan(beyond_accuracy.popularity_lift(empty, np.array([1, 1, 1]), np.array([0, 1]), np.array([2])))


def test_novelty_is_the_mean_information_of_a_list():
    counts = np.array([4, 3, 1])  # shares 1/2, 3/8, 1/8
    got = beyond_accuracy.novelty(np.array([[0, 2], [1, -1]]), counts)
    np.testing.assert_allclose(got, [(1 + 3) / 2, log2(8 / 3)])


def test_lift_compares_lists_with_what_their_users_rated():
    counts = np.array([8, 4, 2, 1])
    ranked = np.array([[0, 1], [0, -1], [0, 0], [-1, -1]])
    indptr, seen = np.array([0, 2, 3, 3, 4]), np.array([1, 2, 3, 0])
    # Users 2 (rated nothing) and 3 (empty list) are left out: lists (8+4)/2 and 8, ratings (4+2)/2 and 1.
    assert beyond_accuracy.popularity_lift(ranked, counts, indptr, seen) == pytest.approx((6 + 8) / (3 + 1) - 1)


def test_diversity_is_one_minus_the_mean_cosine_of_all_pairs():
    vectors = np.array([[1.0, 0], [3, 4], [0, 2], [0, 0]])
    got = beyond_accuracy.intra_list_diversity(np.array([[0, 1, 2], [0, 3, -1], [1, -1, -1]]), csr_array(vectors))
    np.testing.assert_allclose(got, [1 - (0.6 + 0 + 0.8) / 3, 1.0, np.nan])


def test_diversity_is_that_of_dense_cosines_whoever_else_is_asked_about():
    rng = np.random.default_rng(1)
    vectors, ranked = csr_array((rng.random((30, 12)) < 0.3).astype(np.int8)), rng.integers(-1, 30, (17, 5))
    dense = vectors.toarray() / np.maximum(np.sqrt(vectors.toarray().sum(axis=1, keepdims=True)), 1)
    cosines = dense @ dense.T
    expected = []
    for row in ranked:
        movies = row[row >= 0]
        between = cosines[np.ix_(movies, movies)][~np.eye(len(movies), dtype=bool)]
        expected.append(1 - between.mean() if len(movies) > 1 else np.nan)
    found = beyond_accuracy.intra_list_diversity(ranked, vectors)
    np.testing.assert_allclose(found, expected)
    alone = [beyond_accuracy.intra_list_diversity(row[None], vectors)[0] for row in ranked]
    np.testing.assert_array_equal(alone, found)
