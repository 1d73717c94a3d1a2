"""Single faulty rows are set aside with line and reason, what remains is checked again, and too many fail closed."""

import re
from datetime import timedelta

import pytest

from recsys import columns as c
from recsys.ingest.validation.limits import Limits
from recsys.ingest.validation.quarantine import examine
from tests.ingest.validation.healthy import NOW, THEN, tables

pytestmark = pytest.mark.spark

NEVER = float("nan")
RATED = ["ratings", "movies"]  # where the other tables play no part: each costs a second


def quarantined(found):
    """(table, line, reason) of every row that was set aside."""
    return [(row["table"], row["line"], row["reason"]) for row in found.faults.to_pylist()]


def ratings(*rows):
    """Changes that make these the ratings: (user, movie, stars, days after `THEN`), on lines from 2 on."""
    names = ("user_id", "movie_id", "rating", "timestamp")
    later = [
        (user, movie, stars, None if day is None else THEN + timedelta(days=day)) for user, movie, stars, day in rows
    ]
    return {("ratings", name): list(values) for name, values in zip(names, zip(*later, strict=True), strict=True)}


def one_off_the_scale(spark):
    """Four ratings, the first of 9 stars, and their movies."""
    return tables(spark, {("ratings", "rating"): [9.0, 5, 3, 4.5]}, names=RATED)


def test_healthy_tables_are_checked_once_and_lose_nothing(spark):
    found = examine(tables(spark), Limits.at(NOW), max_quarantined=0)
    assert found.success
    assert (found.second, found.removals, found.faults.num_rows) == (None, (), 0)


def test_every_kind_of_faulty_row_is_set_aside_with_its_line_and_reason(spark):
    changes = ratings(
        (1, 10, 4.0, 0),
        (None, 10, 4.0, 0),
        (-1, 10, 4.0, 0),
        (2, 10, 4.25, 0),
        (3, 10, NEVER, 0),
        (4, 10, 9.0, 0),
        (5, 99, 4.0, 0),
        (6, 10, 4.0, -36_500),
        (7, 10, 4.0, None),
    ) | {
        ("movies", "movie_id"): [10, 20, 10, 30, None, 40],
        ("movies", "title"): ["Heat", "Alien", "Heat again", " ", "Nameless", "Numbered"],
        ("movies", "year"): [1995, 1979, 1995, None, None, None],
        ("movies", "genres"): [["Action"], [], [], [], [], ["17"]],
        ("links", "movie_id"): [10, 20, 10, 77],
        ("links", "imdb_id"): ["tt1", "1", "tt2", "tt3"],
        ("links", "tmdb_id"): [1, 2, 3, 0],
        ("tags", "user_id"): [1, 1, 1],
        ("tags", "movie_id"): [10, 10, 30],  # 30 is known by a blank title only
        ("tags", "tag"): ["heist", "\t", "slow"],
        ("tags", "timestamp"): [THEN] * 3,
    }
    found = examine(tables(spark, changes), Limits.at(NOW), max_quarantined=0.9, files={"tags": ["tags.csv"]})
    assert found.success, found.verdict.faults
    assert quarantined(found) == [
        ("movies", 4, "duplicate"),
        ("movies", 5, "blank_title"),
        ("movies", 6, "missing"),
        ("movies", 7, "bad_genres"),
        ("ratings", 3, "missing"),
        ("ratings", 4, "negative_id"),
        ("ratings", 5, "off_scale"),
        ("ratings", 6, "off_scale"),
        ("ratings", 7, "off_scale"),
        ("ratings", 8, "unknown_movie"),
        ("ratings", 9, "implausible_time"),
        ("ratings", 10, "missing"),
        ("links", 3, "bad_imdb_id"),
        ("links", 4, "duplicate"),
        ("links", 5, "unknown_movie"),  # its tmdb_id is faulty as well: the first rule names the reason
        ("tags", 3, "blank_tag"),
        ("tags", 4, "unknown_movie"),
    ]
    rows = {(row["table"], row["line"]): row for row in found.faults.to_pylist()}
    assert found.faults.schema == c.QUARANTINE
    assert rows["ratings", 7]["fault"] == "rating is 9.0, not one of 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5"
    assert rows["movies", 4]["fault"] == "movie 10 stands on line 2 already"
    assert (rows["tags", 3]["file"], rows["ratings", 7]["file"], rows["tags", 3]["content"]) == ("tags.csv", None, None)


def test_of_several_ratings_the_latest_stays_then_the_lowest_on_the_page_and_a_faulty_one_never(spark):
    changes = ratings(
        (1, 10, 4.0, 5),  # line 2: latest by time
        (1, 10, 3.0, 1),
        (2, 10, 1.0, 0),
        (2, 10, 2.0, 0),  # line 5: same time, later line
        (3, 10, 5.0, 0),  # line 6: the only sound one
        (3, 10, 7.0, 9),
        (3, 20, 5.0, 0),
    )
    found = examine(tables(spark, changes, names=RATED), Limits.at(NOW), max_quarantined=0.5)
    assert found.success
    assert quarantined(found) == [
        ("ratings", 3, "superseded"),
        ("ratings", 4, "superseded"),
        ("ratings", 7, "off_scale"),
    ]
    assert found.faults["fault"].to_pylist()[0] == "user 1 rated movie 10 again: the rating on line 2 counts"


def test_a_movie_that_goes_takes_along_what_refers_to_it(spark):
    found = examine(
        tables(spark, {("movies", "title"): ["Heat", " ", "Untitled"]}), Limits.at(NOW), max_quarantined=0.9
    )
    assert found.success
    lost = {(table, reason) for table, _, reason in quarantined(found)}
    assert lost == {("movies", "blank_title")} | {(t, "unknown_movie") for t in ("ratings", "links", "details")}
    assert {o.table for o in found.second.outcomes} == set(c.SNAPSHOT_TABLES)


def test_only_tables_that_were_touched_are_checked_again(spark):
    limits = Limits.at(NOW, n_rows={"ratings": 4, "tags": 2}, official={"tags": 2}, is_official_binding=True)
    changed = tables(spark, {("tags", "tag"): ["heist", " "]}, names=[*RATED, "tags"])
    found = examine(changed, limits, max_quarantined=0.5)
    assert found.success
    assert {outcome.table for outcome in found.second.outcomes} == {"tags"}
    assert len(found.verdict.outcomes) == len(found.first.outcomes)
    counted = [o.rule for o in found.second.outcomes if "rows" in o.rule]
    assert any("1 rows" in rule for rule in counted)  # 2 less the one that was set aside
    assert any("1 here" in rule for rule in counted)


@pytest.mark.parametrize(("max_quarantined", "passes"), [(0.25, True), (0.24, False)])
def test_the_limit_is_a_share_of_the_rows_and_is_itself_allowed(spark, max_quarantined, passes):
    found = examine(one_off_the_scale(spark), Limits.at(NOW), max_quarantined=max_quarantined)
    assert found.success is passes
    assert [removal.table for removal in found.over] == ([] if passes else ["ratings"])
    assert found.faults.num_rows == (1 if passes else 0)
    assert found.removals[0].samples[0].line == 2


def test_malformed_rows_count_against_the_limit_too(spark):
    found = examine(one_off_the_scale(spark), Limits.at(NOW), max_quarantined=0.3, n_malformed={"ratings": 1})
    assert not found.success
    assert (found.over[0].n_out, found.over[0].n_in, found.over[0].share) == (2, 5, 0.4)


def test_malformed_rows_alone_can_be_too_many(spark):
    healthy = tables(spark, names=["movies", "links", "tags"])
    found = examine(healthy, Limits.at(NOW), max_quarantined=0.1, n_malformed={"tags": 1, "links": 0})
    assert not found.success
    assert [(removal.table, removal.share) for removal in found.over] == [("tags", 1 / 3)]


def test_a_fault_of_the_table_as_a_whole_takes_nothing_out(spark):
    limits = Limits.at(NOW, n_rows={"ratings": 5})
    found = examine(one_off_the_scale(spark), limits, max_quarantined=1)
    assert not found.success
    assert (found.second, found.faults.num_rows) == (None, 0)


def test_too_few_remaining_rows_fail_the_second_check(spark):
    found = examine(one_off_the_scale(spark), Limits.at(NOW, min_ratings=4), max_quarantined=1)
    assert not found.success
    assert not found.over
    assert [o.rule for o in found.verdict.faults] == ["there are at least 4 ratings"]


def test_lines_that_are_not_unique_fail_the_second_check_instead_of_losing_rows(spark):
    limits = Limits.at(NOW, n_rows={"ratings": 4})
    changes = {("ratings", "rating"): [9.0, 5, 3, 4.5], ("ratings", "line"): [2, 2, 3, 4]}
    found = examine(tables(spark, changes, names=RATED), limits, max_quarantined=1)
    assert not found.success
    assert [re.sub("[0-9]+", "N", o.rule) for o in found.verdict.faults] == [
        "the table has the N rows that were counted on the way here"
    ]


def test_every_reason_has_a_sample_however_rare_it_is(spark):
    many = [(user, 10, 9.0, 0) for user in range(30)]
    changes = ratings(*many, (31, 99, 4.0, 0))
    found = examine(tables(spark, changes, names=RATED), Limits.at(NOW), max_quarantined=0.5)
    assert found.over[0].by_reason == {"off_scale": 30, "unknown_movie": 1}
    assert {sample.reason for sample in found.over[0].samples} == {"off_scale", "unknown_movie"}
    assert len(found.over[0].samples) <= 12


def test_a_fault_quotes_no_more_than_a_line(spark):
    changes = {("links", "imdb_id"): ["x" * 10_000, "tt1", None]}
    found = examine(tables(spark, changes, names=["movies", "links"]), Limits.at(NOW), max_quarantined=0.5)
    assert len(found.faults["fault"][0].as_py()) == 300
