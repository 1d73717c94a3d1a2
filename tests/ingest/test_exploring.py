"""Explore over a real store: what is written, returned, refused and repeated."""

import pyarrow as pa
import pytest

from recsys import columns as c
from recsys.errors import NotFoundError
from recsys.ingest import exploring, tasks
from recsys.storage import layout
from recsys.storage.file_store import FileStore
from recsys.storage.snapshots import read_manifest
from recsys.storage.tables import read_json, write_json, write_table
from tests.ingest.two_movies import TABLES
from tests.storage.manifests import write_manifest

pytestmark = pytest.mark.spark


def snapshot(workspace, snapshot_id="tiny-1", tables=TABLES, **manifest):
    store = workspace.store
    for name, columns in tables.items():
        table = pa.table(columns, schema=c.SNAPSHOT_TABLES[name])
        write_table(store, layout.snapshot_table(snapshot_id, name), table)
    write_manifest(store, snapshot_id, **manifest)
    return store


def earlier(workspace, **manifest):
    """A snapshot of the day before with two of the three ratings, without details, as older ones are."""
    tables = {name: columns for name, columns in TABLES.items() if name != "details"}
    tables["ratings"] = {name: values[:2] for name, values in TABLES["ratings"].items()}
    return snapshot(workspace, "tiny-0", tables, **{"created_at": "2026-01-01T00:00:00+00:00", **manifest})


def test_explore_writes_the_report_and_logs_it_once(workspace):
    store = snapshot(workspace)
    first = tasks.explore(workspace, "tiny-1")
    assert first.report_uri == store.uri("reports/eda/tiny-1.html")
    run = workspace.tracking.get_run(first.mlflow_run_id)
    assert run["metrics"]["n_ratings"] == 3
    assert run["metrics"]["sparsity"] == 1 - 3 / (2 * 2)
    assert run["params"]["dataset"] == "tiny"
    assert run["tags"]["is_invented"] == "true"
    artifacts = list((workspace.settings.state_dir / "mlflow" / "artifacts").rglob("eda.html"))
    assert [path.read_bytes() for path in artifacts] == [store.get("reports/eda/tiny-1.html")]
    assert tasks.explore(workspace, "tiny-1") == first


def test_the_report_says_that_the_movies_are_invented_and_runs_no_title(workspace):
    store = snapshot(workspace)
    tasks.explore(workspace, "tiny-1")
    html = store.get("reports/eda/tiny-1.html").decode()
    assert "These movies are invented." in html
    assert "<script>alert" not in html


def test_a_snapshot_that_is_not_there_is_named(workspace):
    with pytest.raises(NotFoundError, match=r"snapshots/none/manifest\.json"):
        tasks.explore(workspace, "none")


def test_the_report_compares_with_the_snapshot_before_whose_summaries_are_computed_where_missing(workspace):
    store = earlier(workspace)
    snapshot(workspace)
    tasks.explore(workspace, "tiny-1")
    html = store.get("reports/eda/tiny-1.html").decode()
    assert "Since the snapshot before" in html
    assert "Heat (1995) gained 1: it went from 1 to 2." in html
    assert read_json(store, "reports/eda/tiny-0.json")["headline"]["n_ratings"] == 2
    assert read_json(store, "reports/eda/tiny-1.json")["tables"]["movies"] == {
        "movie_id": [10, 20],
        "n_ratings": [2, 1],
    }


def test_a_first_snapshot_says_nothing_of_one_before(workspace):
    store = snapshot(workspace)
    tasks.explore(workspace, "tiny-1")
    assert "Since the snapshot before" not in store.get("reports/eda/tiny-1.html").decode()


def test_the_stored_summaries_of_the_snapshot_before_are_enough(workspace):
    store = earlier(workspace)
    tasks.explore(workspace, "tiny-0")
    for key in list(store.list("snapshots/tiny-0/")):
        store.delete(key)
    snapshot(workspace, previous_snapshot_id="tiny-0")
    tasks.explore(workspace, "tiny-1")
    assert "Heat (1995) gained 1" in store.get("reports/eda/tiny-1.html").decode()


def test_a_snapshot_that_left_nothing_is_not_compared_with(workspace):
    store = snapshot(workspace, previous_snapshot_id="removed")
    write_json(store, layout.eda_report("removed", "json"), {"format": "of another version"})
    tasks.explore(workspace, "tiny-1")
    assert "Since the snapshot before" not in store.get("reports/eda/tiny-1.html").decode()


def test_the_snapshot_before_is_the_named_one_or_the_newest_of_the_same_data_made_earlier(tmp_path):
    store = FileStore(tmp_path)
    for at, dataset in (("2026-01-01", "a"), ("2026-01-02", "a"), ("2026-01-03", "b"), ("2026-01-05", "a")):
        write_manifest(store, f"{dataset}-{at}", dataset=dataset, created_at=at)

    def previous(dataset="a", at="2026-01-04", **more):
        write_manifest(store, "later", dataset=dataset, created_at=at, **more)
        found = exploring.previous_snapshot(store, read_manifest(store, "later"))
        store.delete(layout.snapshot_manifest("later"))
        return found

    assert previous() == "a-2026-01-02"
    assert previous(previous_snapshot_id="a-2026-01-01") == "a-2026-01-01"
    assert previous(previous_snapshot_id=None) is None  # it says that there is none to compare with
    assert previous(previous_snapshot_id="removed") == "a-2026-01-02"
    assert previous(at="2026-01-01") is None
    assert previous(dataset="c") is None
