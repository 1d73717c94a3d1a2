"""Lists from a model small enough to work out by hand, first as a function, then inside real Spark."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import columns
from recsys.errors import DataError
from recsys.scoring.parts import write_parts
from recsys.storage.file_store import FileStore
from recsys.topk.lists import list_model

# Users 1 and 2 are known to the model, user 3 is not. The one factor makes a movie's score for user 1 its own
# factor, and for user 2 its negative. Movies 50 and 60 have no factors; nobody rated 60 in training.
USERS, USER_FACTORS = np.array([1, 2], np.int32), np.array([[1], [-1]], np.float32)
MOVIES, MOVIE_FACTORS = np.array([10, 20, 30, 40], np.int32), np.array([[4], [3], [3], [1]], np.float32)
POPULAR, COUNTS = np.array([40, 20, 10, 30, 50], np.int32), np.array([8, 4, 4, 2, 1], np.int32)
CATALOGUE = np.array([60, 50, 40, 30, 20, 10], np.int32)


def stars(user_ids, movie_ids):
    return (user_ids + movie_ids / 100).astype(np.float32)


def model(k, catalogue=CATALOGUE):
    return list_model((USERS, USER_FACTORS, MOVIES, MOVIE_FACTORS), (POPULAR, COUNTS), catalogue, stars, k)


def batch(seen):
    arrays = [pa.array(list(seen), pa.int32()), pa.array(list(seen.values()), pa.list_(pa.int32()))]
    return pa.record_batch(arrays, names=["user_id", "seen"])


def rows(table, user_id):
    return [(r["movie_id"], r["score"], r["source"]) for r in table.to_pylist() if r["user_id"] == user_id]


def test_a_known_user_gets_the_models_order_and_ties_go_to_the_lower_id():
    lists = model(3)(batch({1: [40], 2: [40]}))
    assert rows(lists, 1) == [(10, 4, "als"), (20, 3, "als"), (30, 3, "als")]
    assert rows(lists, 2) == [(20, -3, "als"), (30, -3, "als"), (10, -4, "als")]
    assert lists.schema == columns.RECOMMENDATIONS
    assert lists.column("rank").to_pylist() == [1, 2, 3] * 2
    assert lists.column("predicted_rating").to_pylist()[:2] == pytest.approx([1.10, 1.20])


def test_an_unknown_user_gets_the_most_rated_movies_scaled_to_one():
    # Ratings: 40 has 8, 10 and 20 have 4 each (lower id first), 30 has 2, 50 has 1, 60 has none.
    lists = model(9)(batch({3: [20]}))
    expected = [(40, 8 / 8), (10, 4 / 8), (30, 2 / 8), (50, 1 / 8), (60, 0.0)]
    assert rows(lists, 3) == [(movie, score, "popular") for movie, score in expected]


def test_a_known_user_who_runs_out_of_the_models_movies_is_topped_up_with_the_others():
    lists = model(4)(batch({1: [10, 20], 2: [10, 20, 30, 40]}))
    assert rows(lists, 1) == [(30, 3, "als"), (40, 1, "als"), (50, 1 / 8, "popular"), (60, 0, "popular")]
    assert rows(lists, 2) == [(50, 1 / 8, "popular"), (60, 0, "popular")]  # all there is


def test_a_user_who_rated_everything_has_no_rows_and_the_others_are_not_disturbed():
    lists = model(2)(batch({1: CATALOGUE.tolist(), 2: [], 3: [40, 999]}))  # 999 is not in the catalogue
    assert rows(lists, 1) == []
    assert [movie for movie, _, _ in rows(lists, 2)] == [40, 20]
    assert [movie for movie, _, _ in rows(lists, 3)] == [10, 20]


def test_movies_that_left_the_catalogue_are_not_recommended():
    lists = model(5, catalogue=np.array([20, 40], np.int32))(batch({1: [], 3: []}))
    assert [movie for movie, _, _ in rows(lists, 1)] == [20, 40]
    assert [movie for movie, _, _ in rows(lists, 3)] == [40, 20]


def test_an_empty_batch_and_a_model_that_knows_nobody_work():
    assert model(3)(batch({})).num_rows == 0
    none, no_factors = np.empty(0, np.int32), np.empty((0, 1), np.float32)
    unknown = list_model((none, no_factors, none, no_factors), (none, none), CATALOGUE, stars, 2)
    assert rows(unknown(batch({1: [10]})), 1) == [(20, 0, "popular"), (30, 0, "popular")]


@pytest.mark.spark
def test_in_spark_the_lists_are_the_same_and_files_hold_ascending_user_ranges(spark, tmp_path):
    rng = np.random.default_rng(0)
    rated = {user: rng.choice(CATALOGUE, size=rng.integers(1, 7), replace=False).tolist() for user in range(1, 41)}
    users = spark.createDataFrame(list(rated.items()), "user_id int, seen array<int>").repartition(5)
    store = FileStore(tmp_path)

    written = write_parts(users, model(3), store, "tables/version=1/recommendations", "user_id", 3)

    tables = [pq.read_table(store.uri(row.key)) for row in written]
    assert pa.concat_tables(tables).equals(model(3)(batch(rated)))  # users ascending, ranks ascending
    assert len(written) > 1
    for row, table in zip(written, tables, strict=True):
        users = table.column("user_id").to_pylist()
        assert (row.min_user_id, row.max_user_id) == (users[0], users[-1])
        assert row.n_rows == table.num_rows
        assert row.size_bytes == store.size_bytes(row.key)
    assert sorted(row.key for row in written) == list(store.list("tables/"))


@pytest.mark.spark
def test_in_spark_an_error_of_a_task_arrives_as_what_it_was(spark, tmp_path):
    bad = list_model(
        (USERS, USER_FACTORS * np.float32(np.nan), MOVIES, MOVIE_FACTORS), (POPULAR, COUNTS), CATALOGUE, stars, 3
    )
    users = spark.createDataFrame([(1, [10])], "user_id int, seen array<int>")
    with pytest.raises(DataError, match="user factors: 1 of 1 rows are NaN or infinite"):
        write_parts(users, bad, FileStore(tmp_path), "t", "user_id", 1)
    assert list(FileStore(tmp_path).list()) == []
