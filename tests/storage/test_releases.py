"""Publication is all or nothing, whoever reads meanwhile and whatever is killed half way."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import columns
from recsys.config import PROJECT_ROOT
from recsys.errors import DataError, NotFoundError
from recsys.storage import layout, releases
from recsys.storage.file_store import FileStore
from recsys.storage.tables import read_json, read_table, spark_table, write_table
from tests.storage.versions import lineage, write_file


def lists(version, n_rows=6):
    """Rows whose score names the version that wrote them."""
    users = [row // 3 + 1 for row in range(n_rows)]
    ranks = [row % 3 + 1 for row in range(n_rows)]
    values = [users, ranks, range(n_rows), [float(version)] * n_rows, [3.5] * n_rows, ["als"] * n_rows]
    arrays = [pa.array(column, field.type) for column, field in zip(values, columns.RECOMMENDATIONS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=columns.RECOMMENDATIONS)


def write(store, version_id, number=1, n_files=2):
    prefix = layout.version_table(version_id, "recommendations")
    return {"recommendations": [write_file(store, f"{prefix}/part-{n}.parquet", lists(number)) for n in range(n_files)]}


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "store")


def test_nothing_is_current_before_the_first_release(store):
    write(store, "v1")
    with pytest.raises(NotFoundError, match="holds no published tables yet"):
        releases.current(store)


def test_publishing_makes_a_version_current_with_manifest_and_lineage(store):
    files = write(store, "v1")
    release = releases.publish(store, "v1", files, lineage(model_version="m3"))

    assert (release.number, release.version_id, release.path) == (1, "v1", "version=v1")
    assert release.tables == {"recommendations": "version=v1/recommendations"}
    assert releases.current(store) == release == releases.Release.load(store, layout.CURRENT)
    manifest = releases.read_manifest(store, "v1")
    assert {name: [*rows] for name, rows in manifest.tables.items()} == files
    assert manifest.lineage == lineage(model_version="m3")
    assert releases.table_keys(store, "recommendations") == [row.key for row in files["recommendations"]]


def test_publishing_the_current_version_again_changes_nothing(store):
    files = write(store, "v1")
    first = releases.publish(store, "v1", files, lineage(run_id="1"))
    before = list(store.list())
    assert releases.publish(store, "v1", files, lineage(run_id="2")) == first
    assert list(store.list()) == before
    assert releases.read_manifest(store, "v1").lineage.run_id == "1"


def test_a_rollback_appends_a_release_that_names_the_older_version(store):
    for version_id in ("v1", "v2"):
        releases.publish(store, version_id, write(store, version_id), lineage())
    release = releases.rollback(store, "v1")

    assert (release.number, release.reason) == (3, "rollback")
    assert [past.version_id for past in releases.history(store)] == ["v1", "v2", "v1"]
    assert releases.current(store).version_id == read_json(store, layout.CURRENT)["version_id"] == "v1"


def test_a_version_that_was_never_published_cannot_be_rolled_back_to(store):
    releases.publish(store, "v1", write(store, "v1"), lineage())
    write(store, "v2")
    with pytest.raises(NotFoundError):
        releases.rollback(store, "v2")
    assert releases.current(store).version_id == "v1"


@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_a_version_with_a_missing_or_short_file_is_refused_and_the_current_one_stands(store, fault):
    releases.publish(store, "v1", write(store, "v1"), lineage())
    files = write(store, "v2")
    key = files["recommendations"][1].key
    store.delete(key)
    if fault == "truncated":
        store.put(key, b"PAR1")
    with pytest.raises(DataError, match=r"version v2: .*part-1\.parquet is missing or not"):
        releases.publish(store, "v2", files, lineage())
    assert [past.version_id for past in releases.history(store)] == ["v1"]
    assert not store.exists("tables/version=v2/manifest.json")


def test_a_publisher_that_died_before_the_release_is_finished_by_its_retry(store):
    files = write(store, "v1")
    # Its manifest was written, then it was killed: nobody sees the version yet.
    manifest = releases.VersionManifest(version_id="v1", created_at="2026-11-21", tables=files, lineage=lineage())
    manifest.write(store, "tables/version=v1/manifest.json")
    with pytest.raises(NotFoundError):
        releases.current(store)
    assert releases.publish(store, "v1", files, lineage()).number == 1


def test_the_pointer_is_repaired_by_whoever_publishes_next(store):
    releases.publish(store, "v1", write(store, "v1"), lineage())
    store.delete(layout.CURRENT)  # killed between the release and the pointer
    releases.publish(store, "v1", write_again(store, "v1"), lineage())
    assert read_json(store, layout.CURRENT)["version_id"] == "v1"


def write_again(store, version_id):
    return releases.read_manifest(store, version_id).tables


def test_publishers_racing_for_a_number_all_get_one_and_lose_none(store):
    versions = [f"v{n}" for n in range(8)]
    files = {version_id: write(store, version_id) for version_id in versions}
    start, results = threading.Barrier(8), []

    def publish(version_id):
        start.wait()
        results.append(releases.publish(store, version_id, files[version_id], lineage()).number)

    threads = [threading.Thread(target=publish, args=(version_id,)) for version_id in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(1, 9))
    assert sorted(past.version_id for past in releases.history(store)) == versions
    assert releases.Release.load(store, layout.CURRENT) == releases.history(store)[-1]


PUBLISHER = """
import itertools, os, sys
sys.path.insert(0, sys.argv[3])
from tests.storage.test_releases import lists
from tests.storage.versions import lineage, write_file
from pathlib import Path
from recsys.storage import layout, releases
from recsys.storage.file_store import FileStore
store = FileStore(Path(sys.argv[1]))
for number in itertools.count(int(sys.argv[2])):
    version_id = f"v{number:06d}"
    prefix = layout.version_table(version_id, "recommendations")
    rows = [write_file(store, f"{prefix}/part-{n}.parquet", lists(number, 3_000)) for n in range(3)]
    releases.publish(store, version_id, {"recommendations": rows}, lineage())
    print(number, flush=True)
"""


def read_whole(store):
    """The scores of the current release, read as any reader would: pointer, folder, files."""
    release = releases.current(store)
    folder = store.local_path(f"{layout.TABLES}/{release.tables['recommendations']}")
    table = pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet")))
    pointer = read_json(store, layout.CURRENT)
    assert store.exists(f"{layout.TABLES}/{pointer['path']}/{layout.MANIFEST}")
    return release.version_id, table


def test_a_reader_sees_whole_versions_only_while_publishers_are_killed_half_way(store):
    seen, mixed, errors, stop = set(), [], [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                version_id, table = read_whole(store)
            except NotFoundError:
                if seen:
                    errors.append("a release vanished")
                continue
            except (OSError, pa.ArrowException, AssertionError) as error:
                errors.append(repr(error))
                continue
            numbers = set(table.column("score").to_pylist())
            if numbers != {float(version_id[1:])} or table.num_rows != 9_000:  # 3 files of 3,000 rows
                mixed.append((version_id, numbers, table.num_rows))
            seen.add(version_id)

    reader = threading.Thread(target=read)
    reader.start()
    chance, number = random.Random(7), 0
    try:
        for _ in range(5):
            command = [sys.executable, "-c", PUBLISHER, store.url, str(number), str(PROJECT_ROOT)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
            process.stdout.readline()  # it is at work
            time.sleep(chance.uniform(0.05, 0.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            number += 100_000  # the next one writes other versions
            _, table = read_whole(store)  # readable at once after each kill
            assert table.num_rows == 9_000
    finally:
        stop.set()
        reader.join()
    assert (mixed, errors) == ([], [])
    assert len(seen) > 5


@pytest.fixture
def published(store):
    files = write(store, "v1", number=7)
    releases.publish(store, "v1", files, lineage())
    return store.local_path("tables/version=v1/recommendations")


def test_a_table_is_read_back_with_its_schema(store, published):
    key = releases.table_keys(store, "recommendations")[0]
    assert read_table(store, key).equals(lists(7))
    assert read_table(store, key, ["movie_id", "score"]).column_names == ["movie_id", "score"]


def test_duckdb_reads_a_version(published):
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.sql(
            f"select movie_id, rank, score, source from '{published}/*.parquet' where user_id = 2 order by all"
        ).fetchall()
    assert rows == [(movie, rank, 7.0, "als") for movie, rank in ((3, 1), (4, 2), (5, 3)) for _ in range(2)]


def test_polars_and_pandas_read_a_version(published):
    import pandas as pd
    import polars as pl

    expected = pa.concat_tables([lists(7)] * 2)
    assert pl.read_parquet(f"{published}/*.parquet").to_arrow().to_pylist() == expected.to_pylist()
    assert pd.read_parquet(published).to_dict("records") == expected.to_pylist()


@pytest.mark.spark
def test_spark_reads_a_version(published, spark):
    frame = spark.read.parquet(str(published))
    assert frame.count() == 12
    assert {field.name: field.dataType.simpleString() for field in frame.schema} == {
        "user_id": "int", "rank": "smallint", "movie_id": "int", "score": "float",
        "predicted_rating": "float", "source": "string",
    }  # fmt: skip


class FarStore(FileStore):
    """A store without files on this machine, as S3 is: Spark must read it through the workers."""

    def local_path(self, key):
        return None


@pytest.mark.spark
@pytest.mark.parametrize("kind", [FileStore, FarStore])
def test_spark_reads_objects_of_near_and_far_stores_alike(kind, tmp_path, spark):
    store = kind(tmp_path)
    moment = datetime(2025, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    rows = [{"user_id": n, "movie_id": n * 10, "rating": n / 2, "timestamp": moment} for n in range(1, 5)]
    for name, part in (("a", rows[:3]), ("b", rows[3:])):
        write_table(store, name, pa.Table.from_pylist(part, schema=columns.RATINGS))
    frame = spark_table(spark, store, ["a", "b"], columns.RATINGS)

    assert frame.orderBy("user_id").toArrow().cast(columns.RATINGS).to_pylist() == rows
    assert frame.schema == spark_table(spark, FileStore(tmp_path), ["a"], columns.RATINGS).schema
