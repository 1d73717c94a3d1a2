"""Explore over a real store: what is written, returned, refused and repeated."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from recsys import columns as c
from recsys.errors import NotFoundError
from recsys.ingest import eda_task
from recsys.storage import layout
from recsys.storage.file_store import FileStore
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, write_json, write_table
from recsys.tracking.tracking import Tracking

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("_share_the_session")]

THEN = datetime(2015, 6, 1, 12, tzinfo=UTC)
TABLES = {
    "ratings": {"user_id": [1, 1, 2], "movie_id": [10, 20, 10], "rating": [4.0, 2.5, 5.0], "timestamp": [THEN] * 3},
    "movies": {
        "movie_id": [10, 20],
        "title": ["Heat (1995)", "<script>alert('title')</script>"],
        "year": [1995, None],
        "genres": [["Action"], []],
    },
    "links": {"movie_id": [10, 20], "imdb_id": ["tt0113277", None], "tmdb_id": [949, None]},
    "tags": {"user_id": [1], "movie_id": [10], "tag": ["heist"], "timestamp": [THEN]},
    "details": {"movie_id": [10], "language": ["en"], "keywords": [["heist"]], "directors": [[]], "actors": [[]]},
}


def snapshot(settings, snapshot_id="tiny-1", tables=TABLES, **manifest):
    store = open_store(settings.resolved_store_url)
    for name, columns in tables.items():
        table = pa.table(columns, schema=c.SNAPSHOT_TABLES[name])
        write_table(store, layout.snapshot_table(snapshot_id, name), table)
    about = {"dataset": "tiny", "is_invented": True, "created_at": "2026-01-02T00:00:00+00:00"}
    write_json(store, layout.snapshot_manifest(snapshot_id), about | manifest)
    return store


def earlier(settings, **manifest):
    """A snapshot of the day before with two of the three ratings, without details, as older ones are."""
    tables = {name: columns for name, columns in TABLES.items() if name != "details"}
    tables["ratings"] = {name: values[:2] for name, values in TABLES["ratings"].items()}
    return snapshot(settings, "tiny-0", tables, **{"created_at": "2026-01-01T00:00:00+00:00", **manifest})


def test_explore_writes_the_report_and_logs_it_once(settings):
    store = snapshot(settings)
    first = eda_task.explore("tiny-1", settings)
    assert first["report"] == store.uri("reports/eda/tiny-1.html")
    run = Tracking(settings).get_run(first["mlflow_run_id"])
    assert run["metrics"]["n_ratings"] == 3
    assert run["metrics"]["sparsity"] == 1 - 3 / (2 * 2)
    assert run["params"]["dataset"] == "tiny"
    assert run["tags"]["is_invented"] == "true"
    artifacts = list((settings.state_dir / "mlflow" / "artifacts").rglob("eda.html"))
    assert [path.read_bytes() for path in artifacts] == [store.get("reports/eda/tiny-1.html")]
    assert eda_task.explore("tiny-1", settings) == first


def test_the_report_says_that_the_movies_are_invented_and_runs_no_title(settings):
    store = snapshot(settings)
    eda_task.explore("tiny-1", settings)
    html = store.get("reports/eda/tiny-1.html").decode()
    assert "These movies are invented." in html
    assert "<script>alert" not in html


def test_a_snapshot_that_is_not_there_is_named(settings):
    with pytest.raises(NotFoundError, match=r"snapshots/none/manifest\.json"):
        eda_task.explore("none", settings)


def test_the_report_compares_with_the_snapshot_before_whose_summaries_are_computed_where_missing(settings):
    store = earlier(settings)
    snapshot(settings)
    eda_task.explore("tiny-1", settings)
    html = store.get("reports/eda/tiny-1.html").decode()
    assert "Since the snapshot before" in html
    assert "Heat (1995) gained 1: it went from 1 to 2." in html
    assert read_json(store, "reports/eda/tiny-0.json")["headline"]["n_ratings"] == 2
    assert read_json(store, "reports/eda/tiny-1.json")["tables"]["movies"] == {
        "movie_id": [10, 20],
        "n_ratings": [2, 1],
    }


def test_a_first_snapshot_says_nothing_of_one_before(settings):
    store = snapshot(settings)
    eda_task.explore("tiny-1", settings)
    assert "Since the snapshot before" not in store.get("reports/eda/tiny-1.html").decode()


def test_the_stored_summaries_of_the_snapshot_before_are_enough(settings):
    store = earlier(settings)
    eda_task.explore("tiny-0", settings)
    for key in list(store.list("snapshots/tiny-0/")):
        store.delete(key)
    snapshot(settings, previous_snapshot_id="tiny-0")
    eda_task.explore("tiny-1", settings)
    assert "Heat (1995) gained 1" in store.get("reports/eda/tiny-1.html").decode()


def test_a_snapshot_that_left_nothing_is_not_compared_with(settings):
    store = snapshot(settings, previous_snapshot_id="removed")
    write_json(store, layout.eda_report("removed", "json"), {"format": "of another version"})
    eda_task.explore("tiny-1", settings)
    assert "Since the snapshot before" not in store.get("reports/eda/tiny-1.html").decode()


def test_the_snapshot_before_is_the_named_one_or_the_newest_of_the_same_data_made_earlier(tmp_path):
    store = FileStore(tmp_path)
    for at, dataset in (("2026-01-01", "a"), ("2026-01-02", "a"), ("2026-01-03", "b"), ("2026-01-05", "a")):
        write_json(store, layout.snapshot_manifest(f"{dataset}-{at}"), {"dataset": dataset, "created_at": at})
    manifest = {"dataset": "a", "created_at": "2026-01-04"}

    def found(**more):
        return eda_task.previous_snapshot(store, "a-2026-01-04", manifest | more)

    assert found() == "a-2026-01-02"
    assert found(previous_snapshot_id="a-2026-01-01") == "a-2026-01-01"
    assert found(previous_snapshot_id=None) is None  # it says that there is none to compare with
    assert found(previous_snapshot_id="removed") == "a-2026-01-02"
    assert eda_task.previous_snapshot(store, "a-2026-01-01", manifest | {"created_at": "2026-01-01"}) is None
    assert eda_task.previous_snapshot(store, "c", manifest | {"dataset": "c"}) is None
