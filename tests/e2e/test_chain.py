"""The whole chain under a real scheduler: good data reach the tables, poisoned data are stopped by validation."""

import contextlib
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import duckdb
import httpx
import psutil
import pytest

from recsys.config import CHAIN, Settings
from recsys.registry import training_runs
from recsys.stack import launcher
from recsys.stack.dag_chain import check_published, error_lines, run_pipeline
from recsys.stack.environment import MARKER
from recsys.stack.places import USER, Places
from recsys.stack.processes import leftovers
from recsys.storage import layout, releases
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json
from recsys.tracking.tracking import CHAMPION, Tracking

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


def test_dags_are_stored_before_a_process_starts_that_stores_them_too(stack):
    # Two at once failed now and then: "UNIQUE constraint failed: dag.dag_id".
    first_stored = (stack.places.logs / "reserialize.log").stat().st_mtime
    began = {process.name: psutil.Process(process.pid).create_time() for process in stack.processes}
    assert {name for name, at in began.items() if at > first_stored} == {"scheduler", "dag-processor", "triggerer"}


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
    folder = Path(settings.resolved_store_url) / "tables" / releases.current(store).path
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
    assert finished.results["ingest_ratings.validate"]["report_uri"].endswith(".html")
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
        query = {"name": promoted["model"]["name"], "alias": "champion"}
        version = http.get("/registered-models/alias", params=query).json()["model_version"]
        assert f"models:/{version['name']}/{version['version']}" == promoted["model"]["uri"]
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
    assert said["snapshot"]["snapshot_id"] == finished.results["ingest_ratings.publish"]["snapshot_id"]
    assert (releases.history(store), sorted(store.list("snapshots/"))) == before


@pytest.mark.slow
def test_an_unchanged_source_brings_about_lists_of_a_champion_that_has_none(settings, stack, finished, store):
    """As after a training while `score_users` was paused: nothing is trained, the lists are made."""
    remote = settings.model_copy(update={"mlflow_tracking_uri": stack.mlflow_url})
    tracking, old = Tracking(remote), finished.results["train_model.promote"]
    run_id = tracking.start_run(training_runs.EXPERIMENT, "a newer training")
    store.put(layout.recommender(layout.model(run_id)), store.get(layout.recommender(old["model_prefix"])))
    store.put(layout.evaluation(layout.model(run_id)), store.get(layout.evaluation(old["model_prefix"])))
    version = tracking._client.create_model_version(old["model"]["name"], f"runs:/{run_id}/model", run_id)
    tracking.set_alias(old["model"]["name"], CHAMPION, str(version.version))
    again = run_pipeline(settings, CONF)
    assert again.has_succeeded, [(task.name, error_lines(task.log)) for task in again.failures]
    assert [run.dag_id for run in again.runs] == ["ingest_ratings", "score_users", "fetch_posters"]
    current = releases.read_manifest(store, releases.current(store).version_id)
    assert (current.lineage.run_id, current.lineage.snapshot_id) == (run_id, old["snapshot_id"])
    check_published(again, current.version_id, current.lineage.snapshot_id)


@pytest.mark.slow
def test_a_first_model_that_is_refused_ends_the_run_with_nothing_failed(settings, finished, store, tmp_path):
    before = releases.history(store)
    rows = (
        f"{user},{movie},{1 + (user * movie) % 5},{964_982_703 + user}" for user in range(40) for movie in range(20)
    )
    (tmp_path / "own.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *rows]))
    refused = run_pipeline(settings, {**BUDGET, "dataset": str(tmp_path / "own.csv"), "min_gain": 1.0})
    assert refused.is_refused
    assert not refused.failures
    assert [(run.dag_id, run.state) for run in refused.runs] == [
        ("ingest_ratings", "success"), ("train_model", "success"),
    ]  # fmt: skip
    assert {task.task_id: task.state for task in refused.runs[1].tasks}["promote"] == "skipped"
    assert releases.history(store) == before


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
    ingest_id = poisoned.results["ingest_ratings.parse"]["archive"]["ingest_id"]
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


def test_two_data_sets_that_wait_for_one_run_get_a_run_each(stack, finished):
    # Last of this file: no such snapshot exists, so the trainings fail after their first task.
    moments = {}
    with contextlib.closing(stack.api()) as api:
        api.call("PATCH", "/dags/train_model", {"is_paused": True}, update_mask="is_paused")
        (asset,) = (each for each in api.call("GET", "/assets", limit=100)["assets"] if each["name"] == "ratings")
        for snapshot_id, dataset in (("a-1", "a"), ("b-1", "b"), ("a-2", "a")):
            extra = {"dataset": dataset, "snapshot_id": snapshot_id, "conf": {"n_folds": 2}}
            moments[snapshot_id] = datetime.now(UTC)
            api.call("POST", "/assets/events", {"asset_id": asset["id"], "extra": extra})
        api.unpause(["train_model"])
        extra = {"dataset": "c", "snapshot_id": "c-1", "conf": {}}
        api.call("POST", "/assets/events", {"asset_id": asset["id"], "extra": extra})  # this one starts a run
        runs = wait_for_runs(api, "train_model", moments["a-1"], 3)
        choices = [api.result("train_model", run_id, "configure") for run_id in runs]
    assert [choice["source"]["snapshot_id"] for choice in choices] == ["b-1", "a-2", "c-1"]
    assert [[event["dataset"] for event in choice["postponed"]] for choice in choices] == [["a", "c"], ["c"], []]
    assert [[event["dataset"] for event in choice["superseded"]] for choice in choices] == [["a"], [], []]
    assert [choice["config"]["n_folds"] for choice in choices] == [2, 2, 5]  # each with the settings of its own


def wait_for_runs(api, dag_id, since, n):
    """The first n runs of a DAG that end after a moment, in the order in which they were made."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        query = {"run_after_gte": since.isoformat(), "order_by": "run_after", "limit": 20}
        runs = api.call("GET", f"/dags/{dag_id}/dagRuns", **query)["dag_runs"]
        if len(runs) >= n and all(run["state"] in {"success", "failed"} for run in runs):
            return [run["dag_run_id"] for run in runs]
        time.sleep(1)
    pytest.fail(f"{dag_id}: {[(run['dag_run_id'], run['state']) for run in runs]}")
