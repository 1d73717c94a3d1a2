"""Plays, purchases and clicks: how often stands in the place of ratings, and is summed for each user and movie."""

import json

import pyarrow as pa
import pytest

from recsys.config import IngestConfig
from recsys.datasets.inspection import inspect_source
from recsys.errors import ConfigError, DataError
from recsys.jobs import ingest, quality, snapshots
from recsys.jobs.sources import how_of
from recsys.storage import layout
from recsys.storage.store import open_store
from recsys.storage.tables import read_json, read_table

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("_share_the_session")]

SECONDS = 1_543_727_664


def purchases(n=150, quantity=lambda i: i % 4 + 1, movie=lambda i: i % 7):
    rows = (f"{i % 30},{movie(i)},{quantity(i)},{SECONDS + i}\n" for i in range(n))
    return "".join(["customer_id,item,quantity,time\n", *rows])


def events(n=150):
    return "".join(["user,item,time\n", *(f"{i % 30},{i % 7},{SECONDS + i}\n" for i in range(n))])


@pytest.fixture
def take_in(settings, tmp_path):
    def run(text, name="mine.csv", **config):
        path = tmp_path / name
        path.write_text(text)
        asked = IngestConfig(**{"dataset": str(path), "min_ratings": 1, "rating_scale": "none", **config})
        parsed = ingest.parse(ingest.download(asked, f"i-{name}", settings), settings)
        quality.validate(parsed, asked, settings)
        return snapshots.publish(parsed, settings)["snapshot_id"]

    return run


def held(settings, snapshot_id):
    """Counts by pair, and the manifest."""
    store = open_store(settings.resolved_store_url)
    rows = read_table(store, layout.snapshot_table(snapshot_id, "ratings")).to_pylist()
    assert len({(row["user_id"], row["movie_id"]) for row in rows}) == len(rows)
    counts = {(row["user_id"], row["movie_id"]): row["rating"] for row in rows}
    return counts, read_json(store, layout.snapshot_manifest(snapshot_id))


def test_events_of_a_pair_are_summed_and_stand_at_their_latest_time(settings, take_in):
    text = events() + f"3,3,{SECONDS + 9_000}\n3,3,{SECONDS + 500}\n"
    snapshot_id = take_in(text)
    counts, manifest = held(settings, snapshot_id)
    assert sum(counts.values()) == 152
    assert counts[3, 3] == 1 + 2  # rows 3, and the two that were added
    assert manifest["summed"] == {"n_rows": 152, "n_pairs": len(counts), "lowest": 1.0, "highest": 3.0}
    assert (manifest["counts"]["n_ratings"], manifest["quarantined"]) == (len(counts), {})
    (account, *_) = manifest["lineage"]["files"]
    assert (account["n_in"], account["n_out"]) == (152, 152)
    store = open_store(settings.resolved_store_url)
    ratings = read_table(store, layout.snapshot_table(snapshot_id, "ratings"))
    latest = max(
        row["timestamp"].timestamp() for row in ratings.to_pylist() if (row["user_id"], row["movie_id"]) == (3, 3)
    )
    assert latest == SECONDS + 9_000
    sentence = f"the counts of 152 rows are summed over {len(counts)} pairs of user and movie"
    assert sentence in json.loads(store.get("reports/validation/i-mine.csv.json"))["summed"]
    assert sentence in store.get("reports/validation/i-mine.csv.html").decode()


@pytest.mark.parametrize("column", ["quantity", "Play Count", "listen_count", "weight", "rating"])
def test_a_column_of_counts_is_summed_under_the_names_people_use(settings, take_in, column):
    counts, manifest = held(settings, take_in(purchases().replace("quantity", column)))
    assert sum(counts.values()) == sum(i % 4 + 1 for i in range(150))
    assert manifest["summed"]["n_rows"] == 150


def test_a_column_of_counts_with_a_name_of_its_own_is_mapped(settings, take_in):
    counts, _ = held(settings, take_in(purchases().replace("quantity", "often"), columns={"rating": "often"}))
    assert sum(counts.values()) == sum(i % 4 + 1 for i in range(150))


def test_two_columns_that_may_say_how_often_are_asked_for(take_in):
    text = purchases().replace("quantity,", "quantity,plays,").replace("time\n", "time\n", 1)
    lines = [text.splitlines()[0], *(f"{line},1" for line in text.splitlines()[1:])]
    with pytest.raises(DataError, match=r"columns quantity and plays could both be rating.*columns=rating=quantity"):
        take_in("\n".join(lines) + "\n")


def test_counts_that_are_not_above_zero_are_faulty_rows_with_their_reason(settings, take_in):
    text = purchases(400, lambda i: {7: "0", 8: "-2", 9: "1e12", 10: "many"}.get(i, 2))
    with pytest.raises(DataError) as caught:
        take_in(purchases(40, lambda i: -1 if i % 2 else 1))
    assert "the count is -1.0, not above 0 and at most 1,000,000,000" in str(caught.value)
    assert "raise max_quarantined if these rows may be left out" in str(caught.value)
    counts, manifest = held(settings, take_in(text, "more.csv"))
    assert manifest["quarantined"] == {"bad_count": 3, "malformed": 1}
    assert sum(counts.values()) == 2 * 396
    assert manifest["summed"]["n_rows"] == 396


def test_too_few_pairs_are_refused_however_many_rows_there_are(take_in):
    with pytest.raises(DataError, match=r"there are at least 50 pairs of user and movie \(found: .*\b7\b"):
        take_in("user,item,time\n" + "".join(f"1,{i % 7},{SECONDS + i}\n" for i in range(200)), min_ratings=50)


def test_an_increment_adds_its_counts_to_those_of_its_base(settings, take_in):
    base = take_in(events())
    before, first = held(settings, base)
    more = take_in("user,item,time\n" + f"3,3,{SECONDS + 9_000}\n" * 5, "week.csv", append_to="latest", rating_scale="")
    after, second = held(settings, more)
    assert after == {**before, (3, 3): before[3, 3] + 5}
    assert second["summed"]["n_rows"] == first["counts"]["n_ratings"] + 5
    assert second["quarantined"] == {}
    again = take_in("user,item,time\n" + f"3,3,{SECONDS + 9_000}\n" * 5, "week.csv", append_to="latest")
    assert again == more  # the same file is not counted twice


def test_counts_and_ratings_cannot_be_in_one_snapshot(take_in):
    take_in(events())
    with pytest.raises(ConfigError, match=r"holds counts \(rating_scale=none\), and rating_scale=1-5/1 was given"):
        take_in(events(), "week.csv", append_to="latest", rating_scale="1-5/1")


def test_a_second_snapshot_of_counts_is_not_compared_by_its_stars(settings, take_in):
    first = take_in(purchases())
    second = take_in(purchases(quantity=lambda i: 500 + i))
    _, manifest = held(settings, second)
    assert manifest["previous_snapshot_id"] == first
    assert held(settings, take_in(purchases(quantity=lambda i: i % 5 + 1), rating_scale="1-5/1"))[1]["rating_scale"]


def test_inspect_proposes_none_for_counts_and_says_what_is_summed(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(purchases())
    asked = {"dataset": str(path)}
    unread = inspect_source(path, how_of(IngestConfig(**asked)))
    assert "rating_scale=none (then quantity says how often)" in unread.doubts[0]
    mapped = inspect_source(path, how_of(IngestConfig(**asked, columns={"rating": "quantity"})))
    assert mapped.doubts[0] == "quantity seems to say how often, not how somebody liked it; say rating_scale=none"
    found = inspect_source(path, how_of(IngestConfig(**asked, rating_scale="none")))
    n_pairs = len({(i % 30, i % 7) for i in range(150)})
    assert found.scale == (
        f"none: nobody rated, quantity says how often; 150 rows of {n_pairs} pairs of user and movie, whose counts are "
        "summed"
    )
    assert not [doubt for doubt in found.doubts if "again" in doubt or "stars" in doubt]


def test_snapshots_of_stars_keep_their_ids_and_of_counts_get_new_ones(settings, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(events())
    plain, counted = (
        ingest.download(IngestConfig(dataset=str(path), rating_scale=scale), f"i-{scale[:1]}", settings)["reading"]
        for scale in ("1-5/1", "none")
        if scale == "none" or not path.write_text(purchases().replace("quantity", "rating"))
    )
    assert set(counted) - set(plain) == {"counts"}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_counts_are_read_from_parquet_too(settings, tmp_path, take_in, kind):
    if kind == "parquet":
        table = pa.table({"user": [1, 1, 2], "item": [5, 5, 6], "plays": [2, 3, 4], "time": [SECONDS] * 3})
        pa.parquet.write_table(table, tmp_path / "a.parquet")
        asked = IngestConfig(dataset=str(tmp_path / "a.parquet"), rating_scale="none", min_ratings=1)
        parsed = ingest.parse(ingest.download(asked, "i-p", settings), settings)
        quality.validate(parsed, asked, settings)
        snapshot_id = snapshots.publish(parsed, settings)["snapshot_id"]
    else:
        snapshot_id = take_in(f"user,item,plays,time\n1,5,2,{SECONDS}\n1,5,3,{SECONDS}\n2,6,4,{SECONDS}\n")
    assert held(settings, snapshot_id)[0] == {(1, 5): 5.0, (2, 6): 4.0}
