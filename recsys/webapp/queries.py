"""Reads of the published tables, by user, by movie and by title; the web pages and the command line share them.

Each reads one release whole: the one whose version is given, else the one that is current when it is called. Who asks
several questions for one answer asks for the release once, and gives its version to all. Files are chosen by the id
ranges in the manifest and row groups by their statistics, so that no table is read whole but the catalogue.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns
from recsys.errors import NotFoundError
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.storage.releases import Lineage, Release
from recsys.storage.tables import read_rows, read_schema, read_table
from recsys.webapp.inputs import read_words
from recsys.webapp.source_id_lookup import SOURCE_MOVIE_ID, numbers_of, source_id

Row = dict[str, Any]

SHOWN = (columns.RANK, columns.MOVIE_ID, columns.TITLE, columns.SCORE, columns.PREDICTED_RATING)


def user_list(store: Store, user_id: int, version_id: str | None = None) -> list[Row]:
    """What a user is recommended, best first: ``{rank, movie_id, title, score, predicted_rating}``.

    Raises:
        NotFoundError: nothing is published, or the release has no list for this user.
    """
    rows = _user_rows(store, user_id, version_id)
    return [{**{name: row[name] for name in SHOWN}, **source_id(row)} for row in rows]


def list_source(store: Store, user_id: int, version_id: str | None = None) -> str:
    """Where a user's list begins: ``als``, ``fold_in`` for one who came after the training, or ``popular``.

    A list of the model's that ran out of its movies ends with popular ones.
    """
    return str(_user_rows(store, user_id, version_id)[0][columns.SOURCE])


def similar_movies(store: Store, movie_id: int, version_id: str | None = None) -> list[Row]:
    """A movie's neighbours, nearest first: ``{rank, movie_id, title, score, predicted_rating}``.

    `score` is a cosine (or a negated distance), or the share of common genres for a movie the model does not know;
    `predicted_rating` is what an average user would give.

    Raises:
        NotFoundError: nothing is published, or the release does not know the movie.
    """
    version_id = version_id or current_version(store)
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


def find_movies(store: Store, text: str, limit: int = 25, version_id: str | None = None) -> list[Row]:
    """Movies whose title holds every word of `text`, whatever its case; the most rated first.

    Returns:
        Rows ``{movie_id, title, genres, n_ratings, mean_rating, predicted_rating}``; none when nothing fits.

    Raises:
        ConfigError: too many words, or too long ones.
    """
    words = read_words(text)
    movies = _by_popularity(store, version_id or current_version(store)) if words else ()
    fitting = (row for title, row in movies if all(word in title for word in words))
    return [dict(row) for row in islice(fitting, limit)]


def most_rated(store: Store, n: int = 12, version_id: str | None = None) -> list[Row]:
    """The most rated movies of a release, as `find_movies` gives them: where to begin looking around."""
    return [dict(row) for _, row in _by_popularity(store, version_id or current_version(store))[:n]]


def user_range(store: Store, version_id: str | None = None) -> tuple[int, int] | None:
    """The smallest and the largest user id with a list in a release; None where nobody has one, or ids are text."""
    version_id = version_id or current_version(store)
    files = releases.read_manifest(store, version_id).tables["recommendations"]
    if not files or numbers_of(store, version_id, columns.USER_ID) is not None:
        return None
    ends = [end for row in files for end in row.id_range(columns.USER_ID) or ()]
    return min(ends), max(ends)


def movie(store: Store, movie_id: int, version_id: str | None = None) -> Row:
    """A movie's row of the catalogue.

    Raises:
        NotFoundError: the release does not know it.
    """
    version_id = version_id or current_version(store)
    row = catalogue(store, version_id).get(movie_id)
    if row is None:
        raise NotFoundError(
            f"Movie {_shown(movie_id)} is not in the current release ({version_id}). Look for its title, "
            "or ingest a dataset that has it."
        )
    return dict(row)


def rated_high(store: Store, user_id: int, n: int = 10, version_id: str | None = None) -> list[Row] | None:
    """What a user rated highest, or had most often, in the snapshot of the lists: ``{movie_id, title, rating}``.

    Equal ratings stand newest first. Empty for a user without ratings; None where the snapshot was removed since.
    """
    version_id = version_id or current_version(store)
    snapshot_id = releases.read_manifest(store, version_id).lineage.snapshot_id
    if not store.exists(layout.snapshot_manifest(snapshot_id)):
        return None
    if not _fits_int32(user_id):
        return []
    try:
        ratings = read_rows(store, layout.snapshot_table(snapshot_id, "ratings"), columns.USER_ID, user_id)
    except NotFoundError:  # it is being removed now
        return None
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


@dataclass(frozen=True, slots=True)
class Published:
    """A release, and what its version was made of."""

    release: Release
    lineage: Lineage

    @property
    def version_id(self) -> str:
        return self.release.version_id

    def to_json(self) -> Row:
        """The release with its lineage, as the API answers it."""
        return {**self.release.to_json(), "lineage": self.lineage.to_json()}


def published(store: Store) -> Published:
    """The current release.

    Raises:
        NotFoundError: nothing is published yet.
    """
    current = releases.current(store)
    return Published(current, releases.read_manifest(store, current.version_id).lineage)


def gone(store: Store, lineage: Lineage) -> list[str]:
    """What a release was made of and is not there any more, in a sentence each; none where all is there.

    Its tables do not need it: after `recsys prune` a release that is rolled back to may have lost its snapshot.
    """
    snapshot_id, run_id = lineage.snapshot_id, lineage.run_id
    needed = {
        layout.snapshot_manifest(snapshot_id): f"Snapshot {snapshot_id}, which these lists were made from, was removed "
        "since: what users rated is not known here any more.",
        layout.recommender(
            layout.model(run_id)
        ): f"The model of run {run_id} is not in the store any more: no list can be made for somebody new.",
        layout.eda_report(snapshot_id): f"There is no exploratory report of snapshot {snapshot_id}.",
    }
    return [sentence for key, sentence in needed.items() if not store.exists(key)]


def current_version(store: Store) -> str:
    """The version of the current release, for who asks several questions for one answer.

    Raises:
        NotFoundError: nothing is published yet.
    """
    return releases.current(store).version_id


def _user_rows(store: Store, user_id: int, version_id: str | None) -> list[Row]:
    version_id = version_id or current_version(store)
    rows = _rows_of(store, version_id, "recommendations", columns.USER_ID, user_id)
    if not rows:
        raise NotFoundError(
            f"User {_shown(user_id)} has no list in the current release ({version_id}). "
            "Check the id, or ingest ratings that hold this user."
        )
    by_id = catalogue(store, version_id)
    rows.sort(key=lambda row: int(row[columns.RANK]))
    return [{**row, columns.TITLE: by_id[row[columns.MOVIE_ID]][columns.TITLE]} for row in rows]


def _rows_of(store: Store, version_id: str, table: str, column: str, value: int) -> list[Row]:
    """Rows of a published table with an id, from the files whose range holds it."""
    files = releases.read_manifest(store, version_id).tables[table]
    keys = [row.key for row in files if row.may_hold(column, value)]
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


@lru_cache(maxsize=2)
def _by_popularity(store: Store, version_id: str) -> list[tuple[str, Row]]:
    """Titles without case, and rows of the catalogue, the most rated first."""
    rows = catalogue(store, version_id).values()
    ordered = sorted(rows, key=lambda row: (-(row[columns.N_RATINGS] or 0), row[columns.MOVIE_ID]))
    return [(row[columns.TITLE].casefold(), row) for row in ordered]


def _shown(number: int) -> str:
    """An id in a message: programs may ask for any number.

    >>> _shown(42), _shown(10**30)
    ('42', 'of 31 digits')
    """
    digits = str(number)
    return digits if len(digits) <= 20 else f"of {len(digits)} digits"


def _fits_int32(value: int) -> bool:
    return -(2**31) <= value < 2**31
