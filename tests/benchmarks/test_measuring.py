"""Steps of benchmarks that are killed half way."""

import subprocess
from pathlib import Path

import psutil

from benchmarks.measuring import interrupt


def sleep_beside_a_child(pid_file: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        pid_file.write_text(str(child.pid))


def write_done(path: Path) -> None:
    path.write_text("done")


def test_a_step_is_killed_with_all_below_it(tmp_path):
    pid_file = tmp_path / "pid"
    # Starting Python takes seconds where the cores are busy.
    assert interrupt(sleep_beside_a_child, pid_file, after_s=15)
    assert not psutil.pid_exists(child := int(pid_file.read_text())) or psutil.Process(child).status() == "zombie"


def test_a_step_that_ends_before_is_left_alone(tmp_path):
    assert not interrupt(write_done, tmp_path / "done", after_s=60)
    assert (tmp_path / "done").read_text() == "done"
