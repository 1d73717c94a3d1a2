"""State that the code of November 2026 wrote is read by this one, which goes on with it.

`recorded.tar.xz` holds it: 60 users and 50 movies of the synthetic sample, trained, scored and published with three
posters, and an increment after that. Reports and charts are left out. Its folder was ``/recorded/state``.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import duckdb
import pytest

from recsys.cli.commands import app
from recsys.registry.champions import Promotion
from recsys.storage import layout
from recsys.storage.file_store import FileStore
from recsys.storage.releases import FileRow, Release, VersionManifest
from recsys.storage.tables import read_json

RECORDED = "/recorded/state"
SNAPSHOT, INCREMENT = "sample-bc5aeb91417b", "sample-622d8cf2d3c0"
VERSION = f"recsys-sample-v1-{SNAPSHOT}-k10-11a0a6ff"
SMALL = ("n_folds=2", "ranking_trials=1", "rating_trials=1", "n_members=1", "max_iter=3", "max_rank=8", "baselines=svd")
SMALL += ("min_gain=-1", "max_rmse_loss=1")


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """The recorded state, moved to a folder of the test's."""
    folder = tmp_path_factory.mktemp("recorded")
    with tarfile.open(Path(__file__).with_name("recorded.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    for path in [*folder.rglob("MLmodel"), *folder.rglob("*.json")]:
        path.write_text(path.read_text().replace(RECORDED, str(folder)))
    with contextlib.closing(sqlite3.connect(folder / "mlflow" / "mlflow.db")) as database, database:
        for table, column in [
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("experiments", "artifact_location"),
            ("model_versions", "storage_location"),
        ]:
            database.execute(f"update {table} set {column} = replace({column}, ?, ?)", (RECORDED, str(folder)))
    return folder


def run(state, *arguments, settings=()):
    """Run a command on the state; returns what it prints."""
    given = [part for setting in settings for part in ("--set", setting)]
    env = {**os.environ, "RECSYS_STATE_DIR": str(state)}
    command = [sys.executable, "-m", "recsys.cli", *arguments, *given]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("history",), VERSION),
        (("snapshots", "--json"), INCREMENT),
        (("recommend", "--user-id", "31"), "Never Trust an Orchard"),
        (("similar", "--movie-id", "32"), "Similar to movie 32"),
        (("find", "orchard"), "Never Trust an Orchard"),
        (("summary",), "models:/recsys-sample/1"),
        (("rollback", VERSION), "is current"),
        (("prune", "--keep", "1"), "Nothing"),
    ],
)
def test_every_question_about_the_recorded_state_is_answered(state, monkeypatch, capsys, arguments, expected):
    monkeypatch.setenv("RECSYS_STATE_DIR", str(state))
    monkeypatch.setenv("COLUMNS", "200")
    with contextlib.suppress(SystemExit):
        app(list(arguments))
    assert expected in capsys.readouterr().out


def test_the_recorded_documents_are_read_and_written_again_as_they_were(state):
    store = FileStore(state / "store")
    releases = list(store.list(f"{layout.RELEASES}/"))
    promotions = [key for key in store.list(layout.promotions("recsys-sample")) if not key.endswith(".done.json")]
    kinds = dict.fromkeys(releases, Release) | dict.fromkeys(promotions, Promotion)
    kinds[f"{layout.version(VERSION)}/{layout.MANIFEST}"] = VersionManifest
    assert len(kinds) >= 3
    for key, kind in kinds.items():
        assert kind.load(store, key).to_json() == read_json(store, key)
    files = read_json(store, f"{layout.version(VERSION)}/_files/recommendations.json")
    assert [FileRow.of(row, "").to_json() for row in files] == files


def test_a_new_run_goes_on_from_the_recorded_state(state):
    champion = json.loads(run(state, "tune", settings=SMALL))
    assert INCREMENT in json.dumps(champion)
    release = json.loads(run(state, "score"))
    assert release["version_id"] != VERSION
    assert (release["n_users"], release.keys()) == (61, {"release", "version_id", "path", "n_users", "n_movies"})
    files = f"{state}/store/tables/version={release['version_id']}/recommendations/*.parquet"
    assert duckdb.sql(f"select count(distinct user_id) from '{files}'").fetchall() == [(61,)]
    posters = json.loads(run(state, "posters", settings=["max_posters=3"]))
    assert (posters["n_reused"] + posters["n_stored"], posters["n_known"] >= 3) == (3, True)
    run(state, "rollback", VERSION, "--yes")
    assert json.loads((state / "store" / "tables" / "current.json").read_text())["version_id"] == VERSION
    assert "Never Trust an Orchard" in run(state, "recommend", "--user-id", "31")
    run(state, "prune", "--keep", "1", "--yes")
    kept = json.loads(run(state, "snapshots", "--json"))
    assert {row["snapshot_id"] for row in kept} == {SNAPSHOT, INCREMENT}
