"""Validate over a real store: what is written, returned, refused and repeated."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from recsys import columns as c
from recsys.config import IngestConfig
from recsys.errors import ConfigError, DataError, NotFoundError, PermanentError
from recsys.ingest import tasks
from recsys.messages import StagedTables, ValidationResult
from recsys.storage import layout
from recsys.storage.tables import read_table, write_table
from tests.ingest.two_movies import TABLES, THEN
from tests.storage.manifests import table_file, write_manifest

pytestmark = pytest.mark.spark

N_ROWS = {name: len(columns["movie_id"]) for name, columns in TABLES.items()}
CONFIG = IngestConfig(min_ratings=3)
N_RULES = 72  # with the row counts of all five tables


def staged(n_rows=N_ROWS, n_malformed=None, source_files=None, **changes):
    """What `parse` returned; `changes` are of the archive."""
    archive = {
        "ingest_id": "i-1",
        "dataset": "tiny",
        "archive_key": "archives/tiny/0123/tiny.zip",
        "sha256": "a" * 64,
        "size_bytes": 1,
        "source": "tests",
        "licence": "None.",
        "is_invented": True,
        "reading": {},
        "rating_scale": "0.5-5/0.5",
        "snapshot_id": "tiny-1",
    }
    tables = {"n_rows": n_rows, "n_malformed": n_malformed or {}, "source_files": source_files or {}}
    return StagedTables.read({"archive": {**archive, **changes}, **tables})


def stage(workspace, **changes):
    store = workspace.store
    for name in c.SNAPSHOT_TABLES:
        columns = {**TABLES[name], **changes.get(name, {})}
        columns["line"] = list(range(2, 2 + len(columns["movie_id"])))
        table = pa.table(columns, schema=c.staged_schema(name))
        write_table(store, layout.staging_table("i-1", name), table, overwrite=True)
    return store


def many_ratings(**changes):
    """Ratings of 200 users, one each: line 2 is that of user 0."""
    n = 200
    columns = {"user_id": list(range(n)), "movie_id": [10] * n, "rating": [4.0] * n, "timestamp": [THEN] * n}
    return {**columns, **changes}


def test_too_many_faulty_rows_write_both_reports_and_name_what_to_do(workspace):
    store = stage(workspace, ratings={"rating": [4.0, float("nan"), 9.0]})
    with pytest.raises(DataError) as caught:
        tasks.validate(workspace, staged(), CONFIG)
    message = str(caught.value)
    assert "ratings: 2 of 3 rows are faulty (66.7%: 2 off_scale), at most 1% may be." in message
    assert "Such as ratings line 3: rating is NaN, not one of 0.5, 1," in message
    assert "ratings line 4: rating is 9.0" in message
    assert "Nothing was published" in message
    assert store.uri("reports/validation/i-1.html") in message
    assert "max_quarantined" not in message  # leaving out what is on another scale is no way out
    assert "If the ratings are right, say their scale: rating_scale=" in message
    assert "run ingest_ratings again" in message
    report = json.loads(store.get("reports/validation/i-1.json"))
    assert [o["expectation"] for o in report["as_parsed"] if not o["success"]] == ["expect_column_values_to_be_in_set"]
    assert "Too many" in store.get("reports/validation/i-1.html").decode()
    assert b"ratings-as-parsed" in store.get("reports/data-docs/i-1/index.html")
    assert not store.exists(layout.staging_faults("i-1"))


def test_a_few_faulty_rows_are_set_aside_and_the_rest_passes(workspace):
    rating = [4.0] * 200
    rating[7] = 9.0
    store = stage(workspace, ratings=many_ratings(rating=rating))
    parsed = staged({**N_ROWS, "ratings": 200}, {"ratings": 1}, {"ratings": ["r.csv"]})
    result = tasks.validate(workspace, parsed, CONFIG)
    assert (result.n_quarantined, result.quarantined) == (1, {"off_scale": 1})
    faults = read_table(store, layout.staging_faults("i-1"))
    assert faults.schema.equals(c.QUARANTINE)
    assert faults.to_pylist() == [
        {
            "table": "ratings",
            "file": "r.csv",
            "line": 9,
            "reason": "off_scale",
            "fault": "rating is 9.0, not one of 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5",
            "content": None,
        }
    ]
    assert "2 rows are in quarantine" in Path(result.report_uri).read_text()


def test_the_corrected_source_passes_and_replaces_the_reports_of_the_same_ingest(workspace):
    store = stage(workspace)
    old = [layout.validation_report("i-1", "html"), layout.validation_report("i-1", "json")]
    for key in [*old, f"{layout.data_docs('i-1')}/validations/old.html"]:
        store.put(key, b"of an earlier attempt")
    result = tasks.validate(workspace, staged(), CONFIG)
    assert result == ValidationResult(
        report_uri=store.uri("reports/validation/i-1.html"),
        data_docs_uri=store.uri("reports/data-docs/i-1/index.html"),
        n_expectations=N_RULES,
        n_quarantined=0,
        quarantined={},
    )
    assert f"All {N_RULES} expectations hold." in Path(result.report_uri).read_text()
    assert json.loads(store.get("reports/validation/i-1.json"))["success"] is True
    assert read_table(store, layout.staging_faults("i-1")).num_rows == 0
    docs = list(store.list("reports/data-docs/i-1/"))
    assert len(docs) == 11  # the first page, and two for each of five tables
    assert all(key.endswith(".html") and "old" not in key for key in docs)


@pytest.mark.slow
def test_the_scale_and_the_counts_are_those_of_the_release(workspace):
    stage(workspace, ratings={"rating": [4.0, 2.0, 5.0]})
    frozen, growing = staged(release="ml-100k", rating_scale="1-5/1"), staged(release="ml-latest-small")
    with pytest.raises(DataError, match=r"ratings: with those in quarantine .* names: 100,000 here \(found: 3 rows\)"):
        tasks.validate(workspace, frozen, CONFIG)  # another number is a fault
    result = tasks.validate(workspace, growing, CONFIG)
    assert "3 warn" in Path(result.report_uri).read_text()


def test_a_scale_of_ones_own_is_held(workspace):
    stage(workspace)  # 2.5 stars are among them
    with pytest.raises(DataError, match=r"rating is 2\.5, not one of 1, 2, 3, 4, 5"):
        tasks.validate(workspace, staged(rating_scale="1-5/1"), IngestConfig(min_ratings=1))
    with pytest.raises(ConfigError, match="whole steps"):
        tasks.validate(workspace, staged(rating_scale="1-5/3"), IngestConfig())


@pytest.mark.slow
def test_drift_from_the_snapshot_before_fails_unless_the_data_are_invented(workspace):
    store = stage(workspace)
    before = pa.table({"rating": pa.array([1.0] * 50, pa.float32())})
    write_table(store, layout.snapshot_table("s-1", "ratings"), before)
    write_manifest(store, "s-1", tables={"ratings": table_file(layout.snapshot_table("s-1", "ratings"), 50)})
    after = {"previous_snapshot_id": "s-1"}
    with pytest.raises(DataError, match=r"the stars are spread as in s-1: they diverge by at most 0\.1 nats"):
        tasks.validate(workspace, staged(**after, is_invented=False), CONFIG)
    assert tasks.validate(workspace, staged(**after), CONFIG).n_quarantined == 0


def test_a_table_written_with_another_type_is_refused(workspace):
    store = stage(workspace)
    wide = pa.schema(
        [pa.field(f.name, pa.int64() if f.name == "user_id" else f.type) for f in c.staged_schema("ratings")]
    )
    key = layout.staging_table("i-1", "ratings")
    write_table(store, key, pa.table({**TABLES["ratings"], "line": [2, 3, 4]}, schema=wide), overwrite=True)
    with pytest.raises(DataError, match="user_id is stored as int32"):
        tasks.validate(workspace, staged({}), CONFIG)


def test_a_check_that_raises_is_a_permanent_error_but_no_data_error(workspace):
    store = stage(workspace)
    key = layout.staging_table("i-1", "tags")
    data = bytearray(store.get(key))
    data[4:40] = b"\xff" * 36  # the pages are damaged, the footer with the schema is whole
    store.put(key, bytes(data), overwrite=True)
    with pytest.raises(PermanentError, match="The data were not found wrong") as caught:
        tasks.validate(workspace, staged({}), CONFIG)
    assert not isinstance(caught.value, DataError)
    assert "could not be checked" in store.get("reports/validation/i-1.html").decode()


def test_a_missing_staged_table_is_named(workspace):
    store = stage(workspace)
    store.delete(layout.staging_table("i-1", "links"))
    with pytest.raises(NotFoundError, match=r"staging/i-1/links\.parquet"):
        tasks.validate(workspace, staged({}), CONFIG)
