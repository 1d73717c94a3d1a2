"""The source's own ids in published tables, where these are no 32-bit integers: beside the numbers in their place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import columns
from recsys.ids import positions

_KEYS = {
    columns.USER_ID: "user_ids",
    columns.MOVIE_ID: "movie_ids",
    columns.SIMILAR_MOVIE_ID: "movie_ids",
}


@dataclass(frozen=True)
class SourceIds:
    """Dictionaries of ids by the names of `columns.ID_TABLES`; small enough to travel to every task."""

    tables: Mapping[str, tuple[NDArray[np.int32], pa.Array]]

    @classmethod
    def of(cls, dictionaries: Mapping[str, pa.Table]) -> "SourceIds":
        """From the dictionaries of a snapshot; none where its ids are the source's."""
        ordered = {name: table.sort_by(table.column_names[0]).combine_chunks() for name, table in dictionaries.items()}
        return cls(
            {name: (rows.column(0).to_numpy(), rows.column(1).combine_chunks()) for name, rows in ordered.items()}
        )

    def beside(self, table: pa.Table) -> pa.Table:
        """A table with ``source_<id>`` after its columns for each id that has a dictionary.

        >>> dictionary = pa.table({"user_id": pa.array([2, 1], pa.int32()), "source_id": ["b", "a"]})
        >>> ids = SourceIds.of({"user_ids": dictionary})
        >>> ids.beside(pa.table({"user_id": pa.array([1, 2], pa.int32())})).to_pylist()
        [{'user_id': 1, 'source_user_id': 'a'}, {'user_id': 2, 'source_user_id': 'b'}]
        """
        for key in [key for key in table.column_names if _KEYS.get(key) in self.tables]:
            numbers, texts = self.tables[_KEYS[key]]
            found = texts.take(pa.array(positions(numbers, table.column(key).to_numpy())))
            table = table.append_column(columns.source_name(key), found)
        return table

    def beside_all(self, compute: Callable[[pa.RecordBatch], pa.Table]) -> Callable[[pa.RecordBatch], pa.Table]:
        """A computation whose tables have the source's ids too."""
        return _Named(self, compute) if self.tables else compute


@dataclass(frozen=True)
class _Named:
    ids: SourceIds
    compute: Callable[[pa.RecordBatch], pa.Table]

    def __call__(self, batch: pa.RecordBatch) -> pa.Table:
        return self.ids.beside(self.compute(batch))


def without(table: pa.Table) -> pa.Table:
    """A published table as it is where ids are the source's."""
    added: list[Any] = [columns.source_name(key) for key in _KEYS if columns.source_name(key) in table.column_names]
    return table.drop_columns(added)
