"""What the tasks of the ingest hand to each other is read whether this version wrote it or an earlier one."""

import json

import pytest

from recsys.errors import ConfigError
from recsys.ingest.snapshot_recipe import snapshot_name
from recsys.messages import FaultyRow, Reading, SnapshotRef, SourceArchive, StagedTables

# What `download` returned in an earlier version.
EARLIER = {
    "ingest_id": "run-1",
    "dataset": "mine",
    "archive": "archives/mine/0123/mine.zip",
    "sha256": "ab" * 32,
    "size_bytes": 91,
    "source": "/data/mine.zip",
    "is_invented": False,
    "licence": "Unknown",
    "verified_by": "nothing",
    "release": None,
    "contains": ["ab" * 32],
    "not_read": [],
    "reading": {"columns": {}, "rating_scale": "", "ratings_file": None, "base_snapshot_id": None},
    "rating_scale": "0.5-5/0.5",
    "snapshot_id": "mine-aab012055423",
    "previous_snapshot_id": None,
}
# An asset event of an earlier version, without the settings that travel with it.
EVENT = {
    "snapshot_id": "mine-aab012055423",
    "uri": "/store/snapshots/mine-aab012055423/manifest.json",
    "dataset": "mine",
    "is_invented": False,
    "n_ratings": 3,
    "n_users": 2,
    "n_movies": 3,
    "n_quarantined": 1,
    "sha256": "ab" * 32,
    "licence": "Unknown",
    "fingerprint": "f" * 64,
}


@pytest.mark.parametrize(
    ("reading", "snapshot_id"),
    [
        ({}, "mine-aab012055423"),
        (
            {"columns": {"user_id": "uid"}, "rating_scale": "1-10/1", "times": "iso", "ids": "text"},
            "mine-a360c9af5645",
        ),
        ({"rating_scale": "none", "counts": "summed"}, "mine-3a81f89a94ea"),
        (
            {"ratings_file": "ratings_small.csv", "base_snapshot_id": "my-movies-0123456789ab"},
            "mine-33e771f41dfb",
        ),
    ],
)
def test_snapshots_have_the_ids_that_earlier_versions_gave_them(reading, snapshot_id):
    assert snapshot_name("mine", "ab" * 32, Reading(**reading), "3") == snapshot_id


def test_an_archive_that_a_task_of_an_earlier_version_brought_is_read():
    archive = SourceArchive.read(EARLIER)
    assert archive.archive_key == EARLIER["archive"]
    assert archive.reading.recipe() == EARLIER["reading"]
    assert snapshot_name(archive.dataset, archive.sha256, archive.reading, "3") == archive.snapshot_id


def test_a_reading_keeps_what_is_set_on_its_way_and_leaves_out_what_is_empty():
    archive = SourceArchive.read({**EARLIER, "reading": {**EARLIER["reading"], "times": "iso"}})
    document = json.loads(json.dumps(archive.to_json()))
    assert document["reading"] == {**EARLIER["reading"], "times": "iso"}
    assert SourceArchive.read(document) == archive


def test_staged_tables_are_read_as_they_were_handed_over():
    row = FaultyRow(file="r.csv", line=3, reason="malformed", fault="rating is 'x'", content="1,2,x")
    staged = StagedTables(
        archive=SourceArchive.read(EARLIER),
        n_rows={"ratings": 3},
        n_malformed={"ratings": 1},
        malformed={"ratings": (row,)},
        n_base={"ratings": 0},
        source_files={"ratings": ("r.csv",)},
        not_read=("readme.csv",),
    )
    assert StagedTables.read(json.loads(json.dumps(staged.to_json()))) == staged


def test_events_are_read_and_written_as_by_earlier_versions():
    assert SnapshotRef.read(EVENT).to_json() == EVENT


@pytest.mark.parametrize(
    ("change", "field"),
    [({"n_ratings": "many"}, "n_ratings"), ({"snapshot_id": None}, "snapshot_id"), ({"run": 1}, "run")],
)
def test_an_event_that_makes_no_sense_is_refused_with_the_field(change, field):
    with pytest.raises(ConfigError, match=rf"is no SnapshotRef: {field}: .*Nothing was started"):
        SnapshotRef.read({**EVENT, **change})
