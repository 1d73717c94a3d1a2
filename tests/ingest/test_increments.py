"""An increment replaces what it says anew, adds what is new, and accounts for every row of both sides."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from recsys import columns as c
from recsys.ingest.increments import SUPERSEDED, append
from recsys.ingest.parsers.parsed_tables import Parsed
from recsys.storage.snapshots import FileAccount

THEN = datetime(2020, 1, 1, tzinfo=UTC)
LATER = THEN + timedelta(days=1)


def tables(**filled):
    return {
        name: pa.table(filled[name], schema=schema) if name in filled else schema.empty_table()
        for name, schema in c.SNAPSHOT_TABLES.items()
    }


def increment(files, **filled):
    staged = {
        name: table.append_column(c.LINE, pa.array(range(2, table.num_rows + 2), pa.int64()))
        for name, table in tables(**filled).items()
    }
    accounts = tuple(FileAccount(file, name, n := staged[name].num_rows, n, 0) for name, file in files.items())
    return Parsed("tabular", staged, c.QUARANTINE.empty_table(), accounts, dict(files))


def ratings(*rows):
    users, movies, stars, times = zip(*rows, strict=True)
    return {"user_id": users, "movie_id": movies, "rating": stars, "timestamp": times}


def movies(*rows):
    ids, titles = zip(*rows, strict=True)
    return {"movie_id": ids, "title": titles, "year": [None] * len(ids), "genres": [[]] * len(ids)}


BASE = tables(
    ratings=ratings((1, 10, 4.0, THEN), (1, 11, 3.0, LATER), (2, 10, 5.0, THEN)),
    movies=movies((10, "Heat (1995)"), (11, "Alien (1979)")),
)


def values(table, *names):
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def test_a_later_rating_replaces_the_one_of_the_same_user_and_movie_an_earlier_one_does_not():
    new = increment(
        {"ratings": "new.csv"}, ratings=ratings((1, 10, 2.0, LATER), (1, 11, 1.0, THEN), (3, 10, 1.5, THEN))
    )
    both = append(BASE, new, "b-1")
    # (1, 11) of the increment is older than the base's: it stays, as a duplicate for the validation to take out.
    assert values(both.tables["ratings"], "user_id", "movie_id", "rating", "line") == [
        (1, 11, 3.0, -2), (2, 10, 5.0, -3), (1, 10, 2.0, 2), (1, 11, 1.0, 3), (3, 10, 1.5, 4),
    ]  # fmt: skip
    assert values(both.quarantine, "table", "file", "line", "reason") == [("ratings", "snapshot b-1", 1, SUPERSEDED)]


def test_every_row_of_the_base_and_of_the_increment_is_accounted_for():
    new = increment({"ratings": "new.csv"}, ratings=ratings((1, 10, 2.0, LATER), (3, 10, 1.5, THEN)))
    both = append(BASE, new, "b-1")
    accounts = {(a.file, a.table): (a.n_in, a.n_out, a.n_quarantined) for a in both.files}
    assert accounts["new.csv", "ratings"] == (2, 2, 0)
    assert accounts["snapshot b-1", "ratings"] == (3, 2, 1)
    assert accounts["snapshot b-1", "movies"] == (2, 2, 0)
    assert {name: table.schema for name, table in both.tables.items()} == {n: c.staged_schema(n) for n in both.tables}
    for table in both.tables.values():
        assert len(set(table["line"].to_pylist())) == table.num_rows


def test_a_record_of_a_movie_replaces_the_one_with_its_id_but_a_bare_number_does_not():
    named = {"ratings": ratings((3, 12, 1.5, THEN))}
    told = increment({"ratings": "n.csv", "movies": "movies.csv"}, movies=movies((10, "Heat (remastered)")), **named)
    assert values(append(BASE, told, "b").tables["movies"], "movie_id", "title") == [
        (11, "Alien (1979)"),
        (10, "Heat (remastered)"),
    ]
    bare = increment({"ratings": "n.csv"}, movies=movies((10, "Movie 10"), (12, "Movie 12")), **named)
    both = append(BASE, bare, "b")
    assert values(both.tables["movies"], "movie_id", "title") == [
        (10, "Heat (1995)"),
        (11, "Alien (1979)"),
        (12, "Movie 12"),
    ]
    assert both.quarantine.num_rows == 0


def test_a_tag_that_was_there_already_is_not_added_twice():
    tag = {"user_id": [1], "movie_id": [10], "tag": ["heist"], "timestamp": [THEN]}
    both = append(tables(tags=tag), increment({"tags": "t.csv"}, tags=tag), "b")
    assert values(both.tables["tags"], "tag", "line") == [("heist", 2)]


def test_an_empty_increment_changes_nothing():
    both = append(BASE, increment({}), "b")
    assert both.tables["ratings"].drop_columns(["line"]) == BASE["ratings"]
    assert both.quarantine.num_rows == 0
