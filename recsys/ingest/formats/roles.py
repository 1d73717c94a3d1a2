"""What the files of a source are to each other: ratings, movies, links, tags and details, by columns and by name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote

from recsys import columns as words
from recsys.errors import DataError
from recsys.ingest.archives.archives import Archive, Member
from recsys.ingest.archives.members import NOT_READ, is_part
from recsys.ingest.formats.refusals import headless, listed, no_table, unnamed
from recsys.ingest.parsers.column_names import count_known, match_columns, plain_name
from recsys.ingest.parsers.sniffing import Table, sniff

Role = Literal["ratings", "movies", "links", "tags", "details"]

_DETAILS = (words.LANGUAGE, words.KEYWORDS, words.DIRECTORS, words.ACTORS)
_COLUMNS: dict[Role, tuple[str, ...]] = {
    "ratings": (words.USER_ID, words.MOVIE_ID, words.RATING, words.TIMESTAMP),
    "tags": (words.USER_ID, words.MOVIE_ID, words.TAG, words.TIMESTAMP),
    "movies": (words.MOVIE_ID, words.TITLE, words.GENRES),
    "links": (words.MOVIE_ID, words.IMDB_ID, words.TMDB_ID),
    "details": (words.MOVIE_ID, *_DETAILS),
}
_OPTIONAL = {words.GENRES, words.IMDB_ID, words.TMDB_ID, *_DETAILS}
_STEMS: dict[Role, set[str]] = {
    "ratings": {"rating"},
    "tags": {"tag"},
    "movies": {"movie", "item", "film", "title"},
    "links": {"link"},
    "details": {"detail"},
}
_ID_OF_ITSELF = "id"  # a file of movies may call them so, a file of ratings numbers its rows
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_MAX_SNIFFED_FILES = 100


@dataclass(frozen=True, slots=True)
class Part:
    """A table of a source in one or several files of the same columns.

    Attributes:
        role: what it is.
        tables: the files, in order.
        names: the files' column for each column that is found.
        genre_flags: columns that tell one genre each.
    """

    role: Role
    tables: tuple[Table, ...]
    names: dict[str, str]
    genre_flags: tuple[str, ...] = ()

    @property
    def meanings(self) -> dict[str, str]:
        """What is read of the files: what each of their columns was taken for."""
        return {column: name for name, column in self.names.items()} | dict.fromkeys(self.genre_flags, words.GENRES)

    @property
    def missing(self) -> list[str]:
        """The columns of the role that are not there and must be."""
        return [name for name in _COLUMNS[self.role] if name not in self.names and name not in _OPTIONAL]


def stem_role(path: str) -> Role | None:
    """The role that a file's name tells, or that of the folder of its parts.

    >>> stem_role("ml/ratings_small.csv"), stem_role("movie.csv"), stem_role("ratings.parquet/part-00000.parquet")
    ('ratings', 'movies', 'ratings')
    """
    for name in reversed(PurePosixPath(path).parts[-2:]):
        if not is_part(name):
            stem = re.split(r"[^a-z]+", name.lower())
            return next((role for role, stems in _STEMS.items() if stem[0].removesuffix("s") in stems), None)
    return None


def find_parts(
    archive: Archive, mapping: Mapping[str, str] | None = None, ratings_file: str | None = None, *, optional: set[str]
) -> dict[Role, Part]:
    """The tables of a source, ratings among them.

    Args:
        archive: holds the files.
        mapping: the file's column for each of `column_names.USUAL_NAMES`; those with usual names need no entry.
        ratings_file: the file name of the ratings, where there are several.
        optional: columns of ratings that need not be there; where `rating` is among them, it may say how often.

    Raises:
        DataError: no file fits as ratings, several fit as the same, or two columns could be the same thing.
    """
    tables, has_ratings = _tables(archive, mapping), words.RATING not in optional
    found: dict[Role, Part] = {}
    for role in _COLUMNS:
        groups = _groups(tables)
        candidates = [part for group in groups if (part := _part(role, group, mapping or {}, has_ratings=has_ratings))]
        if role == "ratings" and ratings_file:
            member = archive.require(ratings_file)
            candidates = [part for part in candidates if part.tables[0].member == member]
        fitting = [part for part in candidates if not set(part.missing) - optional]
        named = [part for part in fitting if stem_role(part.tables[0].member.path) == role]
        fitting = _nearest(named or fitting)
        if len(fitting) > 1:
            raise DataError(
                f"{archive.label}: {', '.join(part.tables[0].member.path for part in fitting)} could all be the "
                f"{role}. {NOT_READ} Keep one of them, or call it {role}.csv."
            )
        if fitting:
            found[role] = fitting[0]
            _check_header(archive, fitting[0], mapping or {}, has_ratings=has_ratings)
            _check_parts(archive, fitting[0], tables)
        elif role == "ratings":
            raise _unknown(archive, candidates, tables, optional, mapping or {})
        elif role in ("movies", "links"):
            others = [table for table in tables if table not in found["ratings"].tables]
            _check_named(archive, role, others, mapping or {})
    return found


def part_of(archive: Archive, member: Member, role: Role) -> Part:
    """One file as a table of that role.

    Raises:
        DataError: it is no table, or columns of the role are missing.
    """
    table = sniff(archive, member)
    part = table and Part(role, (table,), {name: found[0] for name, found in _columns(role, table, {}).items()})
    if not part or part.missing:
        missing = f"has no {' or '.join(part.missing)}" if part else "is no table"
        raise DataError(
            f"{archive.place(member.path)} {missing}; as {role} it has the columns {', '.join(_COLUMNS[role])}. "
            f"{NOT_READ} Correct its header, or fetch the archive again."
        )
    _check_header(archive, part, {})
    return part


def _tables(archive: Archive, mapping: Mapping[str, str] | None) -> list[Table]:
    n_known = partial(count_known, mapping=mapping)
    members = archive.members[:_MAX_SNIFFED_FILES]
    tables = [table for member in members if (table := sniff(archive, member, n_known)) is not None]
    return [replace(table, of_folders=_said_by_folders(table.member.path)) for table in tables]


def _said_by_folders(path: str) -> dict[str, str]:
    """The columns that folders name, as Hive and Spark write partitions.

    >>> _said_by_folders("r/rating=4/when=2019-01-01%2012/part-0.csv")
    {'rating': '4', 'when': '2019-01-01 12'}
    """
    pairs = [part.partition("=") for part in PurePosixPath(path).parts[:-1] if "=" in part]
    return {name: "" if value == _HIVE_NULL else unquote(value) for name, _, value in pairs}


def _groups(tables: Sequence[Table]) -> list[list[Table]]:
    """Files that are parts of one table: numbered ones, or below folders as ``year=2019``, with the same columns."""
    groups: dict[tuple[object, ...], list[Table]] = {}
    for table in tables:
        path = PurePosixPath(table.member.path)
        hive = next((i for i, part in enumerate(path.parts[:-1]) if "=" in part), None)
        folder = "/".join(path.parts[: hive if hive is not None else -1])
        key = (
            (folder, tuple(table.names), path.suffixes[-1:] == [".parquet"])
            if is_part(str(path))
            else (table.member.path,)
        )
        groups.setdefault(key, []).append(table)
    return list(groups.values())


def _part(role: Role, group: list[Table], mapping: Mapping[str, str], *, has_ratings: bool = True) -> Part | None:
    """A group of files as a table of that role, if it could be one."""
    table = group[0]
    if not table.has_header and not mapping and table.form and table.form.delimiter == "::":
        return _as_movielens(role, group)
    columns = _columns(role, table, mapping, has_ratings=has_ratings)
    if not _could_be(role, set(columns), table):
        return None
    return Part(role, tuple(group), {name: found[0] for name, found in columns.items()})


def _columns(role: Role, table: Table, mapping: Mapping[str, str], *, has_ratings: bool = True) -> dict[str, list[str]]:
    if role != "ratings":  # what is said of the ratings may be called otherwise elsewhere
        mapping = {name: column for name, column in mapping.items() if column in table.names}
    columns = match_columns(table.names, mapping, _COLUMNS[role], has_ratings=has_ratings)
    missing = [name for name in _COLUMNS[role] if name not in columns]
    columns |= match_columns([*table.of_folders], mapping, missing, has_ratings=has_ratings)
    ids = [column for column in table.names if plain_name(column) == _ID_OF_ITSELF]
    if words.USER_ID not in _COLUMNS[role] and words.MOVIE_ID not in columns and ids:
        columns[words.MOVIE_ID] = ids
    return columns


def _could_be(role: Role, columns: set[str], table: Table) -> bool:
    others = match_columns(table.names, None, [words.USER_ID, words.TAG])
    if role == "ratings":
        is_tags = words.TAG in others and words.RATING not in columns
        return not is_tags and (len(columns) >= 2 or stem_role(table.member.path) == role)
    if role == "tags":
        return {words.USER_ID, words.MOVIE_ID, words.TAG} <= columns
    if words.MOVIE_ID not in columns or words.USER_ID in others:
        return False
    wanted = {"movies": {words.TITLE}, "links": {words.IMDB_ID, words.TMDB_ID}, "details": set(_DETAILS)}[role]
    return bool(columns & wanted)


def _as_movielens(role: Role, group: list[Table]) -> Part | None:
    """A file separated by ``::`` without a header, whose columns are those of MovieLens."""
    table = group[0]
    if stem_role(table.member.path) != role:
        return None
    has_no_times = role == "ratings" and len([*filter(None, table.names)]) == len(_COLUMNS[role]) - 1
    names = list(_COLUMNS[role][:-1] if has_no_times else _COLUMNS[role])
    blank = [name for name in table.names[len(names) :] if not name]  # behind delimiters at the lines' ends
    tables = tuple(replace(table, names=[*names, *blank]) for table in group)
    return Part(role, tables, {name: name for name in names})


def _nearest(parts: list[Part]) -> list[Part]:
    least = min((part.tables[0].member.depth for part in parts), default=0)
    return [part for part in parts if part.tables[0].member.depth == least]


def _check_parts(archive: Archive, part: Part, tables: Sequence[Table]) -> None:
    """Refuse to leave out a file that is numbered like the parts of a table, and lies beside them."""
    first = PurePosixPath(part.tables[0].member.path)
    for table in tables if is_part(str(first)) else ():
        path = PurePosixPath(table.member.path)
        is_beside = path.parent == first.parent and path.suffix == first.suffix and is_part(path.name)
        if is_beside and table.names != part.tables[0].names:
            raise DataError(
                f"{archive.place(str(path))}: lies beside {first} as a part of the same table, but has the columns "
                f"{listed(table)} and not {listed(part.tables[0])}. {NOT_READ} Give all "
                "parts the same header line, or take the file out."
            )


def _check_named(archive: Archive, role: Role, tables: Sequence[Table], mapping: Mapping[str, str]) -> None:
    """Refuse a file that is called as the role is, and has ids of movies but not what is wanted of them."""
    for table in tables:
        columns = _columns(role, table, mapping)
        if stem_role(table.member.path) == role and table.has_header and words.MOVIE_ID in columns:
            wanted = [name for name in _COLUMNS[role] if name not in columns and name != words.GENRES]
            raise DataError(
                f"{archive.place(table.member.path)} is called as the {role} are, but none of its columns "
                f"{listed(table)} is known as {' or '.join(wanted)}. {NOT_READ} Say which it is: "
                f"columns={wanted[0]}=…, or take the file out."
            )


def _check_header(archive: Archive, part: Part, mapping: Mapping[str, str], *, has_ratings: bool = True) -> None:
    """Refuse a file in which a column is named twice, or taken for two things, or two could be the same thing."""
    for name, found in _columns(part.role, part.tables[0], mapping, has_ratings=has_ratings).items():
        if len(set(found)) > 1 and part.tables[0].has_header:
            raise DataError(
                f"{archive.place(part.tables[0].member.path)}: columns {' and '.join(found)} could both be {name}. "
                f"{NOT_READ} Say which it is: columns={name}={found[0]} or columns={name}={found[1]}."
            )
    table = part.tables[0]
    taken = list(part.names.values())
    for name, column in part.names.items():
        if table.names.count(column) > 1 or taken.count(column) > 1:
            raise DataError(
                f"{archive.place(table.member.path)}: column {column}, taken for {name}, appears "
                f"{table.names.count(column)} times in the header {listed(table)}, or is named for "
                f"another as well. {NOT_READ} Give each its own column."
            )


def _unknown(
    archive: Archive, parts: list[Part], tables: list[Table], optional: set[str], mapping: Mapping[str, str]
) -> DataError:
    without = [table for table in tables if not table.has_header]
    if without and all(not part.tables[0].has_header for part in parts):
        return headless(archive, without[0])
    candidates = parts[:5]
    others: tuple[Role, ...] = ("tags", "movies", "links", "details")
    strange = [t for t in tables if len(t.names) > 2 and not any(_part(role, [t], {}) for role in others)]
    if not candidates and strange:
        candidates = [Part("ratings", (strange[0],), {})]
    if not candidates:
        return no_table(archive, tables, _COLUMNS["ratings"])
    missing = [[name for name in part.missing if name not in optional] for part in candidates]
    return unnamed(archive, [part.tables[0] for part in candidates], missing, mapping)
