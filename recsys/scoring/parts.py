"""Spark tasks that compute rows and write them to the store themselves, one Parquet object per task.

No row passes through the driver: a task returns the manifest row of each object it wrote, so only objects
of attempts that succeeded are ever named. Names carry the attempt and a random part; a repeated or
speculative attempt never meets another's object.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys.spark.shipping import as_raised
from recsys.storage.base import Store
from recsys.storage.releases import FileRow
from recsys.storage.tables import write_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Compute = Callable[[pa.RecordBatch], pa.Table]

# Bounds a task's memory (about 60 MB of list rows) and the size of one object.
_FILE_ROWS = 2_000_000
_WRITTEN = pa.schema([
    ("key", pa.string()),
    ("n_rows", pa.int64()),
    ("size_bytes", pa.int64()),
    ("sha256", pa.string()),
    ("min_id", pa.int32()),
    ("max_id", pa.int32()),
])  # fmt: skip


def write_parts(
    frame: "DataFrame", compute: Compute, store: Store, prefix: str, id_column: str, n_partitions: int
) -> list[FileRow]:
    """Compute rows from `frame` inside Spark and write them below `prefix`, each object a range of ids.

    Args:
        frame: one row per `id_column`.
        compute: turns a batch of those rows into rows of the published table, in the same order of ids;
            it is broadcast, so it may hold large arrays.
        store: where the objects go; travels to the workers.
        prefix: the table's folder.
        id_column: by ascending ranges of it the work is cut and the objects are sorted.
        n_partitions: how many ranges.

    Returns:
        The objects by ascending id, each with the range of its ids.

    Raises:
        RecsysError: what a task raised, as the class it raised.
    """
    from pyspark.errors import PythonException
    from pyspark.sql.pandas.types import from_arrow_schema

    shared = frame.sparkSession.sparkContext.broadcast(compute)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _write(map(shared.value, batches), store, prefix, id_column)

    ordered = frame.repartitionByRange(n_partitions, id_column).sortWithinPartitions(id_column)
    try:
        written = [row.asDict() for row in ordered.mapInArrow(run, from_arrow_schema(_WRITTEN)).collect()]
    except PythonException as error:
        raise as_raised(error) from error
    finally:
        shared.unpersist()
    written.sort(key=lambda row: int(row["min_id"]))
    names = {"min_id": f"min_{id_column}", "max_id": f"max_{id_column}"}
    return [FileRow(**{names.get(name, name): value for name, value in row.items()}) for row in written]


def _write(tables: Iterator[pa.Table], store: Store, prefix: str, id_column: str) -> Iterator[pa.RecordBatch]:
    from pyspark import TaskContext

    context = TaskContext.get()
    attempt = f"part-{context.partitionId():05d}-{context.taskAttemptId()}" if context else "part-00000-0"
    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        if sum(part.num_rows for part in pending) >= _FILE_ROWS:
            yield _write_one(pa.concat_tables(pending), store, f"{prefix}/{attempt}", id_column)
            pending = []
    if any(part.num_rows for part in pending):
        yield _write_one(pa.concat_tables(pending), store, f"{prefix}/{attempt}", id_column)


def _write_one(table: pa.Table, store: Store, name: str, id_column: str) -> pa.RecordBatch:
    row = write_table(store, f"{name}-{uuid.uuid4().hex[:12]}.parquet", table)
    ids = table.column(id_column)
    row |= {"min_id": ids[0].as_py(), "max_id": ids[-1].as_py()}
    return pa.RecordBatch.from_pylist([row], schema=_WRITTEN)
