"""Rows separated by ``::`` that hold a free text, as movies.dat and tags.dat of the older releases do.

The text may hold ``::`` itself, and the files do not say their encoding (ml-10m is UTF-8, ml-1m is Latin-1), so
they are read line by line in Python; the largest has 95,580 rows.
"""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from recsys import columns as words
from recsys.datasets import lines
from recsys.datasets.archives import Archive, Member
from recsys.datasets.cells import Column, row_fault
from recsys.datasets.delimited import MAX_MALFORMED
from recsys.datasets.lines import Record
from recsys.datasets.parsed import Fault, Rows
from recsys.errors import DataError

_MAX_BYTES = 256 << 20


def read_dat(
    archive: Archive, member: Member, columns: Sequence[Column], shape: Callable[[pa.Table], pa.Table]
) -> Rows:
    """The rows of a file whose second column from the end is a free text; malformed rows apart.

    Args:
        archive: holds the file.
        member: the file.
        columns: all there are, integers and strings, in order.
        shape: makes the table that is wanted of columns and `LINE`.

    Raises:
        DataError: the file is too large, or more than `MAX_MALFORMED` of its rows are malformed.
    """
    if member.size_bytes > _MAX_BYTES:
        raise DataError(
            f"{archive.label}: {member.path} has {member.size_bytes:,} bytes, {_MAX_BYTES:,} allowed. "
            "Nothing was published. ml-10m's has under 5 MB; fetch the archive again."
        )
    with archive.open(member) as file:
        records = [record for block in lines.read_blocks(file) for record in lines.split_lines(block)]
    rows: list[tuple[str | int, ...]] = []
    faults: list[Fault] = []
    for line, text, cells, fault in _walk(records, columns):
        if fault:
            faults.append(Fault(line, fault, text))
        else:
            rows.append((*cells, line))
        if len(faults) > MAX_MALFORMED:
            raise DataError(
                f"{archive.label}: {member.path}: more than {MAX_MALFORMED:,} malformed rows, the first in line "
                f"{faults[0].line:,}: {faults[0].fault}. Nothing was published. Fetch the archive again."
            )
    return Rows(shape(_table(rows, columns)), faults, len(records))


def encoding_of(records: Sequence[Record]) -> str:
    """UTF-8, unless most of the rows that go beyond ASCII are not.

    >>> encoding_of([Record(1, "Amélie".encode()), Record(2, "Misérables".encode("latin-1"))])
    'utf-8'
    >>> encoding_of([Record(1, "Misérables".encode("latin-1"))])
    'latin-1'
    """
    beyond = [record.data for record in records if not record.data.isascii()]
    n_utf8 = sum(map(_is_utf8, beyond))
    return "utf-8" if 2 * n_utf8 >= len(beyond) else "latin-1"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _walk(records: Sequence[Record], columns: Sequence[Column]) -> Iterator[tuple[int, str, list[str], str | None]]:
    """Line, text, cells and fault of each row."""
    names = [column.name for column in columns]
    encoding = encoding_of(records)
    before_text = len(columns) - 2
    for line, data in records:
        text = data.decode(encoding, "replace")
        cells = text.split("::")
        if len(cells) > len(columns):
            cells = [*cells[:before_text], "::".join(cells[before_text:-1]), cells[-1]]
        if len(data) > lines.MAX_LINE_BYTES:
            fault: str | None = f"longer than {lines.MAX_LINE_BYTES:,} bytes"
        elif encoding == "utf-8" and not _is_utf8(data):
            fault = "not UTF-8, as other rows are"
        else:
            fault = row_fault(cells, names, columns)
        yield line, text, cells, fault


def _table(rows: list[tuple[str | int, ...]], columns: Sequence[Column]) -> pa.Table:
    types = [(column.name, column.type) for column in columns]
    schema = pa.schema([*types, (words.LINE, pa.int64())])
    cells = list(zip(*rows, strict=True)) or [()] * len(schema)
    values = [
        list(column) if pa.types.is_string(kind) else list(map(int, column))
        for column, kind in zip(cells, schema.types, strict=True)
    ]
    return pa.table(values, schema=schema)
