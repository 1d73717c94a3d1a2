"""Lists by ranges of users: what tasks read for themselves makes the lists that everything at hand makes."""

import numpy as np
import pyarrow as pa
import pytest

from recsys import columns
from recsys.errors import DataError
from recsys.models.factors import Biases, Factors
from recsys.models.recommender import RatingModel, Recommender
from recsys.scoring.user_lists import write_lists
from recsys.storage import layout
from recsys.storage.file_store import FileStore
from recsys.storage.tables import read_table, write_table
from recsys.topk.lists import list_model

N_USERS, N_MOVIES, K = 50, 20, 3
MOVIES = np.arange(1, N_MOVIES + 1, dtype=np.int32)


def known(ids, rank, rng):
    return np.array(ids, np.int32), rng.normal(size=(len(ids), rank)).astype(np.float32)


@pytest.fixture
def pair():
    """The ranking model knows even users, the rating model has factors for every third, biases for all up to 40."""
    rng = np.random.default_rng(3)
    movies = known(range(1, 16), 4, rng), known(range(1, 11), 2, rng)
    ranking = Factors(*known(range(2, N_USERS + 1, 2), 4, rng), *movies[0])
    residuals = Factors(*known(range(3, N_USERS + 1, 3), 2, rng), *movies[1])
    biased = np.arange(1, 41, dtype=np.int32), rng.normal(size=40).astype(np.float32)
    biases = Biases(3.0, *biased, MOVIES, np.zeros(N_MOVIES, np.float32))
    counts = np.arange(N_MOVIES, 0, -1, dtype=np.int32)
    return Recommender(ranking, RatingModel(biases, residuals, 0.5, 5.0), MOVIES, counts)


def seen_table(store, row_group_rows):
    rng = np.random.default_rng(4)
    lists = [np.sort(rng.choice(MOVIES, rng.integers(0, 6), replace=False)) for _ in range(N_USERS)]
    ids = pa.array(range(1, N_USERS + 1), pa.int32())
    table = pa.Table.from_arrays([ids, pa.array(lists, pa.list_(pa.int32()))], schema=columns.SEEN_LISTS)
    write_table(store, "seen.parquet", table, row_group_rows=row_group_rows)
    return table


@pytest.mark.spark
def test_ranges_of_users_make_the_lists_that_all_users_at_once_make(spark, tmp_path, pair):
    store = FileStore(tmp_path)
    seen = seen_table(store, row_group_rows=7)  # eight ranges, the last with one user
    folded = np.array([4, 48], np.int32)
    written = write_lists(spark, store, pair, MOVIES, "seen.parquet", "lists", K, folded)

    ranking = pair.ranking
    factors = ranking.user_ids, ranking.user_factors, ranking.movie_ids, ranking.movie_factors
    popular = pair.popular_ids, pair.popular_counts
    whole = list_model(factors, popular, MOVIES, pair.rating.predict, K, folded)(seen.to_batches()[0])
    assert pa.concat_tables(read_table(store, row.key) for row in written).equals(whole)
    assert set(whole.column(columns.SOURCE).to_pylist()) == {"als", "fold_in", "popular"}
    others = {"seen.parquet", *(row.key for row in written)}
    assert set(store.list()) == others  # users' rows are gone


@pytest.mark.spark
def test_a_fault_in_a_task_is_told_as_what_it_is_and_leaves_no_users_behind(spark, tmp_path, pair):
    store = FileStore(tmp_path)
    seen_table(store, row_group_rows=20)
    pair.ranking.user_factors[10] = np.nan
    with pytest.raises(DataError, match="finite"):
        write_lists(spark, store, pair, MOVIES, "seen.parquet", "lists", K)
    assert not [key for key in store.list() if key.startswith(layout.scratch(""))]


@pytest.mark.spark
def test_a_snapshot_without_users_has_no_lists(spark, tmp_path, pair):
    store = FileStore(tmp_path)
    write_table(store, "seen.parquet", columns.SEEN_LISTS.empty_table())
    assert write_lists(spark, store, pair, MOVIES, "seen.parquet", "lists", K) == []


def test_what_is_known_of_a_range_of_users_is_cut_by_id_and_travels_unchanged(pair):
    rows = pair.user_rows().between(3, 8)
    assert rows.ranking_ids.tolist() == [4, 6, 8]
    assert rows.residual_ids.tolist() == [3, 6]
    assert rows.bias_ids.tolist() == [3, 4, 5, 6, 7, 8]
    again = pair.over(type(rows).from_bytes(rows.to_bytes()))
    users, movies = np.repeat(np.arange(3, 9), N_MOVIES), np.tile(MOVIES, 6)
    assert np.array_equal(again.ranking.dot(users, movies), pair.ranking.dot(users, movies))
    assert np.array_equal(again.rating.predict(users, movies), pair.rating.predict(users, movies))
