"""Any table of ratings: CSV (or TSV, also packed by gzip) or Parquet, whatever its columns are called.

Four columns are needed: who rated, what, how, and when. The usual names are known, others are said by a mapping.
Times in numbers are seconds or milliseconds since 1970 (`times.count_in_ms` decides, by the first thousand rows);
times in text are ISO 8601, in UTC unless they say otherwise. A MovieLens-like ``movies.csv`` beside the ratings
gives titles; without one the movies are those rated.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as words
from recsys.datasets import movielens, parquet
from recsys.datasets.archives import Archive, Member
from recsys.datasets.cells import Column, header_names, split_cells
from recsys.datasets.delimited import Format, read_delimited
from recsys.datasets.parsed import Draft, Rows
from recsys.datasets.plain import PARQUET_MAGIC, first_bytes
from recsys.datasets.times import MAX_SECONDS, UTC_MS, count_in_ms, parse_times
from recsys.errors import ConfigError, DataError

USUAL_NAMES = {
    words.USER_ID: ("userid", "user", "uid", "reviewerid", "customerid"),
    words.MOVIE_ID: ("movieid", "itemid", "movie", "item", "iid", "mid", "filmid", "film"),
    words.RATING: ("rating", "score", "stars", "ratings"),
    words.TIMESTAMP: ("timestamp", "time", "ts", "date", "datetime", "ratedat", "createdat"),
}
"""What columns are usually called, in order of preference; case, blanks, ``_`` and ``-`` do not matter."""

_DELIMITERS = ",;\t|"
_SNIFFED_BYTES = 256 << 10
_SNIFFED_ROWS = 1_000
_MAX_SNIFFED_FILES = 100
_MOSTLY = 0.9
_NUMBER = re.compile(r"\s*[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?\s*", re.ASCII)
_NOT_READ = "Nothing was read or stored."


@dataclass(frozen=True, slots=True)
class Source:
    """A file that may hold ratings.

    Attributes:
        member: the file.
        header: its columns.
        names: the file's column for each of the four that is found.
        delimiter: of text; empty for Parquet.
        sample: the first rows of text.
    """

    member: Member
    header: list[str]
    names: dict[str, str]
    delimiter: str
    sample: list[list[str]]

    @property
    def missing(self) -> list[str]:
        return [name for name in USUAL_NAMES if name not in self.names]

    def cells(self, name: str) -> list[str]:
        """The sampled cells of one of the four columns."""
        place = self.header.index(self.names[name])
        return [row[place] for row in self.sample if len(row) == len(self.header)]


def check_mapping(mapping: Mapping[str, str] | None) -> None:
    """Refuse a mapping with names that mean nothing here.

    Raises:
        ConfigError: a key is none of the four columns.
    """
    if unknown := set(mapping or ()) - set(USUAL_NAMES):
        raise ConfigError(
            f"columns names {', '.join(sorted(unknown))}; known are {', '.join(USUAL_NAMES)}. Nothing was started. "
            'Write columns={"user_id": "the file\'s column", …}.'
        )


def match_columns(header: list[str], mapping: Mapping[str, str] | None = None) -> dict[str, str]:
    """The file's column for each of the four: as the mapping says, else by the usual names.

    >>> match_columns(["Item ID", "User-Id", "stars", "when"], {"timestamp": "when"})
    {'user_id': 'User-Id', 'movie_id': 'Item ID', 'rating': 'stars', 'timestamp': 'when'}
    """
    mapping = mapping or {}
    by_plain_name: dict[str, str] = {}
    for column in header:
        by_plain_name.setdefault(re.sub(r"[\s_-]", "", column).lower(), column)
    found = {}
    for name, usual in USUAL_NAMES.items():
        given = mapping.get(name)
        known = [by_plain_name[word] for word in usual if word in by_plain_name]
        if given in header or (known and not given):
            found[name] = given or known[0]
    return found


def find_source(archive: Archive, mapping: Mapping[str, str] | None = None, ratings_file: str | None = None) -> Source:
    """The file of ratings in an archive: the one asked for, else ``ratings.*``, else the only one that fits.

    Raises:
        DataError: none fits, or several do; the message lists their columns or names.
    """
    if ratings_file:
        candidates = [_sniff(archive, archive.require(ratings_file), mapping)]
    else:
        members = archive.members[:_MAX_SNIFFED_FILES]
        candidates = [source for member in members if (source := _sniff(archive, member, mapping))]
    named = [source for source in candidates if source and source.member.name.lower().startswith("ratings.")]
    fitting = [source for source in candidates if source and not source.missing]
    fitting = [source for source in fitting if source in named] or fitting
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DataError(
            f"{archive.label}: {', '.join(source.member.path for source in fitting)} could all be the ratings. "
            f"{_NOT_READ} Keep one of them, or call it ratings.csv."
        )
    raise _unknown(archive, (named or [source for source in candidates if source])[:5])


def parse_tabular(archive: Archive, source: Source) -> Draft:
    """Read the ratings, and the movies beside them or those that are rated."""
    draft = Draft("tabular")
    _check_unique(archive, source)
    rows = (
        _read_text(archive, source) if source.delimiter else parquet.read_parquet(archive, source.member, source.names)
    )
    if not source.delimiter:
        _check_parquet_ids(archive, source, rows)
    draft.add("ratings", source.member.path, rows)
    if movies := find_movies(archive, source.member):
        movielens.add_movies(draft, archive, movies)
    else:
        draft.put("movies", source.member.path, _rated_movies(rows.table))
    return draft


def find_movies(archive: Archive, ratings: Member) -> Member | None:
    """A ``movies.csv`` in MovieLens' form, not the ratings themselves."""
    member = archive.find("movies.csv")
    if member is None or member == ratings:
        return None
    header = header_names(_first_line(first_bytes(archive, member, _SNIFFED_BYTES)), ",")
    return member if {"movieId", "title", "genres"} <= set(header) else None


def delimiter_of(line: bytes, mapping: Mapping[str, str] | None = None) -> str:
    """What separates the names in a header: that which gives most known names, then most names.

    >>> delimiter_of(b"user;item;rating;when, in UTC")
    ';'
    """
    headers = {delimiter: header_names(line, delimiter) for delimiter in _DELIMITERS}
    return max(_DELIMITERS, key=lambda d: (len(match_columns(headers[d], mapping)), len(headers[d])))


def format_of(source: Source) -> Format:
    return Format(delimiter=source.delimiter, spans_lines=True)


def _sniff(archive: Archive, member: Member, mapping: Mapping[str, str] | None) -> Source | None:
    """What a file seems to hold, if it is a table at all."""
    head = first_bytes(archive, member, _SNIFFED_BYTES)
    if head.startswith(PARQUET_MAGIC):
        header = parquet.column_names(archive, member)
        return Source(member, header, match_columns(header, mapping), "", [])
    line = _first_line(head)
    if not line or b"\0" in line or len(line) == _SNIFFED_BYTES:
        return None
    delimiter = delimiter_of(line, mapping)
    header = header_names(line, delimiter)
    if len(header) < len(USUAL_NAMES):  # not a table of ratings: prose, JSON, a licence
        return None
    rows = re.split("\r\n|\r|\n", head.decode("utf-8", "replace"))[1 : _SNIFFED_ROWS + 1]
    rows = rows[:-1] if len(head) == _SNIFFED_BYTES else rows
    sample = [split_cells(row, delimiter) for row in rows if row]
    return Source(member, header, match_columns(header, mapping), delimiter, sample)


def _first_line(head: bytes) -> bytes:
    return re.split(rb"[\r\n]", head, maxsplit=1)[0]


def _unknown(archive: Archive, candidates: list[Source]) -> DataError:
    if not candidates:
        return DataError(
            f"{archive.label}: looked for ratings.csv, ratings.dat, u.data, movies_metadata.csv, or any table of "
            f"ratings; found {archive.listing()}. {_NOT_READ} Give an archive of a MovieLens release, The Movies "
            "Dataset, or a CSV or Parquet file with the columns user_id, movie_id, rating and timestamp."
        )
    seen = "; ".join(
        f"{source.member.path} has the columns {', '.join(source.header[:40])}, none of them known as "
        f"{' or '.join(source.missing)}"
        for source in candidates
    )
    example = ", ".join(f'"{name}": "…"' for name in candidates[0].missing)
    return DataError(
        f"{archive.label}: {seen}. {_NOT_READ} Say which of the file's columns they are: columns={{{example}}}."
    )


def _check_unique(archive: Archive, source: Source) -> None:
    for name, column in source.names.items():
        if source.header.count(column) > 1 or list(source.names.values()).count(column) > 1:
            raise DataError(
                f"{archive.label}: {source.member.path}: column {column}, taken for {name}, appears "
                f"{source.header.count(column)} times in the header {', '.join(source.header[:40])}, or is named for "
                f"another as well. {_NOT_READ} Give each its own column."
            )


def _read_text(archive: Archive, source: Source) -> Rows:
    for name in (words.USER_ID, words.MOVIE_ID):
        cells = source.cells(name)
        texts = [cell for cell in cells if not re.fullmatch(r"\s*-?[0-9]+\s*", cell)]
        if cells and len(texts) >= _MOSTLY * len(cells):
            raise _text_ids(archive, source, name, texts[0])
    numbers = [float(cell) for cell in source.cells(words.TIMESTAMP) if _NUMBER.fullmatch(cell)]
    is_number = 2 * len(numbers) > len(source.cells(words.TIMESTAMP))
    in_ms = count_in_ms(numbers)
    names = source.names
    last = MAX_SECONDS * 1000 + 999 if in_ms else MAX_SECONDS
    time = (
        Column(names[words.TIMESTAMP], pa.float64(), (0, last)) if is_number else Column(names[words.TIMESTAMP], UTC_MS)
    )
    columns = (
        Column(names[words.USER_ID], pa.int32(), movielens.ID_BOUNDS),
        Column(names[words.MOVIE_ID], pa.int32(), movielens.ID_BOUNDS),
        Column(names[words.RATING], pa.float32()),
        time,
    )

    def shape(table: pa.Table) -> pa.Table:
        user_ids, movie_ids, stars, times, lines = table.columns
        if is_number:
            times = pc.floor(pc.multiply(times, 1.0 if in_ms else 1000.0)).cast(pa.int64()).cast(UTC_MS)
        else:
            times = parse_times(times)
        return pa.table([user_ids, movie_ids, stars, times, lines], schema=words.staged_schema("ratings"))

    return read_delimited(archive, source.member, columns, format_of(source), shape)


def _check_parquet_ids(archive: Archive, source: Source, rows: Rows) -> None:
    for name in (words.USER_ID, words.MOVIE_ID):
        start = f"{source.names[name]} is "
        texts = [
            fault.fault for fault in rows.faults if fault.fault.startswith(start) and "whole number" in fault.fault
        ]
        if texts and len(texts) >= _MOSTLY * rows.n_in:
            raise _text_ids(archive, source, name, texts[0].removeprefix(start).partition(",")[0])


def _text_ids(archive: Archive, source: Source, name: str, example: str) -> DataError:
    column = source.names[name]
    return DataError(
        f"{archive.label}: {source.member.path}: column {column}, taken for {name}, holds {example[:80]!r} and "
        f"the like; ids must be whole numbers in [0, {movielens.ID_BOUNDS[1]}]. {_NOT_READ} Number them first, with "
        f"pandas: codes, names = pandas.factorize(table[{column!r}])."
    )


def _rated_movies(ratings: pa.Table) -> pa.Table:
    """The movies that are rated, in the order in which they first appear; their lines are those of that rating."""
    first = ratings.group_by(words.MOVIE_ID).aggregate([(words.LINE, "min")]).sort_by(f"{words.LINE}_min")
    movie_ids = first[words.MOVIE_ID]
    titles = [f"Movie {movie_id}" for movie_id in movie_ids.to_pylist()]
    return movielens.movies_table(movie_ids, titles, [[]] * len(titles), first[f"{words.LINE}_min"])
