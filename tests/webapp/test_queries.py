"""Reads of the published tables by user, by movie and by title."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import NotFoundError
from recsys.storage.file_store import FileStore
from recsys.storage.tables import read_rows, table_bytes
from recsys.webapp import queries
from tests.webapp import published


@pytest.fixture
def store(tmp_path):
    store = FileStore(tmp_path / "store")
    published.publish(store)
    return store


def test_a_users_list_stands_by_rank_with_titles(store):
    assert queries.user_list(store, 1) == [
        {"rank": 1, "movie_id": 4, "title": "Story of O, The (1975)", "score": 0.75, "predicted_rating": 4.25},
        {"rank": 2, "movie_id": 2, "title": "<script>alert(1)</script>", "score": 0.5, "predicted_rating": 3.0},
    ]


def test_a_lists_source_is_that_of_its_first_movie(store):
    assert queries.list_source(store, 1) == "als"
    assert queries.list_source(store, 7) == "popular"


@pytest.mark.parametrize("user_id", [2, 99, -1, 2**40])
def test_a_user_without_a_list_is_named(store, user_id):
    with pytest.raises(NotFoundError, match=rf"User {user_id} has no list in the current release \(v1\)"):
        queries.user_list(store, user_id)


def test_neighbours_stand_by_rank_with_their_own_titles_and_ratings(store):
    assert [(row["rank"], row["movie_id"], row["title"]) for row in queries.similar_movies(store, 1)] == [
        (1, 3, "Heat (1995)"),
        (2, 4, "Story of O, The (1975)"),
    ]
    assert queries.similar_movies(store, 1)[0]["predicted_rating"] == 3.5


def test_an_unknown_movie_is_named(store):
    with pytest.raises(NotFoundError, match=r"Movie 471 is not in the current release \(v1\)"):
        queries.similar_movies(store, 471)


def test_titles_are_found_by_all_of_their_words_in_any_case_the_most_rated_first(store):
    assert [row["movie_id"] for row in queries.find_movies(store, "STORY")] == [1, 4]  # 215 ratings, 3 ratings
    assert [row["movie_id"] for row in queries.find_movies(store, "story toy")] == [1]
    assert queries.find_movies(store, "story heat") == []
    assert queries.find_movies(store, "  ") == []


def test_what_a_user_rated_high_comes_from_the_snapshot_behind_the_lists(store):
    assert queries.rated_high(store, 1) == [
        {"movie_id": 3, "title": "Heat (1995)", "rating": 5.0},
        {"movie_id": 1, "title": "Toy Story (1995)", "rating": 4.0},
    ]
    assert queries.rated_high(store, 1, n=1) == queries.rated_high(store, 1)[:1]
    assert queries.rated_high(store, 12345) == []


def test_nothing_published_yet_says_what_to_run(tmp_path):
    with pytest.raises(NotFoundError, match="make run"):
        queries.user_list(FileStore(tmp_path / "empty"), 1)


def test_rows_of_one_user_are_read_without_reading_the_table(tmp_path):
    # 4 row groups of 64k rows, sorted by user: user 150,000 stands in the third.
    n_rows = 4 * 65_536
    table = pa.table({"user_id": pa.array(range(n_rows), pa.int32()), "score": pa.array([0.5] * n_rows, pa.float32())})
    data = table_bytes(table)
    groups = pq.ParquetFile(pa.BufferReader(data)).metadata
    third = groups.row_group(2).total_byte_size
    n_read = 0

    class Counting(FileStore):
        def open(self, key):
            file = super().open(key)
            plain_read = file.read

            class Reader:
                closed = False

                def read(self, size=-1):
                    nonlocal n_read
                    found = plain_read(size)
                    n_read += len(found)
                    return found

                def __getattr__(self, name):
                    return getattr(file, name)

                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    file.close()

            return Reader()

    store = Counting(tmp_path)
    store.put("t.parquet", data)
    assert read_rows(store, "t.parquet", "user_id", 150_000).to_pylist() == [{"user_id": 150_000, "score": 0.5}]
    assert read_rows(store, "t.parquet", "user_id", 999_999).num_rows == 0
    assert n_read < third + len(data) / 4  # one group and the footers, of four groups
    several = read_rows(store, "t.parquet", "user_id", np.array([200_000, 3, 200_000, 999_999]), ["score", "user_id"])
    assert several.to_pylist() == [{"score": 0.5, "user_id": 3}, {"score": 0.5, "user_id": 200_000}]
    assert read_rows(store, "t.parquet", "user_id", np.array([], np.int32)).num_rows == 0
