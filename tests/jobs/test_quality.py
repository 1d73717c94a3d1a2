"""Validate over a real store: what is written, returned, refused and repeated."""

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from recsys import columns as c
from recsys.config import IngestConfig
from recsys.errors import DataError, NotFoundError, PermanentError
from recsys.jobs import quality
from recsys.storage import layout
from recsys.storage.store import open_store
from recsys.storage.tables import write_table

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
PARSED = {"ingest_id": "i-1", "dataset": "tiny", "is_invented": True, "staging": "staging/i-1"}
COUNTS = {f"n_{name}": len(columns["movie_id"]) for name, columns in TABLES.items()}
CONFIG = IngestConfig(min_ratings=3)
N_RULES = 67  # with the row counts of the four tables that have one


@pytest.fixture
def settings(tracked_settings):
    return tracked_settings


@pytest.fixture(autouse=True)
def _share_the_session(spark, monkeypatch):
    """Jobs end the session they start; here all share the one of the tests, which must outlive them."""
    monkeypatch.setattr(quality, "spark_session", lambda *_, **__: nullcontext(spark))


def stage(settings, **changes):
    store = open_store(settings.resolved_store_url)
    for name, schema in c.SNAPSHOT_TABLES.items():
        columns = {**TABLES[name], **changes.get(name, {})}
        write_table(store, layout.staging_table("i-1", name), pa.table(columns, schema=schema), overwrite=True)
    return store


def test_a_fault_writes_both_reports_and_names_what_to_do(settings):
    store = stage(settings, ratings={"rating": [4.0, float("nan"), 9.0]})
    with pytest.raises(DataError) as caught:
        quality.validate({**PARSED, **COUNTS}, CONFIG, settings)
    message = str(caught.value)
    assert f"1 of {N_RULES} expectations failed." in message
    assert "2 of 3 rows (66.667%); such as " in message
    assert "nan" in message
    assert "9.0" in message
    assert "Nothing was published" in message
    assert store.uri("reports/validation/i-1.html") in message
    assert "run ingest_ratings again" in message
    report = json.loads(store.get("reports/validation/i-1.json"))
    assert [o["expectation"] for o in report["outcomes"] if not o["success"]] == ["expect_column_values_to_be_in_set"]
    assert f"1 of {N_RULES} expectations failed." in store.get("reports/validation/i-1.html").decode()


def test_the_corrected_source_passes_and_replaces_the_reports_of_the_same_ingest(settings):
    store = stage(settings)
    for extension in ("html", "json"):
        store.put(layout.validation_report("i-1", extension), b"of an earlier attempt")
    result = quality.validate({**PARSED, **COUNTS}, CONFIG, settings)
    assert result == {"report": store.uri("reports/validation/i-1.html"), "n_expectations": N_RULES, "success": True}
    assert f"All {N_RULES} expectations hold." in Path(result["report"]).read_text()
    assert json.loads(store.get("reports/validation/i-1.json"))["success"] is True


def test_a_table_written_with_another_type_is_refused(settings):
    store = stage(settings)
    wide = pa.schema([pa.field(f.name, pa.int64() if f.name == "user_id" else f.type) for f in c.RATINGS])
    key = layout.staging_table("i-1", "ratings")
    write_table(store, key, pa.table(TABLES["ratings"], schema=wide), overwrite=True)
    with pytest.raises(DataError, match="user_id is stored as int32"):
        quality.validate(PARSED, CONFIG, settings)


def test_a_check_that_raises_is_a_permanent_error_but_no_data_error(settings):
    store = stage(settings)
    key = layout.staging_table("i-1", "tags")
    data = bytearray(store.get(key))
    data[4:40] = b"\xff" * 36  # the pages are damaged, the footer with the schema is whole
    store.put(key, bytes(data), overwrite=True)
    with pytest.raises(PermanentError, match="The data were not found wrong") as caught:
        quality.validate(PARSED, CONFIG, settings)
    assert not isinstance(caught.value, DataError)
    assert "could not be checked" in store.get("reports/validation/i-1.html").decode()


def test_a_missing_staged_table_is_named(settings):
    store = stage(settings)
    store.delete(layout.staging_table("i-1", "links"))
    with pytest.raises(NotFoundError, match=r"staging/i-1/links\.parquet"):
        quality.validate(PARSED, CONFIG, settings)
