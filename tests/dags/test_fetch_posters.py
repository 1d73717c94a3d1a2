"""The DAG of the posters: every task works on the release of the run's event, and no host sees two tasks at once."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import shared
from airflow.dag_processing.dagbag import DagBag

from recsys.config import PosterConfig
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json
from tests.posters.test_poster_tasks import publish

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture(scope="module")
def tasks():
    return DagBag(str(DAGS)).dags["fetch_posters"].task_dict


@pytest.fixture
def store(settings, monkeypatch):
    monkeypatch.setenv("RECSYS_STATE_DIR", str(settings.state_dir))
    monkeypatch.setattr(shared, "get_current_context", lambda: {"dag_run": SimpleNamespace(dag_id="fetch_posters")})
    store = open_store(settings.resolved_store_url)
    publish(store, is_invented=False)
    return store


def planned(tasks, plan):
    """The batches, and what is pushed beside them."""
    pushed = {}
    batches = tasks["plan_batches"].python_callable(plan, ti=SimpleNamespace(xcom_push=pushed.__setitem__))
    return batches, pushed["planned"]


def plan_for(event, **given):
    """What `configure` returns."""
    return {"config": PosterConfig(**given).model_dump(mode="json"), "conf": {}, "source": event}


def test_a_release_published_in_the_middle_of_a_run_changes_nothing_for_its_tasks(tasks, store):
    plan = plan_for({"number": 1, "version_id": "v1", "path": "version=v1"}, batch_size=2)
    publish(store, "v2", {5: "Five (2005)"}, lists=[(1, 5)], is_invented=False)
    batches, rest = planned(tasks, plan)
    assert batches == [[3, 1], [2]]
    assert rest["batches"] == []
    results = [tasks["fetch"].python_callable(batch, plan) for batch in batches]
    events = {shared.POSTERS: SimpleNamespace(extra=None)}
    summary = tasks["write_manifest"].python_callable(rest, results, plan, outlet_events=events)
    assert (summary["version_id"], summary["n_stored"], summary["n_failed"]) == ("v1", 3, 0)
    assert [entry["movie_id"] for entry in read_json(store, layout.POSTER_MANIFEST)["posters"]] == [1, 2, 3]


def test_more_batches_than_airflow_maps_are_made_fewer(tasks, store, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    batches, _ = planned(tasks, plan_for({"version_id": "v1"}, batch_size=1))
    assert batches == [[3, 1], [2]]


def test_one_batch_at_a_time_so_that_concurrency_is_what_a_host_sees(tasks):
    assert tasks["fetch"].max_active_tis_per_dag == 1
