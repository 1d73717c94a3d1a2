"""Each fault, planted alone into healthy tables, fails exactly the expectation that is there for it."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from recsys import columns as c
from recsys.ingest.validation.check import check
from recsys.ingest.validation.limits import Limits
from recsys.ingest.validation.outcomes import N_SAMPLES
from recsys.ingest.validation.rules import KNOWN_MOVIES_VIEW, expect_no_rows
from tests.ingest.validation.healthy import LIMITS, NOW, THEN, tables

pytestmark = pytest.mark.spark


def faults(verdict):
    return [(outcome.table, outcome.expectation, outcome.column) for outcome in verdict.faults]


def test_healthy_tables_pass_every_rule(spark):
    verdict = check(tables(spark), LIMITS)
    assert [(o.rule, o.observed, o.exception) for o in verdict.outcomes if not o.success] == []
    assert verdict.success
    assert {outcome.table for outcome in verdict.outcomes} == set(c.SNAPSHOT_TABLES)
    assert all(outcome.reason and outcome.rule for outcome in verdict.outcomes)


NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
REGEX = "expect_column_values_to_match_regex"
QUERY = "unexpected_rows_expectation"


@pytest.mark.parametrize(
    ("table", "column", "values", "expectation", "columns", "n_unexpected", "sample"),
    [
        ("ratings", "user_id", [None, 1, 2, 3], NULL, "user_id", 1, "None"),
        ("ratings", "movie_id", [None, 20, 10, 20], NULL, "movie_id", 1, "None"),
        ("ratings", "rating", [None, 5, 3, 4.5], NULL, "rating", 1, "None"),
        ("ratings", "timestamp", [None, THEN, THEN, THEN], NULL, "timestamp", 1, "None"),
        ("ratings", "user_id", [-1, 1, 2, 3], BETWEEN, "user_id", 1, "-1"),
        ("ratings", "rating", [float("nan"), 5, 3, 4.5], IN_SET, "rating", 1, "nan"),
        ("ratings", "rating", [float("inf"), 5, 3, float("-inf")], IN_SET, "rating", 2, "inf"),
        ("ratings", "rating", [0.0, 5, 3, 4.5], IN_SET, "rating", 1, "0.0"),
        ("ratings", "rating", [5.5, 5, 3, 4.5], IN_SET, "rating", 1, "5.5"),
        ("ratings", "rating", [4.25, 5, 3, 4.5], IN_SET, "rating", 1, "4.25"),
        (
            "ratings",
            "movie_id",
            [10, 10, 10, 20],  # user 1 rates movie 10 twice: both rows are shown
            QUERY,
            "user_id, movie_id",
            2,
            "user_id 1, movie_id 10",
        ),
        ("ratings", "movie_id", [99, 20, 10, 20], QUERY, "user_id, movie_id, rating", 1, "user_id 1, movie_id 99"),
        (
            "ratings",
            "timestamp",
            [datetime(1994, 12, 31, tzinfo=UTC), THEN, THEN, THEN],
            BETWEEN,
            "timestamp",
            1,
            "1994",
        ),
        ("ratings", "timestamp", [datetime(2026, 1, 3, tzinfo=UTC), THEN, THEN, THEN], BETWEEN, "timestamp", 1, "2026"),
        ("movies", "movie_id", [10, 20, 20], "expect_column_values_to_be_unique", "movie_id", 2, "20"),
        ("movies", "title", ["Heat", None, "Alien"], NULL, "title", 1, "None"),
        ("movies", "title", ["Heat", "  ", "Alien"], REGEX, "title", 1, "  "),
        ("movies", "genres", [["Action"], None, []], NULL, "genres", 1, "None"),
        ("movies", "genres", [["Action"], ["Drama", " "], []], QUERY, "movie_id, genres", 1, "movie_id 20"),
        ("links", "movie_id", [10, 20, 20], "expect_column_values_to_be_unique", "movie_id", 2, "20"),
        ("links", "movie_id", [10, 20, 77], QUERY, "movie_id, imdb_id", 1, "movie_id 77"),
        ("links", "imdb_id", ["0113277", "tt0078748", None], REGEX, "imdb_id", 1, "0113277"),
        ("links", "tmdb_id", [0, 348, None], BETWEEN, "tmdb_id", 1, "0"),
        ("tags", "tag", ["heist", None], NULL, "tag", 1, "None"),
        ("tags", "tag", ["heist", " "], REGEX, "tag", 1, " "),
        ("tags", "movie_id", [10, 55], QUERY, "user_id, movie_id, tag", 1, "movie_id 55"),
        ("tags", "timestamp", [THEN, datetime(1970, 1, 17, tzinfo=UTC)], BETWEEN, "timestamp", 1, "1970"),
    ],
)
def test_one_fault_fails_the_one_rule_made_for_it(
    spark, table, column, values, expectation, columns, n_unexpected, sample
):
    names = dict.fromkeys([table, "movies"])  # the others have no part in it
    verdict = check(tables(spark, {(table, column): values}, names=names), LIMITS)
    assert not verdict.success
    ours = [o for o in verdict.faults if (o.table, o.expectation, o.column) == (table, expectation, columns)]
    assert len(ours) == 1, faults(verdict)
    assert ours[0].n_unexpected == n_unexpected
    assert any(sample in text for text in ours[0].samples), ours[0].samples
    assert verdict.errors == []
    assert faults(verdict) == [(table, expectation, columns)]


def test_fewer_ratings_than_asked_for_fail(spark):
    verdict = check(tables(spark, names=["ratings", "movies"]), Limits.at(NOW, min_ratings=5))
    assert faults(verdict) == [("ratings", "expect_table_row_count_to_be_between", "")]
    assert verdict.faults[0].observed == "4 rows"


def test_a_table_that_lost_rows_after_parsing_fails(spark):
    verdict = check(tables(spark, names=["movies", "tags"]), Limits.at(NOW, n_rows={"tags": 3}))
    assert faults(verdict) == [("tags", "expect_table_row_count_to_equal", "")]


def test_no_movies_at_all_fail_and_make_every_reference_unknown(spark):
    empty = {("movies", name): [] for name in c.MOVIES.names}
    verdict = check(tables(spark, empty), Limits.at(NOW))
    assert ("movies", "expect_table_row_count_to_be_between", "") in faults(verdict)
    assert {o.table for o in verdict.faults if o.expectation == QUERY} == {"ratings", "links", "tags", "details"}


def test_empty_links_and_tags_are_healthy(spark):
    empty = {(table, name): [] for table in ("links", "tags") for name in c.SNAPSHOT_TABLES[table].names}
    assert check(tables(spark, empty), Limits.at(NOW)).success


def test_an_implausible_year_warns_and_lets_the_table_pass(spark):
    verdict = check(tables(spark, {("movies", "year"): [1995, 1001, None]}, names=["movies"]), LIMITS)
    assert verdict.success
    assert [(o.column, o.samples) for o in verdict.warnings] == [("year", ("1001",))]


def test_a_missing_column_is_one_fault_and_what_reads_it_is_skipped(spark):
    shorter = pa.schema([field for field in c.staged_schema("ratings") if field.name != "rating"])
    verdict = check(tables(spark, schemas={"ratings": shorter}, names=["ratings", "movies"]), LIMITS)
    assert faults(verdict) == [("ratings", "expect_table_columns_to_match_set", "")]
    assert {o.column for o in verdict.skipped} == {"rating", "user_id, movie_id, rating"}
    assert verdict.errors == []


def test_movies_without_ids_leave_references_unchecked(spark):
    shorter = pa.schema([field for field in c.staged_schema("movies") if field.name != "movie_id"])
    verdict = check(tables(spark, schemas={"movies": shorter}), LIMITS)
    assert faults(verdict) == [("movies", "expect_table_columns_to_match_set", "")]
    assert {o.table for o in verdict.skipped if o.expectation == QUERY} == set(c.SNAPSHOT_TABLES)


@pytest.mark.parametrize(
    ("column", "arrow_type", "found"),
    [
        ("user_id", pa.int64(), "LongType"),
        ("rating", pa.float64(), "DoubleType"),
        ("timestamp", pa.int64(), "LongType"),
    ],
)
def test_another_type_is_one_fault_and_what_reads_the_column_is_skipped(spark, column, arrow_type, found):
    schema = pa.schema(
        [pa.field(f.name, arrow_type if f.name == column else f.type) for f in c.staged_schema("ratings")]
    )
    changes = {("ratings", "timestamp"): [1, 2, 3, 4]} if column == "timestamp" else {}
    verdict = check(tables(spark, changes, {"ratings": schema}, names=["ratings", "movies"]), LIMITS)
    assert faults(verdict) == [("ratings", "expect_column_values_to_be_of_type", column)]
    assert verdict.faults[0].observed == found
    assert column in {o.column for o in verdict.skipped}


def test_genres_that_are_numbers_fail(spark):
    schema = pa.schema(
        [pa.field(f.name, pa.list_(pa.int32()) if f.name == "genres" else f.type) for f in c.staged_schema("movies")]
    )
    verdict = check(
        tables(spark, {("movies", "genres"): [[1], [2, 3], []]}, {"movies": schema}, names=["movies"]), LIMITS
    )
    assert faults(verdict) == [("movies", QUERY, "movie_id, genres")]


def test_an_exception_inside_an_expectation_is_not_a_fault_of_the_data(spark, monkeypatch):
    from recsys.ingest.validation import suites

    broken = expect_no_rows("a rule with a typing error", "", "SELECT no_such_column FROM {batch}", [])
    monkeypatch.setitem(suites._SUITES, "links", lambda limits: [broken])
    verdict = check(tables(spark, names=["movies", "links"]), Limits.at(NOW))
    assert verdict.faults == []
    assert not verdict.success
    assert [outcome.rule for outcome in verdict.errors] == ["a rule with a typing error"]
    assert "no_such_column" in verdict.errors[0].exception


def test_samples_are_capped_however_many_rows_fail(spark):
    many = 40
    changes = {
        ("ratings", "user_id"): list(range(many)),
        ("ratings", "movie_id"): [1000 + i for i in range(many)],
        ("ratings", "rating"): [float(6 + i) for i in range(many)],
        ("ratings", "timestamp"): [THEN] * many,
    }
    verdict = check(tables(spark, changes, names=["ratings", "movies"]), Limits.at(NOW))
    assert {(o.expectation, o.n_unexpected, len(o.samples)) for o in verdict.faults} == {
        (IN_SET, many, N_SAMPLES),
        (QUERY, many, N_SAMPLES),
    }


def test_the_views_are_gone_afterwards(spark):
    check(tables(spark, names=["movies", "links"]), LIMITS)
    assert KNOWN_MOVIES_VIEW not in {view.name for view in spark.catalog.listTables()}
