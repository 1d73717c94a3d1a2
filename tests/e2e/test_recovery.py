"""What stopped in the middle goes on: by the same command, or by the one that the message names."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recsys.config import PROJECT_ROOT, Settings
from recsys.errors import StackError
from recsys.stack import health, launcher
from recsys.stack.dag_chain import DagRun, error_lines, run_pipeline
from recsys.stack.environment import MARKER
from recsys.stack.places import Places
from recsys.stack.processes import leftovers
from tests.e2e.test_chain import CONF
from tests.stack.disks import small_disk

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

SETTINGS = [f"{name}={value}" for name, value in CONF.items() if name != "dataset"]


@dataclass
class Clone:
    """A state folder of its own, and the commands behind `make` that work in it."""

    state_dir: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def places(self):
        return Places(self.state_dir.resolve())

    def start(self, *arguments):
        env = os.environ | {"RECSYS_STATE_DIR": str(self.state_dir), "RECSYS_SPARK_DRIVER_MEMORY": "1g"} | self.env
        command = [sys.executable, "-m", "recsys.stack", *arguments]
        return subprocess.Popen(
            command, env=env, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *arguments):
        """Run a command to its end; returns its status and what it said."""
        with self.start(*arguments) as process:
            said = process.communicate(timeout=900)[0]
        return process.returncode, said

    def interrupt(self, at, state, number):
        """Start a run and send its launcher a signal two seconds after a task has a state; returns its status."""
        with self.start("run", *SETTINGS) as process:
            said = []
            for line in process.stdout:
                said.append(line)
                if at in line and state in line:
                    break
            else:
                pytest.fail(f"{at} was never {state}: {''.join(said)[-3000:]}")
            time.sleep(2)  # in the middle of it
            process.send_signal(number)
            process.stdout.read()
        return process.returncode


@pytest.fixture
def clone(tmp_path):
    clone = Clone(tmp_path / "state")
    yield clone
    launcher.take_down(clone.places)
    assert leftovers(f"{MARKER}={clone.places.stack_id}", [], clone.places.state_dir) == []


@pytest.mark.parametrize(
    ("header", "settings"),
    [
        ("userId,itemId,rating,timestamp", []),
        ("uid,film,rating,timestamp", ["columns=user_id=uid,movie_id=film", "baselines=svd,ease"]),
    ],
)
def test_a_csv_of_ones_own_in_a_folder_with_a_space_ends_green_in_one_command(clone, tmp_path, header, settings):
    path = tmp_path / "my data" / "likes.csv"
    path.parent.mkdir()
    # Even users like even items.
    rows = [f"{user},{item},{4.5 if (user + item) % 2 == 0 else 1.5},{1_700_000_000 + 60 * user + item}"
            for user in range(1, 61) for item in range(1, 81) if (7 * user + 3 * item) % 5 < 2]  # fmt: skip
    path.write_text("\n".join([header, *rows]) + "\n")
    clone.env["DATASET"] = str(path)
    status, said = clone.run("run", *SETTINGS, *settings)
    assert status == 0, said[-3000:]
    assert "tasks of 4 DAGs succeeded" in said


def test_a_run_interrupted_in_any_dag_by_any_signal_ends_green_when_it_is_repeated(clone):
    rounds = [
        ("ingest_ratings.validate", "running", signal.SIGKILL),
        ("train_model.search", "running", signal.SIGTERM),
        ("train_model.promote", "running", signal.SIGKILL),
        ("score_users.score_", "running", signal.SIGHUP),
        ("score_users.publish", "success", signal.SIGINT),  # in fetch_posters, whose tasks take less than a second
    ]
    for at, state, number in rounds:
        status = clone.interrupt(at, state, number)
        assert status == (-number if number == signal.SIGKILL else 130), at
        if number != signal.SIGKILL:
            assert leftovers(f"{MARKER}={clone.places.stack_id}", [], clone.places.state_dir) == []
        status, said = clone.run("run", *SETTINGS)
        assert status == 0, f"{at}: {said[-3000:]}"
        assert ("Processes of an interrupted run were ended" in said) == (number == signal.SIGKILL), at


def test_after_the_scheduler_was_killed_one_command_brings_the_stack_and_its_run_back(clone):
    assert clone.run("up")[0] == 0
    stack = launcher.find(clone.places)
    (scheduler,) = (process for process in stack.processes if process.name == "scheduler")
    with contextlib.closing(stack.api()) as api:
        run_id = api.trigger("ingest_ratings", {**CONF})
        wait_for(lambda: "running" in states(api, "train_model", "search"))
    os.kill(scheduler.pid, signal.SIGKILL)
    wait_for(lambda: not scheduler.is_alive)
    status, said = clone.run("status")
    assert "died" in said
    assert "`make up` starts the stack again, and unfinished runs go on." in said
    status, said = clone.run("up")
    assert status == 0, said
    assert "An unfinished run goes on: train_model" in said
    with contextlib.closing(launcher.find(clone.places).api()) as api:
        wait_for(lambda: states(api, "fetch_posters", "write_manifest") == ["success"])
        assert api.run("ingest_ratings", run_id)["state"] == "success"
        assert states(api, "train_model", "promote") == ["success"]
    status, said = clone.run("status")
    assert "died" not in said
    assert "hangs" not in said


def states(api, dag_id, task_id):
    """States of a task in all runs of its DAG."""
    query = {"task_id": task_id, "limit": 100}
    return [
        each["state"] for each in api.call("GET", f"/dags/{dag_id}/dagRuns/~/taskInstances", **query)["task_instances"]
    ]


def wait_for(condition, timeout_s=400):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(1)


def during(task, act):
    """A watcher that acts once, when a task runs."""
    done = []

    def watch(runs: list[DagRun]) -> None:
        if not done and any(each.name == task and each.state == "running" for run in runs for each in run.tasks):
            done.append(act())

    return watch


def test_a_scheduler_that_stands_still_ends_the_run_although_its_process_lives(clone, monkeypatch):
    monkeypatch.setattr(health, "SILENT_FOR_S", 20.0)
    settings = Settings(state_dir=clone.state_dir, spark_driver_memory="1g")

    def stop_scheduler():
        for process in launcher.find(clone.places).processes:
            if process.name == "scheduler":
                os.kill(process.pid, signal.SIGSTOP)

    with pytest.raises(StackError, match="no sign of life for 20 s"):
        run_pipeline(settings, CONF, watch=during("ingest_ratings.validate", stop_scheduler))
    again = run_pipeline(settings, CONF)
    assert again.has_succeeded, [(task.name, error_lines(task.log)) for task in again.failures]


def test_a_disk_that_fills_up_ends_the_run_and_with_room_again_the_same_command_ends_green(tmp_path):
    with small_disk(tmp_path / "disk", "1400m") as disk:
        settings = Settings(state_dir=disk / "state", spark_driver_memory="1g")
        filler = disk / "filler"

        def fill():
            with filler.open("wb") as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1_000_000))

        with pytest.raises(StackError, match=r"has \d+ MB left, and at least 200 MB are needed\. Free some space"):
            run_pipeline(settings, CONF, watch=during("train_model.search", fill))
        filler.unlink()
        again = run_pipeline(settings, CONF)
        assert again.has_succeeded, [(task.name, error_lines(task.log)) for task in again.failures]
        launcher.take_down(Places.of(settings))
