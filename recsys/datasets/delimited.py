"""Rows of delimited text as typed Arrow columns, strictly: every cell fits its column or the line is named.

Two passes. The first is Arrow's own reader, as fast as the archive unpacks (25M ratings in seconds). Only
when it refuses does the second walk the lines in Python to say which one is wrong, and why.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from recsys.datasets.archives import Archive, Member
from recsys.errors import DataError

_BLOCK_BYTES = 8 << 20
_MAX_LINE_BYTES = 1 << 20
_LARGEST_FLOAT32 = 3.4028234663852886e38
_INTEGER = re.compile(r"[ \t]*-?[0-9]+[ \t]*", re.ASCII)
_DECIMAL = re.compile(r"[ \t]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?[ \t]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Column:
    """One column as a file names it, and what its cells must be.

    Attributes:
        name: the header's word, or one given here where files have no header.
        type: an Arrow integer, float32, string, or null for a filler that must be empty.
        bounds: smallest and largest value allowed, both included.
        is_optional: whether an empty cell means "unknown".
    """

    name: str
    type: pa.DataType
    bounds: tuple[int, int] | None = None
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """How rows are written. Without a header, the columns asked for are all there are, in order."""

    delimiter: str = ","
    has_header: bool = True
    is_quoted: bool = True
    encoding: str = "utf-8"


def read_delimited(archive: Archive, member: Member, columns: Sequence[Column], form: Format) -> pa.Table:
    """The columns asked for, in that order, with the types asked for.

    Raises:
        DataError: a column is missing or a row is malformed; the message names file, line and content.
    """
    if form.has_header:
        _check_header(archive, member, columns)
    try:
        with archive.open(member) as file:
            table = _read(file, columns, form)
        reason = next(filter(None, (_column_fault(table[column.name], column) for column in columns)), None)
    except (pa.ArrowException, UnicodeError) as error:
        reason = str(error)
    if reason is None:
        return table
    for number, content, fault in _faults(archive, member, columns, form):
        raise line_error(archive, member, number, content, fault)
    raise DataError(f"{archive.label}: {member.path}: {reason}. Nothing was published. Correct the file.")


def line_error(archive: Archive, member: Member, number: int, content: str, fault: str) -> DataError:
    """The error for one malformed line; line numbers count from 1, the header included."""
    shown = content if len(content) <= 200 else content[:200] + "…"
    return DataError(
        f"{archive.label}: {member.path} line {number:,}: {fault}; the line is {shown!r}. "
        "Nothing was published. Correct the line, or fetch the archive again."
    )


def cell_fault(text: str, column: Column) -> str | None:
    """What is wrong with one cell, or None.

    >>> cell_fault("4.5", Column("rating", pa.float32()))
    >>> cell_fault("four", Column("rating", pa.float32()))
    "rating is 'four', not a finite number"
    >>> cell_fault("", Column("tmdbId", pa.int32(), is_optional=True))
    """
    if text == "" and (column.is_optional or pa.types.is_null(column.type)):
        return None
    if pa.types.is_string(column.type):
        return None
    if pa.types.is_null(column.type):
        return f"{text!r} stands where nothing should"
    if pa.types.is_floating(column.type):
        is_number = _DECIMAL.fullmatch(text) and abs(float(text)) <= _LARGEST_FLOAT32
        return None if is_number else f"{column.name} is {text!r}, not a finite number"
    if not _INTEGER.fullmatch(text) or len(text) > 40:
        return f"{column.name} is {text!r}, not a whole number"
    low, high = column.bounds or (-(2 ** (column.type.bit_width - 1)), 2 ** (column.type.bit_width - 1) - 1)
    if not low <= int(text) <= high:
        return f"{column.name} is {int(text)}, outside [{low}, {high}]"
    return None


def _read(file: IO[bytes], columns: Sequence[Column], form: Format) -> pa.Table:
    names = [column.name for column in columns]
    return pa_csv.read_csv(
        file,
        read_options=pa_csv.ReadOptions(
            block_size=_BLOCK_BYTES, encoding=form.encoding, column_names=None if form.has_header else names
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=form.delimiter, quote_char='"' if form.is_quoted else False, newlines_in_values=False
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types={column.name: column.type for column in columns},
            include_columns=names,
            null_values=[""],
            strings_can_be_null=False,
            quoted_strings_can_be_null=False,
        ),
    )


def _column_fault(values: pa.ChunkedArray, column: Column) -> str | None:
    """What a whole column breaks, in words, or None; the cheap twin of `cell_fault`."""
    if pa.types.is_null(column.type):
        return None
    if values.null_count and not column.is_optional:
        return f"{column.name} is empty in {values.null_count:,} rows"
    if pa.types.is_string(column.type):
        # A quote that is never closed swallows the lines that follow it.
        has_break = pc.any(pc.match_substring_regex(values, "[\r\n]")).as_py()
        return f"{column.name} spans several lines" if has_break else None
    if pa.types.is_floating(column.type):
        return None if pc.all(pc.is_finite(values)).as_py() in (True, None) else f"{column.name} is not finite"
    if column.bounds and len(values) > values.null_count:
        extremes = pc.min_max(values).as_py()
        if extremes["min"] < column.bounds[0] or extremes["max"] > column.bounds[1]:
            return f"{column.name} leaves [{column.bounds[0]}, {column.bounds[1]}]"
    return None


def _check_header(archive: Archive, member: Member, columns: Sequence[Column]) -> None:
    with archive.open(member) as file:
        line = file.readline(_MAX_LINE_BYTES)
    names = _header(line)
    for column in columns:
        if names.count(column.name) != 1:
            expected = ",".join(column.name for column in columns)
            fault = f"column {column.name} appears {names.count(column.name)} times in the header, expected {expected}"
            raise line_error(archive, member, 1, line.decode("utf-8", "replace").rstrip("\r\n"), fault)


def _header(line: bytes) -> list[str]:
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    try:
        return next(csv.reader([re.split("[\r\n]", text, maxsplit=1)[0]]), [])
    except csv.Error:
        return []


def _faults(
    archive: Archive, member: Member, columns: Sequence[Column], form: Format
) -> Iterator[tuple[int, str, str]]:
    """Each malformed line as ``(number, content, what is wrong)``."""
    names = [column.name for column in columns]
    # Latin-1 gives each byte back unchanged, and text mode knows all three line ends, as Arrow does.
    with archive.open(member) as raw, io.TextIOWrapper(raw, encoding="latin-1", newline=None) as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES + 1), ""), start=1):
            content = line.removesuffix("\n").encode("latin-1")
            if number == 1 and form.has_header:
                names = _header(content)
            elif content:
                fault = _line_fault(content, names, columns, form)
                if fault:
                    yield number, content[:1000].decode(form.encoding, "replace"), fault


def _line_fault(content: bytes, names: list[str], columns: Sequence[Column], form: Format) -> str | None:
    if len(content) > _MAX_LINE_BYTES:
        return f"longer than {_MAX_LINE_BYTES:,} bytes"
    try:
        text = content.decode(form.encoding)
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} is not {form.encoding.upper()}"
    if form.is_quoted and text.count('"') % 2:
        return "a quote is opened and not closed"
    try:
        cells = next(csv.reader([text], delimiter=form.delimiter)) if form.is_quoted else text.split(form.delimiter)
    except csv.Error as error:
        return str(error)
    if len(cells) != len(names):
        return f"{len(cells)} cells where {len(names)} belong"
    by_name = dict(zip(names, cells, strict=True))
    return next(filter(None, (cell_fault(by_name[column.name], column) for column in columns)), None)
