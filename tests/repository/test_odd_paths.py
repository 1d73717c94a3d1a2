"""Clone and state may lie anywhere: spaces, umlauts, quotes and what else a path may hold hurt no part.

Where a character cannot be allowed, `tests/stack/test_environment.py` holds that it is refused at once.
"""

import shutil
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from recsys.config import PROJECT_ROOT, IngestConfig, Settings
from recsys.ingest import tasks
from recsys.stack import launcher
from recsys.stack.__main__ import local_dataset
from recsys.stack.places import Places
from recsys.storage.file_store import FileStore
from recsys.storage.opening import open_store
from recsys.storage.tables import read_table
from recsys.tracking.tracking import Tracking
from recsys.workspace import Workspace
from tests.repository import spark_job

# What shells, Java, Spark, patterns, templates and addresses would each read otherwise.
ODD = 'my clone größer & "it\'s" 100%25 $5 #1 [x] {y} (z) *? a\\b `q` c=d;~!<e>|f@g+'


@pytest.mark.spark
def test_spark_computes_where_clone_environment_and_state_have_odd_names(tmp_path):
    clone = tmp_path / ODD
    shutil.copytree(PROJECT_ROOT / "recsys", clone / "recsys", ignore=shutil.ignore_patterns("__pycache__"))
    (clone / ".venv").symlink_to(sys.prefix)
    # In the C locale Python and Java must still mean the same by an umlaut.
    answer = spark_job.run(clone / ".state", python=clone / ".venv/bin/python", clone=clone, LC_ALL="C")
    assert answer.returncode == 0, answer.stderr[-3000:]
    result = spark_job.result(answer)
    assert f"-Djava.io.tmpdir={clone}/.state/tmp/spark" in result["java_arguments"]
    assert (result["n_rows"], result["n_users"]) == (600, 20)
    assert all(path.startswith(str(clone)) for path in result["packages"])
    assert {path.name for path in tmp_path.iterdir()} == {ODD}  # nothing beside it, as by a path that was cut


def test_mlflow_keeps_runs_files_and_models_where_the_state_has_an_odd_name(tmp_path, monkeypatch):
    settings = Settings(state_dir=tmp_path / ODD)
    monkeypatch.chdir(settings.tmp_dir)  # as tasks work below the state
    monkeypatch.delenv("_MLFLOW_SERVER_ARTIFACT_ROOT", raising=False)
    tracking = Tracking(settings)
    report = tmp_path / "größer report #1.html"
    report.write_text("<p>")
    with tracking.run("odd", "run") as run_id:
        tracking.log_file(run_id, report)
        path = tmp_path / "recommender.npz"
        path.write_bytes(b"factors")
        version = tracking.register(run_id, "odd", path, {})
    tracking.set_alias("odd", "champion", version["version"])
    assert tracking.recommender_bytes("models:/odd@champion") == path.read_bytes()
    assert list((settings.state_dir / "mlflow" / "artifacts" / "odd" / run_id).rglob(report.name))
    # MLflow makes an empty folder after the address as it stands, too; what it keeps is all in the right one.
    elsewhere = [file for file in tmp_path.rglob("*") if file.is_file() and settings.state_dir not in file.parents]
    assert {file.name for file in elsewhere} == {report.name, path.name}


def test_airflow_keeps_its_database_and_loads_the_dags_where_the_state_has_an_odd_name(tmp_path):
    settings = Settings(state_dir=tmp_path / ODD / "state")
    launcher.check_dags(settings, places := Places.of(settings))
    assert stat.S_IMODE(places.database.stat().st_mode) == 0o600
    with sqlite3.connect(places.database) as connection:
        assert connection.execute("select count(*) from alembic_version").fetchone() == (1,)
    connection.close()
    assert {child.name for child in tmp_path.iterdir()} == {ODD}


def test_a_data_file_with_an_odd_name_is_read(tmp_path, settings, monkeypatch):
    (tmp_path / f"{ODD}, 1:2.csv").write_text("userId,itemId,rating,timestamp\n1,10,4,1100000000\n2,10,5,1100000000\n")
    monkeypatch.chdir(tmp_path)
    config = IngestConfig(dataset=local_dataset(f"./{ODD}, 1:2.csv"))
    workspace = Workspace(settings)
    parsed = tasks.parse(workspace, tasks.download(workspace, config, "run"))
    tables = [key for key in open_store(settings.resolved_store_url).list() if key.endswith("ratings.parquet")]
    assert parsed.archive.dataset.isascii()
    assert [read_table(open_store(settings.resolved_store_url), key).num_rows for key in tables] == [2]


def test_the_tracking_database_and_a_new_store_are_their_owners_alone(settings):
    Tracking(settings)
    open_store(settings.resolved_store_url).put("a.json", b"{}")
    assert stat.S_IMODE((settings.state_dir / "mlflow" / "mlflow.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((settings.state_dir / "store").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "act",
    [
        lambda settings: settings.tmp_dir,
        Tracking,
        lambda settings: open_store(settings.resolved_store_url).put("a", b""),
    ],
    ids=["tmp", "tracking", "store"],
)
def test_whatever_makes_the_state_folder_first_makes_it_its_owners_alone(tmp_path, act):
    state = tmp_path / "new" / "state"
    act(Settings(state_dir=state))
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (state.parent, state, *state.iterdir())} == {0o700}


def test_a_store_that_somebody_shares_keeps_its_mode(tmp_path):
    (tmp_path / "shared").mkdir(mode=0o755)
    open_store(str(tmp_path / "shared")).put("a.json", b"{}")
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755


@pytest.mark.parametrize("address", [str, Path.as_uri])
def test_a_store_with_an_odd_name_is_found_by_path_and_by_address(tmp_path, address):
    store = open_store(address(tmp_path / ODD))
    assert isinstance(store, FileStore)
    store.put("a/b.json", b"{}")
    assert (tmp_path / ODD / "a" / "b.json").read_bytes() == b"{}"
