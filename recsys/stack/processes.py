"""Processes by identity: start them in sessions of their own, recognise them later, end exactly those.

A process id alone is not an identity, because ids are used again. Here a process is its id together with
the moment it started. What a killed parent leaves behind is found by the session it belongs to, or by a
marker in its environment.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux alone has it; psutil does not read it
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
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return f"{_boot_id()}:{_ticks(process)}" if psutil.LINUX else str(process.create_time())
    except psutil.Error:  # gone, or not ours to look at
        return None


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
    return [pid for pid in psutil.pids() if pid not in own and _belongs(pid, marker, sessions, folder)]


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


def _belongs(pid: int, marker: str, sessions: Mapping[int, Process], folder: Path) -> bool:
    name, _, value = marker.partition("=")
    try:
        process = psutil.Process(pid)
        with contextlib.suppress(psutil.AccessDenied):  # another user's
            if process.environ().get(name) == value:
                return True
        leader = sessions.get(session := os.getsid(pid))
        # The id of a session is not given away while a member lives, so a leader that runs must be the recorded one.
        if leader is None or start_time(session) not in (leader.started, None):
            return False
        works_in = Path(process.cwd())
    except (psutil.Error, OSError):  # gone, or another user's
        return False
    return folder in [works_in, *works_in.parents]


def _ticks(process: psutil.Process) -> int:
    """When a process started, in the kernel's ticks after the machine did: no change of the clock moves it."""
    before, created, after = psutil.boot_time(), process.create_time(), psutil.boot_time()
    if before != after:  # the clock was changed in between
        return _ticks(process)
    since_boot_s: float = created - before
    return round(since_boot_s * os.sysconf("SC_CLK_TCK"))


def _ancestry() -> set[int]:
    """This process and those it descends from."""
    pids: set[int] = set()
    pid = os.getpid()
    with contextlib.suppress(psutil.Error):
        while pid > 0:
            pids.add(pid)
            pid = psutil.Process(pid).ppid()
    return pids


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()[:8]
    except OSError:
        return "boot"
