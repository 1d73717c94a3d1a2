"""What a step costs: wall time, processor time, and the memory of all its processes together.

Each step runs in a process of its own, as a task of the scheduler does, so that nothing a step leaves behind is
counted for the next. Memory is the sum of the proportional set sizes (PSS) of the process and all below it, Spark's
JVM and Python workers included, sampled twice a second: summing the pages of large processes takes the kernel tens of
milliseconds, and ten times a second that took a sixth of a core from what was measured. Only Linux tells PSS.
"""

import contextlib
import itertools
import json
import multiprocessing
import os
import platform
import signal
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

_SAMPLE_S = 0.1
_SAMPLES_A_WEIGHING = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step took: seconds, processor seconds of all its processes, and its peak of memory in bytes."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    result: Any


def measure(step: Callable[..., Any], *args: Any) -> Cost:
    """Run a function in a process of its own and weigh it.

    Raises:
        RuntimeError: the step failed; its traceback is on the standard error.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, step, args))
    began = time.perf_counter()
    process.start()
    sender.close()
    scale = _Scale(process.pid or 0)
    scale.start()
    try:
        result = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{step.__name__} failed") from None
    finally:
        wall_s = time.perf_counter() - began
        scale.stop()
        process.join()
    return Cost(wall_s, scale.cpu_s, scale.peak_bytes, result)


def interrupt(step: Callable[..., Any], *args: Any, after_s: float) -> bool:
    """Run a function in a process of its own and kill it and all below it after some seconds; whether it still ran.

    Whatever was killed has ended then: what runs next has the machine for itself.
    """
    process = multiprocessing.get_context("spawn").Process(target=step, args=args)
    process.start()
    process.join(after_s)
    still_runs = process.is_alive()
    family = _family(process.pid or 0) if still_runs else []
    for pid in family:
        with contextlib.suppress(ProcessLookupError):  # it may end with the one above it
            os.kill(pid, signal.SIGKILL)
    process.join()
    while any(map(_is_running, family)):
        time.sleep(_SAMPLE_S)
    return still_runs


def weigh(step: Callable[[], Any]) -> Cost:
    """Run a function in this process and weigh the process and all below it, such as a Spark session that is up.

    Seconds of the processor are those between begin and end; memory is all that is held.
    """
    pid = os.getpid()
    before = sum(map(_cpu_s, _family(pid)))
    scale = _Scale(pid)
    scale.start()
    began = time.perf_counter()
    try:
        result = step()
    finally:
        wall_s = time.perf_counter() - began
        scale.stop()
    # The scale sits in this process: what weighing costs is not the step's.
    return Cost(wall_s, scale.cpu_s - before - scale.own_s, scale.peak_bytes, result)


def take_turns(steps: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Cost]:
    """Run functions in this process turn by turn, so that a busy minute falls on all; medians, without memory."""
    walls: dict[str, list[float]] = {name: [] for name in steps}
    cpus: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            step()
            cpus[name].append(time.process_time() - began_cpu)
            walls[name].append(time.perf_counter() - began)
    return {name: Cost(statistics.median(walls[name]), statistics.median(cpus[name]), 0, None) for name in steps}


def report(name: str, columns: list[str], rows: list[list[str]], document: Mapping[str, Any]) -> None:
    """Print the table for people, then one line of JSON for machines, with the machine it was measured on."""
    table = Table(*columns, title=name, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table)
    machine = {"n_cores": os.cpu_count(), "python": platform.python_version(), "system": platform.machine()}
    print(json.dumps({"benchmark": name, **document, "machine": machine}))


def _run(sender: Connection, step: Callable[..., Any], args: tuple[Any, ...]) -> None:
    sender.send(step(*args))
    sender.close()


def spent_s() -> float:
    """Processor seconds so far of this process and all that run below it, theirs in hundredths."""
    return time.process_time() + sum(map(_cpu_s, _family(os.getpid())[1:]))


class _Scale(threading.Thread):
    """Weighs a process and all below it while they run."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.own_s = 0.0  # processor seconds of this thread
        self._pid = pid
        self._cpu_s: dict[int, float] = {}  # by process, also of those that have ended
        self._is_over = threading.Event()

    @property
    def cpu_s(self) -> float:
        return sum(self._cpu_s.values())

    def stop(self) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        for number in itertools.count():
            is_last = self._is_over.wait(_SAMPLE_S)
            family = _family(self._pid)
            if number % _SAMPLES_A_WEIGHING == 0:
                self.peak_bytes = max(self.peak_bytes, sum(map(_pss_bytes, family)))
            for pid in family:
                self._cpu_s[pid] = max(self._cpu_s.get(pid, 0.0), _cpu_s(pid))
            self.own_s = time.thread_time()
            if is_last:
                break


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def _is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _pss_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ends
        return 0
