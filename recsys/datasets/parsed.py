"""What a parser hands on: canonical tables, the rows it had to leave out, and an account of both."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class FileAccount:
    """What became of the rows of one file of the source.

    Attributes:
        file: its path in the archive.
        table: the table its rows go to.
        n_in: rows it holds, malformed ones included; headers and blank lines are none.
        n_out: rows that reached the table.
        n_quarantined: rows that did not, each of them in the quarantine.
    """

    file: str
    table: str
    n_in: int
    n_out: int
    n_quarantined: int

    def __post_init__(self) -> None:
        if self.n_in != self.n_out + self.n_quarantined:
            raise AssertionError(
                f"{self.file}: {self.n_in:,} rows read, {self.n_out:,} kept and {self.n_quarantined:,} quarantined. "
                "The parser lost rows; this is a fault of the package."
            )


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed source.

    Attributes:
        layout: the parser that read it.
        tables: by the names of `columns.SNAPSHOT_TABLES`, in the schemas of `columns.staged_schema`, rows in the
            source's order.
        quarantine: the malformed rows; in the schema `columns.QUARANTINE`.
        files: an account of every file read.
    """

    layout: str
    tables: dict[str, pa.Table]
    quarantine: pa.Table
    files: tuple[FileAccount, ...]
