"""Start, find and stop the processes of one clone's stack; one launcher at a time."""

import contextlib
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx

from recsys.config import CHAIN, EVENTS_SINCE, Settings
from recsys.errors import StackError
from recsys.private_files import make_private_file
from recsys.stack import health, processes
from recsys.stack.airflow_api import AirflowApi
from recsys.stack.database import put_aside_if_damaged
from recsys.stack.environment import MARKER, stack_environment
from recsys.stack.places import Places
from recsys.stack.ports import Ports, is_taken
from recsys.stack.processes import Process

log = logging.getLogger(__name__)

Mode = Literal["run", "up"]
DAG_IDS = tuple(CHAIN)
HEALTHY_WITHIN_S = 240.0
COMMAND_WITHIN_S = 300.0


@dataclass(frozen=True)
class Stack:
    """A stack that runs, as its record tells: made by `start`, found again by `find`."""

    places: Places
    mode: Mode
    ports: Ports
    processes: tuple[Process, ...]

    @property
    def airflow_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.airflow}"

    @property
    def mlflow_url(self) -> str | None:
        """Address of the stack's own MLflow server; None where it has none."""
        return f"http://127.0.0.1:{self.ports.mlflow}" if any(p.name == "mlflow" for p in self.processes) else None

    @property
    def posters_url(self) -> str | None:
        """Address of the local poster site; None where it does not run."""
        running = any(process.name == "poster-site" for process in self.processes)
        return f"http://127.0.0.1:{self.ports.posters}" if running else None

    @property
    def dead(self) -> list[Process]:
        return [process for process in self.processes if not process.is_alive]

    @property
    def remedy(self) -> str:
        """What to do when it does not work any more."""
        if self.mode == "up":
            return "What was published stands; `make up` starts the stack again, and unfinished runs go on."
        return "What was published stands; the same command starts afresh."

    def api(self) -> AirflowApi:
        return AirflowApi(self.airflow_url, self.places.password())

    def check(self) -> None:
        """Raise `StackError` with the end of its log if one of the processes has died."""
        for process in self.dead:
            raise StackError(
                f"{process.name} died. {self.remedy} The end of its log ({process.log}):\n{log_tail(Path(process.log))}"
            )

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it runs any more, as after a restart of the machine."""
        return len(self.dead) == len(self.processes)


@contextlib.contextmanager
def sole_launcher(places: Places) -> Iterator[None]:
    """Hold the clone's lock: it goes with this process, however that ends.

    Raises:
        StackError: another launcher holds it; the message names its id.
    """
    places.make()
    with places.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise StackError(
                f"Another launcher (process {file.read().strip() or 'unknown'}) is at work in {places.state_dir}. "
                "Nothing was started. Wait for it, or end it with `make down`."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def find(places: Places) -> Stack | None:
    """The recorded stack, whether or not it still runs; None where there is none."""
    try:
        record = json.loads(places.record.read_text())
        return Stack(
            places, record["mode"], Ports(**record["ports"]), tuple(Process(**row) for row in record["processes"])
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def start(settings: Settings, places: Places, mode: Mode, say: Callable[[str], None]) -> Stack:
    """Bring the stack up and wait until each part answers.

    Args:
        settings: where things are.
        places: the stack's files.
        mode: `run` starts what a pipeline needs; `up` also what people and changing DAG files need.
        say: takes a sentence for the person who waits.

    Raises:
        StackError: a part did not come up; everything that was started has been stopped again.
    """
    advice = (
        "Nothing was started. Free some space, or name a folder on another disk by RECSYS_STATE_DIR, and run again."
    )
    health.check_space(health.folders(settings), health.TO_START_MB, advice)
    ports = Ports.choose()
    try:
        return _start(settings, places, mode, ports, say)
    except StackError:
        if not ports.taken():
            raise
    say("Another program took a port meanwhile; trying other ports ...")
    return _start(settings, places, mode, Ports.choose(), say)


def _start(settings: Settings, places: Places, mode: Mode, ports: Ports, say: Callable[[str], None]) -> Stack:
    has_mlflow = mode == "up" and not settings.mlflow_tracking_uri
    env = stack_environment(settings, places, ports, has_mlflow=has_mlflow)
    if mode == "run":
        env[EVENTS_SINCE] = datetime.now(UTC).isoformat()
    places.password()
    stack = Stack(places, mode, ports, ())
    try:
        _migrate(places, env, say)
        for name, command in _servers(settings, ports, mode, has_mlflow).items():
            stack = _add(stack, name, command, env)
        _command(places, env, "import-errors", "dags", "list-import-errors", "--local")
        # Nothing else stores DAGs meanwhile: two that store a new one at once fail on its unique id.
        _command(places, env, "reserialize", "dags", "reserialize")
        _wait(stack, "Airflow's API server", lambda found: _is_healthy(found, "metadatabase") and _is_ours(stack))
        if _prepare(stack, say):
            # A DAG whose run had not ended was stored as one that may start no other.
            _command(places, env, "reserialize", "dags", "reserialize")
        began = datetime.now(UTC)
        for name, command in _schedulers(mode).items():
            stack = _add(stack, name, command, env)
        _wait(stack, "Airflow's scheduler", lambda found: _is_healthy(found, "scheduler", since=began))
        for name, port, path in (("mlflow", ports.mlflow, "/health"), ("poster-site", ports.posters, None)):
            if any(process.name == name for process in stack.processes):
                _wait(stack, name, partial(_answers, port, path))
    except BaseException:
        stop(places, stack)
        raise
    return stack


def stop(places: Places, stack: Stack | None = None) -> int:
    """End a stack and whatever it left behind; returns how many processes were found."""
    stack = stack or find(places)
    members = stack.processes if stack else ()
    marker = f"{MARKER}={places.stack_id}"

    def remaining() -> list[int]:
        return processes.leftovers(marker, members, places.state_dir)

    n_found = len(remaining())
    if n_found:
        processes.stop(members, remaining)
    places.record.unlink(missing_ok=True)
    return n_found


def take_down(places: Places) -> int:
    """`stop`, also when a launcher is at work: that one is asked to end first. Returns how many processes ended."""
    if not places.state_dir.exists():
        return 0
    n_ended = 0
    deadline = time.monotonic() + 3 * processes.GRACE_S
    while True:
        try:
            with sole_launcher(places):
                return n_ended + stop(places)
        except StackError:
            pid = int(places.lock.read_text().strip() or 0)
            if pid and n_ended == 0:
                n_ended = 1
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)  # it holds the lock, so it is the launcher and nothing else
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def check_dags(settings: Settings, places: Places) -> None:
    """Load every DAG file as Airflow does; `StackError` with the tracebacks if one is broken."""
    places.make()
    env = stack_environment(settings, places, Ports(8080, 5000, 8090), has_mlflow=False)
    _migrate(places, env, log.warning)
    _command(places, env, "import-errors", "dags", "list-import-errors", "--local")


def log_tail(path: Path, n_lines: int = 8) -> str:
    """The last lines of a log, long ones cut; empty where there is none."""
    try:
        return "\n".join(line[:300] for line in path.read_text(errors="replace").splitlines()[-n_lines:])
    except OSError:
        return ""


_AIRFLOW = [sys.executable, "-m", "airflow"]


def _servers(settings: Settings, ports: Ports, mode: Mode, has_mlflow: bool) -> dict[str, list[str]]:
    """The processes that answer requests, by name."""
    servers = {"api-server": [*_AIRFLOW, "api-server"]}
    if mode == "up":
        # For people to look at; the poster tasks serve the same site themselves while they need it.
        site = [sys.executable, "-m", "recsys.posters.site", "--host", "127.0.0.1", "--port", str(ports.posters)]
        servers["poster-site"] = site
    if has_mlflow:
        servers["mlflow"] = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(ports.mlflow)),
            *("--backend-store-uri", settings.resolved_tracking_uri, "--workers", "1"),
            *("--default-artifact-root", settings.resolved_artifact_root or "", "--no-serve-artifacts"),
        ]
    return servers


def _schedulers(mode: Mode) -> dict[str, list[str]]:
    """The processes that need the DAGs stored and the runs before settled, by name."""
    schedulers = {"scheduler": [*_AIRFLOW, "scheduler", "--skip-serve-logs"]}
    if mode == "up":
        schedulers["dag-processor"] = [*_AIRFLOW, "dag-processor"]
        schedulers["triggerer"] = [*_AIRFLOW, "triggerer", "--skip-serve-logs"]
    return schedulers


def _add(stack: Stack, name: str, command: list[str], env: Mapping[str, str]) -> Stack:
    """Start one more process and record it at once, so that a killed launcher's children are found."""
    places = stack.places
    process = processes.spawn(name, command, env, places.logs / f"{name}.log", places.airflow)
    stack = Stack(places, stack.mode, stack.ports, (*stack.processes, process))
    rows = [asdict(process) for process in stack.processes]
    record = {"mode": stack.mode, "ports": stack.ports.as_dict(), "processes": rows}
    temporary = places.record.with_suffix(".new")
    temporary.write_text(json.dumps(record, indent=2))
    temporary.replace(places.record)
    return stack


def _migrate(places: Places, env: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Create or update Airflow's database; a damaged one is put aside first."""
    put_aside_if_damaged(places.database, say)
    make_private_file(places.database)
    try:
        _command(places, env, "migrate", "db", "migrate")
    except StackError as error:
        raise StackError(
            f"{error}\nThe database {places.database} is sound, holds the history of all runs, and was left as it is. "
            "Mend what is said above, and run again."
        ) from error


def _command(places: Places, env: Mapping[str, str], name: str, *arguments: str) -> None:
    """Run one Airflow command to its end; `StackError` with the end of its output if it fails."""
    path = places.logs / f"{name}.log"
    with path.open("wb") as output:
        command = [*_AIRFLOW, *arguments]
        try:
            code = subprocess.run(
                command, env=dict(env), cwd=places.airflow, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                timeout=COMMAND_WITHIN_S, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise StackError(f"`airflow {' '.join(arguments)}` took longer than {COMMAND_WITHIN_S:.0f} s.") from error
    if code != 0:
        raise StackError(f"`airflow {' '.join(arguments)}` failed ({path}):\n{log_tail(path, 40)}")


def _prepare(stack: Stack, say: Callable[[str], None]) -> bool:
    """Before the scheduler starts: the pool, and what becomes of runs that have not ended; whether any was failed.

    A stack that stays goes on with them. One that is made for a single run gives them up, and the data they left
    queued: with one active run per DAG they would keep the new run waiting.
    """
    with contextlib.closing(stack.api()) as api:
        api.ensure_pool("spark", 1, "One Spark session at a time")
        if stack.mode == "up":
            for dag_id in DAG_IDS:
                for run_id in api.unfinished_runs(dag_id):
                    say(f"An unfinished run goes on: {dag_id} {run_id}.")
            return False
        failed = api.fail_unfinished_runs(DAG_IDS)
        for name in failed:
            say(f"An interrupted run was marked as failed: {name}.")
        api.forget_queued_events(DAG_IDS)
        return bool(failed)


def _wait(stack: Stack, what: str, is_ready: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    with contextlib.closing(AirflowApi(stack.airflow_url, "")) as api:
        while not is_ready(api.health()):
            stack.check()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{what} was not healthy after {HEALTHY_WITHIN_S:.0f} s. Everything was stopped. "
                    f"Look into {stack.places.logs} and run again."
                )
            time.sleep(0.3)


def _is_healthy(found: dict[str, Any], part: str, since: datetime | None = None) -> bool:
    """Whether a part is healthy, by a heartbeat newer than `since`: the one of a stack before may still count."""
    state = found.get(part) or {}
    if state.get("status") != "healthy":
        return False
    beat = state.get(f"latest_{part}_heartbeat")
    return since is None or (beat is not None and datetime.fromisoformat(beat) >= since)


def _is_ours(stack: Stack) -> bool:
    """Whether the server at our port is ours; another stack that started at the same moment may have taken it."""
    with contextlib.closing(stack.api()) as api:
        return api.accepts_password()


def _answers(port: int, path: str | None, _health: dict[str, Any]) -> bool:
    if path is None:
        return is_taken(port)
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False
