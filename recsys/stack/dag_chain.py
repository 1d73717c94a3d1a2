"""Run the whole pipeline under a real scheduler: trigger the first DAG, follow the assets to the last, watch."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.config import Settings, form_values
from recsys.errors import StackError
from recsys.stack import launcher
from recsys.stack.airflow_api import AirflowApi
from recsys.stack.following import Follower, Key
from recsys.stack.health import Guard, check_signs_of_life
from recsys.stack.launcher import DAG_IDS
from recsys.stack.places import Places

POLL_S = 1.0
# What Python says when the JVM behind it ended; why it did, only the JVM itself and its start script have printed.
_JVM_IS_GONE = (
    "Java process ended",
    "JAVA_GATEWAY_EXITED",
    "Py4JNetworkError",
    "ConnectionRefusedError",
    "ConnectionResetError",
)
_JAVA_FAULT = re.compile(
    r"(Error: |Exception in thread |Caused by: |java\.lang\.[\w.]*Error|# +(java|There is insufficient)"
    r"|(Unrecognized|Invalid|Improperly|Conflicting) |\S*spark-\w+: line |JAVA_HOME )"
)
FINAL = frozenset({"success", "failed"})
# The scheduler turns an event into a run within 1 to 3 s.
NEXT_RUN_WITHIN_S = 90.0
# Nothing follows these.
_EARLY_ENDS = (("ingest_ratings.unchanged", "success"), ("train_model.promote", "skipped"))


@dataclass(frozen=True)
class TaskState:
    """One task of one run, each mapped one for itself."""

    dag_id: str
    task_id: str
    map_index: int  # -1 where the task is not mapped
    state: str  # Airflow's word: success, failed, running, queued, up_for_retry, skipped, none, ...
    duration_s: float
    try_number: int
    log: Path
    started: str | None = None  # ISO 8601, UTC

    @property
    def name(self) -> str:
        return f"{self.dag_id}.{self.task_id}" + (f"[{self.map_index}]" if self.map_index >= 0 else "")


@dataclass(frozen=True)
class DagRun:
    """One run of one DAG."""

    dag_id: str
    run_id: str
    state: str
    duration_s: float
    tasks: tuple[TaskState, ...]


@dataclass(frozen=True)
class PipelineRun:
    """What became of a run of the whole chain."""

    conf: dict[str, Any]
    runs: tuple[DagRun, ...]
    duration_s: float
    airflow_url: str
    mlflow_url: str | None
    results: dict[str, Any] = field(default_factory=dict)  # "dag_id.task_id" to what it returned

    @property
    def tasks(self) -> list[TaskState]:
        return [task for run in self.runs for task in run.tasks]

    @property
    def has_succeeded(self) -> bool:
        """Whether no task failed and the last DAG ran: or only the first, if nothing is new and nothing is due."""
        complete = self.is_unchanged or DAG_IDS[-1] in {run.dag_id for run in self.runs}
        return complete and all(run.state == "success" for run in self.runs) and not self.failures

    @property
    def is_unchanged(self) -> bool:
        """Whether the source held nothing new, so that nothing was published and nothing followed."""
        return _has_ended(self.runs, "ingest_ratings.unchanged", "success")

    @property
    def is_refused(self) -> bool:
        """Whether the gate refused the first model of this data, so that there is none to make lists with."""
        return _has_ended(self.runs, "train_model.promote", "skipped")

    @property
    def failures(self) -> list[TaskState]:
        """The tasks that failed, without those that only never got their turn."""
        return [task for task in self.tasks if task.state == "failed"]


def run_pipeline(
    settings: Settings,
    conf: dict[str, Any],
    *,
    places: Places | None = None,
    say: Callable[[str], None] = lambda _: None,
    watch: Callable[[list[DagRun]], None] = lambda _: None,
) -> PipelineRun:
    """Run ingest_ratings and what follows from it; in the stack `make up` keeps, or in one made for it.

    Args:
        settings: where things are.
        conf: settings of the run by name, as on the trigger form.
        places: the stack's files; by default those of `settings`.
        say: takes sentences about the stack.
        watch: is shown the runs so far, once a second.

    Raises:
        ConfigError: `conf` names an unknown setting or an impossible value; nothing was started.
        StackError: the stack does not start, or cannot bring the run to its end; one that was started has been stopped.
    """
    conf = form_values(DAG_IDS[0], conf)
    places = places or Places.of(settings)
    with launcher.sole_launcher(places), _stack(settings, places, say) as stack:
        with contextlib.closing(stack.api()) as api:
            api.unpause(DAG_IDS)
            began = time.monotonic()
            first = (DAG_IDS[0], api.trigger(DAG_IDS[0], conf))
            guard = Guard(stack, settings)
            try:
                runs = _follow(stack.places, api, guard, first, watch)
            except StackError:
                guard.check(api.health())  # a process that died, or a full disk, is the better explanation
                raise
            results = {
                task.name: api.result(run.dag_id, run.run_id, task.task_id)
                for run in runs
                for task in run.tasks
                if task.state == "success" and task.map_index < 0
            }
        return PipelineRun(conf, tuple(runs), time.monotonic() - began, stack.airflow_url, stack.mlflow_url, results)


def check_published(result: PipelineRun, version_id: str, snapshot_id: str) -> None:
    """Raise `StackError` unless what is published is what the run made.

    Args:
        result: a run that succeeded.
        version_id: the current version of the tables.
        snapshot_id: that it was made from.
    """
    ingested = ("ingest_ratings.publish", "ingest_ratings.announce_champion")
    snapshot = next(result.results[name] for name in ingested if name in result.results)
    made = result.results["score_users.publish"]["version_id"], snapshot["snapshot_id"]
    published = version_id, snapshot_id
    if published != made:
        raise StackError(
            f"This run published {made[0]} of snapshot {made[1]}, but {published[0]} of snapshot {published[1]} is "
            "current: another run, or a rollback, came after it. Nothing was changed. "
            "`recsys history` lists the releases, and `recsys rollback` makes one of them current."
        )


def error_lines(log: Path) -> list[str]:
    """What a failed attempt's log says about why: what a JVM that ended said, then the exception with its causes.

    Without either, the last errors. Airflow writes one JSON object per line; other lines are passed over.
    """
    faults = [entry for entry in _entries(log) if entry.get("level") in {"error", "critical"}]
    causes = [cause for entry in faults for cause in entry.get("error_detail") or ()]
    lines = [f"{cause.get('exc_type')}: {cause.get('exc_value')}" for cause in causes]
    if any(sign in line for sign in _JVM_IS_GONE for line in lines):
        printed = [str(entry.get("event")) for entry in faults if str(entry.get("logger")).startswith("task.std")]
        lines = list(dict.fromkeys(filter(_JAVA_FAULT.match, printed)))[-4:] + lines
    # A JVM's stack trace arrives line by line, each as an error.
    own = [entry for entry in faults if not str(entry.get("logger")).startswith("task.std")] or faults
    return list(dict.fromkeys(lines or [str(entry["event"]) for entry in own[-8:] if entry.get("event")]))


def last_words(log: Path) -> str:
    """What a task said last of itself, on one line; empty where it said nothing yet."""
    for entry in reversed(_entries(log, tail_bytes=16_384)):
        # Only this project's own messages tell how far a task is; the rest is Airflow's, Spark's or a JVM's.
        if entry.get("event") and str(entry.get("logger", "")).startswith("recsys."):
            return str(entry["event"]).splitlines()[0]
    return ""


@contextlib.contextmanager
def _stack(settings: Settings, places: Places, say: Callable[[str], None]) -> Any:
    """The running stack that `up` made, or a new one for the length of the block."""
    stack = launcher.find(places)
    if stack and stack.mode == "up" and not stack.is_gone:
        check_signs_of_life(stack)  # a stack of `up` may hold unfinished runs: it is not replaced unasked
        say(f"Using the stack that runs at {stack.airflow_url}.")
        try:
            yield stack
        except KeyboardInterrupt:
            say(f"The run itself goes on at {stack.airflow_url}; `make down` ends it.")
            raise
        return
    if launcher.stop(places, stack):
        say("Processes of an interrupted run were ended.")
    say("Starting Airflow (about half a minute) ...")
    stack = launcher.start(settings, places, "run", say)
    say(f"Airflow is up at {stack.airflow_url}.")
    try:
        yield stack
    finally:
        say("Stopping Airflow ...")
        launcher.stop(places, stack)


def _follow(
    places: Places, api: AirflowApi, guard: Guard, first: Key, watch: Callable[[list[DagRun]], None]
) -> list[DagRun]:
    """Watch a run and those that work on what it publishes, to the last DAG; returns them, one of each DAG."""
    chain = [first]
    dag_ids = DAG_IDS
    follower = Follower(api, first, dag_ids[1])
    done: dict[Key, DagRun] = {}
    idle_since = time.monotonic()
    while True:
        guard.check(api.health())
        if len(chain) < len(dag_ids) and (following := follower.successor()):
            chain.append(following)
            if len(chain) < len(dag_ids):
                follower = Follower(api, following, dag_ids[len(chain)])
        runs = {key: done.get(key) or _read(places, api, *key) for key in (*follower.others, *chain)}
        done |= {key: run for key, run in runs.items() if run.state in FINAL}
        watch(list(runs.values()))
        ours = [runs[key] for key in chain]
        if len(chain) == 1 and _has_ended(ours, "ingest_ratings.announce_champion", "success"):
            dag_ids = tuple(dag_id for dag_id in DAG_IDS if dag_id != "train_model")
            follower.consumer = dag_ids[1]
        if follower.is_waiting or any(key not in done for key in runs):
            idle_since = time.monotonic()
        elif _is_over(ours):
            return ours
        elif time.monotonic() - idle_since > NEXT_RUN_WITHIN_S:
            raise StackError(
                f"{ours[-1].dag_id} succeeded, but no run followed within {NEXT_RUN_WITHIN_S:.0f} s. "
                f"What is published stands. Look into {places.logs / 'scheduler.log'} and run again."
            )
        time.sleep(POLL_S)


def _is_over(runs: list[DagRun]) -> bool:
    """Whether nothing is to follow these runs, which have all ended."""
    is_early = any(_has_ended(runs, *end) for end in _EARLY_ENDS)
    return is_early or runs[-1].state == "failed" or DAG_IDS[-1] in {run.dag_id for run in runs}


def _has_ended(runs: Iterable[DagRun], task: str, state: str) -> bool:
    return any((found.name, found.state) == (task, state) for run in runs for found in run.tasks)


def _read(places: Places, api: AirflowApi, dag_id: str, run_id: str) -> DagRun:
    run = api.run(dag_id, run_id)
    tasks = [_task(places, row) for row in api.tasks(dag_id, run_id)]
    tasks.sort(key=lambda task: (task.started or "9", task.map_index))
    return DagRun(dag_id, run_id, run["state"], _seconds(run["start_date"], run["end_date"]), tuple(tasks))


def _task(places: Places, row: dict[str, Any]) -> TaskState:
    key = (row["dag_id"], row["dag_run_id"], row["task_id"], row["map_index"], row["try_number"])
    duration_s = _seconds(row["start_date"], row["end_date"])
    state = row["state"] or "none"
    return TaskState(
        row["dag_id"], row["task_id"], key[3], state, duration_s, key[4], places.task_log(*key), row["start_date"]
    )


def _seconds(start: str | None, end: str | None) -> float:
    if not start:
        return 0.0
    until = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return max(0.0, (until - datetime.fromisoformat(start)).total_seconds())


def _entries(log: Path, tail_bytes: int | None = None) -> list[dict[str, Any]]:
    try:
        with log.open("rb") as file:
            if tail_bytes:
                file.seek(max(0, log.stat().st_size - tail_bytes))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                entries.append(entry)
    return entries
