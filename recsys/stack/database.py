"""Airflow's database: what is damaged is put aside whole, and nothing else is ever moved or removed."""

import contextlib
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from recsys.errors import StackError

LOCKED_FOR_S = 30.0
# SQLite keeps the latest commits in a journal beside the database: without it they are lost.
_FILES = ("", "-wal", "-shm", "-journal")


def put_aside_if_damaged(database: Path, say: Callable[[str], None]) -> None:
    """Rename a database that SQLite finds damaged, with its journals, to ``damaged-<time>.db``.

    Raises:
        StackError: it cannot be checked now: it is locked or not readable, or the disk fails. It was left as it is.
    """
    damage = _damage(database) if database.exists() else None
    if damage is None:
        return
    aside = database.with_name(f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.db")
    say(f"Airflow's database is damaged ({damage}). It is kept as {aside.name}, and a new one is made.")
    files = [suffix for suffix in _FILES if Path(f"{database}{suffix}").exists()]
    # All have their new names before the first loses its old one: a kill in between leaves a whole copy.
    for suffix in files:
        Path(f"{aside}{suffix}").hardlink_to(f"{database}{suffix}")
    for suffix in files:
        Path(f"{database}{suffix}").unlink()


def _damage(database: Path) -> str | None:
    """What SQLite's own check finds wrong with a database; None where it is sound."""
    # Read-only: a connection that may write would move the journal into the damaged file when it closes.
    address = f"{database.as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=LOCKED_FOR_S)) as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of the code is the detail
        if kind in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return str(error)
        if kind == sqlite3.SQLITE_READONLY:
            return None  # a killed writer's change waits to be undone, as the next one that writes does
        raise StackError(
            f"Airflow's database {database} cannot be checked: {error}. It was left as it is, and nothing was started. "
            "See that this user can read and write it, and run again."
        ) from error
    return None if found == "ok" else found
