"""Explore over a real store: what is written, returned, refused and repeated."""

from contextlib import nullcontext
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from recsys import columns as c
from recsys.errors import NotFoundError
from recsys.jobs import exploration
from recsys.storage import layout
from recsys.storage.store import open_store
from recsys.storage.tables import write_json, write_table
from recsys.tracking import Tracking

pytestmark = pytest.mark.spark

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


@pytest.fixture
def settings(tracked_settings):
    return tracked_settings


@pytest.fixture(autouse=True)
def _share_the_session(spark, monkeypatch):
    """Jobs end the session they start; here all share the one of the tests, which must outlive them."""
    monkeypatch.setattr(exploration, "spark_session", lambda *_, **__: nullcontext(spark))


def snapshot(settings, **manifest):
    store = open_store(settings.resolved_store_url)
    for name, schema in c.SNAPSHOT_TABLES.items():
        write_table(store, layout.snapshot_table("tiny-1", name), pa.table(TABLES[name], schema=schema))
    write_json(store, layout.snapshot_manifest("tiny-1"), {"dataset": "tiny", "is_invented": True, **manifest})
    return store


def test_explore_writes_the_report_and_logs_it_once(settings):
    store = snapshot(settings)
    first = exploration.explore("tiny-1", settings)
    assert first["report"] == store.uri("reports/eda/tiny-1.html")
    run = Tracking(settings).get_run(first["mlflow_run_id"])
    assert run["metrics"]["n_ratings"] == 3
    assert run["metrics"]["sparsity"] == 1 - 3 / (2 * 2)
    assert run["params"]["dataset"] == "tiny"
    assert run["tags"]["is_invented"] == "true"
    artifacts = list((settings.state_dir / "mlflow" / "artifacts").rglob("eda.html"))
    assert [path.read_bytes() for path in artifacts] == [store.get("reports/eda/tiny-1.html")]
    assert exploration.explore("tiny-1", settings) == first


def test_the_report_says_that_the_movies_are_invented_and_runs_no_title(settings):
    store = snapshot(settings)
    exploration.explore("tiny-1", settings)
    html = store.get("reports/eda/tiny-1.html").decode()
    assert "These movies are invented." in html
    assert "<script>alert" not in html


def test_a_snapshot_that_is_not_there_is_named(settings):
    with pytest.raises(NotFoundError, match=r"snapshots/none/manifest\.json"):
        exploration.explore("none", settings)
