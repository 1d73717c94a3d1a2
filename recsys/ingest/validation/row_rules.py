"""The rules that single rows break: an expectation that counts the faulty ones, and the SQL that finds them.

Both say the same, once for Great Expectations and once for the quarantine; what is left over is checked by the
expectations again, so a difference between the two cannot let a faulty row pass.
"""

from typing import TYPE_CHECKING

from recsys import columns as c
from recsys.ingest.validation.limits import Limits
from recsys.ingest.validation.rules import (
    DUPLICATE,
    KNOWN_MOVIES_VIEW,
    REPEATED_RATINGS_VIEW,
    SUPERSEDED,
    RowFault,
    expect,
    expect_no_rows,
)
from recsys.rating_scales import HALF_STARS, LARGEST_COUNT

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


def required(*names: str) -> list["Expectation"]:
    return [
        expect(
            "ExpectColumnValuesToNotBeNull",
            f"{name} is never null",
            "The row cannot be joined, fitted or shown without it.",
            row=RowFault("missing", f"{name} IS NULL", f"'{name} is missing'"),
            column=name,
        )
        for name in names
    ]


def counted_from_zero(*names: str) -> list["Expectation"]:
    return [
        expect(
            "ExpectColumnValuesToBeBetween",
            f"{name} is not negative",
            "Ids are counted upwards; a negative one is an overflow or a misread column.",
            row=RowFault("negative_id", f"{name} < 0", f"concat('{name} is ', {name}, ', below 0')"),
            column=name,
            min_value=0,
        )
        for name in names
    ]


def on_scale(stars: tuple[float, ...]) -> "Expectation":
    shown = ", ".join(f"{star:g}" for star in stars) if len(stars) <= 12 else f"{stars[0]:g}, … {stars[-1]:g}"
    literals = ", ".join(f"{star!r}D" for star in stars)
    return expect(
        "ExpectColumnValuesToBeInSet",
        f"rating is one of {shown}{' stars' if stars[-1] == HALF_STARS[-1] else ''}",
        "The scale of this data. One NaN or infinity turns every factor of the model into NaN; another scale would be "
        "read as taste.",
        row=RowFault(
            "off_scale",
            f"NOT CAST({c.RATING} AS DOUBLE) IN ({literals})",
            f"concat('rating is ', {c.RATING}, ', not one of {shown}')",
        ),
        column=c.RATING,
        value_set=list(stars),
    )


def count_above_zero() -> "Expectation":
    """Where nobody rated: how often."""
    span = f"above 0 and at most {LARGEST_COUNT:,.0f}"
    return expect(
        "ExpectColumnValuesToBeBetween",
        f"the count is {span}",
        "It says how often a user watched, bought or clicked. Zero says that nothing happened, and less that something "
        "was taken back; what is larger is a misread column, such as a time.",
        row=RowFault(
            "bad_count",
            f"NOT ({c.RATING} > 0 AND {c.RATING} <= {LARGEST_COUNT:.0f})",
            f"concat('the count is ', {c.RATING}, ', not {span}')",
        ),
        column=c.RATING,
        min_value=0,
        strict_min=True,
        max_value=LARGEST_COUNT,
    )


def unique(reason: str) -> "Expectation":
    return expect(
        "ExpectColumnValuesToBeUnique",
        f"{c.MOVIE_ID} is unique",
        f"{reason} The first line counts.",
        row=RowFault(
            DUPLICATE,
            f"kept_line <> {c.LINE}",
            f"concat('movie ', {c.MOVIE_ID}, ' stands on line ', kept_line, ' already')",
        ),
        column=c.MOVIE_ID,
    )


def not_blank(name: str, reason: str) -> "Expectation":
    return expect(
        "ExpectColumnValuesToMatchRegex",
        f"{name} is not blank",
        reason,
        row=RowFault(f"blank_{name}", rf"NOT {name} RLIKE '\\S'", f"'{name} is blank'"),
        column=name,
        regex=r"\S",
    )


def known_movies(table: str, shown: list[str]) -> "Expectation":
    # An anti-join in Spark: a value set would ship every movie id through the driver.
    return expect_no_rows(
        f"every movie_id in {table} is in movies",
        "A movie without a title cannot be shown, so it must not be learned or recommended either.",
        f"SELECT {', '.join(f't.{name}' for name in shown)} FROM {{batch}} t "  # noqa: S608 - our own names
        f"LEFT ANTI JOIN {KNOWN_MOVIES_VIEW} m ON t.{c.MOVIE_ID} = m.{c.MOVIE_ID} WHERE t.{c.MOVIE_ID} IS NOT NULL",
        shown,
        needs=KNOWN_MOVIES_VIEW,
        row=RowFault(
            "unknown_movie",
            f"known_movie_id IS NULL AND {c.MOVIE_ID} IS NOT NULL",
            f"concat('movie ', {c.MOVIE_ID}, ' is not among the movies')",
        ),
    )


def plausible_time(limits: Limits) -> "Expectation":
    span = f"from {limits.earliest:%Y-%m-%d} to {limits.latest:%Y-%m-%d %H:%M} UTC"
    return expect(
        "ExpectColumnValuesToBeBetween",
        f"timestamp is {span}",
        "MovieLens' oldest ratings are of 1995; outside the span a unit was misread (seconds for milliseconds), "
        "which would scramble every split by time.",
        row=RowFault(
            "implausible_time",
            f"{c.TIMESTAMP} NOT BETWEEN TIMESTAMP '{limits.earliest.isoformat(' ')}' "
            f"AND TIMESTAMP '{limits.latest.isoformat(' ')}'",
            f"concat('timestamp is ', {c.TIMESTAMP}, ' UTC, not {span}')",
        ),
        column=c.TIMESTAMP,
        min_value=limits.earliest,
        max_value=limits.latest,
    )


def rated_once() -> "Expectation":
    # Great Expectations' own rule for this sorts the whole table: 10 to 19 of its 25 s on 25M ratings.
    return expect_no_rows(
        "a user rates a movie once",
        "A doubled rating counts twice in the fit and can put the same fact into both train and holdout. The latest "
        "rating counts (by time, then by line).",
        f"SELECT t.* FROM {{batch}} t LEFT SEMI JOIN {REPEATED_RATINGS_VIEW} r "  # noqa: S608 - our own names
        f"ON t.{c.USER_ID} = r.{c.USER_ID} AND t.{c.MOVIE_ID} = r.{c.MOVIE_ID}",
        [c.USER_ID, c.MOVIE_ID],
        needs=REPEATED_RATINGS_VIEW,
        row=RowFault(
            SUPERSEDED,
            f"kept_line <> {c.LINE}",
            f"concat('user ', {c.USER_ID}, ' rated movie ', {c.MOVIE_ID}, ' again: the rating on line ', "
            f"kept_line % {1 << c.LINE_BITS}, ' counts')",
        ),
    )


def genres_are_words() -> "Expectation":
    not_a_word = rf"exists({c.GENRES}, g -> g IS NULL OR NOT g RLIKE '\\p{{L}}')"
    return expect_no_rows(
        "genres is a list of words",
        "A null, blank or numeric genre is a misread separator or an id; movies without genres have an empty list.",
        # The library fills in {batch}; the expression's own braces are doubled.
        f"SELECT {c.MOVIE_ID}, {c.GENRES} FROM {{batch}} "  # noqa: S608 - our own names
        f"WHERE {not_a_word.replace('{', '{{').replace('}', '}}')}",
        [c.MOVIE_ID, c.GENRES],
        row=RowFault("bad_genres", not_a_word, f"concat('genres are ', cast({c.GENRES} AS string), ', not words')"),
    )


def ids_elsewhere() -> list["Expectation"]:
    """How the other sites' ids of a movie look."""
    return [
        expect(
            "ExpectColumnValuesToMatchRegex",
            "imdb_id, where known, is tt and digits",
            "Poster sources are addressed by it, zeros included; anything else asks for another page.",
            row=RowFault(
                "bad_imdb_id",
                f"NOT {c.IMDB_ID} RLIKE '^tt[0-9]+$'",
                f"concat('imdb_id is ', {c.IMDB_ID}, ', not tt and digits')",
            ),
            column=c.IMDB_ID,
            regex=r"^tt[0-9]+$",
        ),
        expect(
            "ExpectColumnValuesToBeBetween",
            "tmdb_id, where known, is a positive number",
            "TMDB counts from 1; zero and below are placeholders that should be null.",
            row=RowFault("bad_tmdb_id", f"{c.TMDB_ID} < 1", f"concat('tmdb_id is ', {c.TMDB_ID}, ', below 1')"),
            column=c.TMDB_ID,
            min_value=1,
        ),
    ]
