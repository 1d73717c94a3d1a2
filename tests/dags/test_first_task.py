"""The first task of each DAG sets right what a killed publisher left behind."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import shared
from airflow.dag_processing.dagbag import DagBag

from recsys.config import CHAIN
from recsys.errors import ConfigError
from recsys.storage import layout, releases
from recsys.storage.file_store import FileStore
from recsys.storage.tables import read_json
from tests.webapp import published

SOURCES = dict(zip(CHAIN, (shared.RATINGS, shared.RATINGS, shared.CHAMPION, shared.RECOMMENDATIONS), strict=True))


@pytest.fixture(scope="module")
def bag():
    return DagBag(str(Path(shared.__file__).parent))


def configure(bag, dag_id):
    """Run the first task by hand, on the last event of its asset."""
    source = SOURCES[dag_id]
    extra = {"snapshot_id": "snap", "dataset": "sample", "model_uri": "models:/none/1", "conf": {}}
    event = SimpleNamespace(extra=extra, timestamp=datetime.now(UTC), source_run_id="manual__1")
    run = SimpleNamespace(dag_id=dag_id, run_type="manual", conf={})
    return (
        bag.dags[dag_id]
        .get_task("configure")
        .python_callable(
            dag_run=run,
            inlet_events={source: [event]},
            triggering_asset_events={},
            asset_state_store={source: {}},
        )
    )


@pytest.mark.parametrize("dag_id", list(CHAIN))
def test_a_pointer_that_was_left_behind_follows_the_log(bag, dag_id, tmp_path, monkeypatch):
    store = FileStore(tmp_path / "store")
    published.publish(store)
    store.delete(layout.CURRENT)
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path))
    configure(bag, dag_id)
    assert read_json(store, layout.CURRENT) == releases.current(store).to_json()


def test_a_champion_that_cannot_be_read_is_refused_by_the_tasks_after_the_first(bag, monkeypatch, tmp_path):
    """The first task has other events to announce again: it must end well."""
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path))
    plan = configure(bag, "score_users")
    assert plan["source"] == {"snapshot_id": "snap", "dataset": "sample", "model_uri": "models:/none/1"}
    with pytest.raises(ConfigError, match=r"is no ChampionRef: .*Nothing was started"):
        bag.dags["score_users"].get_task("publish").python_callable({}, {}, plan, outlet_events={})


def test_a_store_that_cannot_be_asked_is_for_later_tasks_to_report(bag, monkeypatch, caplog):
    monkeypatch.setenv("RECSYS_STORE_URL", "ftp://example.org")
    assert configure(bag, "train_model")["source"]["snapshot_id"] == "snap"
    assert "The pointer to the current release could not be looked at" in caplog.text
