"""Cells that hold several values, such as genres: split as their whole column is written.

A cell is a list of Python or JSON, or values with a separator between them. Which one it is, is decided once for a
column: a genre such as ``Crime, True`` stays whole where ``|`` separates genres.
"""

import re
from collections.abc import Sequence

from recsys.ingest.parsers.cells import MISSING
from recsys.ingest.parsers.literals import parse_names

SEPARATORS = ("|", ";", ",", "/")
"""In the order in which they are preferred: what comes later may stand within a value."""

_NO_GENRES = "(no genres listed)"
_BARE_LIST = re.compile(r"\[([^\[\]]*)\]", re.DOTALL)  # as Spark writes arrays as text
_NOT_RARE = 10  # of so many cells with another separator, one or more must hold a preferred one


def split_column(cells: Sequence[str | None], separators: Sequence[str] = SEPARATORS) -> list[list[str]]:
    r"""The values of each cell of a column; what tools write for no value is none.

    >>> split_column(["Comedy, Drama", "War", "(no genres listed)", "\\N"])
    [['Comedy', 'Drama'], ['War'], [], []]
    >>> split_column(["Comedy|Crime, True", "Film-Noir"])
    [['Comedy', 'Crime, True'], ['Film-Noir']]
    >>> split_column(['["Comedy", "Crime, True"]', "[]", "[War, Drama]"])
    [['Comedy', 'Crime, True'], [], ['War', 'Drama']]
    """
    texts = [(cell or "").strip() for cell in cells]
    separator = separator_of(texts, separators)
    values = ([value.strip() for value in _split(text, separator)] for text in texts)
    return [[value for value in found if value not in MISSING and value != _NO_GENRES] for found in values]


def separator_of(texts: Sequence[str], separators: Sequence[str] = SEPARATORS) -> str:
    """What separates the values of a column: the first of these that is not rare beside the others."""
    unlisted = [text for text in texts if not text.startswith("[")]
    n_cells = {separator: sum(separator in text for text in unlisted) for separator in separators}
    most = max(n_cells.values())
    return next(separator for separator in separators if _NOT_RARE * n_cells[separator] >= most)


def _split(text: str, separator: str) -> list[str]:
    if not text.startswith("["):
        return text.split(separator)
    if (names := parse_names(text)) is not None:
        return names
    bare = _BARE_LIST.fullmatch(text)
    return bare[1].split(",") if bare else text.split(separator)
