"""`make` and the set-up: what is missing is named in one sentence, and what is there is not made again."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def java(tmp_path, monkeypatch):
    """Put a `java` in front that answers as given; returns the folder for JAVA_HOME."""

    def install(answer, status=0):
        program = tmp_path / "jdk" / "bin" / "java"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit {status}\n")
        program.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))

    return install


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """The set-up script as a module, working on an empty folder."""
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "scripts" / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "requirements").mkdir()
    for name in ("bootstrap.txt", "run.txt", "dev.txt", "referee.txt"):
        (tmp_path / "requirements" / name).write_text(name)
    (tmp_path / "pyproject.toml").write_text("[project]")
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    for name, value in {
        "ROOT": tmp_path,
        "VENV": venv,
        "PYTHON": venv / "bin/python",
        "UNFINISHED": venv / ".unfinished",
    }.items():
        monkeypatch.setattr(module, name, value)
    return module


def run_setup():
    command = [sys.executable, "scripts/setup.py", "run"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ('openjdk version "11.0.22" 2024-01-16', "Java 11 is too old"),
        ('java version "1.8.0_401"', "Java 8 is too old"),
    ],
)
def test_an_old_java_is_named_with_what_to_install(java, answer, fact):
    java(answer)
    result = run_setup()
    assert result.returncode == 1
    assert fact in result.stderr
    assert "install" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_absent_java_is_named_with_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    result = run_setup()
    assert result.returncode == 1
    assert "No Java was found (JAVA_HOME is" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("answer", ['openjdk version "17.0.15" 2025-04-15', 'openjdk version "21" 2023-09-19'])
def test_java_17_and_newer_will_do(java, setup, answer):
    java(answer)
    setup.check_java()


def test_a_finished_environment_is_left_alone_until_what_it_is_made_from_changes(setup, tmp_path):
    assert not setup.is_ready("run")
    (setup.VENV / ".stamp-run").write_text(setup.stamp("run"))
    assert setup.is_ready("run")
    assert not setup.is_ready("dev")
    (tmp_path / "requirements" / "run.txt").write_text("another lock")
    assert not setup.is_ready("run")


def test_the_development_environment_will_do_for_a_run(setup):
    (setup.VENV / ".stamp-dev").write_text(setup.stamp("dev"))
    assert setup.is_ready("run")
    assert setup.is_ready("dev")


def test_an_environment_whose_making_was_cut_short_is_not_used(setup):
    (setup.VENV / ".stamp-run").write_text(setup.stamp("run"))
    setup.UNFINISHED.touch()
    assert not setup.is_ready("run")


def test_the_package_index_pip_is_set_to_is_passed_on(setup, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/packages")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    assert setup.environment()["UV_DEFAULT_INDEX"] == "https://mirror.example/packages"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.example/packages")
    assert setup.environment()["UV_DEFAULT_INDEX"] == "https://other.example/packages"


def test_help_lists_every_command():
    answer = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in (
        "setup",
        "run",
        "test",
        "up",
        "down",
        "clean",
        "check",
        "format",
        "lock",
        "test-slow",
        "test-realdata",
    ):
        assert f"make {target} " in answer
