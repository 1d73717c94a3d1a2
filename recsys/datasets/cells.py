"""What a cell of delimited text must be: columns with their types and bounds, and sentences on what breaks them.

Whole columns are checked fast, by Arrow; single cells in Python, only to say what is wrong with one.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from recsys.datasets.times import parse_times

_LARGEST_FLOAT32 = 3.4028234663852886e38
_SHORT_INTEGER = re.compile(r"[ \t]*-?[0-9]{1,18}[ \t]*", re.ASCII)
_INTEGER = re.compile(r"[ \t]*-?[0-9]{1,40}[ \t]*", re.ASCII)
_DECIMAL = re.compile(r"[ \t]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?[ \t]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Column:
    """One column as a file names it, and what its cells must be.

    Attributes:
        name: the header's word, or one given here where files have no header.
        type: an Arrow integer, float, timestamp, string, or null for a filler that must be empty.
        bounds: smallest and largest value allowed, both included.
        is_optional: whether an empty cell means "unknown".
        pattern: what the whole of a string must match.
        wanted: the pattern in words, to end "…, not".
    """

    name: str
    type: pa.DataType
    bounds: tuple[int, int] | None = None
    is_optional: bool = False
    pattern: re.Pattern[str] | None = None
    wanted: str = ""

    @property
    def read_type(self) -> pa.DataType:
        """The type in which Arrow's reader gives it: it knows fewer spellings of times than `parse_times`."""
        return pa.string() if pa.types.is_timestamp(self.type) else self.type


def column_fault(values: pa.ChunkedArray, column: Column) -> str | None:
    """What a whole column, as it was read, breaks, in words, or None.

    >>> column_fault(pa.chunked_array([[1, 2], [-3]]), Column("userId", pa.int64(), (0, 9)))
    'userId leaves [0, 9]'
    """
    if pa.types.is_null(column.type):
        return None
    if values.null_count and not column.is_optional:
        return f"{column.name} is empty in {values.null_count:,} rows"
    if pa.types.is_timestamp(column.type):
        return f"{column.name} holds what is no time" if parse_times(values).null_count else None
    if pa.types.is_string(column.type):
        is_fine = column.pattern is None or all(map(column.pattern.fullmatch, values.to_pylist()))
        return None if is_fine else f"{column.name} is not {column.wanted}"
    if pa.types.is_floating(column.type) and pc.all(pc.is_finite(values)).as_py() is False:
        return f"{column.name} is not finite"
    if column.bounds and len(values) > values.null_count:
        extremes = pc.min_max(values).as_py()
        if extremes["min"] < column.bounds[0] or extremes["max"] > column.bounds[1]:
            return f"{column.name} leaves [{column.bounds[0]}, {column.bounds[1]}]"
    return None


def wrong_cells(texts: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    """Which cells of a column of text `cell_fault` would find fault with; the fast way to suspects.

    >>> wrong_cells(pa.chunked_array([["1", "x", "-7", ""]]), Column("id", pa.int32(), (0, 9))).to_pylist()
    [False, True, True, True]
    """
    kind = column.type
    if pa.types.is_null(kind):
        return pc.not_equal(texts, "")
    if pa.types.is_string(kind):
        pattern = column.pattern
        is_wrong = [pattern is not None and not pattern.fullmatch(text) for text in texts.to_pylist()]
        return pa.chunked_array([pa.array(is_wrong, pa.bool_())])
    if pa.types.is_timestamp(kind):
        return pc.is_null(parse_times(texts))
    spelling, number = (_DECIMAL, pa.float64()) if pa.types.is_floating(kind) else (_SHORT_INTEGER, pa.int64())
    is_number = pc.match_substring_regex(texts, f"^(?:{spelling.pattern})$")
    numbers = pc.utf8_trim(pc.if_else(is_number, texts, None), " \t+").cast(number)
    low, high = _bounds(column)
    is_right = pc.fill_null(pc.and_(pc.greater_equal(numbers, low), pc.less_equal(numbers, high)), False)
    return pc.invert(pc.or_(is_right, pc.equal(texts, "")) if column.is_optional else is_right)


def cell_fault(text: str, column: Column) -> str | None:
    """What is wrong with one cell, or None.

    >>> cell_fault("4.5", Column("rating", pa.float32()))
    >>> cell_fault("four", Column("rating", pa.float32()))
    "rating is 'four', not a finite number"
    >>> cell_fault("", Column("tmdbId", pa.int32(), is_optional=True))
    """
    if text == "" and (column.is_optional or pa.types.is_null(column.type)):
        return None
    shown = repr(text if len(text) <= 80 else text[:80] + "…")
    if pa.types.is_null(column.type):
        return f"{shown} stands where nothing should"
    if pa.types.is_timestamp(column.type):
        is_time = parse_times(pa.array([text], pa.string())).null_count == 0
        return None if is_time else f"{column.name} is {shown}, not a time such as 2024-05-31T12:30:00Z, 1970 or later"
    if pa.types.is_string(column.type):
        is_fine = column.pattern is None or column.pattern.fullmatch(text)
        return None if is_fine else f"{column.name} is {shown}, not {column.wanted}"
    if pa.types.is_floating(column.type):
        if not _DECIMAL.fullmatch(text) or abs(float(text)) > _LARGEST_FLOAT32:
            return f"{column.name} is {shown}, not a finite number"
        return _bounds_fault(float(text), column)
    if not _INTEGER.fullmatch(text):
        return f"{column.name} is {shown}, not a whole number"
    return _bounds_fault(int(text), column)


def _bounds_fault(value: float, column: Column) -> str | None:
    low, high = _bounds(column)
    return None if low <= value <= high else f"{column.name} is {value:.15g}, outside [{low}, {high}]"


def _bounds(column: Column) -> tuple[float, float]:
    if column.bounds:
        return column.bounds
    if pa.types.is_floating(column.type):
        return -_LARGEST_FLOAT32, _LARGEST_FLOAT32
    half = 2 ** (column.type.bit_width - 1)
    return -half, half - 1


def row_fault(cells: Sequence[str], names: Sequence[str], columns: Sequence[Column]) -> str | None:
    """What is wrong with one row, or None.

    >>> row_fault(["1", "x"], ["a", "b"], [Column("b", pa.int32())])
    "b is 'x', not a whole number"
    >>> row_fault(["1"], ["a", "b"], [])
    '1 cells where 2 belong'
    """
    if len(cells) != len(names):
        return f"{len(cells)} cells where {len(names)} belong"
    by_name = dict(zip(names, cells, strict=True))
    return next(filter(None, (cell_fault(by_name[column.name], column) for column in columns)), None)


def split_cells(line: str, delimiter: str, *, is_quoted: bool = True) -> list[str]:
    """The cells of one row, without their quotes.

    >>> split_cells('1,"a ""b"", c",', ",")
    ['1', 'a "b", c', '']
    """
    if not is_quoted or '"' not in line:
        return line.split(delimiter)
    cells: list[str] = []
    position = 0
    while position <= len(line):
        match = _cell_pattern(delimiter).match(line, position)
        if match is None:  # an open quote
            return [*cells, line[position:]]
        cells.append(match["plain"] or (match["quoted"] or "").replace('""', '"') + (match["more"] or ""))
        position = match.end() + 1
    return cells


@cache
def _cell_pattern(delimiter: str) -> re.Pattern[str]:
    comma = re.escape(delimiter)
    quoted = rf'"(?P<quoted>(?:[^"]|"")*+)"(?P<more>[^{comma}]*+)'
    return re.compile(rf'(?:{quoted}|(?P<plain>(?!")[^{comma}]*+))(?={comma}|\Z)')


def header_names(line: bytes, delimiter: str) -> list[str]:
    r"""The names in a header.

    >>> header_names(b'\xef\xbb\xbf"userId";movieId\r\n', ";")
    ['userId', 'movieId']
    """
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    try:
        return next(csv.reader([re.split("[\r\n]", text, maxsplit=1)[0]], delimiter=delimiter), [])
    except csv.Error:
        return []
