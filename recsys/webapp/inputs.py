"""What may be asked: every text that people type into pages, addresses and commands is read here, with its limits.

A message says what was given, shortened, and what is possible.
"""

import re
from collections.abc import Callable

from recsys.errors import ConfigError, NotFoundError

MOST_RATINGS = 10_000
LONGEST_LIST = 1_000
LARGEST_BODY_BYTES = 1_000_000
_LONGEST_TITLE, _MOST_WORDS = 200, 20
_LONGEST_RATINGS = 30 * MOST_RATINGS


def excerpt(given: object, length: int = 40) -> str:
    """The beginning of what was given, in quotes; how long it is, where that is not all.

    >>> excerpt("abc"), excerpt("9" * 300, 5)
    ("'abc'", "'99999…' (300 characters)")
    """
    text = str(given)
    return repr(text) if len(text) <= length else f"{text[:length] + '…'!r} ({len(text):,} characters)"


def read_id(text: str, what: str) -> int:
    """The id of a user or of a movie.

    Raises:
        NotFoundError: it is no whole number, or has more digits than any id.

    >>> read_id(" 42", "user")
    42
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", text.strip()):
        raise NotFoundError(f"{excerpt(text)} is no {what} id: it must be a whole number of up to 10 digits.")
    return int(text)


def read_words(text: str) -> list[str]:
    """The words that a title is looked for by, each once and without case.

    Raises:
        ConfigError: they are too many, or too long.

    >>> read_words("Story  toy STORY")
    ['story', 'toy']
    """
    words = list(dict.fromkeys(text.casefold().split()))
    if len(text) > _LONGEST_TITLE or len(words) > _MOST_WORDS:
        raise ConfigError(
            f"{len(words):,} different words in {len(text):,} characters; titles are looked for by up to {_MOST_WORDS} "
            f"words in {_LONGEST_TITLE} characters. Nothing was looked up. Leave some out."
        )
    return words


def read_ratings(
    text: str, number: Callable[[str], int] | None = None, *, has_ratings: bool = True
) -> dict[int, float]:
    """Ratings as people write them; whether movies and stars exist is another question.

    Args:
        text: ``movie_id=stars``, separated by commas.
        number: the number of a movie that the source calls so; by default its ids are numbers.
        has_ratings: whether the data have ratings; else ``movie_id=count``, or ``movie_id`` alone for 1.

    Raises:
        ConfigError: an entry is no ``movie_id=stars``, or there are too many.

    >>> read_ratings("1=5, 50=4.5")
    {1: 5.0, 50: 4.5}
    >>> read_ratings("1, 50=3", has_ratings=False)
    {1: 1.0, 50: 3.0}
    """
    if len(text) > _LONGEST_RATINGS or text.count(",") > MOST_RATINGS:
        raise ConfigError(
            f"{text.count(',') + 1:,} ratings in {len(text):,} characters; up to {MOST_RATINGS:,} ratings in "
            f"{_LONGEST_RATINGS:,} characters are taken. Nothing was looked up. Leave some out."
        )
    found = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        movie_id, equals, stars = entry.partition("=")
        try:
            value = float(stars) if equals or has_ratings else 1.0
            found[number(movie_id.strip()) if number else read_id(movie_id, "movie")] = value
        except (NotFoundError, ValueError) as error:
            what, form = ("rating", "stars, such as 1=5,50=4.5") if has_ratings else ("count", "count, such as 1=3,50")
            raise ConfigError(
                f"{excerpt(entry)} is no {what}. Nothing was looked up. Write movie_id={form}; ids are found by title "
                "with `recsys find`."
            ) from error
    return found
