"""What is MovieLens' own: the oldest release, titles with years, genres in one cell.

==========  ============================================  ===================================
layout      releases                                      files
==========  ============================================  ===================================
``csv``     ml-latest*, ml-20m, ml-25m, ml-32m, sample    ratings, movies, links, tags (.csv)
``dat``     ml-1m, ml-10m                                 ratings, movies, tags (.dat), ``::``
``100k``    ml-100k                                       u.data, u.item
==========  ============================================  ===================================

The first two are read as any other table is (`tabular`). Values are kept as published: nothing is repaired or
guessed. Whether they make sense is the validation's question.
"""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from recsys import columns as words
from recsys.ingest.archives.archives import Archive
from recsys.ingest.parsers.cells import MISSING, Column, Id, Real, Text, Whole
from recsys.ingest.parsers.delimited import read_delimited
from recsys.ingest.parsers.lines import Format
from recsys.ingest.parsers.parsed_tables import Draft
from recsys.ingest.parsers.times import Time

_NO_GENRES = "(no genres listed)"
_LAST_BRACKET = re.compile(r"\(\s*(\d{4})\s*(?:[-–]\s*(?:\d{4})?)?\s*\)\s*$", re.ASCII)
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip

TABS = Format(delimiter="\t", has_header=False, is_quoted=False)
BARS = Format(delimiter="|", has_header=False, is_quoted=False, encoding="latin-1")
_SECONDS = Time("seconds")
_RATING_COLUMNS = (
    Column("userId", Id()),
    Column("movieId", Id()),
    Column("rating", Real()),
    Column("timestamp", _SECONDS),
)


def parse_100k(archive: Archive) -> Draft:
    """ml-100k: two of its files, whose columns its README names."""
    draft = Draft("100k")
    ratings, items = archive.require("u.data"), archive.require("u.item")
    names = [column.name for column in _RATING_COLUMNS]
    rows = read_delimited(archive, ratings, names, _RATING_COLUMNS, TABS, _ratings)
    draft.add("ratings", ratings.path, rows)
    columns = (
        Column("movieId", Id()),
        Column("title", Text()),
        *(Column(genre, Whole(0, 1)) for genre in _GENRES_100K),
    )
    names = ["movieId", "title", "released", "released on video", "address", *_GENRES_100K]
    draft.add("movies", items.path, read_delimited(archive, items, names, columns, BARS, _movies_100k))
    return draft


def title_year(title: str) -> int | None:
    """The year in a title's last bracket; of a span, its first year.

    >>> title_year("Toy Story (1995)"), title_year("Fawlty Towers (1975-1979)"), title_year("Babylon 5")
    (1995, 1975, None)
    >>> title_year("2001: A Space Odyssey (1968)"), title_year("Hyena Road (2015) (uncut)")
    (1968, None)
    """
    match = _LAST_BRACKET.search(title)
    return int(match[1]) if match else None


def split_genres(text: str) -> list[str]:
    r"""Genres of a ``|``-separated cell; what tools write for no value is none.

    >>> split_genres("Comedy|Romance"), split_genres("(no genres listed)"), split_genres("\\N")
    (['Comedy', 'Romance'], [], [])
    """
    return [genre for genre in text.split("|") if genre.strip() not in MISSING and genre != _NO_GENRES]


def movies_table(
    movie_ids: pa.Array | Sequence[int],
    titles: Sequence[str],
    genres: Sequence[Sequence[str]],
    lines: pa.Array | Sequence[int],
) -> pa.Table:
    """Staged movies, their years taken from their titles."""
    years = [title_year(title) for title in titles]
    schema = words.staged_schema("movies")
    return pa.table(
        [
            movie_ids,
            pa.array(titles, pa.string()),
            pa.array(years, pa.int16()),
            pa.array(genres, schema.field(3).type),
            lines,
        ],
        names=schema.names,
    )


def _ratings(table: pa.Table) -> pa.Table:
    return table.rename_columns(words.staged_schema("ratings").names)


def _movies_100k(table: pa.Table) -> pa.Table:
    is_genre = np.column_stack([table[genre].to_numpy() for genre in _GENRES_100K]).astype(bool)
    # "unknown" is this release's word for "no genres listed".
    genres = [[_GENRES_100K[i] for i in np.flatnonzero(row) if i > 0] for row in is_genre]
    return movies_table(table["movieId"], table["title"].to_pylist(), genres, table[words.LINE])
