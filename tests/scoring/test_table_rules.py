"""Every planted fault is found, by the rule it breaks; sound tables pass."""

import numpy as np
import pyarrow as pa
import pytest

from recsys import columns
from recsys.errors import DataError
from recsys.scoring.table_rules import check_lists, check_similar

CATALOGUE = np.array([10, 20, 30, 40], np.int32)
# User 1 rated 10, so three movies are left; user 2 rated 10, 20 and 30, so one is; user 3 rated everything.
RATED_USERS = np.array([1, 2, 2, 2, 3, 3, 3, 3], np.int32)
RATED_MOVIES = np.array([10, 10, 20, 30, 10, 20, 30, 40], np.int32)
SOUND = [
    (1, 1, 40, 0.9, 4.0, "als"),
    (1, 2, 20, 0.5, 3.5, "als"),
    (2, 1, 40, 1.0, 3.0, "popular"),
]


def lists(rows):
    return pa.Table.from_pylist([dict(zip(columns.RECOMMENDATIONS.names, row, strict=True)) for row in rows],
                                schema=columns.RECOMMENDATIONS)  # fmt: skip


def check(rows):
    return check_lists(lists(rows), RATED_USERS, RATED_MOVIES, CATALOGUE, k=2)


def changed(at, **values):
    rows = [dict(zip(columns.RECOMMENDATIONS.names, row, strict=True)) for row in SOUND]
    rows[at] |= values
    return [tuple(row.values()) for row in rows]


def test_sound_lists_pass_with_their_counts():
    assert check(SOUND) == {"n_rows": 3, "n_users": 3, "n_als": 2, "n_fold_in": 0, "n_popular": 1, "n_short": 2}


def test_the_order_of_the_ratings_does_not_matter():
    order = np.random.default_rng(0).permutation(len(RATED_USERS))
    assert check_lists(lists(SOUND), RATED_USERS[order], RATED_MOVIES[order], CATALOGUE, k=2)["n_rows"] == 3


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (changed(0, movie_id=10), "the user has not rated the movie"),
        (changed(1, movie_id=40), "no movie stands twice on a list"),
        (changed(1, rank=3), "ranks run 1, 2, 3"),
        (changed(0, rank=2), "ranks run 1, 2, 3"),
        (SOUND[1:2] + SOUND[:1] + SOUND[2:], "ranks run 1, 2, 3"),
        (changed(0, score=0.4), "scores descend within a list and source"),
        (changed(0, score=np.nan), "scores and predicted ratings are finite"),
        (changed(0, score=np.inf), "scores and predicted ratings are finite"),
        (changed(1, predicted_rating=np.nan), "scores and predicted ratings are finite"),
        (changed(0, source="guess"), "the source is als or fold_in or popular"),
        (changed(0, source="popular"), "als comes before fold_in comes before popular"),
        (changed(1, source="fold_in"), "a user is known or folded in, not both"),
        (changed(0, movie_id=99), "movie_id is known"),
        (changed(0, user_id=9), "user_id is known"),
        (changed(0, score=None), "no value is missing"),
        (SOUND[:2], r"every user has min\(k, unseen movies\) movies"),
        (SOUND[1:], r"every user has min\(k, unseen movies\) movies"),
        ([*SOUND, (2, 2, 20, 0.5, 3.0, "popular")], r"every user has min\(k, unseen movies\) movies"),
        (SOUND[2:] + SOUND[:2], "ids ascend in the stored order"),
        ([], r"every user has min\(k, unseen movies\) movies"),
    ],
)
def test_a_fault_in_the_lists_is_named(rows, rule):
    with pytest.raises(DataError, match=rf"recommendations: the rule «{rule}"):
        check(rows)


def test_the_message_counts_the_rows_and_shows_them():
    with pytest.raises(DataError, match=r"broken by 1 of 3 rows, 0 allowed: \{'user_id': 1, 'rank': 1, 'movie_id': 10"):
        check(changed(0, movie_id=10))


def test_columns_of_another_type_are_refused():
    table = lists(SOUND).set_column(1, "rank", pa.array([1, 2, 1], pa.int32()))
    with pytest.raises(DataError, match="stored as"):
        check_lists(table, RATED_USERS, RATED_MOVIES, CATALOGUE, k=2)


NEIGHBOURS = [(10, 1, 20, 0.9, "als"), (10, 2, 30, 0.1, "genres"), (20, 1, 10, 0.9, "als"), (20, 2, 30, -0.1, "als"),
              (30, 1, 10, 0.5, "genres"), (30, 2, 20, 0.5, "genres")]  # fmt: skip


def check_neighbours(rows, similarity="cosine", supported=(10, 20, 30)):
    table = pa.Table.from_pylist([dict(zip(columns.SIMILAR_MOVIES.names, row, strict=True)) for row in rows],
                                 schema=columns.SIMILAR_MOVIES)  # fmt: skip
    return check_similar(table, np.array([30, 20, 10], np.int32), 2, similarity, np.array(supported, np.int32))


def test_sound_neighbours_pass_with_their_counts():
    assert check_neighbours(NEIGHBOURS) == {"n_rows": 6, "n_movies": 3, "n_als": 3, "n_genres": 3}


@pytest.mark.parametrize(
    ("at", "row", "rule"),
    [
        (0, (10, 1, 10, 0.9, "als"), "no movie is its own neighbour"),
        (1, (10, 2, 20, 0.1, "genres"), "no movie stands twice on a list"),
        (1, (10, 2, 99, 0.1, "genres"), "similar_movie_id is known"),
        (1, (99, 2, 30, 0.1, "genres"), "movie_id is known"),
        (1, (10, 2, 30, 0.1, "popular"), "the source is als or genres"),
        (2, (20, 1, 10, -0.9, "als"), "scores descend within a list and source"),
        (0, (10, 1, 20, 1.5, "als"), r"cosines are in \[-1, 1\]"),
        (5, None, "every movie has min"),
    ],
)
def test_a_fault_in_the_neighbours_is_named(at, row, rule):
    with pytest.raises(DataError, match=f"similar_movies: the rule «{rule}"):
        check_neighbours([*NEIGHBOURS[:at], *([row] if row else []), *NEIGHBOURS[at + 1 :]])


def test_a_neighbour_by_taste_must_have_ratings_enough_and_one_by_genre_need_not():
    assert check_neighbours(NEIGHBOURS, supported=(10, 20, 30))["n_als"] == 3
    with pytest.raises(DataError, match="a neighbour by taste has ratings enough» is broken by 1 of 6"):
        check_neighbours(NEIGHBOURS, supported=(10, 20))  # 30 is 20's by taste, and 10's by genre


def test_distances_are_negated():
    negated = [(*row[:3], -1.5 - row[1], row[4]) if row[4] == "als" else row for row in NEIGHBOURS]
    assert check_neighbours(negated, "euclidean")["n_als"] == 3
    with pytest.raises(DataError, match="negated distances are not above 0» is broken by 2 of 6"):
        check_neighbours(NEIGHBOURS, "euclidean")


def test_lists_without_ratings_pass_where_none_are_predicted_and_only_there():
    rows = [(*row[:4], None, row[5]) for row in SOUND]
    checked = check_lists(lists(rows), RATED_USERS, RATED_MOVIES, CATALOGUE, k=2, has_ratings=False)
    assert checked["n_rows"] == 3
    with pytest.raises(DataError, match="no value is missing"):
        check(rows)
    with pytest.raises(DataError, match="predicted_rating is not null, though there is no rating model"):
        check_lists(lists(SOUND), RATED_USERS, RATED_MOVIES, CATALOGUE, k=2, has_ratings=False)
    broken = [(*rows[0][:3], np.inf, *rows[0][4:]), *rows[1:]]
    with pytest.raises(DataError, match="scores and predicted ratings are finite"):
        check_lists(lists(broken), RATED_USERS, RATED_MOVIES, CATALOGUE, k=2, has_ratings=False)
