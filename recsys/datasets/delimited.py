"""Rows of delimited text as typed Arrow columns, with every malformed row set aside, by its line.

A row is malformed exactly when Arrow's reader, given this row alone, refuses it or a cell breaks its column.
Asking for each row would be slow, so whole blocks are asked first (25M ratings in seconds); a block that is
refused is taken apart until the bad rows stand alone. Python reads a row only to say what is wrong with it.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from recsys import columns as words
from recsys.datasets import lines
from recsys.datasets.archives import Archive, Member
from recsys.datasets.cells import Column, column_fault, header_names, row_fault, split_cells, wrong_cells
from recsys.datasets.lines import Block, Record
from recsys.datasets.parsed import MAX_CONTENT, Fault, Rows
from recsys.datasets.plain import opened
from recsys.errors import DataError

MAX_MALFORMED = 100_000
_ARROW_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Format:
    """How rows are written. Without a header, the columns asked for are all there are, in order."""

    delimiter: str = ","
    has_header: bool = True
    is_quoted: bool = True
    encoding: str = "utf-8"
    spans_lines: bool = False


def read_delimited(
    archive: Archive,
    member: Member,
    columns: Sequence[Column],
    form: Format,
    shape: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> Rows:
    """The columns asked for, in that order, with the types asked for, and `LINE`; malformed rows apart.

    Args:
        archive: holds the file.
        member: the file.
        columns: what is read of it.
        form: how it is written.
        shape: makes the table that is wanted of a block's good rows, so that no more is ever held.

    Raises:
        DataError: a column is missing, more than `MAX_MALFORMED` rows are malformed, or the archive is damaged.
    """
    tables: list[pa.Table] = []
    refused: list[_Refused] = []
    n_in, rest, next_line = 0, b"", 1
    sieve: _Sieve | None = None
    with opened(archive, member) as file, closing(lines.read_ahead(lines.read_blocks(file, form.encoding))) as blocks:
        for block in blocks:
            if sieve is None:
                names, block = _header(archive, member, block, columns, form)
                sieve = _Sieve(names, columns, form)
                next_line = block.first_line
            sifted = sieve.sift(Block(rest + block.data, next_line), is_last=False)
            rest, next_line = sifted.rest, block.next_line - sifted.rest.count(b"\n")
            n_in = _collect(sifted, n_in, tables, refused, shape)
            _check_number(archive, member, refused)
    sieve = sieve or _Sieve(_header(archive, member, Block(b"", 1), columns, form)[0], columns, form)
    sifted = sieve.sift(Block(rest, next_line), is_last=True)
    n_in = _collect(sifted, n_in, tables, refused, shape)
    faults = _faults(refused, len(sieve.names) if form.spans_lines else 0)
    return Rows(pa.concat_tables([*tables, shape(sieve.nothing())]), faults, n_in - (len(refused) - len(faults)))


class _Refused(NamedTuple):
    record: Record
    fault: str
    n_cells: int


class _Sifted(NamedTuple):
    table: pa.Table
    refused: list[_Refused]
    n_rows: int
    rest: bytes


@dataclass(slots=True)
class _Sieve:
    names: list[str]
    columns: Sequence[Column]
    form: Format
    _types: dict[str, pa.DataType] = field(init=False)

    def __post_init__(self) -> None:
        self._types = {column.name: column.read_type for column in self.columns}

    def sift(self, block: Block, *, is_last: bool) -> _Sifted:
        """A block's good rows, its bad ones, and the bytes at its end that belong to the next block's first row."""
        tail = lines.last_line(block.data) if self.form.spans_lines and not is_last else b""
        rest = tail if lines.is_open(tail, self.form.delimiter) else b""
        whole = Block(block.data.removesuffix(rest), block.first_line)
        numbers = lines.row_lines(whole)
        table = self._attempt(whole.data, numbers)
        if isinstance(table, pa.Table):
            return _Sifted(table, [], len(numbers), rest)
        if self.form.spans_lines:
            records, rest = lines.split_records(block, self.form.delimiter, is_last=is_last)
        else:
            records, rest = lines.split_lines(block), b""
        tables, refused = self._take_apart(records)
        good = pa.concat_tables([self.nothing(), *tables]).sort_by(words.LINE)
        return _Sifted(good, sorted(refused), len(records), rest)

    def nothing(self) -> pa.Table:
        return pa.schema([*self._types.items(), (words.LINE, pa.int64())]).empty_table()

    def _take_apart(self, records: list[Record]) -> tuple[list[pa.Table], list[_Refused]]:
        """Tables of good rows, in any order, and the bad rows."""
        if not records:
            return [], []
        table = self._attempt(b"\n".join(r.data for r in records) + b"\n", [r.line for r in records])
        if isinstance(table, pa.Table):
            return [table], []
        if len(records) == 1:
            return [], [self._refuse(records[0], table)]
        suspects = self._suspects(records)
        if suspects:
            parts = [[r for r in records if r.line not in suspects], *([r] for r in records if r.line in suspects)]
        else:
            middle = len(records) // 2
            parts = [records[:middle], records[middle:]]
        found = [self._take_apart(part) for part in parts]
        return [table for tables, _ in found for table in tables], [bad for _, refused in found for bad in refused]

    def _suspects(self, records: list[Record]) -> set[int]:
        """Lines of rows that a look at their cells finds wanting; each is then tried alone."""
        comma, n_commas = self.form.delimiter.encode(), len(self.names) - 1
        is_plain = [r.data.count(comma) == n_commas and b'"' not in r.data and r.data.isascii() for r in records]
        plain = [r for r, is_simple in zip(records, is_plain, strict=True) if is_simple]
        found = {r.line for r, is_simple in zip(records, is_plain, strict=True) if not is_simple and self._fault(r)}
        data = b"\n".join(r.data for r in plain) + b"\n"
        if plain and not lines.may_be_overlong(data):
            cells = self._read(data, dict.fromkeys(self._types, pa.string()), _ARROW_BLOCK_BYTES)
            wrong = reduce(pc.or_, (wrong_cells(cells[column.name], column) for column in self.columns))
            found.update(plain[i].line for i in pc.indices_nonzero(wrong).to_pylist())
        return found

    def _attempt(self, data: bytes, numbers: Sequence[int] | NDArray[np.int64]) -> pa.Table | str:
        """All rows of a piece of text with their lines, or why it is refused."""
        if not len(numbers):
            return self.nothing()
        if lines.may_be_overlong(data) and any(len(line) > lines.MAX_LINE_BYTES for line in data.split(b"\n")):
            return f"longer than {lines.MAX_LINE_BYTES:,} bytes"
        has_quotes = self.form.is_quoted and b'"' in data
        if has_quotes and lines.is_open(data[:-1] if len(numbers) == 1 else lines.last_line(data), self.form.delimiter):
            return "a quote is opened and not closed"
        try:
            table = self._read(data, self._types, len(data) + 1 if has_quotes else _ARROW_BLOCK_BYTES)
            if table.num_rows != len(numbers):
                return "a value spans several lines"
            if fault := next(filter(None, (column_fault(table[column.name], column) for column in self.columns)), None):
                return fault
            if (b"0x" in data or b"0X" in data) and self._has_hexadecimal(data):
                return "a number is hexadecimal"
        except (pa.ArrowException, UnicodeError) as error:
            return str(error)
        return table.append_column(words.LINE, pa.array(numbers, pa.int64()))

    def _read(self, data: bytes, types: dict[str, pa.DataType], block_bytes: int) -> pa.Table:
        return pa_csv.read_csv(
            # Arrow would skip a byte-order mark, but only where a piece happens to begin with it.
            pa.BufferReader(b"\n" + data if data.startswith(b"\xef\xbb\xbf") else data),
            read_options=pa_csv.ReadOptions(
                block_size=block_bytes, column_names=self.names, use_threads=len(data) > _ARROW_BLOCK_BYTES
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=self.form.delimiter,
                quote_char='"' if self.form.is_quoted else False,
                newlines_in_values=self.form.spans_lines,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=[""],
                strings_can_be_null=False,
                quoted_strings_can_be_null=False,
            ),
        )

    def _has_hexadecimal(self, data: bytes) -> bool:
        """Whether a number is written as 0x1F, which Arrow takes for 31."""
        texts = {name: pa.string() for name, kind in self._types.items() if pa.types.is_integer(kind)}
        table = self._read(data, texts, len(data) + 1)
        return any(pc.any(pc.match_substring(column, "x", ignore_case=True)).as_py() for column in table.columns)

    def _refuse(self, record: Record, reason: str) -> _Refused:
        cells = self._cells(record) if len(record.data) <= lines.MAX_LINE_BYTES else []
        return _Refused(record, self._fault(record) or reason, len(cells))

    def _fault(self, record: Record) -> str | None:
        if len(record.data) > lines.MAX_LINE_BYTES:
            return f"longer than {lines.MAX_LINE_BYTES:,} bytes"
        if self.form.is_quoted and lines.is_open(record.data, self.form.delimiter):
            return "a quote is opened and not closed"
        try:
            record.data.decode()
        except UnicodeDecodeError as error:
            return f"byte {error.start + 1} is not UTF-8"
        return row_fault(self._cells(record), self.names, self.columns)

    def _cells(self, record: Record) -> list[str]:
        return split_cells(record.data.decode(errors="replace"), self.form.delimiter, is_quoted=self.form.is_quoted)


def _header(
    archive: Archive, member: Member, block: Block, columns: Sequence[Column], form: Format
) -> tuple[list[str], Block]:
    """The names of the file's columns, and the block without the header."""
    if not form.has_header:
        return [column.name for column in columns], block
    line, end, rows = block.data.partition(b"\n")
    names = header_names(line[: lines.MAX_LINE_BYTES], form.delimiter)
    for column in columns:
        if names.count(column.name) != 1:
            expected = form.delimiter.join(column.name for column in columns)
            shown = line[:200].decode(errors="replace")
            raise DataError(
                f"{archive.label}: {member.path} line 1: column {column.name} appears {names.count(column.name)} times "
                f"in the header, expected {expected}; the line is {shown!r}. Nothing was published. "
                "Correct the header, or fetch the archive again."
            )
    return names, Block(rows, block.first_line + len(end))


def _collect(
    sifted: _Sifted,
    n_in: int,
    tables: list[pa.Table],
    refused: list[_Refused],
    shape: Callable[[pa.Table], pa.Table],
) -> int:
    if sifted.table.num_rows:
        tables.append(shape(sifted.table))
    refused += sifted.refused
    return n_in + sifted.n_rows


def _check_number(archive: Archive, member: Member, refused: list[_Refused]) -> None:
    if len(refused) > MAX_MALFORMED:
        first = refused[0]
        raise DataError(
            f"{archive.label}: {member.path}: more than {MAX_MALFORMED:,} malformed rows, the first in line "
            f"{first.record.line:,}: {first.fault}. Nothing was published. Give the file in the format it is named for."
        )


def _faults(refused: list[_Refused], n_columns: int) -> list[Fault]:
    """Refused rows as faults; two that are the halves of one row, cut at a line break, are one fault.

    A value with a bare line break falls apart into the end of one line and the start of the next: together the
    halves have one cell more than a row.
    """
    faults: list[Fault] = []
    i = 0
    while i < len(refused):
        record, fault, n_cells = refused[i]
        content = record.data[: 4 * MAX_CONTENT]
        after = refused[i + 1] if i + 1 < len(refused) else None
        is_half = after and max(n_cells, after.n_cells) < n_columns == n_cells + after.n_cells - 1
        if after and is_half and record.next_line == after.record.line:
            fault = f"a row broken over two lines: {n_cells} + {after.n_cells} cells where {n_columns} belong"
            content = (content + b"\n" + after.record.data)[: 4 * MAX_CONTENT]
            i += 1
        faults.append(Fault(record.line, fault, content.decode(errors="replace")[:MAX_CONTENT]))
        i += 1
    return faults
