"""Find the run that works on what another one published, also where other data sets are queued before it."""

from dataclasses import dataclass, field
from typing import Any

from recsys.errors import StackError
from recsys.stack.airflow_api import AirflowApi

Key = tuple[str, str]  # DAG id, run id


@dataclass
class Follower:
    """Follows one publication to the run of the next DAG that works on it.

    The first task of each run says which publication it works on, and which it left to a later run (`dags/events.py`).
    """

    api: AirflowApi
    publisher: Key
    consumer: str  # the next DAG
    others: list[Key] = field(default_factory=list)  # its runs that work on other data sets first
    is_waiting: bool = False  # whether a run is known that has not said yet what it works on
    _choices: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def successor(self) -> Key | None:
        """The run that works on the publication; None while there is none, or it has not said so yet.

        Raises:
            StackError: no run ever will, because the same data set was published again.
        """
        self.is_waiting = False
        emitters = [self.publisher]
        while emitters:
            for run in self._consumers_of(emitters.pop()):
                role = self._role_in(run)
                if role == "event":
                    return run
                if role in {"superseded", "dropped"}:
                    raise StackError(
                        f"{run[0]} {run[1]} works on what {self._choices[run]['event']['run_id']} published, and not "
                        f"on what this run did ({self.publisher[1]}): the same data set was published again meanwhile. "
                        "Wait for the other run to end, then run again if you need to."
                    )
                if role == "postponed":
                    self.others = list(dict.fromkeys([*self.others, run]))
                    emitters.append(run)
        return None

    def _role_in(self, run: Key) -> str | None:
        """What a run that consumed the publication does with it; None where it does nothing, or has not said yet."""
        if run not in self._choices:
            choice = self.api.result(*run, "configure")
            state = self.api.run(*run)["state"]
            if choice is None and state == "failed":
                return "event"  # it could not even say so
            if choice is None:
                self.is_waiting |= state != "success"
                return None
            self._choices[run] = choice
        choice = self._choices[run]
        names = {"event": {choice["event"]["run_id"]}} | {
            role: {event["run_id"] for event in choice[role]} for role in ("postponed", "superseded", "dropped")
        }
        return next((role for role, found in names.items() if self.publisher[1] in found), None)

    def _consumers_of(self, emitter: Key) -> list[Key]:
        """Runs that consumed the publication as `emitter` announced it, first or again."""
        events = self.api.events_of(*emitter)
        self.is_waiting |= events is None
        return [
            (run["dag_id"], run["run_id"])
            for event in events or ()
            if self._is_ours(event, is_first=emitter == self.publisher)
            for run in event["created_dagruns"]
            if run["dag_id"] == self.consumer
        ]

    def _is_ours(self, event: dict[str, Any], *, is_first: bool) -> bool:
        repeats = (event["extra"] or {}).get("repeats")
        return repeats["run_id"] == self.publisher[1] if repeats else is_first
