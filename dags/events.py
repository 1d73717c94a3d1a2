"""Which of the asset events that queued up a run works on.

Several events can wait for one run: two data sets were ingested while `train_model` was paused or busy. Airflow gives
them to the run in no order. Of those that come while a run before it is busy it gives only the first; the others would
wait for the next event, however long that takes.

A run works on one data set. Of each data set only the newest event counts; older ones are superseded. The data set
whose newest event is the oldest comes first. The others are emitted again, so each gets a run of its own, and what was
published last is current in the end.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recsys.config import EVENTS_SINCE

# The field of a repeated event that says what it repeats.
REPEATS = "repeats"


@dataclass(frozen=True)
class Event:
    """One publication, however often it was announced."""

    run_id: str  # of the run that published
    at: datetime  # when it was published
    dataset: str
    extra: dict[str, Any]

    @property
    def name(self) -> str:
        """A run that was cleared publishes again: that is another event."""
        return f"{self.run_id} at {self.at.isoformat()}"

    @property
    def label(self) -> dict[str, str]:
        return {"run_id": self.run_id, "at": self.at.isoformat(), "dataset": self.dataset}

    @property
    def repeated(self) -> dict[str, Any]:
        """The extra with which it is announced again."""
        return {**self.extra, REPEATS: self.label}


@dataclass(frozen=True)
class Choice:
    """The event a run works on, and what becomes of the others; each is in one place only."""

    event: Event
    postponed: tuple[Event, ...] = ()  # of other data sets: emitted again
    superseded: tuple[Event, ...] = ()  # of data sets that have a newer one
    dropped: tuple[Event, ...] = ()  # of runs that were given up

    @property
    def settled(self) -> list[str]:
        """Names of the events that need no other run."""
        return [event.name for event in (self.event, *self.superseded, *self.dropped)]

    @property
    def labels(self) -> dict[str, Any]:
        """The choice without the extras."""
        others = {"postponed": self.postponed, "superseded": self.superseded, "dropped": self.dropped}
        return {"event": self.event.label, **{name: [each.label for each in them] for name, them in others.items()}}


def publications(announced: Iterable[Any]) -> list[Event]:
    """This project's events, the oldest first, each once; one that a person made by hand names no data."""
    found: dict[str, Event] = {}
    for each in announced:
        extra = dict(each.extra or {})
        if "conf" not in extra:
            continue
        moment = each.timestamp.isoformat()
        origin = extra.pop(REPEATS, None) or {"run_id": each.source_run_id or "by hand", "at": moment}
        event = Event(
            origin["run_id"], datetime.fromisoformat(origin["at"]), dataset=extra.get("dataset") or "", extra=extra
        )
        found[event.name] = event
    return sorted(found.values(), key=lambda event: event.at)


def choose(waiting: Iterable[Event], since: datetime | None = None) -> Choice | None:
    """Choose the event to work on from those that wait, the oldest first; those from before `since` are dropped."""
    events = list(waiting)
    dropped = tuple(event for event in events if since and event.at < since)
    kept = [event for event in events if event not in dropped]
    newest = {event.dataset: event for event in kept}
    if not newest:
        return None
    first, *others = sorted(newest.values(), key=lambda event: event.at)
    superseded = tuple(event for event in kept if event is not newest[event.dataset])
    return Choice(first, tuple(others), superseded, dropped)


def pending(triggering: Sequence[Any], later: Iterable[Any], started: datetime) -> list[Any]:
    """The events a run answers for: those it was given, and those that came before it started.

    Args:
        triggering: what Airflow gave it; not empty.
        later: events of the same asset from the newest of `triggering` on.
        started: when the run started; what comes after that is queued for the next.
    """
    return [*triggering, *(event for event in later if event.timestamp <= started)]


def since() -> datetime | None:
    """From when on events count: older ones belong to runs that were given up. None: all count."""
    moment = os.environ.get(EVENTS_SINCE)
    return datetime.fromisoformat(moment) if moment else None
