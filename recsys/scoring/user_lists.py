"""Lists for all users of a snapshot in Spark tasks: movies are broadcast, users are read where they are needed.

A task is told row groups of the lists of rated movies, which snapshots keep sorted by user; of the model's users it
reads those in the same range of ids. So no machine but the driver holds all users, nothing is joined or sorted again,
and what a task reads comes through the `Store`: from a directory or from S3, without a Hadoop connector.
"""

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import columns
from recsys.models.recommender import Recommender
from recsys.models.users import UserRows
from recsys.scoring.parts import write_parts
from recsys.scoring.source_id_columns import SourceIds
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.releases import FileRow
from recsys.storage.tables import group_ranges, read_group
from recsys.topk.lists import ListModel, list_model

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# 20,000 users a group: a task writes one object, of at most two million rows with lists of ten.
_GROUPS_PER_TASK = 10
_RANGES = f"{columns.USER_ID} int, group int, users string"


@dataclass(frozen=True)
class RangeLists:
    """Makes the lists of ranges of users; broadcast once.

    Attributes:
        model: without users.
        pair: the models it came from, without users.
        store: where the users and what they have rated are.
        seen_key: the table columns.SEEN_LISTS.
    """

    model: ListModel
    pair: Recommender
    store: Store
    seen_key: str

    def __call__(self, ranges: pa.RecordBatch) -> pa.Table:
        """Rows of columns.RECOMMENDATIONS for a batch of ranges: `group`, and `users`, the key of their `UserRows`."""
        return pa.concat_tables(self._lists(row["group"], row["users"]) for row in ranges.to_pylist())

    def _lists(self, group: int, users: str) -> pa.Table:
        pair = self.pair.over(UserRows.from_bytes(self.store.get(users)))
        vectors, predict = (pair.ranking.user_ids, pair.ranking.user_factors), pair.predict
        model = replace(self.model, user_ids=vectors[0], user_factors=vectors[1], predict=predict)
        [batch] = read_group(self.store, self.seen_key, group).combine_chunks().to_batches()
        return model(batch)


def write_lists(
    spark: "SparkSession",
    store: Store,
    pair: Recommender,
    movie_ids: NDArray[np.int32],
    seen_key: str,
    prefix: str,
    k: int,
    folded: NDArray[np.int32] | None = None,
    ids: SourceIds | None = None,
) -> list[FileRow]:
    """Write the list of every user in the table of rated movies; returns the objects, as `write_parts`.

    Args:
        spark: runs the tasks.
        store: holds all that is read and written.
        pair: the models.
        movie_ids: the snapshot's movies, which lists are drawn from.
        seen_key: a table columns.SEEN_LISTS, sorted by user.
        prefix: the folder of the lists. The users' rows stand in a scratch folder of the store while the tasks run.
        k: list length.
        folded: users of the models that were folded in after the training; nobody by default.
        ids: what the source calls users and movies, where these are no 32-bit integers.
    """
    users = pair.user_rows()
    movies = pair.over(users.between(1, 0))
    ranking, popular = movies.ranking, (pair.popular_ids, pair.popular_counts)
    factors = ranking.user_ids, ranking.user_factors, ranking.movie_ids, ranking.movie_factors
    model = list_model(factors, popular, movie_ids, movies.predict, k, folded)
    scratch = layout.scratch(uuid.uuid4().hex)
    ranges = []
    try:
        for group, (first, last) in enumerate(group_ranges(store, seen_key, columns.USER_ID)):
            ranges.append((first, group, f"{scratch}/{group:06d}.npz"))
            store.put(ranges[-1][-1], users.between(first, last).to_bytes())
        n_tasks = max(spark.sparkContext.defaultParallelism, len(ranges) // _GROUPS_PER_TASK)
        frame = spark.createDataFrame(ranges, _RANGES)
        lists = (ids or SourceIds({})).beside_all(RangeLists(model, movies, store, seen_key))
        return write_parts(frame, lists, store, prefix, columns.USER_ID, n_tasks)
    finally:
        for *_, key in ranges:
            store.delete(key)
