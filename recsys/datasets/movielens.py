"""MovieLens releases as canonical tables: one parser per layout, chosen by what the archive holds.

==========  ============================================  ===================================
layout      releases                                      files
==========  ============================================  ===================================
``csv``     ml-latest*, ml-20m, ml-25m, ml-32m, sample    ratings, movies, links, tags (.csv)
``dat``     ml-1m, ml-10m                                 ratings, movies, tags (.dat), ``::``
``100k``    ml-100k                                       u.data, u.item
==========  ============================================  ===================================

Links and tags are optional everywhere; without them their tables are empty. Values are kept as published:
no row is dropped, repaired or guessed. Whether they make sense is the validation's question.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns
from recsys.datasets.archives import Archive, Limits, Member, open_archive
from recsys.datasets.catalogue import Layout
from recsys.datasets.delimited import Column, Format, cell_fault, line_error, read_delimited
from recsys.errors import DataError

PARSER_VERSION = "1"
"""Part of every snapshot's id: raise it when the same archive would parse to other tables."""

FILE_NAMES = (
    "ratings.csv", "movies.csv", "links.csv", "tags.csv",
    "ratings.dat", "movies.dat", "tags.dat",
    "u.data", "u.item",
    "README", "README.txt", "README.html",
)  # fmt: skip
"""What is kept of a folder that is given in place of an archive."""

Tables = dict[str, pa.Table]

_NO_GENRES = "(no genres listed)"
_LAST_BRACKET = re.compile(r"\(\s*(\d{4})\s*(?:[-–]\s*(?:\d{4})?)?\s*\)\s*$", re.ASCII)
_ID = (0, 2**31 - 1)
_SECONDS = (0, 253_402_300_799)  # up to the end of year 9999, the last that Python's dates can say
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_MAX_TEXT_BYTES = 256 << 20


def read_tables(path: Path, limits: Limits | None = None) -> tuple[Layout, Tables]:
    """Parse a MovieLens archive or folder.

    Returns:
        The layout found, and the tables of `columns.SNAPSHOT_TABLES` by name, rows in the source's order.

    Raises:
        DataError: the archive is refused, a file is missing, or a row is malformed.
    """
    with open_archive(path, limits) as archive:
        layout = detect_layout(archive)
        tables = {"details": columns.DETAILS.empty_table(), **PARSERS[layout](archive)}
    return layout, {name: tables[name].cast(schema) for name, schema in columns.SNAPSHOT_TABLES.items()}


def detect_layout(archive: Archive) -> Layout:
    """The layout whose ratings file the archive holds.

    Raises:
        DataError: it holds none of them; the message says what was looked for and what is there.
    """
    files: dict[Layout, str] = {"csv": "ratings.csv", "dat": "ratings.dat", "100k": "u.data"}
    for layout, name in files.items():
        if archive.find(name):
            return layout
    archive.require("ratings.csv", ("ratings.dat", "u.data"))  # raises: none of them is there
    return "csv"


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


def _parse_csv(archive: Archive) -> Tables:
    form = Format()
    ratings = read_delimited(archive, archive.require("ratings.csv"), _RATING_COLUMNS, form)
    movies = read_delimited(
        archive,
        archive.require("movies.csv"),
        [Column("movieId", pa.int32(), _ID), Column("title", pa.string()), Column("genres", pa.string())],
        form,
    )
    genres = [split_genres(cell) for cell in movies["genres"].to_pylist()]
    return {
        "ratings": _ratings(ratings),
        "movies": _movies(movies["movieId"], movies["title"].to_pylist(), genres),
        "links": _csv_links(archive, form),
        "tags": _csv_tags(archive, form),
    }


def _csv_links(archive: Archive, form: Format) -> pa.Table:
    member = archive.find("links.csv")
    if member is None:
        return columns.LINKS.empty_table()
    links = read_delimited(archive, member, _LINK_COLUMNS, form)
    # Published without prefix and, at times, without leading zeros: 114709 is tt0114709.
    digits = pc.utf8_lpad(links["imdbId"].cast(pa.string()), width=7, padding="0")
    imdb_ids = pc.binary_join_element_wise("tt", digits, "")
    return pa.table([links["movieId"], imdb_ids, links["tmdbId"]], schema=columns.LINKS)


def _csv_tags(archive: Archive, form: Format) -> pa.Table:
    member = archive.find("tags.csv")
    if member is None:
        return columns.TAGS.empty_table()
    tags = read_delimited(archive, member, _TAG_COLUMNS, form)
    return pa.table(
        [tags["userId"], tags["movieId"], tags["tag"], _utc(tags["timestamp"])],
        schema=columns.TAGS,
    )


def _parse_dat(archive: Archive) -> Tables:
    # Arrow's reader knows single delimiters only; read by ':', each '::' leaves one empty column behind.
    fields: list[Column] = []
    for column in _RATING_COLUMNS:
        fields += [column, Column(f"after {column.name}", pa.null())]
    ratings = read_delimited(
        archive,
        archive.require("ratings.dat"),
        fields[:-1],
        Format(delimiter=":", has_header=False, is_quoted=False),
    )
    movie_ids, titles, genres = [], [], []
    movie_columns = (Column("movieId", pa.int32(), _ID), Column("title", pa.string()), Column("genres", pa.string()))
    for movie_id, title, cell in _dat_rows(archive, archive.require("movies.dat"), movie_columns):
        movie_ids.append(int(movie_id))
        titles.append(title)
        genres.append(split_genres(cell))
    return {
        "ratings": _ratings(ratings),
        "movies": _movies(pa.chunked_array([pa.array(movie_ids, pa.int32())]), titles, genres),
        "links": columns.LINKS.empty_table(),
        "tags": _dat_tags(archive),
    }


def _dat_tags(archive: Archive) -> pa.Table:
    member = archive.find("tags.dat")
    if member is None:
        return columns.TAGS.empty_table()
    rows = list(_dat_rows(archive, member, _TAG_COLUMNS))
    return pa.table(
        [
            pa.array([int(row[0]) for row in rows], pa.int32()),
            pa.array([int(row[1]) for row in rows], pa.int32()),
            pa.array([row[2] for row in rows], pa.string()),
            _utc(pa.chunked_array([pa.array([int(row[3]) for row in rows], pa.int64())])),
        ],
        schema=columns.TAGS,
    )


def _dat_rows(archive: Archive, member: Member, fields: tuple[Column, ...]) -> Iterator[list[str]]:
    """Cells of each line; surplus ``::`` belong to the one free text, the second column from the end.

    ml-10m is UTF-8, ml-1m is Latin-1, and neither says so: what does not decode as the former is the latter.
    """
    if member.size_bytes > _MAX_TEXT_BYTES:
        raise DataError(
            f"{archive.label}: {member.path} has {member.size_bytes:,} bytes, {_MAX_TEXT_BYTES:,} allowed. "
            "Nothing was published. ml-10m's has under 1 MB; fetch the archive again."
        )
    with archive.open(member) as file:
        data = file.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    for number, line in enumerate(re.split("\r\n|\r|\n", text), start=1):
        if not line:
            continue
        cells = line.split("::")
        if len(cells) < len(fields):
            raise line_error(archive, member, number, line, f"{len(cells)} cells where {len(fields)} belong")
        cells = [*cells[: len(fields) - 2], "::".join(cells[len(fields) - 2 : -1]), cells[-1]]
        for cell, column in zip(cells, fields, strict=True):
            if fault := cell_fault(cell, column):
                raise line_error(archive, member, number, line, fault)
        yield cells


def _parse_100k(archive: Archive) -> Tables:
    tabs = Format(delimiter="\t", has_header=False, is_quoted=False)
    bars = Format(delimiter="|", has_header=False, is_quoted=False, encoding="latin-1")
    ratings = read_delimited(archive, archive.require("u.data"), _RATING_COLUMNS, tabs)
    flags = [Column(genre, pa.int8(), (0, 1)) for genre in _GENRES_100K]
    texts = [Column(name, pa.string()) for name in ("title", "released", "released on video", "address")]
    items = read_delimited(
        archive, archive.require("u.item"), [Column("movieId", pa.int32(), _ID), *texts, *flags], bars
    )
    is_genre = np.column_stack([items[genre].to_numpy() for genre in _GENRES_100K]).astype(bool)
    # "unknown" is this release's word for "no genres listed".
    genres = [[_GENRES_100K[i] for i in np.flatnonzero(row) if i > 0] for row in is_genre]
    return {
        "ratings": _ratings(ratings),
        "movies": _movies(items["movieId"], items["title"].to_pylist(), genres),
        "links": columns.LINKS.empty_table(),
        "tags": columns.TAGS.empty_table(),
    }


PARSERS: dict[Layout, Callable[[Archive], Tables]] = {"csv": _parse_csv, "dat": _parse_dat, "100k": _parse_100k}

_RATING_COLUMNS = (
    Column("userId", pa.int32(), _ID),
    Column("movieId", pa.int32(), _ID),
    Column("rating", pa.float32()),
    Column("timestamp", pa.int64(), _SECONDS),
)
_LINK_COLUMNS = (
    Column("movieId", pa.int32(), _ID),
    Column("imdbId", pa.int64(), (0, 10**10), is_optional=True),
    Column("tmdbId", pa.int32(), _ID, is_optional=True),
)
_TAG_COLUMNS = (
    Column("userId", pa.int32(), _ID),
    Column("movieId", pa.int32(), _ID),
    Column("tag", pa.string()),
    Column("timestamp", pa.int64(), _SECONDS),
)


def _ratings(table: pa.Table) -> pa.Table:
    return pa.table(
        [table["userId"], table["movieId"], table["rating"], _utc(table["timestamp"])], schema=columns.RATINGS
    )


def _movies(movie_ids: pa.ChunkedArray, titles: list[str], genres: list[list[str]]) -> pa.Table:
    years = [title_year(title) for title in titles]
    arrays = [pa.array(titles, pa.string()), pa.array(years, pa.int16()), pa.array(genres, pa.list_(pa.string()))]
    return pa.table([movie_ids, *arrays], schema=columns.MOVIES)


def _utc(seconds: pa.ChunkedArray) -> pa.ChunkedArray:
    return seconds.cast(pa.timestamp("s", tz="UTC")).cast(pa.timestamp("ms", tz="UTC"))
