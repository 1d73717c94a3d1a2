"""Reads of the published tables, by user, by movie and by title; the web pages and the command line share them.

Each reads one release whole: the one that is current when it is called. Files are chosen by the id ranges in the
manifest and row groups by their statistics, so that no table is read whole but the catalogue.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns
from recsys.errors import ConfigError, NotFoundError
from recsys.explorer.source_ids import SOURCE_MOVIE_ID, numbers_of, source_id
from recsys.storage import layout, releases
from recsys.storage.store import Store
from recsys.storage.tables import read_rows, read_schema, read_table

Row = dict[str, Any]

SHOWN = (columns.RANK, columns.MOVIE_ID, columns.TITLE, columns.SCORE, columns.PREDICTED_RATING)


def user_list(store: Store, user_id: int) -> list[Row]:
    """What a user is recommended, best first: ``{rank, movie_id, title, score, predicted_rating}``.

    Raises:
        NotFoundError: nothing is published, or the current release has no list for this user.
    """
    return [_shown(row) for row in _user_rows(store, user_id)]


def list_source(store: Store, user_id: int) -> str:
    """Where a user's list begins: ``als``, ``fold_in`` for one who came after the training, or ``popular``.

    A list of the model's that ran out of its movies ends with popular ones.
    """
    return str(_user_rows(store, user_id)[0][columns.SOURCE])


def similar_movies(store: Store, movie_id: int) -> list[Row]:
    """A movie's neighbours, nearest first: ``{rank, movie_id, title, score, predicted_rating}``.

    `score` is a cosine (or a negated distance), or the share of common genres for a movie the model does not know;
    `predicted_rating` is what an average user would give.

    Raises:
        NotFoundError: nothing is published, or the current release does not know the movie.
    """
    version_id = releases.current(store)["version_id"]
    movie(store, movie_id, version_id)
    rows = _rows_of(store, version_id, "similar_movies", columns.MOVIE_ID, movie_id)
    by_id = catalogue(store, version_id)
    return [
        {
            columns.RANK: row[columns.RANK],
            columns.MOVIE_ID: row[columns.SIMILAR_MOVIE_ID],
            columns.TITLE: by_id[row[columns.SIMILAR_MOVIE_ID]][columns.TITLE],
            columns.SCORE: row[columns.SCORE],
            columns.PREDICTED_RATING: by_id[row[columns.SIMILAR_MOVIE_ID]][columns.PREDICTED_RATING],
            **source_id(by_id[row[columns.SIMILAR_MOVIE_ID]]),
        }
        for row in sorted(rows, key=lambda row: int(row[columns.RANK]))
    ]


def find_movies(store: Store, text: str, limit: int = 25) -> list[Row]:
    """Movies whose title holds every word of `text`, whatever its case; the most rated first.

    Returns:
        Rows ``{movie_id, title, genres, n_ratings, mean_rating, predicted_rating}``; none when nothing fits.
    """
    words = text.casefold().split()
    fitting = [
        row
        for row in catalogue(store, releases.current(store)["version_id"]).values()
        if words and all(word in row[columns.TITLE].casefold() for word in words)
    ]
    fitting.sort(key=lambda row: (-(row[columns.N_RATINGS] or 0), row[columns.MOVIE_ID]))
    return [dict(row) for row in fitting[:limit]]


def most_rated(store: Store, n: int = 12) -> list[Row]:
    """The most rated movies of the current release, as `find_movies` gives them: where to begin looking around."""
    by_id = catalogue(store, releases.current(store)["version_id"])
    rows = sorted(by_id.values(), key=lambda row: (-(row[columns.N_RATINGS] or 0), row[columns.MOVIE_ID]))
    return [dict(row) for row in rows[:n]]


def user_range(store: Store) -> tuple[int, int] | None:
    """The smallest and the largest user id with a list in the current release; None where ids are text."""
    version_id = releases.current(store)["version_id"]
    if numbers_of(store, version_id, "user_ids") is not None:
        return None
    files = releases.read_manifest(store, version_id)["tables"]["recommendations"]
    return min(row["min_user_id"] for row in files), max(row["max_user_id"] for row in files)


def movie(store: Store, movie_id: int, version_id: str | None = None) -> Row:
    """A movie's row of the catalogue.

    Raises:
        NotFoundError: the release does not know it.
    """
    version_id = version_id or releases.current(store)["version_id"]
    row = catalogue(store, version_id).get(movie_id)
    if row is None:
        raise NotFoundError(
            f"Movie {movie_id} is not in the current release ({version_id}). Look for its title, "
            "or ingest a dataset that has it."
        )
    return dict(row)


def rated_high(store: Store, user_id: int, n: int = 10) -> list[Row]:
    """What a user rated highest in the snapshot the lists were made from: ``{movie_id, title, rating}``.

    Equal ratings stand newest first. Empty for a user without ratings.
    """
    version_id = releases.current(store)["version_id"]
    snapshot_id = releases.read_manifest(store, version_id)["lineage"]["snapshot_id"]
    if not _fits_int32(user_id):
        return []
    ratings = read_rows(store, layout.snapshot_table(snapshot_id, "ratings"), columns.USER_ID, user_id)
    order = [(columns.RATING, "descending"), (columns.TIMESTAMP, "descending"), (columns.MOVIE_ID, "ascending")]
    best = ratings.take(pc.sort_indices(ratings, order)[:n]).select([columns.MOVIE_ID, columns.RATING]).to_pylist()
    by_id = catalogue(store, version_id)
    return [
        {
            columns.MOVIE_ID: row[columns.MOVIE_ID],
            columns.TITLE: by_id[row[columns.MOVIE_ID]][columns.TITLE],
            columns.RATING: row[columns.RATING],
            **source_id(by_id[row[columns.MOVIE_ID]]),
        }
        for row in best
    ]


def release(store: Store) -> Row:
    """The current release, and where it comes from: that of `releases.current` plus its manifest's `lineage`.

    Raises:
        NotFoundError: nothing is published yet.
    """
    current = releases.current(store)
    return {**current, "lineage": releases.read_manifest(store, current["version_id"])["lineage"]}


def parse_ratings(text: str, number: Callable[[str], int] = int) -> dict[int, float]:
    """Ratings as people write them.

    Args:
        text: ``movie_id=stars``, separated by commas.
        number: the number of a movie that is called so (`source_ids.movie_number`).

    Raises:
        ConfigError: an entry is no ``movie_id=stars``.

    >>> parse_ratings("1=5, 50=4.5")
    {1: 5.0, 50: 4.5}
    """
    found = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        movie_id, _, stars = entry.partition("=")
        try:
            found[number(movie_id.strip())] = float(stars)
        except ValueError as error:
            raise ConfigError(
                f"{entry!r} is no rating. Nothing was looked up. Write movie_id=stars, such as 1=5,50=4.5; ids are "
                "found by title with `recsys find`."
            ) from error
    return found


def _shown(row: Row) -> Row:
    return {**{name: row[name] for name in SHOWN}, **source_id(row)}


def _user_rows(store: Store, user_id: int) -> list[Row]:
    version_id = releases.current(store)["version_id"]
    rows = _rows_of(store, version_id, "recommendations", columns.USER_ID, user_id)
    if not rows:
        raise NotFoundError(
            f"User {user_id} has no list in the current release ({version_id}). "
            "Check the id, or ingest ratings that hold this user."
        )
    by_id = catalogue(store, version_id)
    rows.sort(key=lambda row: int(row[columns.RANK]))
    return [{**row, columns.TITLE: by_id[row[columns.MOVIE_ID]][columns.TITLE]} for row in rows]


def _rows_of(store: Store, version_id: str, table: str, column: str, value: int) -> list[Row]:
    """Rows of a published table with an id, from the files whose range holds it."""
    files = releases.read_manifest(store, version_id)["tables"][table]
    keys = [row["key"] for row in files if row.get(f"min_{column}", value) <= value <= row.get(f"max_{column}", value)]
    if not keys or not _fits_int32(value):
        return []
    tables = [read_rows(store, key, column, value) for key in keys]
    return [dict(row) for row in pa.concat_tables(tables).to_pylist()]


@lru_cache(maxsize=2)
def catalogue(store: Store, version_id: str) -> dict[int, Row]:
    """Movies of a release by id. A version never changes, so it is read once per process."""
    names = [columns.MOVIE_ID, columns.TITLE, columns.GENRES, columns.N_RATINGS, columns.MEAN_RATING]
    names.append(columns.PREDICTED_RATING)
    keys = list(releases.table_keys(store, "movies", version_id))
    if keys and SOURCE_MOVIE_ID in read_schema(store, keys[0]).names:
        names.append(SOURCE_MOVIE_ID)
    tables = [read_table(store, key, names) for key in keys]
    return {row[columns.MOVIE_ID]: row for row in pa.concat_tables(tables).to_pylist()}


def _fits_int32(value: int) -> bool:
    return -(2**31) <= value < 2**31
