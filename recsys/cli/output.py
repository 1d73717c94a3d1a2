"""What commands print: tables for people, JSON for programs."""

import json
import sys
from typing import Any

import typer
from rich.console import Console
from rich.table import Table


def console() -> Console:
    """The terminal as it is; wide lines where the output goes to a file or a pipe."""
    return Console(width=None if sys.stdout.isatty() else 160)


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, default=str))


def show(rows: list[dict[str, Any]], as_json: bool, title: str) -> None:
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo(f"{title}: nothing.")
        return
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, overflow="fold")  # an id that was cut short is of no use
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    console().print(table)


def _cell(value: Any) -> str:
    """A value as people read it.

    >>> _cell(0.12345), _cell(["Comedy", "Drama"]), _cell(None), _cell(7)
    ('0.123', 'Comedy, Drama', '–', '7')
    """
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "–" if value is None else str(value)
