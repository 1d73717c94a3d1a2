"""What a parser hands on: canonical tables, the rows it had to leave out, and an account of both."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns
from recsys.ingest.formats.known_releases import Layout
from recsys.ingest.parsers.lines import MAX_CONTENT
from recsys.storage.snapshots import FileAccount

_LAST_BRACKET = re.compile(r"\(\s*(\d{4})\s*(?:[-–]\s*(?:\d{4})?)?\s*\)\s*$", re.ASCII)


class Fault(NamedTuple):
    """A row that stays out, and why.

    Attributes:
        line: its first line in the file, from 1 with the header; a row number in Parquet.
        fault: a sentence for people.
        content: the row as it stands there.
        reason: one word for counting.
    """

    line: int
    fault: str
    content: str
    reason: str = "malformed"


@dataclass(frozen=True, slots=True)
class Rows:
    """What one file gave: the good rows with their `columns.LINE`, the faulty ones, and how many there were."""

    table: pa.Table
    faults: Sequence[Fault]
    n_in: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed source.

    Attributes:
        layout: the parser that read it.
        tables: by the names of `columns.SNAPSHOT_TABLES`, in the schemas of `columns.staged_schema`, rows in the
            source's order.
        quarantine: the malformed rows; in the schema `columns.QUARANTINE`.
        files: an account of every file read.
        homes: the files in which a table's `columns.LINE` counts, by the table's name; none for empty tables.
        unread: files of the source that hold nothing of it.
        ids: dictionaries of ids that are no 32-bit integers in the source, by the names of `columns.ID_TABLES`.
    """

    layout: Layout
    tables: dict[str, pa.Table]
    quarantine: pa.Table
    files: tuple[FileAccount, ...]
    homes: dict[str, list[str]]
    unread: tuple[str, ...] = ()
    ids: dict[str, pa.Table] = field(default_factory=dict)


@dataclass(slots=True)
class Draft:
    """Collects what the files of a source give, until all are read."""

    layout: Layout
    tables: dict[str, pa.Table] = field(default_factory=dict)
    homes: dict[str, list[str]] = field(default_factory=dict)
    ids: dict[str, pa.Table] = field(default_factory=dict)
    _quarantine: list[pa.Table] = field(default_factory=list)
    _files: list[FileAccount] = field(default_factory=list)

    def put(self, table: str, files: Sequence[str], rows: pa.Table) -> None:
        """Make these rows the table; their lines are lines of those files (`in_part`)."""
        self.tables[table] = rows
        self.homes[table] = list(files)

    def account(self, table: str, file: str, n_in: int, n_out: int, faults: Sequence[Fault]) -> None:
        """Record what became of a file's rows."""
        self._files.append(FileAccount(file, table, n_in, n_out, len(faults)))
        self._quarantine.append(quarantine(table, file, faults))

    def add(self, table: str, file: str, rows: Rows) -> None:
        """One file that is one table: `put` and `account` in one."""
        self.put(table, [file], rows.table)
        self.account(table, file, rows.n_in, rows.table.num_rows, rows.faults)

    def move(self, table: str, file: str, faults: Sequence[Fault]) -> None:
        """Record that rows of a file which were counted as kept are faulty after all."""
        for i, account in enumerate(self._files):
            if (account.table, account.file) == (table, file):
                n_out, n_quarantined = account.n_out - len(faults), account.n_quarantined + len(faults)
                self._files[i] = replace(account, n_out=n_out, n_quarantined=n_quarantined)
        self._quarantine.append(quarantine(table, file, faults))

    def finish(self, members: Sequence[str] = ()) -> Parsed:
        """All tables, empty ones included, in their staged schemas; `members` are all files of the source."""
        tables = {}
        for name in columns.SNAPSHOT_TABLES:
            schema = columns.staged_schema(name)
            found = self.tables.get(name)
            tables[name] = schema.empty_table() if found is None else found.select(schema.names).cast(schema)
        faults = pa.concat_tables([columns.QUARANTINE.empty_table(), *self._quarantine])
        read = {account.file for account in self._files}
        unread = tuple(member for member in members if member not in read)
        return Parsed(self.layout, tables, faults, tuple(self._files), dict(self.homes), unread, self.ids)


def title_year(title: str) -> int | None:
    """The year in a title's last bracket; of a span, its first year.

    >>> title_year("Toy Story (1995)"), title_year("Fawlty Towers (1975-1979)"), title_year("Babylon 5")
    (1995, 1975, None)
    >>> title_year("2001: A Space Odyssey (1968)"), title_year("Hyena Road (2015) (uncut)")
    (1968, None)
    """
    match = _LAST_BRACKET.search(title)
    return int(match[1]) if match else None


def movies_table(
    movie_ids: pa.Array | Sequence[int],
    titles: Sequence[str],
    genres: Sequence[Sequence[str]],
    lines: pa.Array | Sequence[int],
) -> pa.Table:
    """Staged movies, their years taken from their titles."""
    schema = columns.staged_schema("movies")
    years = pa.array(map(title_year, titles), pa.int16())
    arrays = [movie_ids, pa.array(titles, pa.string()), years, pa.array(genres, schema.field(3).type), lines]
    return pa.table(arrays, names=schema.names)


def in_part(rows: pa.Table, number: int) -> pa.Table:
    """Rows of the part of that number of a table in several files: lines tell the part too (`columns.place_of`)."""
    place = rows.schema.get_field_index(columns.LINE)
    return (
        rows.set_column(place, columns.LINE, pc.add(rows[columns.LINE], number << columns.LINE_BITS))
        if number
        else rows
    )


def quarantine(table: str, file: str, faults: Sequence[Fault]) -> pa.Table:
    """Faults as rows of the quarantine.

    >>> quarantine("ratings", "ratings.csv", [Fault(3, "3 cells where 4 belong", "1,2,3")]).to_pylist()[0]["line"]
    3
    """
    n_rows = len(faults)
    values = [
        pa.array([table] * n_rows, pa.string()),
        pa.array([file] * n_rows, pa.string()),
        pa.array([fault.line for fault in faults], pa.int64()),
        pa.array([fault.reason for fault in faults], pa.string()),
        pa.array([fault.fault for fault in faults], pa.string()),
        pa.array([fault.content[:MAX_CONTENT] for fault in faults], pa.string()),
    ]
    return pa.table(values, schema=columns.QUARANTINE)
