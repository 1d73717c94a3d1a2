"""What the source calls users and movies, where these are not the numbers in the tables: looked up both ways.

A published version knows the source's ids by itself, so that it can be asked when its snapshot is gone.
"""

import functools
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pyarrow as pa

from recsys import columns
from recsys.errors import NotFoundError
from recsys.storage import releases
from recsys.storage.base import Store
from recsys.storage.tables import read_schema, read_table
from recsys.webapp.inputs import excerpt, read_id

Row = dict[str, Any]

SOURCE_MOVIE_ID = columns.source_name(columns.MOVIE_ID)
_TABLES = {columns.USER_ID: ("recommendations", "user"), columns.MOVIE_ID: ("movies", "movie")}


def user_number(store: Store, text: str, version_id: str) -> int:
    """The number that a version has for the user whom the source calls so; another version may have another.

    Raises:
        NotFoundError: no user is called so.
    """
    return _number(store, text, columns.USER_ID, version_id)


def movie_number(store: Store, text: str, version_id: str) -> int:
    """The number of the movie that the source calls so; as `user_number`."""
    return _number(store, text, columns.MOVIE_ID, version_id)


def movie_numbers(store: Store, version_id: str) -> Callable[[str], int]:
    """`movie_number` for a version."""
    return functools.partial(movie_number, store, version_id=version_id)


def user_name(store: Store, number: int, version_id: str) -> str:
    """What the source calls a user."""
    numbers = numbers_of(store, version_id, columns.USER_ID) or {}
    return next((text for text, known in numbers.items() if known == number), str(number))


def _number(store: Store, text: str, column: str, version_id: str) -> int:
    numbers, what = numbers_of(store, version_id, column), _TABLES[column][1]
    if numbers is None:
        return read_id(text, what)
    if text not in numbers:
        raise NotFoundError(
            f"No {what} is called {excerpt(text)} in the release ({version_id}). Check the id; it is the source's own, "
            "zeros and capitals included."
        )
    return numbers[text]


@lru_cache(maxsize=4)
def numbers_of(store: Store, version_id: str, column: str) -> dict[str, int] | None:
    """Numbers by the source's ids; None where the source's ids are the numbers."""
    keys = list(releases.table_keys(store, _TABLES[column][0], version_id))
    name = columns.source_name(column)
    if not keys or name not in read_schema(store, keys[0]).names:
        return None
    rows = pa.concat_tables(read_table(store, key, [name, column]) for key in keys)
    texts, numbers = rows.group_by([name, column]).aggregate([]).select([name, column]).columns
    return dict(zip(texts.to_pylist(), numbers.to_pylist(), strict=True))


def source_id(row: Row) -> Row:
    """What the source calls a movie, where that is not its number."""
    return {SOURCE_MOVIE_ID: row[SOURCE_MOVIE_ID]} if SOURCE_MOVIE_ID in row else {}
