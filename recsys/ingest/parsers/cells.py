"""What a cell must be: kinds of columns, each with one reading for whole columns, whatever file they stand in.

A kind reads texts to values and gives null for what is none. It is the same reading for a good cell and for the
sentence on a bad one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.ingest.parsers.times import Time, numbers

LARGEST_ID = 2**31 - 1
MISSING = frozenset({"", "nan", "NaN", "null", "NULL", "None", "\\N", "<NA>", "#N/A"})
"""What tools write where there is no value."""

_LARGEST_FLOAT32 = 3.4028234663852886e38
_WHOLE = r"^[ \t]*(?P<digits>-?[0-9]{1,18})(?:\.0*)?[ \t]*$"
_BOM = "\ufeff"
_NO, _YES = ("false", "no", "f", "n"), ("true", "yes", "t", "y")


class Kind(Protocol):
    """How the cells of a column are read, and what they must be in words, to end "…, not"."""

    @property
    def wanted(self) -> str: ...

    def read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """Values of as many texts; null where a text is none."""
        ...


@dataclass(frozen=True, slots=True)
class Column:
    """One column as a file names it, and what its cells are.

    Attributes:
        name: the header's word, or one given here where files have no header.
        kind: how its cells are read.
        is_optional: whether a cell of `MISSING` means "unknown".
    """

    name: str
    kind: Kind
    is_optional: bool = False

    def read(self, texts: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray | None]:
        """The values, and which of the cells are wrong; None where none is.

        >>> Column("id", Whole(0, 9), is_optional=True).read(pa.chunked_array([["1", "", "x"]]))[1].to_pylist()
        [False, False, True]
        """
        values = self.kind.read(texts)
        if not values.null_count:
            return values, None
        is_wrong = values.is_null()
        if self.is_optional:
            is_wrong = pc.and_not(is_wrong, pc.is_in(texts, pa.array(sorted(MISSING))))
        return values, is_wrong if pc.any(is_wrong).as_py() else None

    def fault(self, text: str) -> str:
        """What is said of a wrong cell.

        >>> Column("rating", Real()).fault("four")
        "rating is 'four', not a finite number"
        """
        hint = self.kind.hint(text) if isinstance(self.kind, Time) else ""
        return f"{self.name} is {text if len(text) <= 80 else text[:80] + '…'!r}, not {self.kind.wanted}{hint}"


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers within bounds, both included; ``42.0`` is 42."""

    low: int = 0
    high: int = LARGEST_ID

    @property
    def wanted(self) -> str:
        return f"a whole number in [{self.low}, {self.high}]"

    def read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        values = None if has_hexadecimal(texts) else _attempt(texts, pa.int64())
        if values is None:
            values = pc.struct_field(pc.extract_regex(texts, _WHOLE), "digits").cast(pa.int64())
        is_within = pc.and_(pc.greater_equal(values, self.low), pc.less_equal(values, self.high))
        return pc.if_else(is_within, values, None)


@dataclass(frozen=True, slots=True)
class Real:
    """Finite numbers, as 32-bit floats; with another `decimal` than the point that one counts too."""

    decimal: str = "."

    @property
    def wanted(self) -> str:
        return "a finite number"

    def read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        values = numbers(texts if self.decimal == "." else pc.replace_substring(texts, self.decimal, "."))
        is_finite = pc.less_equal(pc.abs(values), _LARGEST_FLOAT32)
        return pc.if_else(is_finite, values, None).cast(pa.float32())


@dataclass(frozen=True, slots=True)
class Blank:
    """Nothing: what stands behind the last delimiter of lines that all end with one."""

    wanted: str = "blank, as in the lines before"

    def read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """False for blank cells."""
        return pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), ""), False, None)


@dataclass(frozen=True, slots=True)
class YesNo:
    """Thumbs in words, as 1 and 0; capitals do not matter."""

    wanted: str = "true or false, yes or no"

    def read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """Null for other words, numbers among them.

        >>> YesNo().read(pa.chunked_array([["True", "no", "1"]])).to_pylist()
        [1.0, 0.0, None]
        """
        answers = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
        is_no, is_yes = (pc.is_in(answers, pa.array(known)) for known in (_NO, _YES))
        return pc.if_else(pc.or_(is_no, is_yes), is_yes, None).cast(pa.float32())

    @staticmethod
    def fits(texts: Sequence[str]) -> bool:
        """Whether most of these cells are such words, so that the others are faults."""
        filled = [text.strip().lower() for text in texts if text.strip() not in MISSING]
        return 2 * sum(text in _NO + _YES for text in filled) > len(filled)


@dataclass(frozen=True, slots=True)
class Text:
    """Any text, or that of a pattern, which must match the whole of it."""

    pattern: re.Pattern[str] | None = None
    wanted: str = "text without NUL bytes"

    def read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        is_right = pc.invert(pc.match_substring(texts, "\0"))
        if self.pattern is not None:
            matches = [bool(self.pattern.fullmatch(text or "")) for text in texts.to_pylist()]
            is_right = pc.and_(is_right, pa.array(matches, pa.bool_()))
        return pc.if_else(is_right, texts, None)


@dataclass(frozen=True, slots=True)
class Id:
    """Ids: as 32-bit integers where all of them are plain ones, else as text, for `identity` to judge.

    ``7`` is plain; ``007``, ``7.0``, ``-7``, ``A7`` and what exceeds 32 bits are not.
    """

    wanted: str = "an id"

    def read(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        r"""Null where there is none.

        >>> Id().read(pa.chunked_array([["7", "10"]])).to_pylist()
        [7, 10]
        >>> Id().read(pa.chunked_array([["7", "007", "NULL"]])).to_pylist()
        ['7', '007', None]
        """
        values = None if has_hexadecimal(texts) else _attempt(texts, pa.int32())
        if values is not None and _are_plain(texts, values):
            return values
        texts = pc.utf8_trim_whitespace(texts)
        is_id = pc.and_not(pc.invert(pc.is_in(texts, pa.array(sorted(MISSING)))), pc.match_substring(texts, "\0"))
        return pc.if_else(pc.and_not(is_id, pc.match_substring(texts, _BOM)), texts, None)


def places(mask: pa.Array | pa.ChunkedArray) -> list[int]:
    """Where a mask is true. Arrow's own function for it crashes the process on a chunk without rows (25.0).

    >>> places(pa.chunked_array([[True, False, None], [], [True]]))
    [0, 3]
    """
    found: list[int] = np.flatnonzero(np.asarray(pc.fill_null(mask, False))).tolist()
    return found


def _are_plain(texts: pa.ChunkedArray, values: pa.ChunkedArray) -> bool:
    if not len(values) or pc.min(values).as_py() < 0:
        return not len(values)
    is_padded = pc.starts_with(texts, "0")
    if not pc.any(is_padded).as_py():
        return True
    return pc.all(pc.equal(texts.filter(is_padded), "0")).as_py() is True


def _attempt(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return None


def has_hexadecimal(texts: pa.ChunkedArray) -> bool:
    """Whether a number could be written as 0x1F, which Arrow takes for 31; true for any text with an x."""
    return any(
        mark in chunk.buffers()[2].to_pybytes() for chunk in texts.chunks if chunk.buffers()[2] for mark in (b"x", b"X")
    )


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
