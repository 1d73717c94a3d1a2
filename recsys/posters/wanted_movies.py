"""The movies whose posters are wanted: those of a published version, or of the newest snapshot before there is one."""

import hashlib
from dataclasses import astuple
from typing import Any

import pyarrow as pa

from recsys import columns
from recsys.errors import NotFoundError
from recsys.posters.poster_sources import Movie
from recsys.storage import layout, releases, snapshots
from recsys.storage.base import Store
from recsys.storage.tables import read_table

_NAMES = [columns.MOVIE_ID, columns.TITLE, columns.YEAR, columns.GENRES]


def current_version(store: Store) -> str:
    """A name that changes whenever `current_movies` would return other movies; empty while there are none."""
    try:
        return f"release {releases.current(store).version_id}"
    except NotFoundError:
        newest = snapshots.newest(snapshots.manifests(store))
        return f"snapshot {newest.snapshot_id}" if newest else ""


def current_movies(store: Store) -> list[Movie]:
    """All movies of the current release, else of the newest snapshot; none in an empty store."""
    try:
        version_id = releases.current(store).version_id
    except NotFoundError:
        newest = snapshots.newest(snapshots.manifests(store))
        return _of_snapshot(store, newest.snapshot_id) if newest else []
    return read_movies(store, version_id)


def read_movies(store: Store, version_id: str) -> list[Movie]:
    """All movies of a version.

    Raises:
        NotFoundError: its tables are not there (any more).
    """
    try:
        keys = releases.table_keys(store, "movies", version_id)
        return movies_of(pa.concat_tables([read_table(store, key) for key in keys]).to_pylist())
    except NotFoundError as error:
        raise NotFoundError(
            f"version {version_id} of the tables is gone, or was never published: {error} No poster was fetched. "
            "Run fetch_posters for the current release."
        ) from error


def movies_of(rows: list[dict[str, Any]]) -> list[Movie]:
    """Rows with the columns of columns.CATALOGUE as `Movie`, same order."""
    return [
        Movie(row["movie_id"], row["title"], row["year"], tuple(row["genres"] or ()), row["imdb_id"], row["tmdb_id"])
        for row in rows
    ]


def identity(movie: Movie) -> str:
    """A digest of what a poster depends on: it changes when an id comes to stand for another movie."""
    return hashlib.sha256(repr(astuple(movie)).encode()).hexdigest()[:16]


def _of_snapshot(store: Store, snapshot_id: str) -> list[Movie]:
    movies = read_table(store, layout.snapshot_table(snapshot_id, "movies"), _NAMES).to_pylist()
    links = read_table(store, layout.snapshot_table(snapshot_id, "links")).to_pylist()
    by_id = {row["movie_id"]: row for row in links}
    unlinked = {columns.IMDB_ID: None, columns.TMDB_ID: None}
    return movies_of([{**unlinked, **by_id.get(row["movie_id"], {}), **row} for row in movies])
