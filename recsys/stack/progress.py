"""Show a running pipeline: a live table on a terminal, a line per change elsewhere."""

import time
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from recsys.stack.dag_chain import DagRun, TaskState, last_words

REPEAT_S = 20.0
_COLOURS = {"success": "green", "failed": "red", "running": "cyan", "up_for_retry": "yellow", "upstream_failed": "red"}


class PlainProgress:
    """A line when a task changes its state, and one for each that has been running for another 20 s."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: dict[tuple[str, str], str] = {}
        self._said_at: dict[str, float] = {}

    def __enter__(self) -> "PlainProgress":
        return self

    def __exit__(self, *_: Any) -> None: ...

    def __call__(self, runs: list[DagRun]) -> None:
        for run in runs:
            for task in run.tasks:
                self._task(run, task)

    def _task(self, run: DagRun, task: TaskState) -> None:
        now = time.monotonic()
        is_new = self._seen.get((run.run_id, task.name)) != task.state
        is_due = task.state == "running" and now - self._said_at.get(task.name, now) >= REPEAT_S
        if task.state in {"none", "scheduled", "queued"} or not (is_new or is_due):
            return
        self._seen[run.run_id, task.name] = task.state
        self._said_at[task.name] = now
        words = last_words(task.log) if is_due else ""
        line = f"{datetime.now().astimezone():%H:%M:%S}  {task.name:<32} {task.state:<16} {task.duration_s:6.0f} s"
        self._console.print(f"{line}  ({words})" if words else line, markup=False, highlight=False, soft_wrap=True)


class LiveProgress:
    """A table that is drawn again in place: each DAG, its tasks, states and seconds."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=2, transient=False)

    def __enter__(self) -> "LiveProgress":
        self._live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def __call__(self, runs: list[DagRun]) -> None:
        table = Table(box=None, pad_edge=False, show_header=False)
        for width in (34, 16, 8):
            table.add_column(min_width=width)
        table.add_column(overflow="ellipsis", no_wrap=True, ratio=1, style="dim")
        for run in runs:
            table.add_row(f"[bold]{run.dag_id}[/bold]", _coloured(run.state), f"{run.duration_s:.0f} s")
            for task in run.tasks:
                words = last_words(task.log) if task.state == "running" else ""
                name = task.name.partition(".")[2]
                seconds = f"{task.duration_s:.0f} s" if task.duration_s else ""
                table.add_row(f"  {name}", _coloured(task.state), seconds, words.replace("[", "\\["))
        self._live.update(table)


def progress(console: Console) -> PlainProgress | LiveProgress:
    """The one that suits the console."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


def _coloured(state: str) -> str:
    state_or_blank = "" if state == "none" else state
    colour = _COLOURS.get(state)
    return f"[{colour}]{state_or_blank}[/{colour}]" if colour else state_or_blank
