"""The whole chain under a real scheduler: good data reach the tables, poisoned data are stopped by validation."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import quote

import duckdb
import httpx
import pytest

from recsys.config import CHAIN, PROJECT_ROOT, Settings
from recsys.stack import launcher
from recsys.stack.environment import MARKER
from recsys.stack.pipeline import error_lines, run_pipeline
from recsys.stack.places import USER, Places
from recsys.stack.processes import leftovers
from recsys.storage import layout, releases
from recsys.storage.store import open_store
from recsys.storage.tables import read_json

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SAMPLE = {"dataset": "sample", "sample_users": 60, "sample_movies": 200, "sample_ratings": 2_000}
BUDGET = {"n_folds": 2, "ranking_trials": 2, "rating_trials": 1, "max_rank": 8, "max_iter": 3, "min_gain": -1.0}
BUDGET["max_rmse_loss"] = 1.0  # the gate is not the subject here, and so little data teaches little
LISTS = {"k": 5, "n_similar": 4, "max_posters": 6, "batch_size": 3}
CONF = {**SAMPLE, **BUDGET, **LISTS}
TASKS = {
    "ingest_ratings": [
        "configure",
        "download",
        "compare",
        "unchanged",
        "announce_champion",
        "parse",
        "validate",
        "publish",
        "explore",
        "prune",
    ],
    "train_model": ["configure", "split", "search", "fit", "evaluate", "register", "promote"],
    "score_users": ["configure", "score_lists", "score_similar", "publish"],
    "fetch_posters": ["configure", "plan_batches", "fetch", "fetch", "write_manifest"],
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(
        state_dir=tmp_path_factory.mktemp("e2e") / "state", spark_master="local[2]", spark_driver_memory="1g"
    )


@pytest.fixture(scope="module")
def stack(settings):
    """The stack as `make up` starts it, for all tests of this file."""
    places = Places.of(settings)
    with launcher.sole_launcher(places):
        stack = launcher.start(settings, places, "up", print)
    yield stack
    launcher.take_down(places)
    assert leftovers(f"{MARKER}={places.stack_id}", stack.processes, places.state_dir) == []
    assert httpx_is_refused(stack.airflow_url)


@pytest.fixture(scope="module")
def finished(settings, stack):
    return run_pipeline(settings, CONF)


@pytest.fixture(scope="module")
def store(settings, finished):
    return open_store(settings.resolved_store_url)


def httpx_is_refused(url):
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    return True


def test_every_task_of_the_four_dags_succeeded(finished):
    assert finished.has_succeeded, [(task.name, error_lines(task.log)) for task in finished.failures]
    ran = {run.dag_id: sorted(task.task_id for task in run.tasks) for run in finished.runs}
    assert ran == {dag_id: sorted(names) for dag_id, names in TASKS.items()}
    skipped = {task.name for task in finished.tasks if task.state != "success"}
    assert skipped == {"ingest_ratings.unchanged", "ingest_ratings.announce_champion"}
    assert [run.dag_id for run in finished.runs] == list(CHAIN)


def test_the_settings_of_the_entry_form_reached_the_last_dag(finished):
    assert finished.results["train_model.configure"]["config"]["n_folds"] == 2
    assert finished.results["score_users.configure"]["config"]["k"] == 5
    assert finished.results["fetch_posters.configure"]["config"]["max_posters"] == 6


def test_the_tables_are_read_without_this_package(settings, finished, store):
    folder = Path(settings.resolved_store_url) / "tables" / releases.current(store)["path"]
    lists = duckdb.sql(f"select user_id, count(*) as n, count(distinct movie_id) as n_different "
                       f"from '{folder}/recommendations/*.parquet' group by user_id").fetchall()  # fmt: skip
    assert len(lists) == finished.results["score_users.publish"]["n_users"]
    assert len(lists) == finished.results["ingest_ratings.publish"]["n_users"]
    assert {(n, n_different) for _, n, n_different in lists} == {(5, 5)}
    n_movies = duckdb.sql(f"select count(distinct movie_id) from '{folder}/similar_movies/*.parquet'").fetchall()[0][0]
    assert n_movies == finished.results["score_users.publish"]["n_movies"]


def test_the_reports_and_the_posters_are_there(finished, store):
    snapshot_id = finished.results["ingest_ratings.publish"]["snapshot_id"]
    assert store.exists(layout.eda_report(snapshot_id))
    assert finished.results["ingest_ratings.validate"]["report"].endswith(".html")
    assert len(list(store.list(f"{layout.POSTERS}/images/"))) == 6
    assert read_json(store, layout.POSTER_MANIFEST)


def test_the_pages_inside_airflow_show_the_lists_to_those_who_signed_in(stack, finished, store):
    user_id = duckdb.sql(
        f"select min(user_id) from '{store.uri(layout.TABLES)}/*/recommendations/*.parquet'"
    ).fetchall()[0][0]
    with httpx.Client(base_url=stack.airflow_url, trust_env=False, timeout=60) as http:
        assert http.get(f"/recommendations/api/users/{user_id}").status_code == 401
        signed_in = http.post("/auth/token", json={"username": USER, "password": stack.places.password()})
        headers = {"authorization": f"Bearer {signed_in.json()['access_token']}"}
        assert len(http.get(f"/recommendations/api/users/{user_id}", headers=headers).json()) == 5
        assert "invented" in http.get(f"/recommendations/user?user_id={user_id}", headers=headers).text


def buttons(stack, run, task_id):
    """The buttons of a task instance that Airflow shows: name to address."""
    with contextlib.closing(stack.api()) as api:
        path = f"/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}/taskInstances/{task_id}/links"
        return {name: link for name, link in api.call("GET", path)["extra_links"].items() if link}


def fetch(stack, address):
    with httpx.Client(base_url=stack.airflow_url, trust_env=False, timeout=60) as http:
        assert http.get(address).status_code == 401
        signed_in = http.post("/auth/token", json={"username": USER, "password": stack.places.password()})
        return http.get(address, headers={"authorization": f"Bearer {signed_in.json()['access_token']}"})


def test_tasks_have_buttons_that_open_their_reports(stack, finished):
    run = finished.runs[0]
    validation, exploration = buttons(stack, run, "validate"), buttons(stack, run, "explore")
    assert "Validation of sample" in fetch(stack, validation["Validation report"]).text
    assert "Great Expectations" in fetch(stack, validation["Data Docs"]).text
    assert list(exploration) == ["Exploratory report"]
    assert "Exploratory report" in fetch(stack, exploration["Exploratory report"]).text
    assert buttons(stack, run, "publish") == {}


def test_the_mlflow_server_shows_the_champion_and_its_files(stack, finished):
    promoted = finished.results["train_model.promote"]
    with httpx.Client(base_url=f"{stack.mlflow_url}/api/2.0/mlflow", trust_env=False, timeout=60) as http:
        query = {"name": promoted["model_name"], "alias": "champion"}
        version = http.get("/registered-models/alias", params=query).json()["model_version"]
        assert f"models:/{version['name']}/{version['version']}" == promoted["model_uri"]
        explored = finished.results["ingest_ratings.explore"]["mlflow_run_id"]
        files = http.get("/artifacts/list", params={"run_id": explored}).json()["files"]
        assert [file["path"] for file in files if file["path"].endswith(".html")]


def test_an_unchanged_source_makes_no_snapshot_and_starts_no_training_and_a_task_says_so(settings, finished, store):
    before = releases.history(store), sorted(store.list("snapshots/"))
    again = run_pipeline(settings, CONF)
    assert again.has_succeeded
    assert again.is_unchanged
    assert [run.dag_id for run in again.runs] == ["ingest_ratings"]
    states = {task.task_id: task.state for task in again.tasks}
    ran = ("configure", "download", "compare", "unchanged")
    assert states == dict.fromkeys(TASKS["ingest_ratings"], "skipped") | dict.fromkeys(ran, "success")
    said = again.results["ingest_ratings.unchanged"]
    assert "is unchanged: snapshot sample-" in said["message"]
    assert said["snapshot_id"] == finished.results["ingest_ratings.publish"]["snapshot_id"]
    assert (releases.history(store), sorted(store.list("snapshots/"))) == before


@pytest.mark.slow
def test_a_poisoned_archive_turns_validation_red_publishes_nothing_and_leaves_a_report(
    settings, stack, finished, store, tmp_path
):
    before = releases.history(store), sorted(store.list("snapshots/"))
    poisoned = run_pipeline(settings, {"dataset": str(poisoned_archive(tmp_path)), "min_ratings": 10})
    assert not poisoned.has_succeeded
    states = {task.task_id: task.state for task in poisoned.tasks}
    assert states == {
        "configure": "success", "download": "success", "compare": "success", "unchanged": "skipped",
        "announce_champion": "skipped",
        "parse": "success", "validate": "failed",
        "publish": "upstream_failed", "explore": "upstream_failed", "prune": "upstream_failed",
    }  # fmt: skip
    assert [run.dag_id for run in poisoned.runs] == ["ingest_ratings"]
    (failed,) = poisoned.failures
    assert failed.try_number == 1  # the same data would only fail again
    assert any("DataError" in line for line in error_lines(failed.log))
    ingest_id = poisoned.results["ingest_ratings.parse"]["ingest_id"]
    address = buttons(stack, poisoned.runs[0], "validate")["Validation report"]
    assert "rating is one of" in fetch(stack, address).text
    assert b"rating is one of" in store.get(layout.validation_report(ingest_id))
    assert (releases.history(store), sorted(store.list("snapshots/"))) == before


def poisoned_archive(folder):
    """An archive that parses, but 3 of its 200 ratings are 7.5 stars: 1.5 %, more than may be quarantined."""
    ratings = [(user, movie, 7.5 if (user, movie) in {(1, 1), (2, 2), (3, 3)} else 3.5)
               for user in range(1, 21) for movie in range(1, 11)]  # fmt: skip
    files = {
        "ratings.csv": ["userId,movieId,rating,timestamp", *(f"{u},{m},{r},1100000000" for u, m, r in ratings)],
        "movies.csv": ["movieId,title,genres", *(f"{m},Movie {m} (1999),Drama" for m in range(1, 11))],
        "links.csv": ["movieId,imdbId,tmdbId", *(f"{m},{m:07d},{m}" for m in range(1, 11))],
        "tags.csv": ["userId,movieId,tag,timestamp", "1,1,odd,1100000000"],
    }
    path = folder / "poisoned.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, lines in files.items():
            archive.writestr(f"poisoned/{name}", "\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_a_run_whose_launcher_was_killed_is_cleaned_up_by_the_next(tmp_path):
    env = {**os.environ, "RECSYS_STATE_DIR": str(tmp_path / "state"), "RECSYS_SPARK_DRIVER_MEMORY": "1g"}
    command = [sys.executable, "-m", "recsys.stack", "run", *(f"{k}={v}" for k, v in CONF.items() if k != "dataset")]
    places = Places((tmp_path / "state").resolve())
    try:
        with subprocess.Popen(command, env=env, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as first:
            wait_for_line(first, "ingest_ratings.validate", "running")
            time.sleep(5)  # until Spark's JVM is up
            first.kill()
        second = subprocess.run(
            command, env=env, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=600, check=False
        )
        assert second.returncode == 0, second.stdout[-3000:] + second.stderr[-3000:]
        assert "Processes of an interrupted run were ended." in second.stdout
        assert "An interrupted run was marked as failed" in second.stdout
    finally:
        launcher.take_down(places)
    assert leftovers(f"{MARKER}={places.stack_id}", [], places.state_dir) == []


@pytest.mark.slow
def test_ctrl_c_ends_everything_with_status_130(tmp_path):
    env = {**os.environ, "RECSYS_STATE_DIR": str(tmp_path / "state")}
    command = [sys.executable, "-m", "recsys.stack", "run"]
    places = Places((tmp_path / "state").resolve())
    with subprocess.Popen(command, env=env, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
        wait_for_line(process, "ingest_ratings.configure", "success")
        members = launcher.find(places).processes
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert leftovers(f"{MARKER}={places.stack_id}", members, places.state_dir) == []


def wait_for_line(process, *words):
    for line in process.stdout:
        if all(word in line for word in words):
            return
    pytest.fail(f"no line with {words}")
