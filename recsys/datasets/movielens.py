"""MovieLens releases as canonical tables: one parser per layout.

==========  ============================================  ===================================
layout      releases                                      files
==========  ============================================  ===================================
``csv``     ml-latest*, ml-20m, ml-25m, ml-32m, sample    ratings, movies, links, tags (.csv)
``dat``     ml-1m, ml-10m                                 ratings, movies, tags (.dat), ``::``
``100k``    ml-100k                                       u.data, u.item
==========  ============================================  ===================================

Links and tags are optional everywhere; without them their tables are empty. Values are kept as published:
nothing is repaired or guessed. Whether they make sense is the validation's question.
"""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as words
from recsys.datasets.archives import Archive, Member
from recsys.datasets.cells import Column
from recsys.datasets.dat import read_dat
from recsys.datasets.delimited import Format, read_delimited
from recsys.datasets.parsed import Draft
from recsys.datasets.times import MAX_SECONDS, UTC_MS

_NO_GENRES = "(no genres listed)"
_LAST_BRACKET = re.compile(r"\(\s*(\d{4})\s*(?:[-–]\s*(?:\d{4})?)?\s*\)\s*$", re.ASCII)
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip

ID_BOUNDS = (0, 2**31 - 1)
_RATING_COLUMNS = (
    Column("userId", pa.int32(), ID_BOUNDS),
    Column("movieId", pa.int32(), ID_BOUNDS),
    Column("rating", pa.float32()),
    Column("timestamp", pa.int64(), (0, MAX_SECONDS)),
)
_MOVIE_COLUMNS = (Column("movieId", pa.int32(), ID_BOUNDS), Column("title", pa.string()), Column("genres", pa.string()))
_LINK_COLUMNS = (
    Column("movieId", pa.int32(), ID_BOUNDS),
    Column("imdbId", pa.int64(), (0, 10**10), is_optional=True),
    Column("tmdbId", pa.int32(), ID_BOUNDS, is_optional=True),
)
_TAG_COLUMNS = (
    Column("userId", pa.int32(), ID_BOUNDS),
    Column("movieId", pa.int32(), ID_BOUNDS),
    Column("tag", pa.string()),
    Column("timestamp", pa.int64(), (0, MAX_SECONDS)),
)
RATINGS_HEADER = tuple(column.name for column in _RATING_COLUMNS)


def parse_csv(archive: Archive) -> Draft:
    """ml-latest*, ml-20m, ml-25m, ml-32m and the sample."""
    draft = Draft("csv")
    add_ratings(draft, archive, archive.require("ratings.csv"))
    add_movies(draft, archive, archive.require("movies.csv"))
    if links := archive.find("links.csv"):
        add_links(draft, archive, links)
    if tags := archive.find("tags.csv"):
        draft.add("tags", tags.path, read_delimited(archive, tags, _TAG_COLUMNS, Format(), _tags))
    return draft


def parse_dat(archive: Archive) -> Draft:
    """ml-1m and ml-10m."""
    draft = Draft("dat")
    # Arrow's reader knows single delimiters only; read by ':', each '::' leaves one empty column behind.
    fields: list[Column] = []
    for column in _RATING_COLUMNS:
        fields += [column, Column(f"after {column.name}", pa.null())]
    form = Format(delimiter=":", has_header=False, is_quoted=False)
    ratings = archive.require("ratings.dat")
    draft.add("ratings", ratings.path, read_delimited(archive, ratings, fields[:-1], form, _ratings))
    movies = archive.require("movies.dat")
    draft.add("movies", movies.path, read_dat(archive, movies, _MOVIE_COLUMNS, _movies))
    if tags := archive.find("tags.dat"):
        draft.add("tags", tags.path, read_dat(archive, tags, _TAG_COLUMNS, _tags))
    return draft


def parse_100k(archive: Archive) -> Draft:
    """ml-100k."""
    draft = Draft("100k")
    tabs = Format(delimiter="\t", has_header=False, is_quoted=False)
    bars = Format(delimiter="|", has_header=False, is_quoted=False, encoding="latin-1")
    ratings = archive.require("u.data")
    draft.add("ratings", ratings.path, read_delimited(archive, ratings, _RATING_COLUMNS, tabs, _ratings))
    flags = [Column(genre, pa.int8(), (0, 1)) for genre in _GENRES_100K]
    texts = [Column(name, pa.string()) for name in ("title", "released", "released on video", "address")]
    items = archive.require("u.item")
    rows = read_delimited(archive, items, [_MOVIE_COLUMNS[0], *texts, *flags], bars, _movies_100k)
    draft.add("movies", items.path, rows)
    return draft


def add_ratings(draft: Draft, archive: Archive, member: Member) -> None:
    """Read a ratings file of the CSV releases."""
    draft.add("ratings", member.path, read_delimited(archive, member, _RATING_COLUMNS, Format(), _ratings))


def add_movies(draft: Draft, archive: Archive, member: Member) -> None:
    """Read a movies file of the CSV releases."""
    draft.add("movies", member.path, read_delimited(archive, member, _MOVIE_COLUMNS, Format(), _movies))


def add_links(draft: Draft, archive: Archive, member: Member) -> None:
    """Read a links file of the CSV releases."""
    draft.add("links", member.path, read_delimited(archive, member, _LINK_COLUMNS, Format(), _links))


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
    """Genres of a ``|``-separated cell.

    >>> split_genres("Comedy|Romance"), split_genres("(no genres listed)")
    (['Comedy', 'Romance'], [])
    """
    return [genre for genre in text.split("|") if genre and genre != _NO_GENRES]


def movies_table(
    movie_ids: pa.Array | Sequence[int],
    titles: Sequence[str],
    genres: Sequence[Sequence[str]],
    lines: pa.Array | Sequence[int],
) -> pa.Table:
    """Staged movies, their years taken from their titles."""
    years = [title_year(title) for title in titles]
    return pa.table([movie_ids, titles, years, genres, lines], schema=words.staged_schema("movies"))


def _ratings(table: pa.Table) -> pa.Table:
    arrays = [table["userId"], table["movieId"], table["rating"], _utc(table["timestamp"]), table[words.LINE]]
    return pa.table(arrays, schema=words.staged_schema("ratings"))


def _tags(table: pa.Table) -> pa.Table:
    arrays = [table["userId"], table["movieId"], table["tag"], _utc(table["timestamp"]), table[words.LINE]]
    return pa.table(arrays, schema=words.staged_schema("tags"))


def _movies(table: pa.Table) -> pa.Table:
    genres = [split_genres(cell) for cell in table["genres"].to_pylist()]
    return movies_table(table["movieId"], table["title"].to_pylist(), genres, table[words.LINE])


def _movies_100k(table: pa.Table) -> pa.Table:
    is_genre = np.column_stack([table[genre].to_numpy() for genre in _GENRES_100K]).astype(bool)
    # "unknown" is this release's word for "no genres listed".
    genres = [[_GENRES_100K[i] for i in np.flatnonzero(row) if i > 0] for row in is_genre]
    return movies_table(table["movieId"], table["title"].to_pylist(), genres, table[words.LINE])


def _links(table: pa.Table) -> pa.Table:
    # Published without prefix and, at times, without leading zeros: 114709 is tt0114709.
    digits = pc.utf8_lpad(table["imdbId"].cast(pa.string()), width=7, padding="0")
    imdb_ids = pc.binary_join_element_wise("tt", digits, "")
    arrays = [table["movieId"], imdb_ids, table["tmdbId"], table[words.LINE]]
    return pa.table(arrays, schema=words.staged_schema("links"))


def _utc(seconds: pa.ChunkedArray) -> pa.ChunkedArray:
    return seconds.cast(pa.timestamp("s", tz="UTC")).cast(UTC_MS)
