"""Airflow's database holds the history of all runs: only what SQLite finds damaged is put aside, and then whole."""

import sqlite3
import subprocess
import sys

import pytest

from recsys.config import Settings
from recsys.errors import StackError
from recsys.stack import launcher
from recsys.stack.database import put_aside_if_damaged
from recsys.stack.environment import stack_environment
from recsys.stack.places import Places
from recsys.stack.ports import Ports

# Commits a row that stands in the journal alone, and dies like a killed process: the journal stays.
KILLED_WRITER = (
    "import os, sqlite3, sys\n"
    "connection = sqlite3.connect(sys.argv[1])\n"
    "connection.execute('pragma journal_mode=wal')\n"
    "connection.execute('pragma wal_autocheckpoint=0')\n"
    "connection.execute('create table run (id integer primary key, name text)')\n"
    "connection.executemany('insert into run (name) values (?)', [('x' * 500,)] * 200)\n"
    "connection.commit()\n"
    "connection.execute('pragma wal_checkpoint(truncate)')\n"
    "connection.execute(\"insert into run (name) values ('latest')\")\n"
    "connection.commit()\n"
    "os._exit(1)\n"
)


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "ä folder?" / "airflow.db"
    path.parent.mkdir()
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], check=False)
    assert path.with_name("airflow.db-wal").stat().st_size > 0
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def without_index(files):
    """The -shm file is an index that every reader may write anew; database and journal hold the commits."""
    return {name: data for name, data in files.items() if not name.endswith("-shm")}


def test_a_sound_database_keeps_its_journal_with_the_latest_commit(database):
    before = contents(database.parent)
    put_aside_if_damaged(database, pytest.fail)
    assert without_index(contents(database.parent)) == without_index(before)
    with sqlite3.connect(database) as connection:
        assert connection.execute("select count(*) from run where name = 'latest'").fetchone() == (1,)
    connection.close()


def test_a_damaged_database_is_put_aside_with_its_journal_to_the_byte(database):
    with database.open("r+b") as file:
        file.seek(2 * 4096)  # a page that the latest commit, in the journal, did not replace
        file.write(b"\xff" * 4096)
    before, said = contents(database.parent), []
    put_aside_if_damaged(database, said.append)
    after = contents(database.parent)
    (name,) = [name for name in after if name.endswith(".db")]
    assert name.startswith("damaged-")
    assert name in said[0]
    expected = {file.replace("airflow.db", name): data for file, data in before.items()}
    assert without_index(after) == without_index(expected)


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_what_is_no_database_is_put_aside(tmp_path, content):
    (tmp_path / "airflow.db").write_bytes(content)
    put_aside_if_damaged(tmp_path / "airflow.db", lambda _: None)
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith("damaged-")
    assert aside.read_bytes() == content


# Fills its cache in the middle of a change, so that the file and its rollback journal are both half way.
KILLED_CHANGE = (
    "import os, sqlite3, sys\n"
    "connection = sqlite3.connect(sys.argv[1])\n"
    "connection.execute('create table run (name text)')\n"
    "connection.commit()\n"
    "connection.execute('pragma cache_size=1')\n"
    "connection.executemany('insert into run values (?)', [('x' * 500,)] * 2000)\n"
    "os._exit(1)\n"
)


def test_a_change_that_was_cut_short_is_no_damage(tmp_path):
    path = tmp_path / "airflow.db"
    subprocess.run([sys.executable, "-c", KILLED_CHANGE, str(path)], check=False)
    assert (tmp_path / "airflow.db-journal").stat().st_size > 0
    put_aside_if_damaged(path, pytest.fail)
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*) from run").fetchone() == (0,)
    connection.close()


def test_a_database_that_is_locked_is_neither_damaged_nor_moved(tmp_path, monkeypatch):
    path = tmp_path / "airflow.db"
    monkeypatch.setattr("recsys.stack.database.LOCKED_FOR_S", 0.1)
    with sqlite3.connect(path) as other:
        other.execute("create table run (id integer)")
        other.commit()
        other.execute("begin exclusive")
        with pytest.raises(StackError, match=r"cannot be checked: database is locked\. It was left as it is"):
            put_aside_if_damaged(path, pytest.fail)
        other.rollback()
    other.close()
    assert [file.name for file in tmp_path.iterdir()] == ["airflow.db"]


@pytest.mark.parametrize("fault", ["fails", "takes too long"])
def test_a_migration_that_fails_leaves_the_database_and_its_journal_alone(tmp_path, database, monkeypatch, fault):
    places = Places.of(Settings(state_dir=tmp_path / "state"))
    places.make()
    for file in database.parent.iterdir():
        file.rename(places.airflow / file.name)
    before = contents(places.airflow)
    monkeypatch.setattr(launcher, "_AIRFLOW", [sys.executable, "-c", "import sys, time; time.sleep(1); sys.exit(1)"])
    if fault == "takes too long":
        monkeypatch.setattr(launcher, "COMMAND_WITHIN_S", 0.1)
    env = stack_environment(Settings(state_dir=tmp_path / "state"), places, Ports(1, 2, 3), has_mlflow=False)
    with pytest.raises(StackError, match=r"(?s)airflow db migrate.*was left as it is"):
        launcher._migrate(places, env, pytest.fail)
    after = without_index(contents(places.airflow))
    assert {name: after[name] for name in without_index(before)} == without_index(before)
    assert not [name for name in after if name.startswith("damaged")]
