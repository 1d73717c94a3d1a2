"""Processes are ended by identity: exactly those of one stack, and never one that merely has the same id."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from recsys.config import Settings
from recsys.errors import StackError
from recsys.stack import launcher, processes
from recsys.stack.dag_chain import run_pipeline
from recsys.stack.environment import MARKER
from recsys.stack.places import Places
from recsys.stack.ports import Ports
from recsys.stack.processes import Process, leftovers, spawn, start_time

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# A child in its own process group, as Airflow's task processes are, and a parent that tells its id.
PARENT = [
    sys.executable,
    "-c",
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)",
]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)",
]


@pytest.fixture
def places(tmp_path):
    places = Places(tmp_path / "state")
    places.make()
    yield places
    launcher.stop(places)


def start(places, command, name="part", marked=True):
    env = dict(os.environ) | ({MARKER: places.stack_id} if marked else {})
    return spawn(name, command, env, places.logs / f"{name}.log", places.airflow)


def record(places, *members, mode="run"):
    rows = [asdict(member) for member in members]
    places.record.write_text(json.dumps({"mode": mode, "ports": Ports(1, 2, 3).as_dict(), "processes": rows}))


def wait_for(condition, timeout_s=10):
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)
    return value


def first_line(process):
    return wait_for(lambda: Path(process.log).read_text().strip())


def is_running(pid):
    return start_time(pid) is not None


def test_a_process_is_recognised_by_id_and_start_time(places):
    process = start(places, SLEEP)
    assert process.is_alive
    assert not replace(process, started="another moment").is_alive
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.is_alive)


def test_a_stop_ends_what_is_recorded(places):
    process = start(places, SLEEP)
    record(places, process)
    assert launcher.stop(places) == 1
    assert not process.is_alive
    assert not places.record.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="earlier versions recorded ticks on Linux alone")
def test_a_stack_that_an_earlier_version_recorded_is_found_and_stopped(places):
    # That version read the boot's id and the ticks since then from /proc itself.
    process = start(places, SLEEP, marked=False)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    recorded = replace(process, started=f"{boot}:{ticks}")
    record(places, recorded)
    assert launcher.find(places).dead == []
    assert launcher.stop(places) == 1
    assert not recorded.is_alive


def test_a_change_of_the_clock_does_not_make_another_process(places, monkeypatch):
    process = start(places, SLEEP)
    # Where the clock is put forward by an hour, the machine seems to have started an hour later. psutil's
    # create_time is relative to that, and so is not the same before and after.
    booted, created = psutil.boot_time, psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: booted() + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    assert process.is_alive


def test_an_ended_child_that_nobody_waited_for_does_not_run():
    code = "import os, sys, time\npid = os.fork()\nif pid == 0: os._exit(0)\nprint(pid, flush=True)\ntime.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        zombie = int(parent.stdout.readline())
        wait_for(lambda: psutil.Process(zombie).status() == psutil.STATUS_ZOMBIE)
        assert start_time(zombie) is None
        parent.kill()


def test_an_id_that_was_used_again_is_left_alone(places):
    # The record names this id, but the process that has it now started at another moment, for another purpose.
    stranger = start(places, SLEEP, marked=False)
    record(places, replace(stranger, name="scheduler", started="boot:1"))
    try:
        assert launcher.stop(places) == 0
        assert is_running(stranger.pid)
    finally:
        os.kill(stranger.pid, signal.SIGKILL)


def test_children_of_a_killed_scheduler_are_found_in_their_own_groups(places):
    parent = start(places, PARENT, "scheduler")
    child = int(first_line(parent))
    record(places, parent)
    os.kill(parent.pid, signal.SIGKILL)
    wait_for(lambda: not parent.is_alive)
    assert is_running(child)
    assert launcher.stop(places) == 1
    assert not is_running(child)


def test_children_are_found_by_their_session_when_their_environment_cannot_tell(places):
    # Airflow's processes write a title over the memory their environment is read from.
    parent = start(places, PARENT, "scheduler", marked=False)
    child = int(first_line(parent))
    record(places, parent)
    os.kill(parent.pid, signal.SIGKILL)
    wait_for(lambda: not parent.is_alive)
    assert launcher.stop(places) == 1
    assert not is_running(child)


def test_what_no_record_names_is_found_by_its_marker(places):
    process = start(places, SLEEP)
    wait_for(lambda: leftovers(f"{MARKER}={places.stack_id}", [], places.state_dir) == [process.pid])
    assert launcher.stop(places) == 1
    assert not process.is_alive


def test_another_clones_processes_are_left_alone(places, tmp_path):
    other = Places(tmp_path / "other")
    other.make()
    process = start(other, SLEEP)
    assert launcher.stop(places) == 0
    assert process.is_alive
    assert launcher.stop(other) == 1


def test_what_ignores_a_polite_request_is_killed_after_the_grace_time(places):
    process = start(places, STUBBORN)
    first_line(process)
    began = time.monotonic()
    n_killed = processes.stop([process], lambda: [process.pid] if process.is_alive else [], grace_s=1)
    assert n_killed == 1
    assert 1 <= time.monotonic() - began < 5
    assert not process.is_alive


def test_a_child_that_one_look_at_all_processes_missed_is_ended_all_the_same(places):
    child = start(places, SLEEP)
    missed = [[]]  # what the first look finds
    processes.stop([child], lambda: missed.pop() if missed else [child.pid] if child.is_alive else [])
    assert not child.is_alive


def test_a_dead_process_is_reported_with_the_end_of_its_log(places):
    process = start(places, [sys.executable, "-c", "raise SystemExit('no space left')"], "scheduler")
    wait_for(lambda: not process.is_alive)
    stack = launcher.Stack(places, "run", Ports(1, 2, 3), (process,))
    with pytest.raises(StackError, match=r"scheduler died\. (?s:.)*no space left"):
        stack.check()


def test_a_run_does_not_replace_a_stack_of_make_up_of_which_a_part_died(places):
    api_server, scheduler = start(places, SLEEP, "api-server"), start(places, SLEEP, "scheduler")
    record(places, api_server, scheduler, mode="up")
    os.kill(scheduler.pid, signal.SIGKILL)
    wait_for(lambda: not scheduler.is_alive)
    with pytest.raises(
        StackError, match=r"scheduler died\..*`make up` starts the stack again, and unfinished runs go on"
    ):
        run_pipeline(Settings(state_dir=places.state_dir), {}, places=places)
    assert api_server.is_alive


def test_two_launchers_in_one_clone_do_not_fight(places):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom recsys.stack.launcher import sole_launcher\n"
        "from recsys.stack.places import Places\n"
        f"with sole_launcher(Places(Path({str(places.state_dir)!r}))):\n"
        "    print('held', flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(StackError, match=rf"Another launcher \(process {holder.pid}\)"),
            launcher.sole_launcher(places),
        ):
            pass
        holder.kill()  # the lock goes with its holder, however it ends
        holder.wait()
        with launcher.sole_launcher(places):
            assert places.lock.read_text() == str(os.getpid())


def test_taking_down_ends_a_launcher_that_is_at_work(places):
    code = (
        "import signal, time\nfrom pathlib import Path\nfrom recsys.stack.launcher import sole_launcher\n"
        "from recsys.stack.places import Places\n"
        "def end(*_): raise SystemExit(0)\nsignal.signal(signal.SIGTERM, end)\n"
        f"with sole_launcher(Places(Path({str(places.state_dir)!r}))):\n"
        "    print('held', flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        holder.stdout.readline()
        part = start(places, SLEEP)
        record(places, part)
        assert launcher.take_down(places) == 2
        assert holder.wait(timeout=10) == 0
        assert not part.is_alive


def test_a_damaged_record_is_as_good_as_none(places):
    places.record.write_text('{"mode": "run", "processes": [')
    assert launcher.find(places) is None
    assert launcher.stop(places) == 0
    assert not places.record.exists()


def test_a_record_is_read_back_as_it_was(places):
    process = Process("scheduler", 12, "boot:34", "x.log")
    record(places, process)
    assert launcher.find(places) == launcher.Stack(places, "run", Ports(1, 2, 3), (process,))
