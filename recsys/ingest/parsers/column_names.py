"""What columns are usually called, and which of a file's are meant."""

import re
from collections.abc import Iterable, Mapping, Sequence

from recsys import columns as words
from recsys.errors import ConfigError

USUAL_NAMES: dict[str, tuple[str, ...]] = {
    words.USER_ID: ("userid", "user", "uid", "reviewerid", "customerid", "memberid", "accountid"),
    words.MOVIE_ID: ("movieid", "itemid", "movie", "item", "iid", "mid", "filmid", "film"),
    words.RATING: ("rating", "score", "stars", "ratings"),
    words.TIMESTAMP: ("timestamp", "time", "ts", "date", "datetime", "ratedat", "createdat"),
    words.TITLE: ("title", "movietitle", "itemtitle", "filmtitle", "name", "itemname"),
    words.GENRES: ("genres", "genre", "categories", "category"),
    words.TAG: ("tag", "label"),
    words.IMDB_ID: ("imdbid", "imdb", "tconst"),
    words.TMDB_ID: ("tmdbid", "tmdb"),
    words.LANGUAGE: ("language", "originallanguage"),
    words.KEYWORDS: ("keywords",),
    words.DIRECTORS: ("directors", "director"),
    words.ACTORS: ("actors", "cast"),
}
"""What columns are usually called; case, blanks, ``_``, ``-`` and ``.`` do not matter."""

COUNT_NAMES = (
    "plays", "playcount", "listens", "listencount", "views", "viewcount", "clicks", "purchases", "quantity", "qty",
    "count", "counts", "weight",
)  # fmt: skip
"""What a column is called that says how often, where nobody rated."""


def check_mapping(mapping: Mapping[str, str] | None) -> None:
    """Refuse a mapping with names that mean nothing here.

    Raises:
        ConfigError: a key is none of the columns there are.
    """
    if unknown := set(mapping or ()) - set(USUAL_NAMES):
        raise ConfigError(
            f"columns names {', '.join(sorted(unknown))}; known are {', '.join(USUAL_NAMES)}. Nothing was started. "
            "Write columns=user_id=…,movie_id=… with the file's own names after the equals signs."
        )


def plain_name(column: str) -> str:
    """A column's name as names are compared.

    >>> plain_name("User-Id "), plain_name("movie.title")
    ('userid', 'movietitle')
    """
    return re.sub(r"[\s_.-]", "", column).lower()


def match_columns(
    header: Sequence[str],
    mapping: Mapping[str, str] | None = None,
    wanted: Iterable[str] = USUAL_NAMES,
    *,
    has_ratings: bool = True,
) -> dict[str, list[str]]:
    """The file's columns for each that is wanted: the one the mapping says, else all with a usual name.

    Without ratings, a column of `COUNT_NAMES` stands in their place.

    >>> match_columns(["Item ID", "User-Id", "stars", "when"], {"timestamp": "when"}, ("user_id", "timestamp"))
    {'user_id': ['User-Id'], 'timestamp': ['when']}
    >>> match_columns(["user", "item", "Play Count"], None, ("rating",), has_ratings=False)
    {'rating': ['Play Count']}
    """
    mapping = mapping or {}
    usual = USUAL_NAMES if has_ratings else {**USUAL_NAMES, words.RATING: (*USUAL_NAMES[words.RATING], *COUNT_NAMES)}
    found = {}
    for name in wanted:
        if name in mapping:
            columns = [mapping[name]] if mapping[name] in header else []
        else:
            taken = set(mapping.values())
            columns = [c for c in header if plain_name(c) in usual[name] and c not in taken]
        if columns:
            found[name] = columns
    return found


def count_known(names: Iterable[str], mapping: Mapping[str, str] | None = None) -> int:
    """How many columns would be found among these.

    >>> count_known([" userId", "movieId", "colour"])
    2
    """
    return len(match_columns([name.strip() for name in names], mapping))
