"""Files in which nobody rated: a column says how often, under the names people use, or each row counts as 1."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import columns as c
from recsys.config import IngestConfig
from recsys.errors import DataError
from recsys.ingest import increments
from recsys.ingest.formats.reading import read_source
from recsys.ingest.formats.tabular import ReadOptions
from recsys.ingest.inspection import inspect_source
from recsys.ingest.parsers.counts import summed
from recsys.ingest.snapshot_recipe import reading_of

SECONDS = 1_543_727_664
COUNTS = ReadOptions(has_ratings=False)


def write(folder, column="quantity", more=""):
    path = folder / "mine.csv"
    rows = [(1, 10, 2), (1, 10, 3), (2, 11, 1)]
    body = "".join(f"{user},{movie},{n},{SECONDS + i}\n" for i, (user, movie, n) in enumerate(rows))
    path.write_text(f"customer_id,item,{column},time\n{body}{more}")
    return path


def pairs(parsed):
    """Counts by pair, as they are published."""
    rows = parsed.tables["ratings"].drop_columns([c.LINE]).cast(c.RATINGS).sort_by([("user_id", "ascending")])
    return {(row["user_id"], row["movie_id"]): row["rating"] for row in summed(rows).to_pylist()}


@pytest.mark.parametrize("column", ["quantity", "Play Count", "listen_count", "weight", "clicks", "rating"])
def test_a_column_of_counts_is_found_under_the_names_people_use(tmp_path, column):
    assert pairs(read_source(write(tmp_path, column), COUNTS)) == {(1, 10): 5.0, (2, 11): 1.0}


def test_a_column_of_counts_with_a_name_of_its_own_is_mapped(tmp_path):
    path = write(tmp_path, "often")
    assert pairs(read_source(path, ReadOptions({"rating": "often"}, has_ratings=False))) == {(1, 10): 5.0, (2, 11): 1.0}
    assert pairs(read_source(path, COUNTS)) == {(1, 10): 2.0, (2, 11): 1.0}  # not known: each row counts as 1


def test_two_columns_that_may_say_how_often_are_asked_for(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(f"user,item,plays,weight,time\n1,10,2,0.5,{SECONDS}\n")
    with pytest.raises(DataError, match=r"columns plays and weight could both be rating.*columns=rating=plays"):
        read_source(path, COUNTS)


def test_a_count_that_is_no_number_is_a_malformed_row_with_its_text(tmp_path):
    parsed = read_source(write(tmp_path, more=f"3,12,many,{SECONDS}\n3,13,,{SECONDS}\n"), COUNTS)
    faults = [(row["line"], row["fault"]) for row in parsed.quarantine.to_pylist()]
    assert faults == [
        (5, "quantity is 'many', not a finite number"),
        (6, "quantity is '', not a finite number"),
    ]


def test_counts_are_read_from_parquet_too(tmp_path):
    times = pa.array([SECONDS] * 3, pa.int64())
    pq.write_table(
        pa.table({"user": [1, 1, 2], "item": [5, 5, 6], "plays": [2, 3, 4], "time": times}), tmp_path / "a.parquet"
    )
    assert pairs(read_source(tmp_path / "a.parquet", COUNTS)) == {(1, 5): 5.0, (2, 6): 4.0}


def test_names_of_counts_are_none_of_ratings(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(f"user,item,rating,views,time\n1,10,4.5,700,{SECONDS}\n")
    assert read_source(path).tables["ratings"]["rating"].to_pylist() == [4.5]


def test_inspect_proposes_none_for_counts_and_says_what_is_summed(tmp_path):
    path = write(tmp_path)
    asked = {"dataset": str(path)}
    unread = inspect_source(path, ReadOptions.of(reading_of(IngestConfig(**asked))))
    assert "rating_scale=none (then quantity says how often)" in unread.doubts[0]
    mapped = inspect_source(path, ReadOptions.of(reading_of(IngestConfig(**asked, columns={"rating": "quantity"}))))
    assert mapped.doubts[0] == "quantity seems to say how often, not how somebody liked it; say rating_scale=none"
    found = inspect_source(path, ReadOptions.of(reading_of(IngestConfig(**asked, rating_scale="none"))))
    assert found.scale == (
        "none: nobody rated, quantity says how often; 3 rows of 2 pairs of user and movie, whose counts are summed"
    )
    assert not [doubt for doubt in found.doubts if "again" in doubt or "stars" in doubt]


def test_counts_of_an_increment_replace_nothing(tmp_path):
    increment = read_source(write(tmp_path), COUNTS)
    base = {name: table.drop_columns([c.LINE]) for name, table in increment.tables.items()}
    added = increments.append(base, increment, "base", has_ratings=False)
    assert pairs(added) == {(1, 10): 10.0, (2, 11): 2.0}
    assert "ratings" not in added.quarantine["table"].to_pylist()
    replaced = increments.append(base, increment, "base")
    assert "ratings" in replaced.quarantine["table"].to_pylist()
