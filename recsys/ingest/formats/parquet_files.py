"""Tables from Parquet files of any columns: what has a type is taken as it is, all else is read as text, as in CSV.

So ids may be of any integer type, whole floats (as pandas writes integers with gaps) or text; times may be
timestamps (without a zone they are UTC), dates, numbers or text; genres a list or text.
"""

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys import columns as words
from recsys.errors import DataError
from recsys.ingest.archives.archives import Archive, Member
from recsys.ingest.archives.plain_files import seekable
from recsys.ingest.parsers.cells import LARGEST_ID, Column, Id, Kind, Real, Whole, YesNo, places
from recsys.ingest.parsers.delimited import MAX_MALFORMED, Shape, joined
from recsys.ingest.parsers.lines import MAX_CONTENT
from recsys.ingest.parsers.parsed_tables import Fault, Rows
from recsys.ingest.parsers.times import UTC_MS, Time, within_bounds

_BATCH_ROWS = 1 << 18
_MAX_ROWS = 500_000_000
_EXACT_FLOATS = 2.0**53  # beyond, neighbouring whole numbers are one float


def first_rows(archive: Archive, member: Member, n_rows: int) -> tuple[list[str], list[list[str]]]:
    """The top-level columns of a Parquet file, and its first rows as text.

    Raises:
        DataError: the file is damaged.
    """
    with _open(archive, member) as parquet:
        names = list(parquet.schema_arrow.names)
        batch = next(parquet.iter_batches(n_rows), None)
        texts = [_shown(column) for column in batch.columns] if batch else [[]]
        return names, [list(row) for row in zip(*texts, strict=True)]


def read_parquet(archive: Archive, member: Member, columns: Sequence[Column], shape: Shape) -> Rows:
    """The columns asked for, as their kinds read them; `LINE` is the number of the row, from 1.

    Args:
        archive: holds the file.
        member: the file.
        columns: what is read of it.
        shape: makes the table that is wanted of a batch's good rows.

    Raises:
        DataError: the file is damaged, or more than `MAX_MALFORMED` of its rows are malformed.
    """
    tables: list[pa.Table] = []
    faults: list[Fault] = []
    n_rows = 0
    with _open(archive, member) as parquet:
        names = [column.name for column in columns]
        empty = pa.RecordBatch.from_pylist([], schema=pa.schema([parquet.schema_arrow.field(name) for name in names]))
        for batch in (empty, *parquet.iter_batches(_BATCH_ROWS, columns=names)):
            batch.validate(full=True)
            table, bad = _sift(batch, columns, n_rows, archive.place(member.path))
            tables.append(shape(table))
            faults += bad
            n_rows += batch.num_rows
            if len(faults) > MAX_MALFORMED:
                raise DataError(
                    f"{archive.place(member.path)}: more than {MAX_MALFORMED:,} malformed rows, the first is row "
                    f"{faults[0].line:,}: {faults[0].fault}. Nothing was published. Correct the file."
                )
        if n_rows != parquet.metadata.num_rows:
            raise pa.ArrowInvalid(f"{parquet.metadata.num_rows:,} rows declared, {n_rows:,} read")
    return Rows(joined(tables), faults, n_rows)


def parquet_rows(archive: Archive, member: Member, wanted: Collection[int]) -> dict[int, str]:
    """The rows of those numbers, from 1, as JSON."""
    found: dict[int, str] = {}
    first = 1
    with _open(archive, member) as parquet:
        for batch in parquet.iter_batches(_BATCH_ROWS):
            here = [line for line in wanted if first <= line < first + batch.num_rows]
            for line, row in zip(here, batch.take([line - first for line in here]).to_pylist(), strict=True):
                found[line] = json.dumps(row, default=str, ensure_ascii=False)[:MAX_CONTENT]
            first += batch.num_rows
    return found


@contextlib.contextmanager
def _open(archive: Archive, member: Member) -> Iterator[pq.ParquetFile]:
    with seekable(archive, member) as file:
        try:
            with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                if parquet.metadata.num_rows > _MAX_ROWS:
                    raise pa.ArrowInvalid(f"{parquet.metadata.num_rows:,} rows, {_MAX_ROWS:,} allowed")
                yield parquet
        except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
            raise DataError(
                f"{archive.place(member.path)} is damaged or no Parquet file that can be read ({error}). "
                "Nothing was published. Write the file again."
            ) from error


def _sift(batch: pa.RecordBatch, columns: Sequence[Column], n_before: int, place: str) -> tuple[pa.Table, list[Fault]]:
    arrays: list[pa.ChunkedArray] = []
    faults: dict[int, str] = {}
    for column in columns:
        raw = pa.chunked_array([_plain(batch[column.name], column, place)])
        values = _typed(raw, column.kind)
        if values is None:
            values, is_wrong = column.read(pc.fill_null(raw.cast(pa.string()), ""))
        else:
            is_wrong = pc.and_not(values.is_null(), raw.is_null()) if column.is_optional else values.is_null()
        arrays.append(values)
        for i in places(is_wrong) if is_wrong is not None else ():
            faults.setdefault(i, column.fault(_shown(raw.slice(i, 1))[0]))
    numbers = np.arange(n_before + 1, n_before + batch.num_rows + 1)
    table = pa.table([*arrays, numbers], names=[*(column.name for column in columns), words.LINE])
    if not faults:
        return table, []
    is_good = np.ones(len(table), bool)
    is_good[list(faults)] = False
    bad = sorted(faults)
    rows = [json.dumps(row, default=str, ensure_ascii=False) for row in batch.take(pa.array(bad)).to_pylist()]
    found = [Fault(n_before + i + 1, faults[i], row) for i, row in zip(bad, rows, strict=True)]
    return table.filter(pa.array(is_good)), found


def _plain(values: pa.Array, column: Column, place: str) -> pa.Array:
    """Values without their dictionary, of a type that can be judged.

    Raises:
        DataError: they are structures or the like.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return pc.binary_join(values, "|")
    if pa.types.is_boolean(kind) and isinstance(column.kind, YesNo):
        return values.cast(pa.string())
    if pa.types.is_boolean(kind) or pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise DataError(
            f"{place}: column {column.name} is of type {kind}, not {column.kind.wanted}. Nothing was published. Write "
            "the column as numbers or text, or say with columns=… which other one is meant."
        )
    is_text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind)
    return values.cast(pa.string()) if is_text else values


def _typed(values: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray | None:
    """Numbers and times as the kind wants them, null where they are none; None where text must be made of them."""
    is_temporal = pa.types.is_temporal(values.type)
    if isinstance(kind, Time) and is_temporal:
        # Finer than milliseconds is cut off; a time without a zone is UTC.
        zone = getattr(values.type, "tz", None)
        return within_bounds(values.cast(pa.timestamp("ms", tz=zone), safe=False).cast(UTC_MS))
    if is_temporal or not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return None
    if isinstance(kind, Time):
        return kind.of_numbers(values.cast(pa.float64(), safe=False))
    if isinstance(kind, Real):
        floats = values.cast(pa.float64(), safe=False)
        return pc.if_else(pc.less_equal(pc.abs(floats), float(np.finfo(np.float32).max)), floats, None).cast(
            pa.float32()
        )
    if not isinstance(kind, Id | Whole):
        return None
    if pa.types.is_floating(values.type):
        is_whole = pc.and_(pc.equal(values, pc.floor(values)), pc.less(pc.abs(values), _EXACT_FLOATS))
        if isinstance(kind, Id) and pc.all(is_whole).as_py() is False:
            return None
        values = pc.if_else(is_whole, values, None)
    if isinstance(kind, Id) and len(values) > values.null_count:
        extremes = pc.min_max(values).as_py()
        if extremes["min"] < 0 or extremes["max"] > LARGEST_ID:
            return values.cast(pa.uint64() if extremes["min"] >= 0 else pa.int64()).cast(pa.string())
    low, high = (kind.low, kind.high) if isinstance(kind, Whole) else (0, LARGEST_ID)
    is_within = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
    return pc.if_else(is_within, values, None).cast(pa.int32() if high <= LARGEST_ID else pa.int64())


def _shown(values: pa.Array | pa.ChunkedArray) -> list[str]:
    """Values as short text; of types that have none, what Python prints."""
    try:
        texts = values.cast(pa.string()).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = ["|".join(map(str, value)) if isinstance(value, list) else value for value in values.to_pylist()]
    return ["" if text is None else str(text)[:200] for text in texts]
