"""Sources of every layout read alike: what an archive holds is recognised by its content, and parsed.

==================  ==================================================================  ====================
layout              what it is                                                          module
==================  ==================================================================  ====================
``csv``             ml-latest*, ml-20m, ml-25m, ml-32m and the sample                   `tabular`
``dat``             ml-1m, ml-10m                                                       `tabular`
``100k``            ml-100k                                                             `movielens`
``movies-dataset``  Kaggle's The Movies Dataset                                         `movies_dataset`
``tabular``         any CSV or Parquet file with user, movie, rating, timestamp         `tabular`
==================  ==================================================================  ====================

No row is dropped, repaired or guessed: it is in a table, or in the quarantine with its line and its text.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys import columns as words
from recsys.errors import DataError, NotFoundError
from recsys.ingest.archives.archives import Archive, Limits, open_archive
from recsys.ingest.archives.plain_files import PARQUET_MAGIC, first_bytes, opened
from recsys.ingest.formats import movielens, movies_dataset, parquet_files, tabular
from recsys.ingest.formats.known_releases import Layout
from recsys.ingest.formats.roles import Part
from recsys.ingest.formats.tabular import ReadOptions
from recsys.ingest.parsers import identity
from recsys.ingest.parsers.column_names import check_mapping
from recsys.ingest.parsers.lines import read_rows
from recsys.ingest.parsers.parsed_tables import Draft, Parsed, movies_table
from recsys.ingest.parsers.sniffing import sniff

PARSER_VERSION = "4"
"""Part of every snapshot's id: raise it when the same archive would parse to other tables."""

FILE_NAMES = (
    "ratings.csv", "movies.csv", "links.csv", "tags.csv",
    "ratings.dat", "movies.dat", "tags.dat",
    "u.data", "u.item",
    "ratings_small.csv", "links_small.csv", "movies_metadata.csv", "keywords.csv", "credits.csv",
    "README", "README.txt", "README.html",
)  # fmt: skip
"""What is kept of a folder that is given in place of an archive, beside what `kept_names` finds."""

_FIXED_FORMS = {"u.data": movielens.TABS, "u.item": movielens.BARS}
_MOVIELENS = ("userId", "movieId", "rating", "timestamp")


def read_source(
    path: Path,
    options: ReadOptions | None = None,
    *,
    limits: Limits | None = None,
    base: Mapping[str, identity.KnownIds] | None = None,
) -> Parsed:
    """Parse a zip archive, a folder or a single file.

    Args:
        path: where it is.
        options: what the files do not say themselves.
        limits: what the archive may ask for.
        base: the ids of the snapshot that this is added to.

    Raises:
        ConfigError: a setting names what is no column of ratings.
        DataError: the archive is refused, nothing in it is recognised, or a file is not what it should be.
    """
    options = options or ReadOptions()
    check_mapping(options.columns)
    with open_archive(path, limits) as archive:
        layout = detect_layout(archive, options)
        draft = _parse(layout, archive, options)
        identity.settle_ids(draft, lambda file, lines: _rows_at(archive, file, lines), how=options.ids, base=base)
        if "movies" not in draft.tables:
            draft.put("movies", draft.homes["ratings"], _rated_movies(draft))
        parsed = draft.finish([member.path for member in archive.members])
        ratings = [account for account in parsed.files if account.table == "ratings"]
        if not any(account.n_in for account in ratings):
            raise DataError(
                f"{archive.place(ratings[0].file)} holds no ratings: it has no rows. Nothing was published. Give a "
                "file with a row for each rating."
            )
    return parsed


def detect_layout(
    source: Archive | Path, options: ReadOptions | None = None, *, limits: Limits | None = None
) -> Layout:
    """The layout of what an archive holds; a quick check that reads headers only.

    Raises:
        ConfigError: a setting names what is no column of ratings.
        DataError: the archive is refused, or nothing in it is recognised; the message says what was looked for and
            what is there.
    """
    options = options or ReadOptions()
    check_mapping(options.columns)
    if isinstance(source, Path):
        with open_archive(source, limits) as archive:
            return detect_layout(archive, options)
    own = replace(options, ratings_file=None) == ReadOptions()
    if own and movies_dataset.find_metadata(source) and movies_dataset.find_ratings(source, options.ratings_file):
        return "movies-dataset"
    if own and not options.ratings_file and source.find("u.data"):
        return "100k"
    ratings = tabular.find_tables(source, options)["ratings"].tables[0]  # raises where there is none
    if set(_MOVIELENS) <= set(ratings.names) and ratings.form and source.find("movies.csv"):
        return "csv"
    return "dat" if ratings.form and ratings.form.delimiter == "::" else "tabular"


def kept_names(path: Path, options: ReadOptions | None = None) -> tuple[str, ...]:
    """The names of the files worth keeping of a folder: `FILE_NAMES`, and those found under names of their own."""
    options = options or ReadOptions()
    with open_archive(path) as archive:
        layout = detect_layout(archive, options)
        found = [options.ratings_file] if options.ratings_file else []
        found += [table.member.path for part in find_parts(archive, layout, options) for table in part.tables]
    return tuple(dict.fromkeys((*FILE_NAMES, *found)))


def find_parts(archive: Archive, layout: Layout, options: ReadOptions) -> Sequence[Part]:
    """The tables of a source of that layout, and what each of their columns is.

    Raises:
        DataError: files are missing, or not what their names say.
    """
    match layout:
        case "100k":
            return movielens.find_parts(archive)
        case "movies-dataset":
            return movies_dataset.find_parts(archive, options.ratings_file)
        case _:
            return tuple(tabular.find_tables(archive, options).values())


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
        return _rows_at(archive, file, lines)


def _rows_at(archive: Archive, file: str, lines: Collection[int]) -> dict[int, str]:
    member = next((member for member in archive.members if member.path == file), None)
    if member is None:
        raise NotFoundError.key(file, archive.label)
    if first_bytes(archive, member, len(PARQUET_MAGIC)) == PARQUET_MAGIC:
        return parquet_files.parquet_rows(archive, member, lines)
    form = _FIXED_FORMS.get(member.name.lower())
    if form is None:
        table = sniff(archive, member)
        form = table.form if table else None
    if form is None:
        return {}
    with opened(archive, member) as text:
        return read_rows(text, form, lines)


def _parse(layout: Layout, archive: Archive, options: ReadOptions) -> Draft:
    match layout:
        case "100k":
            return movielens.parse_100k(archive)
        case "movies-dataset":
            return movies_dataset.parse_movies_dataset(archive, options.ratings_file)
        case _:
            return tabular.parse_tabular(archive, options, Draft(layout))


def _rated_movies(draft: Draft) -> pa.Table:
    """The movies that are rated, in the order in which they first appear; their lines are those of that rating."""
    ratings = draft.tables["ratings"]
    first = ratings.group_by(words.MOVIE_ID).aggregate([(words.LINE, "min")]).sort_by(f"{words.LINE}_min")
    names: dict[Any, Any] = {}
    if dictionary := draft.ids.get("movie_ids"):
        names = dict(zip(*(column.to_pylist() for column in dictionary.columns), strict=True))
    titles: Sequence[str] = [f"Movie {names.get(movie_id, movie_id)}" for movie_id in first[words.MOVIE_ID].to_pylist()]
    return movies_table(first[words.MOVIE_ID], titles, [[]] * len(titles), first[f"{words.LINE}_min"])
