"""A stack that cannot go on is noticed: a process that died, a scheduler that stands still, a disk that is full."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recsys.config import Settings
from recsys.errors import StackError
from recsys.stack import health, launcher
from recsys.stack.health import Guard, check_space, folders
from recsys.stack.launcher import Stack
from recsys.stack.places import Places
from recsys.stack.ports import Ports
from recsys.stack.processes import Process
from tests.stack.disks import small_disk

BEAT = {"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-11-27T12:00:00+00:00"}}
NEXT_BEAT = {"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": "2026-11-27T12:00:05+00:00"}}


@pytest.fixture
def stack(settings):
    places = Places.of(settings)
    places.make()
    return Stack(places, "run", Ports(1, 2, 3), ())


def test_a_disk_without_room_is_refused_before_anything_is_started(tmp_path):
    with small_disk(tmp_path / "disk", "40m") as disk:
        settings = Settings(state_dir=disk / "new" / "state")
        with pytest.raises(
            StackError, match=r"has 4\d MB left, and at least 1,000 MB are needed\. Nothing was started"
        ):
            launcher.start(settings, Places.of(settings), "run", print)
        assert list(disk.iterdir()) == []


def test_a_disk_that_fills_up_ends_the_run_with_what_to_do(stack, tmp_path):
    with small_disk(tmp_path / "disk", f"{health.TO_GO_ON_MB + 20}m") as disk:
        guard = Guard(stack, Settings(state_dir=stack.places.state_dir, store_url=str(disk / "store")))
        guard.check(BEAT)
        (disk / "filler").write_bytes(bytes(40_000_000))
        with pytest.raises(StackError, match=r"disk/store has 1\d\d MB left.* Free some space\. What was published"):
            guard.check(BEAT)


def test_the_disk_of_a_store_elsewhere_does_not_count(settings):
    assert folders(settings) == [settings.state_dir, settings.state_dir / "store"]
    assert folders(Settings(state_dir=settings.state_dir, store_url="s3://movies/here")) == [settings.state_dir]
    check_space(folders(settings), 1, "")


@pytest.mark.parametrize("address", [str, Path.as_uri])
def test_the_disk_of_a_store_on_this_machine_counts_however_its_folder_is_named(tmp_path, address):
    folder = tmp_path / "my store"
    assert folders(Settings(state_dir=tmp_path, store_url=address(folder))) == [tmp_path, folder]


def test_a_scheduler_whose_heart_has_stopped_is_noticed_although_its_process_lives(stack, settings, monkeypatch):
    monkeypatch.setattr(health, "SILENT_FOR_S", 0.0)
    guard = Guard(stack, settings)
    for found in (BEAT, NEXT_BEAT):
        guard.check(found)
    for stands_still in (NEXT_BEAT, {}):
        with pytest.raises(StackError, match=r"no sign of life for 0 s\. What was published stands.*scheduler\.log"):
            guard.check(stands_still)


def test_what_to_do_names_the_command_that_helps(stack):
    assert "the same command starts afresh" in stack.remedy
    assert "`make up` starts the stack again, and unfinished runs go on" in replace(stack, mode="up").remedy


def test_an_api_server_that_does_not_answer_is_silent(stack, monkeypatch):
    monkeypatch.setattr(health, "ANSWERS_WITHIN_S", 0.0)
    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        member = Process("api-server", living.pid, launcher.processes.start_time(living.pid), "x.log")
        assert health.find_silent(replace(stack, processes=(member,))) == ["api-server"]
        with pytest.raises(StackError, match=r"No sign of life from api-server\. What was published stands; `make up`"):
            health.check_signs_of_life(replace(stack, processes=(member,), mode="up"))
        assert health.find_silent(replace(stack, processes=(replace(member, started="another"),))) == []
    finally:
        living.kill()
        living.wait()
