"""Files of a team's own through the jobs: refused with the row and the setting, or published with the source's ids."""

import json

import pyarrow as pa
import pytest

from recsys.config import IngestConfig, TrainConfig
from recsys.errors import ConfigError, DataError
from recsys.ingest import tasks
from recsys.storage import layout, snapshots
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, read_table
from recsys.training.relevance import on_scale, relevant_on

pytestmark = pytest.mark.spark

SECONDS = 1_543_727_664


def table(n=200, user=lambda i: i, stars=lambda i: 4, time=lambda i: SECONDS + i):
    return "".join(["user,item,rating,time\n", *(f"{user(i)},{i % 7},{stars(i)},{time(i)}\n" for i in range(n))])


@pytest.fixture
def take_in(workspace, tmp_path):
    def run(text, name="mine.csv", **config):
        path = tmp_path / name
        path.write_text(text)
        asked = IngestConfig(dataset=str(path), **config)
        return ingest(workspace, asked, f"i-{name}")

    return run


def ingest(workspace, asked, ingest_id):
    archive = tasks.download(workspace, asked, ingest_id)
    tasks.validate(workspace, tasks.parse(workspace, archive), asked)
    return tasks.publish(workspace, archive).snapshot_id


def refusal(take_in, *args, **config):
    with pytest.raises(DataError) as caught:
        take_in(*args, **config)
    message = str(caught.value)
    assert len(message.splitlines()) <= 5
    return message


def test_unreadable_rows_are_shown_with_file_line_column_and_text_and_are_not_to_be_left_out(settings, take_in):
    message = refusal(take_in, table(stars=lambda i: "four" if i % 2 else 4))
    assert "ratings: 100 of 200 rows are faulty (50%: 100 malformed), at most 1% may be." in message
    assert "mine.csv line 3: rating is 'four', not a finite number (the row is '1,1,four,1543727665')" in message
    assert "and 98 more" in message
    assert "max_quarantined" not in message
    store = open_store(settings.resolved_store_url)
    report = json.loads(store.get("reports/validation/i-mine.csv.json"))
    (removal,) = report["quarantined"]
    assert removal["samples"][0]["content"] == "1,1,four,1543727665"
    assert "1,1,four,1543727665" in store.get("reports/validation/i-mine.csv.html").decode()
    pages = [store.get(key).decode() for key in store.list("reports/data-docs/") if key.endswith(".html")]
    assert any("every row of the file can be read" in page and "1,1,four,1543727665" in page for page in pages)
    assert read_table(store, layout.staging_table("i-mine.csv", "quarantine")).num_rows == 100


def test_times_of_another_kind_name_the_setting(take_in):
    message = refusal(take_in, table(time=lambda i: SECONDS * (1000 if i % 3 == 0 else 1)))
    assert "not a time in seconds (in milliseconds it is 2018-12-02 05:14:24 UTC)" in message
    assert "times=" in message


def test_ratings_off_the_scale_name_the_setting_and_the_scale_they_may_be_on(take_in):
    message = refusal(take_in, table(stars=lambda i: i % 10 + 1))
    assert "rating_scale=1-10/1, as the ratings go from 1 to 10 in whole steps" in message
    assert "max_quarantined" not in message


def test_the_scale_is_kept_with_the_snapshot_and_decides_what_is_relevant(settings, take_in):
    snapshot_id = take_in(table(stars=lambda i: i % 10 + 1), rating_scale="1-10/1")
    manifest = snapshots.read_manifest(open_store(settings.resolved_store_url), snapshot_id)
    assert manifest.rating_scale == "1-10/1"
    assert on_scale(TrainConfig(), manifest).relevant_rating == 8
    assert on_scale(TrainConfig(relevant_rating=7), manifest).relevant_rating == 7
    with pytest.raises(ConfigError, match=r"relevant_rating 11 is above the highest rating of the scale 1-10/1"):
        on_scale(TrainConfig(relevant_rating=11), manifest)


def test_splits_by_time_are_refused_without_times(settings, take_in):
    snapshot_id = take_in("user,item,rating\n" + "".join(f"{i},{i % 7},4\n" for i in range(200)), times="none")
    manifest = snapshots.read_manifest(open_store(settings.resolved_store_url), snapshot_id)
    assert on_scale(TrainConfig(), manifest).split == "random"
    for split in ("time", "last_n"):
        with pytest.raises(ConfigError, match=rf"times=none, so split={split} has no times to split by"):
            on_scale(TrainConfig(split=split), manifest)


def test_thumbs_count_as_relevant_from_one():
    assert relevant_on("0-1/1") == 1


def test_re_ratings_are_history_and_use_up_no_limit(settings, take_in):
    again = table() + table(stars=lambda i: 2, time=lambda i: SECONDS + 1000).partition("\n")[2]
    store = open_store(settings.resolved_store_url)
    snapshot_id = take_in(again)
    ratings = read_table(store, layout.snapshot_table(snapshot_id, "ratings"))
    assert (ratings.num_rows, set(ratings["rating"].to_pylist())) == (200, {2.0})
    manifest = read_json(store, layout.snapshot_manifest(snapshot_id))
    assert manifest["quarantined"] == {"superseded": 200}
    (account, *_) = manifest["lineage"]["files"]
    assert (account["n_in"], account["n_out"], account["n_quarantined"]) == (400, 200, 200)
    first = read_table(store, layout.snapshot_table(snapshot_id, "quarantine")).to_pylist()[0]
    assert (first["file"], first["line"], first["content"]) == ("mine.csv", 2, f"0,0,4,{SECONDS}")


@pytest.mark.slow
def test_an_increment_is_judged_by_its_own_rows_and_a_refused_one_leaves_the_base(settings, take_in):
    base = take_in(table(2_000))
    message = refusal(
        take_in, table(20, user=lambda i: 5_000 + i, stars=lambda i: 9 if i % 2 else 4), "week.csv", append_to="latest"
    )
    assert "ratings: 10 of 20 rows are faulty (50%: 10 off_scale), at most 1% may be." in message
    assert "another rating scale than the snapshot it is added to" in message
    assert snapshots.latest(open_store(settings.resolved_store_url)) == base


def test_faults_of_part_files_stand_in_the_quarantine_under_their_own_file_and_line(workspace, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "part-00000.csv").write_text(table(150))
    (folder / "part-00001.csv").write_text(table(150, user=lambda i: 1000 + i, stars=lambda i: 9 if i == 3 else 4))
    asked = IngestConfig(dataset=str(folder))
    snapshot_id = ingest(workspace, asked, "i-1")
    store = workspace.store
    (row,) = read_table(store, layout.snapshot_table(snapshot_id, "quarantine")).to_pylist()
    assert (row["file"], row["line"], row["reason"]) == ("part-00001.csv", 5, "off_scale")
    assert row["content"] == f"1003,3,9,{SECONDS + 3}"
    assert read_table(store, layout.snapshot_table(snapshot_id, "ratings")).num_rows == 299


def test_text_ids_are_kept_in_a_dictionary_that_an_increment_extends(settings, take_in):
    store = open_store(settings.resolved_store_url)
    base = take_in(table(user=lambda i: f"u{i:03}"))
    before = read_table(store, layout.snapshot_table(base, "user_ids"))
    assert before["source_id"].to_pylist() == [f"u{i:03}" for i in range(200)]
    assert "movie_ids" not in read_json(store, layout.snapshot_manifest(base))["tables"]
    more = take_in(table(150, user=lambda i: f"u{i + 100:03}"), "more.csv", append_to="latest")
    after = read_table(store, layout.snapshot_table(more, "user_ids"))
    assert after.slice(0, 200).equals(before)
    assert after["source_id"].to_pylist()[200:] == [f"u{i:03}" for i in range(200, 250)]
    ratings = read_table(store, layout.snapshot_table(more, "ratings"))
    assert len(pa.compute.unique(ratings["user_id"])) == 250


def test_files_left_in_a_folder_are_named_in_the_snapshot(workspace, tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "ratings.csv").write_text(table())
    (folder / "genome.csv").write_text("a,b\n1,2\n")
    asked = IngestConfig(dataset=str(folder))
    store = workspace.store
    manifest = read_json(store, layout.snapshot_manifest(ingest(workspace, asked, "i-1")))
    assert manifest["lineage"]["not_read"] == ["genome.csv"]
    assert (
        "Files that were not read, as they hold nothing of these tables: genome.csv."
        in store.get("reports/validation/i-1.html").decode()
    )
