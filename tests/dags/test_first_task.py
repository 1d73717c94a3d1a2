"""The first task of each DAG sets right what a killed publisher left behind."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import shared
from airflow.dag_processing.dagbag import DagBag

from recsys.config import CHAIN
from recsys.storage import layout, releases
from recsys.storage.store import FileStore
from recsys.storage.tables import read_json
from tests.explorer import published

SOURCES = dict(zip(CHAIN, (shared.RATINGS, shared.RATINGS, shared.CHAMPION, shared.RECOMMENDATIONS), strict=True))


@pytest.fixture(scope="module")
def bag():
    return DagBag(str(Path(shared.__file__).parent))


@pytest.mark.parametrize("dag_id", list(CHAIN))
def test_a_pointer_that_was_left_behind_follows_the_log(bag, dag_id, tmp_path, monkeypatch):
    store = FileStore(tmp_path / "store")
    published.publish(store)
    store.delete(layout.CURRENT)
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path))
    event = SimpleNamespace(extra={"snapshot_id": "snap"})
    run = SimpleNamespace(dag_id=dag_id, run_type="asset_triggered", conf={})
    configure = bag.dags[dag_id].get_task("configure").python_callable
    configure(dag_run=run, inlet_events={}, triggering_asset_events={SOURCES[dag_id]: [event]})
    assert read_json(store, layout.CURRENT) == releases.current(store)
