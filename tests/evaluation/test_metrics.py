"""Every metric on lists short enough to check by hand, and against a plain reference on random ones."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.evaluation import metrics

IDEAL_2 = 1 / log2(2) + 1 / log2(3)


def one_list(ranked, relevant, n_movies=20):
    ranked = np.array([ranked])
    codes = np.array(sorted(relevant), np.int64)
    return metrics.hits(ranked, codes, n_movies), np.array([len(relevant)])


@pytest.mark.parametrize(
    ("ranked", "relevant", "expected"),
    [
        ([8, 5, 9], [5, 8], 1.0),  # ideal order
        ([7, 8, 9], [8, 5], (1 / log2(3)) / IDEAL_2),  # one hit, at rank 2
        ([7, 9, 6], [8], 0.0),  # no hit
        ([8, -1, -1], [8], 1.0),  # a short list, padded
    ],
)
def test_ndcg_at_3(ranked, relevant, expected):
    assert metrics.ndcg_at_k(*one_list(ranked, relevant))[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (metrics.precision_at_k, 2 / 4),
        (metrics.recall_at_k, 2 / 3),
        (metrics.average_precision_at_k, (1 / 2 + 2 / 4) / 3),
        (metrics.average_precision_of_all_at_k, (1 / 2 + 2 / 4) / 3),
        (metrics.reciprocal_rank, 1 / 2),
        (metrics.hit_rate_at_k, 1.0),
    ],
)
def test_hits_at_ranks_two_and_four_of_three_relevant(metric, expected):
    assert metric(*one_list([1, 2, 3, 4], [2, 4, 9]))[0] == pytest.approx(expected)


@pytest.mark.parametrize("metric", metrics.RANKING_METRICS.values())
def test_a_user_without_relevant_movies_is_nan_not_zero(metric):
    assert np.isnan(metric(*one_list([1, 2, 3], []))[0])


def test_users_do_not_share_hits():
    ranked = np.array([[0, 1], [0, 1]])
    relevant = np.array([0 * 5 + 1, 1 * 5 + 0])  # user 0 likes movie 1, user 1 likes movie 0
    assert metrics.hits(ranked, relevant, 5).tolist() == [[False, True], [True, False]]


def reference_ndcg(ranked, relevant, k):
    gain = sum(1 / log2(place + 2) for place, movie in enumerate(ranked[:k]) if movie in relevant)
    return gain / sum(1 / log2(place + 2) for place in range(min(k, len(relevant))))


@given(st.permutations(range(12)), st.sets(st.integers(0, 11), min_size=1), st.integers(1, 12))
def test_ndcg_equals_the_plain_definition(order, relevant, k):
    hit, n = one_list(order[:k], relevant, n_movies=12)
    assert metrics.ndcg_at_k(hit, n)[0] == pytest.approx(reference_ndcg(order, relevant, k))


def test_rmse_and_mae_of_two_errors():
    predicted, actual = np.array([3.0, 2.0]), np.array([4.0, 5.0])  # errors 1 and 3
    assert metrics.rmse(predicted, actual) == pytest.approx(np.sqrt((1 + 9) / 2))
    assert metrics.mae(predicted, actual) == pytest.approx(2.0)


def test_the_two_average_precisions_part_where_more_is_relevant_than_fits_the_list():
    hit, n = one_list([1, 2], [1, 2, 3, 4])
    assert metrics.average_precision_at_k(hit, n)[0] == pytest.approx(1.0)
    assert metrics.average_precision_of_all_at_k(hit, n)[0] == pytest.approx(2 / 4)


def test_r_squared_of_a_perfect_an_average_and_a_worse_prediction():
    stars = np.array([1.0, 3.0, 5.0])
    assert metrics.rsquared(stars, stars) == 1.0
    assert metrics.rsquared(np.full(3, 3.0), stars) == 0.0
    assert metrics.rsquared(stars[::-1], stars) == pytest.approx(1 - (16 + 16) / (4 + 4))
    assert np.isnan(metrics.rsquared(stars, np.full(3, 4.0)))
