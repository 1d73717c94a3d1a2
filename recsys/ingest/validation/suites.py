"""What must hold for each parsed table, and why: five suites of Great Expectations, with the numbers of the release.

A further rule is one more entry in one of the five functions. The rules
about single rows are in `row_rules`, those about the snapshot before in `drift`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys import columns as c
from recsys.ingest.validation.drift import drift_rules
from recsys.ingest.validation.limits import Limits
from recsys.ingest.validation.row_rules import (
    count_above_zero,
    counted_from_zero,
    genres_are_words,
    ids_elsewhere,
    known_movies,
    not_blank,
    on_scale,
    plausible_time,
    rated_once,
    required,
    unique,
)
from recsys.ingest.validation.rules import SHAPE, expect, expect_no_rows

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

_FIRST_FILM_YEAR = 1874  # "Passage de Vénus", the oldest title in MovieLens


def suite(table: str, limits: Limits) -> list["Expectation"]:
    """Every expectation of one table of `recsys.columns.SNAPSHOT_TABLES`, in the order they are reported."""
    return [
        *_shape(table, c.staged_schema(table)),
        *_SUITES[table](limits),
        *_row_counts(table, limits),
        *drift_rules(table, limits),
    ]


def _shape(table: str, schema: pa.Schema) -> list["Expectation"]:
    """Columns and types. These are checked first: a rule about a missing or mistyped column says nothing."""
    rules = [
        expect(
            "ExpectTableColumnsToMatchSet",
            f"{table} has exactly the columns {', '.join(schema.names)}",
            "Every later step reads these columns by these names; an extra one is a parser that drifted.",
            stage=SHAPE,
            column_set=list(schema.names),
            exact_match=True,
        )
    ]
    rules += [
        expect(
            "ExpectColumnValuesToBeOfType",
            f"{field.name} is stored as {field.type}",
            "ALS takes 32-bit ids only."
            if field.name in (c.USER_ID, c.MOVIE_ID)
            else "Readers rely on the schema's types.",
            stage=SHAPE,
            column=field.name,
            type_=_spark_type(field.type),
        )
        for field in schema
    ]
    return rules


def _row_counts(table: str, limits: Limits) -> list["Expectation"]:
    rules = []
    if table in limits.n_rows:
        rules.append(
            expect(
                "ExpectTableRowCountToEqual",
                f"the table has the {limits.n_rows[table]:,} rows that were counted on the way here",
                "A difference means that rows were lost or doubled between two steps.",
                value=limits.n_rows[table],
            )
        )
    if table in limits.official:
        why = (
            "The release is frozen: another number is another file or a parser that lost rows."
            if limits.is_official_binding
            else "The publisher renews this release; another number is a newer file, or a truncated one."
        )
        rules.append(
            expect(
                "ExpectTableRowCountToEqual",
                f"with those in quarantine these are the rows the publisher names: {limits.official[table]:,} here",
                why,
                severity="critical" if limits.is_official_binding else "warning",
                value=limits.official[table],
            )
        )
    return rules


def _ratings(limits: Limits) -> list["Expectation"]:
    own = [on_scale(limits.stars), rated_once()] if limits.stars else [count_above_zero()]
    return [
        *required(c.USER_ID, c.MOVIE_ID, c.RATING, c.TIMESTAMP),
        *counted_from_zero(c.USER_ID, c.MOVIE_ID),
        *own,
        known_movies("ratings", [c.USER_ID, c.MOVIE_ID, c.RATING]),
        plausible_time(limits),
        _enough_ratings(limits) if limits.stars else _enough_pairs(limits),
    ]


_FEW = "Fewer is a truncated or a wrong source; a model fitted on them would only echo popularity."


def _enough_ratings(limits: Limits) -> "Expectation":
    return expect(
        "ExpectTableRowCountToBeBetween",
        f"there are at least {limits.min_ratings:,} ratings",
        _FEW,
        min_value=limits.min_ratings,
    )


def _enough_pairs(limits: Limits) -> "Expectation":
    """Of counts, whose rows are summed, the pairs are what a model learns from."""
    n_pairs = f"count(DISTINCT {c.USER_ID}, {c.MOVIE_ID})"
    return expect_no_rows(
        f"there are at least {limits.min_ratings:,} pairs of user and movie",
        _FEW,
        f"SELECT {n_pairs} AS n_pairs FROM {{batch}} HAVING {n_pairs} < {limits.min_ratings}",  # noqa: S608 - own names
        [c.USER_ID, c.MOVIE_ID],
    )


def _movies(limits: Limits) -> list["Expectation"]:
    return [
        *required(c.MOVIE_ID, c.TITLE, c.GENRES),
        *counted_from_zero(c.MOVIE_ID),
        unique("Titles are joined by this id; a doubled one would double every rating of that movie."),
        not_blank(c.TITLE, "People see titles, not ids; a blank one is a misread column."),
        genres_are_words(),
        expect(
            "ExpectColumnValuesToBeBetween",
            f"year, where the title names one, is from {_FIRST_FILM_YEAR} to {limits.latest.year + 5}",
            "A number in a title taken for its year; it would misplace a movie by decade and harm nothing else.",
            severity="warning",
            column=c.YEAR,
            min_value=_FIRST_FILM_YEAR,
            max_value=limits.latest.year + 5,
        ),
        expect(
            "ExpectTableRowCountToBeBetween",
            "there is at least one movie",
            "Without movies there is nothing to recommend.",
            min_value=1,
        ),
    ]


def _links(_: Limits) -> list["Expectation"]:
    return [
        *required(c.MOVIE_ID),
        unique("A movie with two links would fetch two posters and appear twice in the catalogue."),
        known_movies("links", [c.MOVIE_ID, c.IMDB_ID]),
        *ids_elsewhere(),
    ]


def _tags(limits: Limits) -> list["Expectation"]:
    return [
        *required(c.USER_ID, c.MOVIE_ID, c.TAG, c.TIMESTAMP),
        *counted_from_zero(c.USER_ID, c.MOVIE_ID),
        not_blank(c.TAG, "A blank tag says nothing and would top the list of tags."),
        known_movies("tags", [c.USER_ID, c.MOVIE_ID, c.TAG]),
        plausible_time(limits),
    ]


def _details(_: Limits) -> list["Expectation"]:
    return [
        *required(c.MOVIE_ID),
        unique("Details are joined by this id; a doubled one would double the movie."),
        known_movies("details", [c.MOVIE_ID, c.LANGUAGE]),
    ]


_SUITES: dict[str, Callable[[Limits], list["Expectation"]]] = {
    "ratings": _ratings,
    "movies": _movies,
    "links": _links,
    "tags": _tags,
    "details": _details,
}


def _spark_type(arrow_type: pa.DataType) -> str:
    from pyspark.sql.pandas.types import from_arrow_type

    return type(from_arrow_type(arrow_type)).__name__
