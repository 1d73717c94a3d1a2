"""Ratings from a Parquet file of any columns: what can be read as ids, stars and times is kept, row by row.

Ids may be of any integer type, whole floats (as pandas writes integers with gaps) or digits; times may be
timestamps (without a zone they are UTC), dates, seconds or milliseconds, or ISO 8601 text.
"""

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys import columns as words
from recsys.datasets.archives import Archive, Member
from recsys.datasets.delimited import MAX_MALFORMED
from recsys.datasets.parsed import MAX_CONTENT, Fault, Rows
from recsys.datasets.plain import seekable
from recsys.datasets.times import MAX_SECONDS, UTC_MS, count_in_ms, parse_times, within_bounds
from recsys.errors import DataError

_BATCH_ROWS = 1 << 18
_MAX_ROWS = 500_000_000
_LARGEST_ID = 2**31 - 1
_LARGEST_FLOAT32 = 3.4028234663852886e38
_WANTED = {
    words.USER_ID: f"a whole number in [0, {_LARGEST_ID}]",
    words.MOVIE_ID: f"a whole number in [0, {_LARGEST_ID}]",
    words.RATING: "a finite number",
    words.TIMESTAMP: "a time between 1970 and 9999",
}


def column_names(archive: Archive, member: Member) -> list[str]:
    """The top-level columns of a Parquet file.

    Raises:
        DataError: the file is damaged.
    """
    with _open(archive, member) as parquet:
        return list(parquet.schema_arrow.names)


def read_parquet(archive: Archive, member: Member, names: Mapping[str, str]) -> Rows:
    """The ratings of a Parquet file; `LINE` is the number of the row, from 1.

    Args:
        archive: holds the file.
        member: the file.
        names: the file's column for each column of `columns.RATINGS`.

    Raises:
        DataError: the file is damaged, or more than `MAX_MALFORMED` of its rows are malformed.
    """
    tables = [words.staged_schema("ratings").empty_table()]
    faults: list[Fault] = []
    n_rows, in_ms = 0, None
    with _open(archive, member) as parquet:
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=list(names.values())):
            batch.validate(full=True)
            raw = {name: _plain(batch[column]) for name, column in names.items()}
            if in_ms is None:
                in_ms = _in_ms(raw[words.TIMESTAMP])
            table, bad = _sift(raw, names, n_rows, in_ms=in_ms)
            tables.append(table)
            faults += bad
            n_rows += batch.num_rows
            if len(faults) > MAX_MALFORMED:
                raise DataError(
                    f"{archive.label}: {member.path}: more than {MAX_MALFORMED:,} malformed rows, the first is row "
                    f"{faults[0].line:,}: {faults[0].fault}. Nothing was published. Correct the file."
                )
        if n_rows != parquet.metadata.num_rows:
            raise pa.ArrowInvalid(f"{parquet.metadata.num_rows:,} rows declared, {n_rows:,} read")
    return Rows(pa.concat_tables(tables), faults, n_rows)


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
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise DataError(
                f"{archive.label}: {member.path} is damaged or no Parquet file that can be read ({error}). "
                "Nothing was published. Write the file again."
            ) from error


def _sift(
    raw: dict[str, pa.Array], names: Mapping[str, str], n_before: int, *, in_ms: bool
) -> tuple[pa.Table, list[Fault]]:
    read = {
        words.USER_ID: _whole(raw[words.USER_ID]),
        words.MOVIE_ID: _whole(raw[words.MOVIE_ID]),
        words.RATING: _stars(raw[words.RATING]),
        words.TIMESTAMP: _times(raw[words.TIMESTAMP], in_ms=in_ms),
    }
    n_rows = len(raw[words.USER_ID])
    table = pa.table(
        [*read.values(), pa.array(range(n_before + 1, n_before + n_rows + 1), pa.int64())],
        schema=words.staged_schema("ratings"),
    )
    if not any(column.null_count for column in table.columns):
        return table, []
    is_good = reduce(pc.and_, (values.is_valid() for values in read.values()))
    bad = pc.indices_nonzero(pc.invert(is_good)).to_pylist()
    faults = []
    for i in bad:
        row = {name: raw[name].slice(i, 1).cast(pa.string())[0].as_py() for name in read}
        name = next(name for name in read if read[name].slice(i, 1).null_count)
        shown = "null" if row[name] is None else row[name][:80]
        content = json.dumps({names[key]: value for key, value in row.items()}, ensure_ascii=False)
        faults.append(Fault(n_before + i + 1, f"{names[name]} is {shown}, not {_WANTED[name]}", content))
    return table.filter(is_good), faults


def _plain(values: pa.Array) -> pa.Array:
    """Values without their dictionary, of a type that can be judged.

    Raises:
        ArrowInvalid: they are lists, structures or the like.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if pa.types.is_boolean(kind) or pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_null(kind):
        raise pa.ArrowInvalid(f"a column of type {kind} holds neither numbers nor times")
    return values.cast(pa.string()) if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else values


def _whole(values: pa.Array) -> pa.Array:
    """As int32, null where a value is no id."""
    if pa.types.is_string(values.type):
        is_digits = pc.match_substring_regex(values, r"^\s*[0-9]{1,10}\s*$")
        values = pc.utf8_trim_whitespace(pc.if_else(is_digits, values, None)).cast(pa.int64())
    elif not pa.types.is_integer(values.type):
        values = _floats(values)
        values = pc.if_else(pc.equal(values, pc.floor(values)), values, None)
    is_id = pc.and_(pc.greater_equal(values, 0), pc.less_equal(values, _LARGEST_ID))
    return pc.if_else(is_id, values, None).cast(pa.int32())


def _stars(values: pa.Array) -> pa.Array:
    values = _floats(values)
    return pc.if_else(pc.less_equal(pc.abs(values), _LARGEST_FLOAT32), values, None).cast(pa.float32())


def _times(values: pa.Array, *, in_ms: bool) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_string(kind) and not _is_number(values):
        return parse_times(values)
    if pa.types.is_temporal(kind):
        # Finer than milliseconds is cut off; a time without a zone is UTC.
        times = values.cast(pa.timestamp("ms", tz=getattr(kind, "tz", None)), safe=False).cast(UTC_MS)
        return within_bounds(pa.chunked_array([times]))
    numbers = pc.multiply(_floats(values), 1.0 if in_ms else 1000.0)
    is_time = pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, (MAX_SECONDS + 1) * 1000.0))
    ms = pc.floor(pc.if_else(is_time, numbers, None)).cast(pa.int64())
    return pa.chunked_array([ms.cast(UTC_MS)])


def _floats(values: pa.Array) -> pa.Array:
    """As float64, null where a value is no number."""
    if pa.types.is_string(values.type):
        is_decimal = pc.match_substring_regex(values, r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$")
        values = pc.utf8_trim_whitespace(pc.if_else(is_decimal, values, None))
    return values.cast(pa.float64(), safe=False)


def _is_number(values: pa.Array) -> bool:
    """Whether most texts of a column are numbers."""
    return _floats(values).null_count * 2 < len(values) if len(values) else False


def _in_ms(times: pa.Array) -> bool:
    """`count_in_ms` for the first thousand values of a column."""
    if pa.types.is_temporal(times.type):
        return False
    return count_in_ms(_floats(times.slice(0, 1000)).drop_null().to_pylist())
