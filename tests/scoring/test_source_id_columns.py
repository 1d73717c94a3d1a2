"""Lists of a source with text ids are published with these ids, and read by them without this package."""

import duckdb
import pyarrow as pa
import pytest

from recsys import columns
from recsys.storage import layout, releases
from recsys.storage.tables import read_table, write_table
from recsys.webapp import queries, source_id_lookup
from tests.scoring.test_scoring_tasks import CONFIG, N_MOVIES, N_USERS, run_and_publish, store
from tests.storage.manifests import write_manifest

__all__ = ["store"]  # the fixture
pytestmark = pytest.mark.spark


@pytest.fixture
def named(store):
    """The snapshot with a dictionary of users and of movies."""
    rows = {}
    for name, n in (("user_ids", N_USERS), ("movie_ids", N_MOVIES)):
        schema = columns.ID_TABLES[name]
        table = [{schema.names[0]: i, "source_id": f"{name[0]}-{i:03}"} for i in range(n, 0, -1)]

        rows[name] = write_table(store, layout.snapshot_table("tiny-0123", name), pa.Table.from_pylist(table, schema))
    write_manifest(store, "tiny-0123", tables=rows)
    return store


def test_published_tables_have_the_sources_ids_beside_the_numbers(named, workspace):
    run_and_publish(workspace)
    for table, ids in {
        "recommendations": {"user_id": "u", "movie_id": "m"},
        "similar_movies": {"movie_id": "m", "similar_movie_id": "m"},
        "movies": {"movie_id": "m"},
    }.items():
        for key in releases.table_keys(named, table):
            for row in read_table(named, key).to_pylist():
                assert {row[f"source_{name}"] for name in ids} == {f"{ids[name]}-{row[name]:03}" for name in ids}
    version_id = releases.current(named).version_id
    version = named.local_path(layout.version(version_id))
    ranked = duckdb.sql(
        f"select rank, source_movie_id from '{version}/recommendations/*.parquet' "
        "where source_user_id = 'u-007' order by rank"
    ).fetchall()
    listed = queries.user_list(named, source_id_lookup.user_number(named, "u-007", version_id))
    assert ranked == [(row["rank"], row["source_movie_id"]) for row in listed]
    assert len(ranked) == CONFIG.k
