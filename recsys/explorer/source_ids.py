"""What the source calls users and movies, where these are not the numbers in the tables: looked up both ways."""

import functools
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from recsys import columns
from recsys.errors import NotFoundError
from recsys.storage import layout, releases
from recsys.storage.store import Store
from recsys.storage.tables import read_table

Row = dict[str, Any]

SOURCE_MOVIE_ID = columns.source_name(columns.MOVIE_ID)


def user_number(store: Store, text: str) -> int:
    """The number of the user whom the source calls so.

    Raises:
        NotFoundError: no user is called so, or nothing is published.
    """
    return _number(store, text, "user_ids", "user")


def user_name(store: Store, number: int) -> str:
    """What the source calls a user."""
    numbers = numbers_of(store, releases.current(store)["version_id"], "user_ids") or {}
    return next((text for text, known in numbers.items() if known == number), str(number))


def movie_numbers(store: Store) -> Callable[[str], int]:
    """`movie_number` for a release; where ids are numbers, Python's own reading of them."""
    numbers = numbers_of(store, releases.current(store)["version_id"], "movie_ids")
    return int if numbers is None else functools.partial(movie_number, store)


def movie_number(store: Store, text: str) -> int:
    """The number of the movie that the source calls so; as `user_number`."""
    return _number(store, text, "movie_ids", "movie")


def _number(store: Store, text: str, dictionary: str, what: str) -> int:
    version_id = releases.current(store)["version_id"]
    numbers = numbers_of(store, version_id, dictionary)
    if numbers is None:
        try:
            return int(text)
        except ValueError as error:
            raise NotFoundError(f"{text!r} is no {what} id: it must be a whole number.") from error
    if text not in numbers:
        raise NotFoundError(
            f"No {what} is called {text!r} in the current release ({version_id}). Check the id; it is the source's "
            "own, zeros and capitals included."
        )
    return numbers[text]


@lru_cache(maxsize=4)
def numbers_of(store: Store, version_id: str, dictionary: str) -> dict[str, int] | None:
    """Numbers by the source's ids; None where the source's ids are the numbers."""
    lineage = releases.read_manifest(store, version_id)["lineage"]
    key = layout.snapshot_table(lineage.get("snapshot_id", "none"), dictionary)
    if not store.exists(key):
        return None
    numbers, texts = read_table(store, key).columns
    return dict(zip(texts.to_pylist(), numbers.to_pylist(), strict=True))


def source_id(row: Row) -> Row:
    """What the source calls a movie, where that is not its number."""
    return {SOURCE_MOVIE_ID: row[SOURCE_MOVIE_ID]} if SOURCE_MOVIE_ID in row else {}
