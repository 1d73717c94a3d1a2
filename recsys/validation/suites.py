"""What must hold for each parsed table, and why: four suites of Great Expectations.

Every expectation carries its rule as a sentence, its reason and the columns it reads in ``meta``, so that the
report can say in words what was broken and why it matters. Two severities: ``critical`` stops the ingest, ``warning``
is shown and lets it pass. A further rule is one more entry in one of the four functions below.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from recsys import columns as c

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

HALF_STARS = tuple(n / 2 for n in range(1, 11))
KNOWN_MOVIES_VIEW = "recsys_known_movies"

_FIRST_FILM_YEAR = 1874  # "Passage de Vénus", the oldest title in MovieLens


@dataclass(frozen=True)
class Limits:
    """The numbers the rules compare with.

    Attributes:
        latest: no timestamp may be later (UTC).
        earliest: nor earlier; MovieLens' oldest ratings are of January 1995.
        min_ratings: fewer rows in `ratings` fail it.
        stars: the values a rating may take, ascending.
        n_rows: rows the parser says it wrote, by table; tables that are not named are not compared.
    """

    latest: datetime
    earliest: datetime = datetime(1995, 1, 1, tzinfo=UTC)
    min_ratings: int = 1
    stars: tuple[float, ...] = HALF_STARS
    n_rows: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def at(cls, now: datetime, *, min_ratings: int = 1, n_rows: Mapping[str, int] | None = None) -> "Limits":
        """Limits for a check made at `now`: a day of grace for clocks and time zones.

        >>> Limits.at(datetime(2026, 1, 1, tzinfo=UTC)).latest.isoformat()
        '2026-01-02T00:00:00+00:00'
        """
        return cls(latest=now + timedelta(days=1), min_ratings=min_ratings, n_rows=n_rows or {})


def import_great_expectations() -> Any:
    """The library, silenced first: importing it before its logger is set writes 214 lines into a task's log."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations

    return great_expectations


def suite(table: str, limits: Limits) -> list["Expectation"]:
    """Every expectation of one table of `recsys.columns.SNAPSHOT_TABLES`, shape first."""
    rules = [*_shape(table, c.SNAPSHOT_TABLES[table]), *_SUITES[table](limits)]
    if table in limits.n_rows:
        rules.append(
            _expect(
                "ExpectTableRowCountToEqual",
                f"the table has the {limits.n_rows[table]:,} rows the parser counted",
                "A difference means that rows were lost or doubled between the parser and the store.",
                value=limits.n_rows[table],
            )
        )
    return rules


def _shape(table: str, schema: pa.Schema) -> list["Expectation"]:
    """Columns and types. These are checked first: a rule about a missing or mistyped column says nothing."""
    rules = [
        _expect(
            "ExpectTableColumnsToMatchSet",
            f"{table} has exactly the columns {', '.join(schema.names)}",
            "Every later step reads these columns by these names; an extra one is a parser that drifted.",
            is_shape=True,
            column_set=list(schema.names),
            exact_match=True,
        )
    ]
    rules += [
        _expect(
            "ExpectColumnValuesToBeOfType",
            f"{field.name} is stored as {field.type}",
            "ALS takes 32-bit ids only."
            if field.name in (c.USER_ID, c.MOVIE_ID)
            else "Readers rely on the schema's types.",
            is_shape=True,
            column=field.name,
            type_=_spark_type(field.type),
        )
        for field in schema
    ]
    return rules


def _ratings(limits: Limits) -> list["Expectation"]:
    return [
        *_required(c.USER_ID, c.MOVIE_ID, c.RATING, c.TIMESTAMP),
        *_counted_from_zero(c.USER_ID, c.MOVIE_ID),
        _expect(
            "ExpectColumnValuesToBeInSet",
            f"rating is one of {', '.join(f'{star:g}' for star in limits.stars)} stars",
            "MovieLens' scale: whole or half stars. One NaN or infinity turns every factor of the model into NaN; "
            "another scale would be read as taste.",
            column=c.RATING,
            value_set=list(limits.stars),
        ),
        _expect(
            "ExpectCompoundColumnsToBeUnique",
            "a user rates a movie once",
            "A doubled rating counts twice in the fit and can put the same fact into both train and holdout.",
            column_list=[c.USER_ID, c.MOVIE_ID],
        ),
        _known_movies("ratings", [c.USER_ID, c.MOVIE_ID, c.RATING]),
        _plausible_time(limits),
        _expect(
            "ExpectTableRowCountToBeBetween",
            f"there are at least {limits.min_ratings:,} ratings",
            "Fewer is a truncated or a wrong source; a model fitted on them would only echo popularity.",
            min_value=limits.min_ratings,
        ),
    ]


def _movies(limits: Limits) -> list["Expectation"]:
    return [
        *_required(c.MOVIE_ID, c.TITLE, c.GENRES),
        *_counted_from_zero(c.MOVIE_ID),
        _unique(c.MOVIE_ID, "Titles are joined by this id; a doubled one would double every rating of that movie."),
        _expect(
            "ExpectColumnValuesToMatchRegex",
            "title is not blank",
            "People see titles, not ids; a blank one is a misread column.",
            column=c.TITLE,
            regex=r"\S",
        ),
        _no_rows(
            "genres is a list of words",
            "A null, blank or numeric genre is a misread separator or an id; movies without genres have an empty list.",
            f"SELECT {c.MOVIE_ID}, {c.GENRES} FROM {{batch}} "  # noqa: S608 - our own column names
            rf"WHERE exists({c.GENRES}, g -> g IS NULL OR NOT g RLIKE '\\p{{{{L}}}}')",
            [c.MOVIE_ID, c.GENRES],
        ),
        _expect(
            "ExpectColumnValuesToBeBetween",
            f"year, where the title names one, is from {_FIRST_FILM_YEAR} to {limits.latest.year + 5}",
            "A number in a title taken for its year; it would misplace a movie by decade and harm nothing else.",
            severity="warning",
            column=c.YEAR,
            min_value=_FIRST_FILM_YEAR,
            max_value=limits.latest.year + 5,
        ),
        _expect(
            "ExpectTableRowCountToBeBetween",
            "there is at least one movie",
            "Without movies there is nothing to recommend.",
            min_value=1,
        ),
    ]


def _links(limits: Limits) -> list["Expectation"]:
    return [
        *_required(c.MOVIE_ID),
        _unique(c.MOVIE_ID, "A movie with two links would fetch two posters and appear twice in the catalogue."),
        _known_movies("links", [c.MOVIE_ID, c.IMDB_ID]),
        _expect(
            "ExpectColumnValuesToMatchRegex",
            "imdb_id, where known, is tt and digits",
            "Poster sources are addressed by it, zeros included; anything else asks for another page.",
            column=c.IMDB_ID,
            regex=r"^tt[0-9]+$",
        ),
        _expect(
            "ExpectColumnValuesToBeBetween",
            "tmdb_id, where known, is a positive number",
            "TMDB counts from 1; zero and below are placeholders that should be null.",
            column=c.TMDB_ID,
            min_value=1,
        ),
    ]


def _tags(limits: Limits) -> list["Expectation"]:
    return [
        *_required(c.USER_ID, c.MOVIE_ID, c.TAG, c.TIMESTAMP),
        *_counted_from_zero(c.USER_ID, c.MOVIE_ID),
        _expect(
            "ExpectColumnValuesToMatchRegex",
            "tag is not blank",
            "A blank tag says nothing and would top the list of tags.",
            column=c.TAG,
            regex=r"\S",
        ),
        _known_movies("tags", [c.USER_ID, c.MOVIE_ID, c.TAG]),
        _plausible_time(limits),
    ]


def _details(limits: Limits) -> list["Expectation"]:
    return [
        *_required(c.MOVIE_ID),
        _unique(c.MOVIE_ID, "Details are joined by this id; a doubled one would double the movie."),
        _known_movies("details", [c.MOVIE_ID, c.LANGUAGE]),
    ]


_SUITES: dict[str, Callable[[Limits], list["Expectation"]]] = {
    "ratings": _ratings,
    "movies": _movies,
    "links": _links,
    "tags": _tags,
    "details": _details,
}


def _required(*names: str) -> list["Expectation"]:
    return [
        _expect(
            "ExpectColumnValuesToNotBeNull",
            f"{name} is never null",
            "The row cannot be joined, fitted or shown without it.",
            column=name,
        )
        for name in names
    ]


def _counted_from_zero(*names: str) -> list["Expectation"]:
    return [
        _expect(
            "ExpectColumnValuesToBeBetween",
            f"{name} is not negative",
            "Ids are counted upwards; a negative one is an overflow or a misread column.",
            column=name,
            min_value=0,
        )
        for name in names
    ]


def _unique(name: str, reason: str) -> "Expectation":
    return _expect("ExpectColumnValuesToBeUnique", f"{name} is unique", reason, column=name)


def _known_movies(table: str, shown: list[str]) -> "Expectation":
    # An anti-join in Spark: a value set would ship every movie id through the driver.
    return _no_rows(
        f"every movie_id in {table} is in movies",
        "A movie without a title cannot be shown, so it must not be learned or recommended either.",
        f"SELECT {', '.join(f't.{name}' for name in shown)} FROM {{batch}} t "  # noqa: S608 - our own column names
        f"LEFT ANTI JOIN {KNOWN_MOVIES_VIEW} m ON t.{c.MOVIE_ID} = m.{c.MOVIE_ID} WHERE t.{c.MOVIE_ID} IS NOT NULL",
        shown,
        needs_movies=True,
    )


def _plausible_time(limits: Limits) -> "Expectation":
    return _expect(
        "ExpectColumnValuesToBeBetween",
        f"timestamp is from {limits.earliest:%Y-%m-%d} to {limits.latest:%Y-%m-%d %H:%M} UTC",
        "MovieLens' oldest ratings are of 1995; outside the span a unit was misread (seconds for milliseconds), "
        "which would scramble every split by time.",
        column=c.TIMESTAMP,
        min_value=limits.earliest,
        max_value=limits.latest,
    )


def _no_rows(rule: str, reason: str, query: str, reads: list[str], **meta: Any) -> "Expectation":
    return _expect("UnexpectedRowsExpectation", rule, reason, reads=reads, unexpected_rows_query=query, **meta)


def _expect(
    kind: str,
    rule: str,
    reason: str,
    *,
    severity: str = "critical",
    is_shape: bool = False,
    needs_movies: bool = False,
    reads: list[str] | None = None,
    **arguments: Any,
) -> "Expectation":
    import_great_expectations()
    import great_expectations.expectations as gxe

    reads = reads or arguments.get("column_list") or ([arguments["column"]] if "column" in arguments else [])
    meta = {"rule": rule, "reason": reason, "reads": reads, "is_shape": is_shape, "needs_movies": needs_movies}
    return getattr(gxe, kind)(notes=reason, meta=meta, severity=severity, **arguments)


def _spark_type(arrow_type: pa.DataType) -> str:
    from pyspark.sql.pandas.types import from_arrow_type

    return type(from_arrow_type(arrow_type)).__name__
