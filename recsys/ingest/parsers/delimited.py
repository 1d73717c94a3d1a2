"""Rows of delimited text as typed Arrow columns, with every malformed row set aside, by its line.

Arrow splits whole blocks into cells; a block it refuses is split row by row in Python, by the same rules. From there
on there is one way for all: each column is read by its kind (`cells`), and what is null afterwards is a fault.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from recsys import columns as words
from recsys.errors import DataError
from recsys.ingest.archives.archives import Archive, Member
from recsys.ingest.archives.plain_files import opened
from recsys.ingest.parsers import lines
from recsys.ingest.parsers.cells import Column, places, split_cells
from recsys.ingest.parsers.lines import MAX_CONTENT, Block, Format, Record
from recsys.ingest.parsers.parsed_tables import Fault, Rows

MAX_MALFORMED = 100_000
_ARROW_BLOCK_BYTES = 4 << 20
_STAND_INS = "\x1f\x1e\x1d\x1c"  # for delimiters of several characters, which Arrow does not know

Shape = Callable[[pa.Table], pa.Table]


def read_delimited(
    archive: Archive,
    member: Member,
    names: Sequence[str],
    columns: Sequence[Column],
    form: Format,
    shape: Shape = lambda table: table,
) -> Rows:
    """The columns asked for, in that order, as their kinds read them, and `LINE`; malformed rows apart.

    Args:
        archive: holds the file.
        member: the file.
        names: of all its columns, in order.
        columns: what is read of it.
        form: how it is written.
        shape: makes the table that is wanted of a block's good rows, so that no more is ever held.

    Raises:
        DataError: more than `MAX_MALFORMED` rows are malformed, or the archive is damaged.
    """
    sieve = _Sieve(list(names), columns, form)
    tables, refused, n_in = [shape(sieve.table({}, []))], list[_Refused](), 0
    rest = Block(b"", 1)
    n_above = form.n_before + form.has_header
    with opened(archive, member) as file, closing(lines.read_ahead(lines.read_blocks(file, form.encoding))) as blocks:
        for part in blocks:
            n_skipped = min(n_above, part.data.count(b"\n"))
            n_above -= n_skipped
            rows = part.without_lines(n_skipped)
            block = Block(
                rest.data + lines.unescaped(rows.data, form), rest.first_line if rest.data else rows.first_line
            )
            found = sieve.sift(block, is_last=False)
            rest = Block(found.rest, block.next_line - found.rest.count(b"\n"))
            n_in = _collect(found, n_in, tables, refused, shape)
            _check_number(archive, member, refused)
    n_in = _collect(sieve.sift(rest, is_last=True), n_in, tables, refused, shape)
    faults = _faults(refused, len(names) if form.is_quoted else 0)
    n_in -= len(refused) - len(faults)
    if form.is_escaped and faults:  # the quotes as they stand there
        with opened(archive, member) as file:
            texts = lines.read_rows(file, form, [fault.line for fault in faults])
        faults = [fault._replace(content=texts.get(fault.line, fault.content)) for fault in faults]
    return Rows(joined(tables), faults, n_in)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables with the same columns as one; a column that is text in some of them, as ids may be, is text in all."""
    tables = [table for table in tables if table.num_rows] or list(tables[:1])
    fields = []
    for name in tables[0].column_names:
        kinds = [table.schema.field(name).type for table in tables]
        fields.append(pa.field(name, next((kind for kind in kinds if pa.types.is_string(kind)), kinds[0])))
    return pa.concat_tables([table.cast(pa.schema(fields)) for table in tables])


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
    wanted: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.wanted = [column.name for column in self.columns]

    def sift(self, block: Block, *, is_last: bool) -> _Sifted:
        """A block's good rows, its bad ones, and the bytes at its end that belong to the next block's first row."""
        tail = lines.last_line(block.data) if self.form.is_quoted and not is_last else b""
        rest = tail if lines.is_open(tail, self.form.delimiter) else b""
        whole = Block(block.data.removesuffix(rest), block.first_line)
        if (texts := self._split_fast(whole)) is not None:
            table, bad = self._read(texts)
            records = [Record(line, row) for line, row in _rows_at(whole, [line for line, _ in bad]).items()]
            refused = [_Refused(r, fault, len(self.names)) for r, (_, fault) in zip(records, bad, strict=True)]
            return _Sifted(table, refused, texts.num_rows, rest)
        records, rest = lines.split_records(block, self.form, is_last=is_last)
        texts, refused = self._split_slowly(records)
        table, bad = self._read(texts)
        by_line = {record.line: record for record in records} if bad else {}
        refused += [_Refused(by_line[line], fault, len(self.names)) for line, fault in bad]
        return _Sifted(table, sorted(refused), len(records), rest)

    def table(self, cells: dict[str, list[str]], numbers: list[int]) -> pa.Table:
        arrays = [pa.array(cells.get(name, []), pa.string()) for name in self.wanted]
        return pa.table([*arrays, pa.array(numbers, pa.int64())], names=[*self.wanted, words.LINE])

    def _read(self, texts: pa.Table) -> tuple[pa.Table, list[tuple[int, str]]]:
        """The rows whose cells are all right, and line and fault of the others; the first wrong cell names it."""
        values, faults = [], dict[int, str]()
        for column in self.columns:
            read, is_wrong = column.read(texts[column.name])
            values.append(read)
            if is_wrong is not None:
                for i in places(is_wrong):
                    faults.setdefault(i, column.fault(texts[column.name][i].as_py()))
        table = pa.table([*values, texts[words.LINE]], names=texts.column_names)
        if not faults:
            return table, []
        bad = sorted(faults)
        is_good = np.ones(len(table), bool)
        is_good[bad] = False
        numbers = texts[words.LINE].take(pa.array(bad)).to_pylist()
        return table.filter(pa.array(is_good)), [(line, faults[i]) for line, i in zip(numbers, bad, strict=True)]

    def _split_fast(self, block: Block) -> pa.Table | None:
        """The cells of a block in which each line is a row; None where something is wrong with a row."""
        numbers = lines.row_lines(block)
        delimiter, data = self.form.delimiter, block.data
        if lines.may_be_overlong(data) and any(len(line) > lines.MAX_LINE_BYTES for line in data.split(b"\n")):
            return None
        if not len(numbers):
            return self.table({}, [])
        if self.form.is_quoted and b'"' in data and lines.is_open(lines.last_line(data), delimiter):
            return None
        if len(delimiter) > 1:
            stand_in = next((c for c in _STAND_INS if c.encode() not in data), None)
            if stand_in is None:
                return None
            data, delimiter = data.replace(delimiter.encode(), stand_in.encode()), stand_in
        try:
            table = self._arrow(data, delimiter)
        except (pa.ArrowException, UnicodeError):
            return None
        return table.append_column(words.LINE, pa.array(numbers)) if len(table) == len(numbers) else None

    def _arrow(self, data: bytes, delimiter: str) -> pa.Table:
        has_quotes = self.form.is_quoted and b'"' in data
        return pa_csv.read_csv(
            # Arrow would skip a byte-order mark, but only where a piece happens to begin with it.
            pa.BufferReader(b"\n" + data if data.startswith(b"\xef\xbb\xbf") else data),
            read_options=pa_csv.ReadOptions(
                block_size=len(data) + 1 if has_quotes else _ARROW_BLOCK_BYTES,
                column_names=self.names,
                use_threads=len(data) > _ARROW_BLOCK_BYTES,
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter, quote_char='"' if self.form.is_quoted else False, newlines_in_values=has_quotes
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(self.wanted, pa.string()),
                include_columns=self.wanted,
                null_values=[],
                strings_can_be_null=False,
            ),
        )

    def _split_slowly(self, records: list[Record]) -> tuple[pa.Table, list[_Refused]]:
        """The cells of rows that have as many as there are columns, and the rows that have not."""
        places = [self.names.index(name) for name in self.wanted]
        cells: dict[str, list[str]] = {name: [] for name in self.wanted}
        numbers: list[int] = []
        refused: list[_Refused] = []
        for record in records:
            row, fault = self._cells(record)
            if fault:
                refused.append(_Refused(record, fault, len(row)))
                continue
            numbers.append(record.line)
            for name, place in zip(self.wanted, places, strict=True):
                cells[name].append(row[place])
        return self.table(cells, numbers), refused

    def _cells(self, record: Record) -> tuple[list[str], str]:
        """The cells of a row, and what is wrong with the row."""
        if len(record.data) > lines.MAX_LINE_BYTES:
            return [], f"longer than {lines.MAX_LINE_BYTES:,} bytes"
        if self.form.is_quoted and lines.is_open(record.data, self.form.delimiter):
            return [], "a quote is opened and not closed"
        try:
            text = record.data.decode()
        except UnicodeDecodeError as error:
            return [], f"byte {error.start + 1} is not UTF-8"
        cells = split_cells(text, self.form.delimiter, is_quoted=self.form.is_quoted)
        n_more, place = len(cells) - len(self.names), self.form.text_column
        if n_more > 0 and place is not None:
            joined_text = self.form.delimiter.join(cells[place : place + n_more + 1])
            cells = [*cells[:place], joined_text, *cells[place + n_more + 1 :]]
        return cells, "" if len(cells) == len(self.names) else f"{len(cells)} cells where {len(self.names)} belong"


def _rows_at(block: Block, numbers: list[int]) -> dict[int, bytes]:
    rows = block.data.split(b"\n") if numbers else []
    return {number: rows[number - block.first_line] for number in numbers}


def _collect(found: _Sifted, n_in: int, tables: list[pa.Table], refused: list[_Refused], shape: Shape) -> int:
    if found.table.num_rows:
        tables.append(shape(found.table))
    refused += found.refused
    return n_in + found.n_rows


def _check_number(archive: Archive, member: Member, refused: list[_Refused]) -> None:
    if len(refused) > MAX_MALFORMED:
        first = refused[0]
        raise DataError(
            f"{archive.place(member.path)}: more than {MAX_MALFORMED:,} malformed rows, the first in line "
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
