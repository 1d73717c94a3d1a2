"""Plays, purchases and clicks through the ingest: summed for each user and movie, each row accounted for."""

import json

import pytest

from recsys.config import IngestConfig, TrainConfig
from recsys.errors import ConfigError, DataError
from recsys.ingest import tasks
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.snapshots import read_manifest
from recsys.storage.tables import read_json, read_table
from recsys.training.relevance import for_counts, on_scale

pytestmark = pytest.mark.spark

SECONDS = 1_543_727_664


def plays(n=400, count=lambda i: 2):
    rows = (f"{i % 30},{i % 7},{count(i)},{SECONDS + i}\n" for i in range(n))
    return "".join(["user,item,plays,time\n", *rows])


@pytest.fixture
def take_in(workspace, tmp_path):
    def run(text, name="mine.csv", **config):
        path = tmp_path / name
        path.write_text(text)
        asked = IngestConfig(**{"dataset": str(path), "min_ratings": 1, "rating_scale": "none", **config})
        archive = tasks.download(workspace, asked, f"i-{name}")
        if unchanged := tasks.find_unchanged(workspace, archive):
            return unchanged.snapshot.snapshot_id
        tasks.validate(workspace, tasks.parse(workspace, archive), asked)
        return tasks.publish(workspace, archive).snapshot_id

    return run


def held(settings, snapshot_id):
    """Counts by pair, the rows and the manifest."""
    store = open_store(settings.resolved_store_url)
    rows = read_table(store, layout.snapshot_table(snapshot_id, "ratings")).to_pylist()
    counts = {(row["user_id"], row["movie_id"]): row["rating"] for row in rows}
    assert len(counts) == len(rows)
    return counts, rows, read_json(store, layout.snapshot_manifest(snapshot_id))


def test_rows_of_a_pair_are_summed_at_their_latest_time_and_increments_add_to_them(settings, take_in):
    store = open_store(settings.resolved_store_url)
    text = plays(count=lambda i: {7: "0", 8: "-2", 9: "1e12", 10: "many"}.get(i, 2))
    base = take_in(text + f"3,3,5,{SECONDS + 9_000}\n3,3,1,{SECONDS + 500}\n", max_quarantined=0.02)
    counts, rows, manifest = held(settings, base)
    assert sum(counts.values()) == 2 * 396 + 6
    assert counts[3, 3] == 2 * 2 + 6  # rows 3 and 213, and the two that were added
    assert max(r["timestamp"].timestamp() for r in rows if (r["user_id"], r["movie_id"]) == (3, 3)) == SECONDS + 9_000
    assert manifest["summed"] == {"n_rows": 398, "n_pairs": len(counts), "lowest": 2.0, "highest": counts[3, 3]}
    assert manifest["counts"]["n_ratings"] == len(counts)
    assert manifest["quarantined"] == {"bad_count": 3, "malformed": 1}
    (account, *_) = manifest["lineage"]["files"]
    assert (account["n_in"], account["n_out"], account["n_quarantined"]) == (402, 398, 4)
    quarantine = read_table(store, layout.snapshot_table(base, "quarantine")).to_pylist()
    assert [row["fault"] for row in quarantine if row["line"] == 9] == [
        "the count is 0.0, not above 0 and at most 1,000,000,000"
    ]
    sentence = f"the counts of 398 rows are summed over {len(counts)} pairs of user and movie"
    assert sentence in json.loads(store.get("reports/validation/i-mine.csv.json"))["summed"]
    assert sentence in store.get("reports/validation/i-mine.csv.html").decode()

    week = "user,item,time\n" + f"3,3,{SECONDS + 9_500}\n" * 5  # and no column of counts
    more = take_in(week, "week.csv", append_to="latest", rating_scale="")
    after, _, second = held(settings, more)
    assert after == {**counts, (3, 3): counts[3, 3] + 5}
    assert second["summed"]["n_rows"] == len(counts) + 5
    assert second["quarantined"] == {}
    assert take_in(week, "week.csv", append_to="latest") == more  # the same file is not counted twice
    with pytest.raises(ConfigError, match=r"holds counts \(rating_scale=none\), and rating_scale=1-5/1 was given"):
        take_in(plays(), "stars.csv", append_to="latest", rating_scale="1-5/1")


def test_too_few_pairs_are_refused_however_many_rows_there_are(take_in):
    with pytest.raises(DataError, match=r"there are at least 50 pairs of user and movie \(found: .*\b7\b"):
        take_in("user,item,time\n" + "".join(f"1,{i % 7},{SECONDS + i}\n" for i in range(200)), min_ratings=50)


def test_snapshots_of_counts_have_another_id_than_before_they_were_summed_and_those_of_stars_the_same(
    workspace, tmp_path
):
    path = tmp_path / "a.csv"
    path.write_text("user,item,rating,time\n" + f"1,2,3,{SECONDS}\n")
    read = {
        scale: tasks.download(workspace, IngestConfig(dataset=str(path), rating_scale=scale), "i").reading.recipe()
        for scale in ("", "1-5/1", "none")
    }
    assert set(read[""]) == set(read["1-5/1"]) == {"columns", "rating_scale", "ratings_file", "base_snapshot_id"}
    assert read["none"]["counts"] == "summed"


def test_a_training_on_counts_asks_for_no_rating_model_and_finds_every_held_out_movie_relevant(settings, take_in):
    snapshot_id = take_in(plays(count=lambda i: 0.25 + i % 3))
    manifest = read_manifest(open_store(settings.resolved_store_url), snapshot_id)
    config = on_scale(TrainConfig(baselines=("svd", "bias_order")), manifest)
    assert not config.has_rating_model
    assert config.relevant_rating == 0.25
    assert config.preferences == ("root", "stars", "squared", "all")
    assert config.baselines == ("svd",)


def test_preferences_that_say_nothing_of_counts_are_left_out_or_refused():
    assert for_counts(TrainConfig(preferences=("liked", "all")), {}).preferences == ("all",)
    assert for_counts(TrainConfig(relevant_rating=5), {}).relevant_rating == 5  # five times and more
    with pytest.raises(ConfigError, match="preferences=liked,centred says nothing of counts"):
        for_counts(TrainConfig(preferences=("liked", "centred")), {})
