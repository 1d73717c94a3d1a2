"""The manifest of a snapshot is read whichever version wrote it, and one that makes no sense is refused."""

import pytest

from recsys.errors import DataError, NotFoundError
from recsys.messages import Reading, SnapshotRef
from recsys.storage import layout, snapshots
from recsys.storage.file_store import FileStore
from recsys.storage.tables import read_json
from tests.storage.manifests import table_file, write_manifest

SUMMED = {"n_rows": 9, "n_pairs": 3, "lowest": 1.0, "highest": 5.0}
ACCOUNT = {"file": "r.csv", "table": "ratings", "n_in": 5, "n_out": 3, "n_quarantined": 2}
WHOLE = {
    "previous_snapshot_id": None,
    "rating_scale": "none",
    "summed": SUMMED,
    "quarantined": {"malformed": 2},
    "tables": {"ratings": table_file("snapshots/tiny-1/ratings.parquet", 3)},
    "lineage": {
        "verified_by": "nothing",
        "release": None,
        "reading": {"columns": {}, "rating_scale": "none", "ratings_file": None, "base_snapshot_id": None},
        "contains": ["a" * 64],
        "base_snapshot_id": None,
        "layout": "tabular",
        "parser_version": "3",
        "files": [ACCOUNT],
        "not_read": ["readme.csv"],
    },
}


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path)


def test_a_manifest_is_written_again_as_it_was_read(store):
    for name, fields in (("whole", WHOLE), ("earlier", {})):
        write_manifest(store, name, **fields)
        document = read_json(store, layout.snapshot_manifest(name))
        assert snapshots.read_manifest(store, name).to_json() == document


def test_fields_that_earlier_manifests_lack_say_that_nothing_is_known(store):
    write_manifest(store, "earlier", tables={"ratings": table_file("snapshots/earlier/ratings.parquet")})
    manifest = snapshots.read_manifest(store, "earlier")
    assert (manifest.rating_scale, manifest.has_ratings, manifest.summed) == ("", True, None)
    assert (manifest.knows_previous, manifest.quarantined) == (False, {})
    assert (manifest.lineage.reading, manifest.lineage.contains) == (Reading(), ())
    assert snapshots.read_ids(store, "earlier") == {}
    assert snapshots.snapshot_ref(store, "earlier") == SnapshotRef(
        snapshot_id="earlier",
        uri=store.uri("snapshots/earlier/manifest.json"),
        dataset="tiny",
        is_invented=True,
        n_ratings=3,
        n_users=2,
        n_movies=2,
        sha256="a" * 64,
        licence="None.",
        fingerprint="f" * 64,
    )


def test_a_manifest_says_whether_there_is_a_snapshot_before(store):
    for name, fields in {"first": {"previous_snapshot_id": None}, "second": {"previous_snapshot_id": "first"}}.items():
        write_manifest(store, name, **fields)
        assert snapshots.read_manifest(store, name).knows_previous


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"counts": {"n_ratings": "many"}}, r"counts\.n_ratings"),
        ({"lineage": {"files": [{**ACCOUNT, "n_out": 4}]}}, r"lineage\.files\.0: .*lost rows"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused_with_its_address_and_the_field(store, fields, fault):
    write_manifest(store, "odd", **fields)
    with pytest.raises(DataError, match=rf"snapshots/odd/manifest\.json is no SnapshotManifest: {fault}"):
        snapshots.read_manifest(store, "odd")


def test_the_newest_snapshot_is_the_one_published_last_of_one_data_set_or_of_all(store):
    with pytest.raises(NotFoundError, match="holds no snapshot yet"):
        snapshots.latest(store)
    for name, dataset, created_at in (
        ("b-1", "b", "2026-01-03"),
        ("a-2", "a", "2026-01-02"),
        ("a-1", "a", "2026-01-01"),
    ):
        write_manifest(store, name, dataset=dataset, created_at=created_at)
    assert (snapshots.latest(store), snapshots.latest(store, "a")) == ("b-1", "a-2")
    assert snapshots.newest(snapshots.manifests(store), "c") is None
