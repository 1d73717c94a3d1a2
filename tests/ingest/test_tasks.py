"""From a data set's name to an immutable snapshot: whatever the source, once, and nothing half done."""

import zipfile

import numpy as np
import pyarrow as pa
import pytest

from recsys import columns
from recsys.config import IngestConfig
from recsys.errors import ConfigError, DataError, NotFoundError
from recsys.ingest import tasks
from recsys.ingest.formats import reading
from recsys.messages import UnchangedSource
from recsys.storage import layout, snapshots
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, read_table, write_json, write_table
from recsys.workspace import Workspace

SAMPLE = {"sample_users": 20, "sample_movies": 60, "sample_ratings": 500}
FILES = {
    "ratings.csv": "userId,movieId,rating,timestamp\n2,10,4.0,964982703\n1,11,3.0,964982703\n1,10,5.0,964982703\n",
    "movies.csv": "movieId,title,genres\n11,Heat (1995),Crime\n10,Toy Story (1995),Comedy\n12,Unseen (2000),Drama\n",
}


@pytest.fixture
def store(settings):
    return open_store(settings.resolved_store_url)


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path / "my-movies.zip")


def write_archive(path, **more):
    path.parent.mkdir(exist_ok=True, parents=True)
    with zipfile.ZipFile(path, "w") as zipped:
        for name, text in {**FILES, **more}.items():
            zipped.writestr(f"ml/{name}", text)
    return path


def run(dataset, settings, ingest_id="run-1", **more):
    workspace = Workspace(settings)
    downloaded = tasks.download(workspace, IngestConfig(dataset=str(dataset), **more), ingest_id)
    parsed = tasks.parse(workspace, downloaded)
    return downloaded, parsed, tasks.publish(workspace, downloaded)


def test_the_sample_becomes_a_snapshot_that_says_it_is_invented(settings, store):
    downloaded, parsed, published = run("sample", settings, **SAMPLE)
    assert (downloaded.dataset, downloaded.is_invented, published.is_invented) == ("sample", True, True)
    assert (parsed.n_rows["ratings"], published.n_users, parsed.n_rows["movies"], parsed.n_rows["links"]) == (
        500, 20, 60, 60,
    )  # fmt: skip
    assert published == snapshots.snapshot_ref(store, published.snapshot_id)
    for name, schema in columns.SNAPSHOT_TABLES.items():
        assert read_table(store, layout.snapshot_table(published.snapshot_id, name)).schema == schema


def test_a_snapshot_holds_who_has_seen_what_and_its_manifest_names_it(settings, store):
    snapshot_id = run("sample", settings, **SAMPLE)[2].snapshot_id
    ratings = read_table(store, layout.snapshot_table(snapshot_id, "ratings"))
    expected = {}
    for user, movie in zip(ratings["user_id"].to_pylist(), ratings["movie_id"].to_pylist(), strict=True):
        expected.setdefault(user, []).append(movie)
    seen = read_table(store, snapshots.seen_key(store, snapshot_id))
    assert seen.schema == columns.SEEN_LISTS
    assert {row["user_id"]: row["seen"] for row in seen.to_pylist()} == expected
    assert list(expected) == sorted(expected)
    tables = read_json(store, layout.snapshot_manifest(snapshot_id))["tables"]
    assert tables["seen"]["n_rows"] == 20  # one row per user


def test_the_log_begins_with_what_is_recognised_before_the_rows_are_read(settings, tmp_path, caplog):
    caplog.set_level("INFO")
    path = tmp_path / "mine.csv"
    path.write_text("user,item,rating,time\n1,10,4,0\n1,11,5,0\n")
    downloaded = tasks.download(Workspace(settings), IngestConfig(dataset=str(path)), "run-1")
    caplog.clear()
    tasks.parse(Workspace(settings), downloaded)
    said = [record.getMessage() for record in caplog.records]
    assert said[0].endswith("read as tabular")
    assert (
        said.index("scale: 1-5/1 by the first rows")
        < said.index("times: seconds")
        < said.index("counts: 2 ratings, 2 movies, 1 users, 0 malformed")
    )
    path.write_text("user,item,rating,time\n")  # no row: refused when it is read
    downloaded = tasks.download(Workspace(settings), IngestConfig(dataset=str(path)), "run-2")
    caplog.clear()
    with pytest.raises(DataError, match="holds no ratings"):
        tasks.parse(Workspace(settings), downloaded)
    assert "user is user_id, item is movie_id" in caplog.text


def test_running_again_finds_everything_done(settings, store):
    first = run("sample", settings, ingest_id="run-1", **SAMPLE)
    before = {key: store.local_path(key).stat().st_mtime_ns for key in store.list() if "run-2" not in key}
    assert run("sample", settings, ingest_id="run-1", **SAMPLE) == first
    second = run("sample", settings, ingest_id="run-2", **SAMPLE)
    assert second[2] == first[2]
    assert {key: store.local_path(key).stat().st_mtime_ns for key in store.list() if "run-2" not in key} == before


def test_another_seed_is_another_snapshot(settings):
    first = run("sample", settings, **SAMPLE)[2]
    second = run("sample", settings, ingest_id="run-2", sample_seed=7, **SAMPLE)[2]
    assert first.snapshot_id != second.snapshot_id
    assert first.fingerprint != second.fingerprint


def test_a_local_archive_is_named_by_its_file_and_sorted_by_user_then_movie(settings, store, archive):
    downloaded, parsed, published = run(archive, settings)
    assert (downloaded.dataset, downloaded.source, downloaded.is_invented) == (
        "my-movies",
        str(archive),
        False,
    )
    assert (parsed.n_rows["ratings"], published.n_users, parsed.n_rows["movies"]) == (
        3,
        2,
        3,
    )  # "Unseen" has no ratings
    ratings = read_table(store, layout.snapshot_table(published.snapshot_id, "ratings"))
    assert ratings.select(["user_id", "movie_id"]).to_pylist() == [
        {"user_id": 1, "movie_id": 10},
        {"user_id": 1, "movie_id": 11},
        {"user_id": 2, "movie_id": 10},
    ]
    movies = read_table(store, layout.snapshot_table(published.snapshot_id, "movies"))
    assert movies["movie_id"].to_pylist() == [10, 11, 12]
    assert np.all(np.isin(ratings["movie_id"], movies["movie_id"]))


def test_a_snapshot_remembers_where_it_came_from(settings, store, archive):
    downloaded, _, published = run(archive, settings)
    manifest = read_json(store, layout.snapshot_manifest(published.snapshot_id))
    lineage = manifest["lineage"]
    assert lineage["source"] == str(archive)
    assert lineage["sha256"] == downloaded.sha256 == published.sha256
    assert lineage["licence"] == "Unknown: the archive came from a local path; its own terms apply."
    assert lineage["parser_version"] == reading.PARSER_VERSION
    assert lineage["layout"] == "csv"
    assert lineage["files"][0] == {
        "file": "ml/ratings.csv",
        "table": "ratings",
        "n_in": 3,
        "n_out": 3,
        "n_quarantined": 0,
    }
    assert manifest["tables"]["ratings"]["n_rows"] == published.n_ratings == 3
    assert manifest["quarantined"] == {}
    about = {"snapshot_id", "created_at", "dataset", "is_invented", "previous_snapshot_id"}
    assert set(manifest) == about | {"counts", "rating_scale", "quarantined", "fingerprint", "tables", "lineage"}
    bytes_of = {"ingest_id", "source", "archive", "sha256", "size_bytes", "licence", "verified_by", "release"}
    read_as = {"reading", "contains", "base_snapshot_id", "layout", "parser_version", "files", "not_read"}
    assert set(lineage) == bytes_of | read_as


def test_a_folder_is_taken_like_its_archive(settings, archive, tmp_path):
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(tmp_path / "folder")
    from_zip = run(archive, settings)[2]
    from_folder = run(tmp_path / "folder", settings, ingest_id="run-2")[2]
    assert from_folder.dataset == "folder"
    assert from_folder.fingerprint == from_zip.fingerprint


def test_a_local_file_called_sample_is_not_taken_for_invented(settings, tmp_path):
    path = write_archive(tmp_path / "sample.zip")
    downloaded = tasks.download(Workspace(settings), IngestConfig(dataset=str(path)), "run-1")
    assert (downloaded.dataset, downloaded.is_invented) == ("local-sample", False)


def test_ids_of_airflow_runs_are_made_safe(settings, archive):
    downloaded = tasks.download(
        Workspace(settings), IngestConfig(dataset=str(archive)), "manual__2025-01-01T00:00:00+00:00"
    )
    assert downloaded.ingest_id == "manual__2025-01-01T00-00-00-00-00-31d00d8e"


def test_an_unknown_name_lists_the_known_ones(settings):
    with pytest.raises(ConfigError, match=r"'ml-latest-smal' is neither .* Known: sample, ml-latest-small, .*ml-100k"):
        run("ml-latest-smal", settings)


def test_a_path_that_is_not_there_is_named(settings, tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.zip: no such file or folder"):
        run(tmp_path / "gone.zip", settings)


@pytest.mark.parametrize("content", [b"<html>404</html>", b"", b"PK\x03\x04 cut short"])
def test_what_is_no_archive_leaves_no_trace(settings, store, tmp_path, content):
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match="Nothing was read or stored"):
        run(path, settings)
    assert list(store.list()) == []


def test_a_malformed_row_is_published_in_the_quarantine_with_its_line_and_text(settings, store, tmp_path):
    path = write_archive(tmp_path / "bad.zip", **{"ratings.csv": FILES["ratings.csv"] + "3,10,five,964982703\n"})
    parsed, published = run(path, settings)[1:]
    assert (parsed.n_rows["ratings"], parsed.n_malformed["ratings"], published.n_quarantined) == (3, 1, 1)
    assert read_table(store, layout.snapshot_table(published.snapshot_id, "quarantine")).to_pylist() == [
        {
            "table": "ratings",
            "file": "ml/ratings.csv",
            "line": 5,
            "reason": "malformed",
            "fault": "rating is 'five', not a finite number",
            "content": "3,10,five,964982703",
        }
    ]
    manifest = read_json(store, layout.snapshot_manifest(published.snapshot_id))
    (account,) = (file for file in manifest["lineage"]["files"] if file["table"] == "ratings")
    assert (account["n_in"], account["n_out"], account["n_quarantined"]) == (4, 3, 1)


def test_what_validation_took_out_is_quarantined_with_the_text_of_its_line(settings, store, archive):
    downloaded = tasks.download(Workspace(settings), IngestConfig(dataset=str(archive)), "run-1")
    parsed = tasks.parse(Workspace(settings), downloaded)
    fault = {"table": "ratings", "file": "ml/ratings.csv", "line": 3, "reason": "range", "fault": "too few stars"}
    faults = pa.Table.from_pylist([{**fault, "content": None}], schema=columns.QUARANTINE)
    write_table(store, layout.staging_faults("run-1"), faults)
    published = tasks.publish(Workspace(settings), parsed.archive)
    ratings = read_table(store, layout.snapshot_table(published.snapshot_id, "ratings"))
    assert ratings.select(["user_id", "movie_id"]).to_pylist() == [
        {"user_id": 1, "movie_id": 10},
        {"user_id": 2, "movie_id": 10},
    ]
    (row,) = read_table(store, layout.snapshot_table(published.snapshot_id, "quarantine")).to_pylist()
    assert row == {**fault, "content": "1,11,3.0,964982703"}
    manifest = read_json(store, layout.snapshot_manifest(published.snapshot_id))
    assert manifest["quarantined"] == {"range": 1}
    assert (manifest["lineage"]["files"][0]["n_out"], manifest["lineage"]["files"][0]["n_quarantined"]) == (2, 1)


def test_a_source_that_was_published_before_is_unchanged_whatever_its_name_or_run(settings, archive):
    downloaded, _, published = run(archive, settings)
    unchanged = tasks.find_unchanged(Workspace(settings), downloaded)
    said = f"{archive} is unchanged: snapshot {published.snapshot_id} holds its rows. Nothing is published."
    assert unchanged == UnchangedSource(snapshot=published, message=said)
    again = tasks.download(Workspace(settings), IngestConfig(dataset=str(archive)), "run-2")
    assert tasks.find_unchanged(Workspace(settings), again) == unchanged
    write_archive(archive, **{"ratings.csv": FILES["ratings.csv"] + "3,10,5.0,964982703\n"})
    changed = tasks.download(Workspace(settings), IngestConfig(dataset=str(archive)), "run-3")
    assert tasks.find_unchanged(Workspace(settings), changed) is None
    assert changed.previous_snapshot_id == published.snapshot_id


def test_another_way_of_reading_is_another_snapshot(settings, archive):
    plain = tasks.download(Workspace(settings), IngestConfig(dataset=str(archive)), "run-1")
    scaled = tasks.download(Workspace(settings), IngestConfig(dataset=str(archive), rating_scale="1-5/1"), "run-2")
    assert plain.snapshot_id != scaled.snapshot_id


INCREMENT = "user,movie,rating,timestamp\n1,10,1.5,964982800\n7,12,2.0,964982800\n"


def test_an_increment_gives_a_new_snapshot_and_leaves_the_old_one_as_it_is(settings, store, archive, tmp_path):
    base = run(archive, settings)[2]
    (tmp_path / "week-1.csv").write_text(INCREMENT)
    downloaded, parsed, published = run(tmp_path / "week-1.csv", settings, "run-2", append_to="latest")
    assert parsed.archive.previous_snapshot_id == base.snapshot_id != published.snapshot_id
    assert (published.dataset, published.n_ratings, published.n_users, published.n_movies) == (
        "my-movies", 4, 3, 3,
    )  # fmt: skip
    ratings = read_table(store, layout.snapshot_table(published.snapshot_id, "ratings"))
    assert ratings.select(["user_id", "movie_id", "rating"]).to_pylist()[0] == {
        "user_id": 1, "movie_id": 10, "rating": 1.5,
    }  # fmt: skip
    manifest = read_json(store, layout.snapshot_manifest(published.snapshot_id))
    assert manifest["quarantined"] == {"superseded": 1}
    assert manifest["lineage"]["contains"] == [base.sha256, downloaded.sha256]
    assert snapshots.snapshot_ref(store, base.snapshot_id) == base


def test_the_same_increment_is_not_added_twice(settings, archive, tmp_path):
    run(archive, settings)
    (tmp_path / "week-1.csv").write_text(INCREMENT)
    published = run(tmp_path / "week-1.csv", settings, "run-2", append_to="latest")[2]
    again = tasks.download(
        Workspace(settings), IngestConfig(dataset=str(tmp_path / "week-1.csv"), append_to="latest"), "run-3"
    )
    assert tasks.find_unchanged(Workspace(settings), again).snapshot.snapshot_id == published.snapshot_id


def test_an_increment_that_is_in_the_base_publishes_the_base_where_training_is_wanted_all_the_same(
    settings, store, archive, tmp_path
):
    run(archive, settings)
    (tmp_path / "week-1.csv").write_text(INCREMENT)
    published = run(tmp_path / "week-1.csv", settings, "run-2", append_to="latest")[2]
    config = IngestConfig(dataset=str(tmp_path / "week-1.csv"), append_to="latest", when_unchanged="train")
    again = tasks.download(Workspace(settings), config, "run-3")
    before = list(store.list())
    # As the DAG does: `compare` goes straight to `publish`, which has nothing staged.
    assert tasks.find_unchanged(Workspace(settings), again).snapshot.snapshot_id == published.snapshot_id
    assert tasks.publish(Workspace(settings), again) == published
    assert list(store.list()) == before


def test_an_increment_to_nothing_is_refused_before_anything_is_fetched(settings, store, archive):
    with pytest.raises(NotFoundError, match="holds no snapshot yet"):
        run(archive, settings, append_to="latest")
    with pytest.raises(NotFoundError, match=r"snapshots/none/manifest\.json"):
        run(archive, settings, append_to="none")
    assert list(store.list()) == []


def test_an_archive_altered_in_the_store_is_noticed(settings, store, archive):
    downloaded = tasks.download(Workspace(settings), IngestConfig(dataset=str(archive)), "run-1")
    write_archive(store.local_path(downloaded.archive_key), **{"tags.csv": "userId,movieId,tag,timestamp\n"})
    with pytest.raises(DataError, match=r"sha256 is .* Nothing was parsed"):
        tasks.parse(Workspace(settings), downloaded)


def test_a_publication_that_was_killed_half_way_is_finished_by_the_next(settings, store, archive):
    parsed = run(archive, settings)[1]
    snapshot_id = parsed.archive.snapshot_id
    whole = snapshots.snapshot_ref(store, snapshot_id)
    store.delete(layout.snapshot_manifest(snapshot_id))
    store.put(layout.snapshot_table(snapshot_id, "ratings"), b"half a file", overwrite=True)
    with pytest.raises(NotFoundError):
        snapshots.snapshot_ref(store, snapshot_id)
    assert tasks.publish(Workspace(settings), parsed.archive) == whole
    assert read_table(store, layout.snapshot_table(snapshot_id, "ratings")).num_rows == 3


def test_an_archive_whose_note_was_lost_is_taken_again(settings, store, archive):
    downloaded = tasks.download(Workspace(settings), IngestConfig(dataset=str(archive)), "run-1")
    store.delete(layout.archive_note(downloaded.archive_key))
    assert tasks.download(Workspace(settings), IngestConfig(dataset=str(archive)), "run-1") == downloaded


def test_a_note_of_an_earlier_version_is_enough(settings, store, archive):
    downloaded = tasks.download(Workspace(settings), IngestConfig(dataset=str(archive)), "run-1")
    key = layout.archive_note(downloaded.archive_key)
    note = read_json(store, key)
    for name in ("licence", "verified_by", "not_read", "md5"):
        del note[name]
    write_json(store, key, note, overwrite=True)
    again = tasks.download(Workspace(settings), IngestConfig(dataset=str(archive)), "run-1")
    assert again == downloaded.model_copy(update={"verified_by": ""})


def test_an_increment_to_a_snapshot_of_an_earlier_version_contains_both_sources(settings, store, archive, tmp_path):
    base = run(archive, settings)[2]
    key = layout.snapshot_manifest(base.snapshot_id)
    manifest = read_json(store, key)
    for name in ("contains", "reading", "verified_by", "not_read", "base_snapshot_id"):
        del manifest["lineage"][name]
    del manifest["rating_scale"], manifest["previous_snapshot_id"], manifest["quarantined"]
    write_json(store, key, manifest, overwrite=True)
    (tmp_path / "week-1.csv").write_text(INCREMENT)
    downloaded, _, published = run(tmp_path / "week-1.csv", settings, "run-2", append_to=base.snapshot_id)
    assert downloaded.contains == (base.sha256, downloaded.sha256)
    assert (downloaded.rating_scale, published.n_ratings) == ("0.5-5/0.5", 4)


def test_a_source_whose_snapshot_was_removed_meanwhile_is_not_called_unchanged(settings, store, archive):
    downloaded, _, published = run(archive, settings)
    store.delete(layout.snapshot_manifest(published.snapshot_id))
    for task in (tasks.unchanged, tasks.announce_champion):
        with pytest.raises(NotFoundError, match=r"was removed meanwhile\. Nothing was published"):
            task(Workspace(settings), downloaded)
