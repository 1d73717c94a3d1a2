"""Sources of every layout read alike: what an archive holds is recognised by its content, and parsed.

==================  ==================================================================  ====================
layout              what it is                                                          module
==================  ==================================================================  ====================
``csv``             ml-latest*, ml-20m, ml-25m, ml-32m and the sample                   `movielens`
``dat``             ml-1m, ml-10m                                                       `movielens`
``100k``            ml-100k                                                             `movielens`
``movies-dataset``  Kaggle's The Movies Dataset                                         `movies_dataset`
``tabular``         any CSV or Parquet file with user, movie, rating, timestamp         `tabular`
==================  ==================================================================  ====================

No row is dropped, repaired or guessed: it is in a table, or in the quarantine with its line and its text.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from recsys.datasets import movielens, movies_dataset, parquet, tabular
from recsys.datasets.archives import Archive, Limits, Member, open_archive
from recsys.datasets.catalogue import Layout
from recsys.datasets.cells import header_names
from recsys.datasets.delimited import Format
from recsys.datasets.parsed import Draft, Parsed
from recsys.datasets.plain import PARQUET_MAGIC, first_bytes
from recsys.datasets.text import source_text
from recsys.errors import DataError, NotFoundError

PARSER_VERSION = "2"
"""Part of every snapshot's id: raise it when the same archive would parse to other tables."""

FILE_NAMES = (
    "ratings.csv", "movies.csv", "links.csv", "tags.csv",
    "ratings.dat", "movies.dat", "tags.dat",
    "u.data", "u.item",
    "ratings_small.csv", "links_small.csv", "movies_metadata.csv", "keywords.csv", "credits.csv",
    "README", "README.txt", "README.html",
)  # fmt: skip
"""What is kept of a folder that is given in place of an archive, beside what `kept_names` finds."""

_HEADER_BYTES = 64 << 10
_ONE_LINE_ROWS = {"movies.csv", "links.csv", "links_small.csv", "tags.csv", "u.data", "u.item"}


def read_source(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    ratings_file: str | None = None,
    limits: Limits | None = None,
) -> Parsed:
    """Parse a zip archive, a folder or a single file.

    Args:
        path: where it is.
        columns: for files of one's own, the file's column for ``user_id``, ``movie_id``, ``rating`` and ``timestamp``;
            those with usual names need no entry.
        ratings_file: the file name of the ratings, where there are several.
        limits: what the archive may ask for.

    Raises:
        ConfigError: `columns` names what is no column of ratings.
        DataError: the archive is refused, nothing in it is recognised, or a file is not what it should be.
    """
    tabular.check_mapping(columns)
    with open_archive(path, limits) as archive:
        layout = detect_layout(archive, columns=columns, ratings_file=ratings_file)
        parsed = _parse(layout, archive, columns, ratings_file).finish()
    ratings = next(account for account in parsed.files if account.table == "ratings")
    if ratings.n_in == 0:
        raise DataError(
            f"{path.name}: {ratings.file} holds no ratings. Nothing was published. Fetch the archive again."
        )
    return parsed


def detect_layout(
    source: Archive | Path,
    *,
    columns: Mapping[str, str] | None = None,
    ratings_file: str | None = None,
    limits: Limits | None = None,
) -> Layout:
    """The layout of what an archive holds; a quick check that reads headers only.

    Raises:
        ConfigError: `columns` names what is no column of ratings.
        DataError: the archive is refused, or nothing in it is recognised; the message says what was looked for and
            what is there.
    """
    tabular.check_mapping(columns)
    if isinstance(source, Path):
        with open_archive(source, limits) as archive:
            return detect_layout(archive, columns=columns, ratings_file=ratings_file)
    if not columns and movies_dataset.find_metadata(source) and movies_dataset.find_ratings(source, ratings_file):
        return "movies-dataset"
    if not columns and not ratings_file:
        if source.find("movies.csv") and _has_movielens_ratings(source):
            return "csv"
        if source.find("ratings.dat"):
            return "dat"
        if source.find("u.data"):
            return "100k"
    tabular.find_source(source, columns, ratings_file)  # raises where there is none
    return "tabular"


def kept_names(
    path: Path, *, columns: Mapping[str, str] | None = None, ratings_file: str | None = None
) -> tuple[str, ...]:
    """The names of the files worth keeping of a folder: `FILE_NAMES`, and those found under names of their own."""
    with open_archive(path) as archive:
        layout = detect_layout(archive, columns=columns, ratings_file=ratings_file)
        found = [ratings_file] if ratings_file else []
        if layout == "tabular":
            found.append(tabular.find_source(archive, columns, ratings_file).member.name)
        elif layout == "movies-dataset" and (metadata := movies_dataset.find_metadata(archive)):
            found.append(metadata.name)
    return tuple(dict.fromkeys((*FILE_NAMES, *found)))


def source_lines(path: Path, file: str, lines: Collection[int]) -> dict[int, str]:
    """The text of rows of a file of the source, by the lines they begin on, up to 10,000 characters each.

    Args:
        path: the archive, folder or file.
        file: the file's path in it, as a `FileAccount` has it.
        lines: line numbers as in `columns.LINE`; row numbers in Parquet, whose rows come as JSON.

    Returns:
        The rows found; a line on which none begins is left out.

    Raises:
        NotFoundError: the source holds no such file.
    """
    with open_archive(path) as archive:
        member = next((member for member in archive.members if member.path == file), None)
        if member is None:
            raise NotFoundError.key(file, path.name)
        if first_bytes(archive, member, len(PARQUET_MAGIC)) == PARQUET_MAGIC:
            return parquet.parquet_rows(archive, member, lines)
        return source_text(archive, member, _format(archive, member), lines)


def _parse(layout: Layout, archive: Archive, columns: Mapping[str, str] | None, ratings_file: str | None) -> Draft:
    match layout:
        case "csv":
            return movielens.parse_csv(archive)
        case "dat":
            return movielens.parse_dat(archive)
        case "100k":
            return movielens.parse_100k(archive)
        case "movies-dataset":
            return movies_dataset.parse_movies_dataset(archive, ratings_file)
        case "tabular":
            return tabular.parse_tabular(archive, tabular.find_source(archive, columns, ratings_file))


def _format(archive: Archive, member: Member) -> Format:
    if member.name.lower() in _ONE_LINE_ROWS or member.name.lower().endswith(".dat"):
        return Format(has_header=False)
    head = first_bytes(archive, member, _HEADER_BYTES)
    return Format(delimiter=tabular.delimiter_of(re.split(rb"[\r\n]", head, maxsplit=1)[0]), spans_lines=True)


def _has_movielens_ratings(archive: Archive) -> bool:
    member = archive.find("ratings.csv")
    if member is None:
        return False
    header = header_names(first_bytes(archive, member, _HEADER_BYTES), ",")
    return set(movielens.RATINGS_HEADER) <= set(header)
