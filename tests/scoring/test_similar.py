"""Neighbours from factors and genres small enough to work out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from recsys import columns
from recsys.scoring.similar import similar_model

# Angles of the factors: 10 at 0°, 20 at 0° (longer), 30 at 45°, 40 at 180°. 50 has length 0, 60 and 70 none at all.
MOVIES = np.array([10, 20, 30, 40, 50], np.int32)
FACTORS = np.array([[1, 0], [5, 0], [1, 1], [-2, 0], [0, 0]], np.float32)
CATALOGUE = np.array([70, 60, 50, 40, 30, 20, 10], np.int32)
GENRES = [["A", "B"], None, ["A", "B", "C"], ["D"], ["A"], ["A", "B"], ["D"]]  # in the catalogue's order
POPULAR = np.array([20, 30, 10], np.int32), np.array([9, 9, 1], np.int32)
HALF_RIGHT = 1 / np.sqrt(2)


def neighbours(movie_ids, n, similarity="cosine", min_support=0):
    batch = pa.record_batch([pa.array(movie_ids, pa.int32())], names=["movie_id"])
    table = similar_model((MOVIES, FACTORS), POPULAR, CATALOGUE, GENRES, n, similarity, min_support)(batch)
    assert table.schema == columns.SIMILAR_MOVIES
    return table


def rows(table):
    return [(r["similar_movie_id"], pytest.approx(r["score"], abs=1e-6), r["source"]) for r in table.to_pylist()]


def test_neighbours_by_taste_are_by_cosine_whatever_the_length_and_leave_the_movie_itself_out():
    assert rows(neighbours([10], 3)) == [(20, 1, "als"), (30, HALF_RIGHT, "als"), (40, -1, "als")]
    assert rows(neighbours([20], 1)) == [(10, 1, "als")]


def test_a_movie_without_direction_or_factors_gets_neighbours_by_genre():
    # 50 has A, B, C: Jaccard with 20 and 70 (A, B) 2/3, with 30 (A) 1/3, with the rest 0.
    # Ties: 20 is more popular than 70; of those at 0, 10 has a rating, then 40 before 60 by id.
    assert rows(neighbours([50], 6)) == [
        (20, 2 / 3, "genres"),
        (70, 2 / 3, "genres"),
        (30, 1 / 3, "genres"),
        (10, 0, "genres"),
        (40, 0, "genres"),
        (60, 0, "genres"),
    ]


def test_a_movie_without_genres_and_factors_gets_the_popular_ones():
    assert rows(neighbours([60], 3)) == [(20, 0, "genres"), (30, 0, "genres"), (10, 0, "genres")]


def test_a_movie_that_runs_out_of_neighbours_by_taste_is_topped_up_by_genre():
    # 30 has A: of the movies without factors, 70 (A, B) shares 1/2, 50 (A, B, C) 1/3, 60 nothing.
    assert rows(neighbours([30], 9))[3:] == [(70, 1 / 2, "genres"), (50, 1 / 3, "genres"), (60, 0, "genres")]


def test_ranks_count_from_one_for_each_movie_of_a_batch():
    table = neighbours([10, 50, 60], 4)
    assert table.column("movie_id").to_pylist() == [10] * 4 + [50] * 4 + [60] * 4
    assert table.column("rank").to_pylist() == [1, 2, 3, 4] * 3


def test_a_catalogue_of_one_movie_has_no_neighbours():
    one = np.array([10], np.int32)
    model = similar_model((one, np.ones((1, 1), np.float32)), (one, one), one, [["A"]], 5)
    assert model(pa.record_batch([pa.array([10], pa.int32())], names=["movie_id"])).num_rows == 0


def test_on_request_neighbours_are_the_nearest_by_distance():
    # From 10 at (1, 0): 30 at (1, 1) is 1 away, 40 at (-2, 0) 3, 20 at (5, 0) 4.
    assert rows(neighbours([10], 3, "euclidean")) == [(30, -1, "als"), (40, -3, "als"), (20, -4, "als")]


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_a_movie_few_have_rated_is_nobodys_neighbour_by_taste_but_has_some(similarity):
    # Of those with factors, 20 and 30 have nine ratings, 10 has one, 40 none. 30 comes first by taste; then genres.
    assert [row[0] for row in rows(neighbours([20], 2, similarity, min_support=2))] == [30, 70]
    assert {row[0] for row in rows(neighbours([10], 2, similarity, min_support=2))} == {20, 30}
    table = neighbours([20], 4, similarity, min_support=2).to_pylist()
    assert [r["source"] for r in table] == ["als", "genres", "genres", "genres"]


def test_equal_factors_are_no_distance_apart_and_tie_by_id():
    factors = np.array([[300.1, 7.3], [300.1, 7.3], [300.1, 7.3], [1, 1]], np.float32)
    ids = np.array([1, 2, 3, 4], np.int32)
    model = similar_model((ids, factors), (ids, np.ones(4, np.int32)), ids, [[]] * 4, 3, "euclidean")
    found = model(pa.record_batch([pa.array([2], pa.int32())], names=["movie_id"])).to_pylist()
    assert [(row["similar_movie_id"], row["score"]) for row in found[:2]] == [(1, 0.0), (3, 0.0)]
