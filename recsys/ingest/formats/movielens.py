"""MovieLens' oldest release, ml-100k: its columns are named in its README, and genres are flags.

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

import numpy as np
import pyarrow as pa

from recsys import columns as words
from recsys.ingest.archives.archives import Archive
from recsys.ingest.formats import tabular
from recsys.ingest.formats.roles import Part
from recsys.ingest.parsers.cells import Column, Id, Text, Whole
from recsys.ingest.parsers.delimited import read_delimited
from recsys.ingest.parsers.lines import Format
from recsys.ingest.parsers.parsed_tables import Draft, movies_table
from recsys.ingest.parsers.sniffing import table_of

TABS = Format(delimiter="\t", has_header=False, is_quoted=False)
BARS = Format(delimiter="|", has_header=False, is_quoted=False, encoding="latin-1")

_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_RATINGS = (words.USER_ID, words.MOVIE_ID, words.RATING, words.TIMESTAMP)
_ITEMS = (words.MOVIE_ID, words.TITLE, "released", "released on video", "address", *_GENRES)


def find_parts(archive: Archive) -> tuple[Part, Part]:
    """Ratings and movies; the columns of flags are all taken for genres.

    Raises:
        DataError: one of the files is missing.
    """
    ratings = table_of(archive, archive.require("u.data"), _RATINGS, TABS)
    items = table_of(archive, archive.require("u.item"), _ITEMS, BARS)
    return (
        Part("ratings", (ratings,), {name: name for name in _RATINGS}),
        Part("movies", (items,), {name: name for name in _ITEMS[:2]}, genre_flags=_GENRES),
    )


def parse_100k(archive: Archive) -> Draft:
    """Read ratings and movies."""
    draft = Draft("100k")
    ratings, movies = find_parts(archive)
    tabular.add_part(draft, archive, ratings, tabular.ReadOptions())
    (items,) = movies.tables
    flags = (Column(genre, Whole(0, 1)) for genre in _GENRES)
    columns = (Column(words.MOVIE_ID, Id()), Column(words.TITLE, Text()), *flags)
    rows = read_delimited(archive, items.member, items.names, columns, BARS, _movies)
    draft.add("movies", items.member.path, rows)
    return draft


def _movies(table: pa.Table) -> pa.Table:
    is_genre = np.column_stack([table[genre].to_numpy() for genre in _GENRES]).astype(bool)
    # "unknown" is this release's word for "no genres listed".
    genres = [[_GENRES[i] for i in np.flatnonzero(row) if i > 0] for row in is_genre]
    return movies_table(table[words.MOVIE_ID], table[words.TITLE].to_pylist(), genres, table[words.LINE])
