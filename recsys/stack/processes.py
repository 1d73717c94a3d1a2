"""Processes by identity: start them in sessions of their own, recognise them later, end exactly those.

A process id alone is not an identity, because ids are used again. Here a process is its id together with
the moment it started, as the kernel tells it. What a killed parent leaves behind is found by the
session it belongs to, or by a marker in its environment.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
GRACE_S = 25.0  # Airflow's shutdown takes 2 to 17 s when it works, and for ever when it does not
_TASKS_GRACE_S = 6.0  # Airflow's workers pass SIGTERM over while a task runs


@dataclass(frozen=True)
class Process:
    """One process of the stack; it leads its own session and process group."""

    name: str
    pid: int
    started: str
    log: str

    @property
    def is_alive(self) -> bool:
        """Whether this very process runs; another one with the same id does not count."""
        return start_time(self.pid) == self.started


def spawn(name: str, command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path) -> Process:
    """Start a process in a session of its own; its output goes to a fresh log."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    # It is ended by id and start time, here or by a later launcher, never through this object.
    child.returncode = 0
    return Process(name, child.pid, start_time(child.pid) or "gone", str(log))


def start_time(pid: int) -> str | None:
    """When a process started, as an opaque text; None when it does not run (a zombie does not)."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # a child of ours that ended must not linger as a zombie
    if PROC.joinpath("self").exists():
        stat = _stat(pid)
        return f"{_boot_id()}:{stat[19]}" if stat else None
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if state and not state.startswith("Z") else None


def leftovers(marker: str, processes: Iterable[Process], folder: Path) -> list[int]:
    """Ids of all processes that belong to a stack, its tasks and their JVMs included.

    Args:
        marker: ``NAME=value`` that the stack puts into the environment of each process.
        processes: those the stack was made of, as recorded.
        folder: where they work. Some programs overwrite the memory their environment is read from, so a
            member of a recorded session counts too, if it works there.
    """
    sessions = {process.pid: process for process in processes}
    own = _ancestry()
    return [pid for pid, session in _sessions() if pid not in own and _belongs(pid, session, marker, sessions, folder)]


def stop(processes: Iterable[Process], find: Callable[[], list[int]], grace_s: float = GRACE_S) -> int:
    """End processes: SIGTERM for the leaders, SIGKILL for their tasks after 6 s and for all after `grace_s`.

    Args:
        processes: the leaders, which are asked to end; their children follow them.
        find: tells the ids that still belong to the stack.
        grace_s: seconds to wait in between.

    Returns:
        How many had to be killed.
    """
    leaders = list(processes)
    began = time.monotonic()
    asked: set[int] = set()
    n_killed = 0
    # One look at all processes misses a child whose parent ends in the middle of it.
    while remaining := find() or find():
        alive = {process.pid for process in leaders if process.is_alive}
        waited_s = time.monotonic() - began
        overdue = (
            set(remaining) if waited_s > grace_s else set(remaining) - alive if waited_s > _TASKS_GRACE_S else set()
        )
        for pid in overdue:
            _signal(pid, signal.SIGKILL)
        n_killed += len(overdue)
        for pid in (alive or set(remaining)) - asked:
            _signal(pid, signal.SIGTERM)
            asked.add(pid)
        try:
            time.sleep(0.2)
        except KeyboardInterrupt:
            grace_s = 0  # a second Ctrl-C: do not wait any longer
    for process in leaders:
        start_time(process.pid)  # our own children must not stay behind as zombies
    return n_killed


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _belongs(pid: int, session: int, marker: str, sessions: Mapping[int, Process], folder: Path) -> bool:
    try:
        if marker.encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
            return True
    except OSError:
        pass  # another user's, or gone
    leader = sessions.get(session)
    if leader is None:
        return False
    # The id of a session is not given away while a member lives, so a leader that runs must be the recorded one.
    if start_time(session) not in (leader.started, None):
        return False
    try:
        return not PROC.joinpath("self").exists() or folder in [
            path := (PROC / str(pid) / "cwd").readlink(),
            *path.parents,
        ]
    except OSError:
        return False


def _sessions() -> Iterator[tuple[int, int]]:
    """Every live process of this machine with its session (with its group where there is no /proc)."""
    if PROC.joinpath("self").exists():
        for entry in PROC.iterdir():
            if entry.name.isdigit() and (stat := _stat(int(entry.name))):
                yield int(entry.name), int(stat[3])
        return
    answer = subprocess.run(["ps", "-axo", "pid=,pgid=,stat="], capture_output=True, text=True, check=False)
    for line in answer.stdout.splitlines():
        pid, group, state = line.split()
        if not state.startswith("Z"):
            yield int(pid), int(group)


def _stat(pid: int) -> list[str] | None:
    """Fields 3 and on of /proc/PID/stat: state, parent, group, session, ..., the 20th the start time in ticks."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return None if fields[0] in "ZX" else fields


def _ancestry() -> set[int]:
    """This process and those it descends from."""
    pids = {os.getpid(), os.getppid()}
    pid = os.getppid()
    while (stat := _stat(pid)) and int(stat[1]) > 0:
        pid = int(stat[1])
        pids.add(pid)
    return pids


def _boot_id() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return "boot"
