"""Kaggle's The Movies Dataset as canonical tables: MovieLens' ratings with what TMDB says of the movies.

==================  ============================================================================================
ratings, links      ``ratings.csv`` (26 million) or ``ratings_small.csv``, ``links.csv`` or ``links_small.csv``
movies, details     ``movies_metadata.csv``; or the largest of ``movies_metadata.*.csv``, of partial copies
details             ``keywords.csv`` and ``credits.csv``, where present
==================  ============================================================================================

The published metadata has 45,466 rows as pandas counts them. Three of its records are broken over two lines each,
so it is 45,463 records: 45,460 whole ones and three that go to the quarantine. It holds one record for each
MovieLens id in the links with a known TMDB id; where 29 TMDB ids are linked by two or three MovieLens ids, their
records repeat, and are given out in the links' order.
"""

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

import pyarrow as pa

from recsys import columns as words
from recsys.errors import DataError
from recsys.ingest.archives.archives import Archive, Member
from recsys.ingest.archives.plain_files import first_bytes, opened
from recsys.ingest.formats import roles, tabular
from recsys.ingest.formats.roles import Part
from recsys.ingest.parsers.cells import Column, Text, Whole, split_cells
from recsys.ingest.parsers.delimited import read_delimited
from recsys.ingest.parsers.lines import Format, read_rows
from recsys.ingest.parsers.literals import RECORDS, parse_records
from recsys.ingest.parsers.parsed_tables import Draft, Fault, movies_table, title_year
from recsys.ingest.parsers.sniffing import Table, table_of

log = logging.getLogger(__name__)

N_ACTORS = 5
FORM = Format()

_HEADER_BYTES = 64 << 10
_DATE = re.compile(r"(\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))?", re.ASCII)
_ID = Column("id", Whole())


def _records(name: str) -> Column:
    return Column(name, Text(RECORDS, "a list of records such as [{'id': 16, 'name': 'War'}]"))


_METADATA = (
    _ID,
    Column("title", Text(re.compile(r"(?s).*\S.*"), "a title")),
    _records("genres"),
    Column("release_date", Text(_DATE, "a date such as 1995-10-30")),
    Column("original_language", Text()),
)
_KEYWORDS = (_ID, _records("keywords"))
_CREDITS = (_ID, _records("cast"), _records("crew"))
_MOVIE_NAMES = {
    words.TMDB_ID: "id",
    words.TITLE: "title",
    words.GENRES: "genres",
    words.YEAR: "release_date",
    words.LANGUAGE: "original_language",
}
_DETAILS = (
    ("keywords.csv", _KEYWORDS, {words.TMDB_ID: "id", words.KEYWORDS: "keywords"}),
    ("credits.csv", _CREDITS, {words.TMDB_ID: "id", words.ACTORS: "cast", words.DIRECTORS: "crew"}),
)


def find_metadata(archive: Archive) -> Member | None:
    """The file of movies: the published name, else the largest of partial copies."""
    if found := archive.find("movies_metadata.csv"):
        return found
    partial = [m for m in archive.members if re.fullmatch(r"(?i)movies_metadata\..+\.csv", m.name)]
    return max(partial, key=lambda m: (m.size_bytes, m.path), default=None)


def find_ratings(archive: Archive, ratings_file: str | None = None) -> Member | None:
    """The file of ratings: the one asked for, else all of them, else the small selection."""
    if ratings_file:
        return archive.find(ratings_file)
    return archive.find("ratings.csv") or archive.find("ratings_small.csv")


def find_parts(archive: Archive, ratings_file: str | None = None) -> list[Part]:
    """Ratings, links, movies, and the files of details there are.

    Raises:
        DataError: ratings, links or movies are missing, or a file is not what its name says.
    """
    ratings = find_ratings(archive, ratings_file) or archive.require(ratings_file or "ratings.csv")
    links = archive.find("links.csv") or archive.find("links_small.csv")
    links = links or archive.require("links.csv", ("links_small.csv",))
    parts = [roles.part_of(archive, ratings, "ratings"), roles.part_of(archive, links, "links")]
    metadata = find_metadata(archive) or archive.require("movies_metadata.csv")
    parts.append(Part("movies", (_table(archive, metadata, _METADATA),), _MOVIE_NAMES))
    for name, columns, names in _DETAILS:
        if found := archive.find(name):
            parts.append(Part("details", (_table(archive, found, columns),), names))
    return parts


def parse_movies_dataset(archive: Archive, ratings_file: str | None = None) -> Draft:
    """Parse what the archive holds of the data set.

    Raises:
        DataError: as `find_parts`.
    """
    draft = Draft("movies-dataset")
    ratings, links, metadata, *details = find_parts(archive, ratings_file)
    if archive.find("movies_metadata.csv") is None:
        log.info("%s: no movies_metadata.csv; %s stands in for it", archive.label, metadata.tables[0].member.path)
    for part in (ratings, links):
        tabular.add_part(draft, archive, part, tabular.ReadOptions())
    movies = _add_movies(draft, archive, metadata.tables[0])
    known = set(movies["id"].to_pylist())
    facts: dict[int, dict[str, Any]] = {}
    for part in details:
        for tmdb_id, found in _add_facts(draft, archive, part, known).items():
            facts.setdefault(tmdb_id, {}).update(found)
    draft.put("details", [metadata.tables[0].member.path], _details(movies, facts))
    return draft


def _add_movies(draft: Draft, archive: Archive, metadata: Table) -> pa.Table:
    """The movies that are linked, with ``id``, TMDB's."""
    member = metadata.member
    rows = read_delimited(archive, member, metadata.names, _METADATA, FORM, _shape_movies)
    kind = draft.tables["links"].schema.field(words.MOVIE_ID).type  # text, until ids are settled
    movie_ids = _movie_ids(draft.tables["links"], rows.table["id"].to_pylist())
    table = rows.table.append_column(words.MOVIE_ID, pa.array([found for found, _ in movie_ids], kind))
    unlinked = [
        (line, reason, f"TMDB's id {tmdb_id} {_WHY_UNLINKED[reason]}")
        for line, tmdb_id, (_, reason) in zip(
            table[words.LINE].to_pylist(), table["id"].to_pylist(), movie_ids, strict=True
        )
        if reason
    ]
    faults = [*rows.faults, *_with_text(archive, member, unlinked)]
    table = table.filter(table[words.MOVIE_ID].is_valid())
    draft.put("movies", [member.path], table)
    draft.account("movies", member.path, rows.n_in, table.num_rows, faults)
    return table


_WHY_UNLINKED = {
    "unlinked": "has no MovieLens id in the links",
    "duplicate": "appeared in as many records before as it has MovieLens ids; the first count",
}


def _movie_ids(links: pa.Table, tmdb_ids: Iterable[int]) -> list[tuple[Any, str]]:
    """For each record in turn the next MovieLens id of its TMDB id, or the reason why there is none."""
    waiting: dict[int, deque[Any]] = {}
    seen = set()
    for movie_id, tmdb_id in zip(links[words.MOVIE_ID].to_pylist(), links[words.TMDB_ID].to_pylist(), strict=True):
        if movie_id not in seen and tmdb_id is not None:
            waiting.setdefault(tmdb_id, deque()).append(movie_id)
        seen.add(movie_id)
    found: list[tuple[Any, str]] = []
    for tmdb_id in tmdb_ids:
        queue = waiting.get(tmdb_id)
        found.append((queue.popleft(), "") if queue else (None, "unlinked" if queue is None else "duplicate"))
    return found


def _add_facts(draft: Draft, archive: Archive, part: Part, known: set[int]) -> dict[int, dict[str, Any]]:
    """What a file says of each movie, by TMDB's id: the first record counts, and those that repeat it agree."""
    (table,), member = part.tables, part.tables[0].member
    columns, shape = (_KEYWORDS, _keywords) if words.KEYWORDS in part.names else (_CREDITS, _credits)
    rows = read_delimited(archive, member, table.names, columns, FORM, shape)
    facts: dict[int, dict[str, Any]] = {}
    rejected = []
    for row in rows.table.to_pylist():
        line, tmdb_id = row.pop(words.LINE), row.pop("id")
        if tmdb_id not in known:
            rejected.append((line, "unlinked", f"TMDB's id {tmdb_id} belongs to none of the movies kept"))
        elif facts.setdefault(tmdb_id, row) != row:
            rejected.append((line, "duplicate", f"TMDB's id {tmdb_id} appeared before, with other values"))
    faults = [*rows.faults, *_with_text(archive, member, rejected)]
    draft.account("details", member.path, rows.n_in, rows.n_in - len(faults), faults)
    return facts


def _with_text(archive: Archive, member: Member, rejected: Sequence[tuple[int, str, str]]) -> list[Fault]:
    """Rejected rows, ``(line, reason, fault)``, with their text."""
    if not rejected:
        return []
    with opened(archive, member) as file:
        texts = read_rows(file, FORM, {line for line, _, _ in rejected})
    return [Fault(line, fault, texts[line], reason) for line, reason, fault in rejected]


def _table(archive: Archive, member: Member, columns: Sequence[Column]) -> Table:
    """A file with a header; a column that is missing is a `DataError`."""
    head = first_bytes(archive, member, _HEADER_BYTES).removeprefix(b"\xef\xbb\xbf")
    line = re.split(rb"[\r\n]", head, maxsplit=1)[0]
    names = split_cells(line.decode(errors="replace"), FORM.delimiter)
    for column in columns:
        if names.count(column.name) != 1:
            raise DataError(
                f"{archive.label}: {member.path} line 1: column {column.name} appears {names.count(column.name)} times "
                f"in the header, expected {FORM.delimiter.join(column.name for column in columns)}; the line is "
                f"{line[:200].decode(errors='replace')!r}. Nothing was published. Correct the header, or fetch the "
                "archive again."
            )
    return table_of(archive, member, names, FORM)


def _details(movies: pa.Table, facts: dict[int, dict[str, Any]]) -> pa.Table:
    of_each = [facts.get(tmdb_id, {}) for tmdb_id in movies["id"].to_pylist()]
    names = (words.KEYWORDS, words.DIRECTORS, words.ACTORS)
    arrays = [pa.array([found.get(name, []) for found in of_each], pa.list_(pa.string())) for name in names]
    values = [movies[words.MOVIE_ID], movies[words.LANGUAGE], *arrays, movies[words.LINE]]
    return pa.table(values, names=words.staged_schema("details").names)


def dated_title(title: str, release_date: str) -> str:
    """A title as MovieLens writes it, with its year.

    >>> dated_title("Toy Story", "1995-10-30"), dated_title("Babylon 5", ""), dated_title("1984 (1956)", "1956-03-06")
    ('Toy Story (1995)', 'Babylon 5', '1984 (1956)')
    """
    title = " ".join(title.split())
    year = release_date[:4]
    return title if not year or title_year(title) == int(year) else f"{title} ({year})"


def _shape_movies(table: pa.Table) -> pa.Table:
    titles = list(map(dated_title, table["title"].to_pylist(), table["release_date"].to_pylist()))
    movies = movies_table(table["id"], titles, _names(table["genres"]), table[words.LINE])
    languages = [language.strip() or None for language in table["original_language"].to_pylist()]
    movies = movies.rename_columns(["id", *movies.column_names[1:]])
    return movies.append_column(words.LANGUAGE, pa.array(languages, pa.string()))


def _keywords(table: pa.Table) -> pa.Table:
    return _facts_table(table, {words.KEYWORDS: _names(table["keywords"])})


def _credits(table: pa.Table) -> pa.Table:
    directors = _names(table["crew"], containing="Director", matches=lambda record: record.get("job") == "Director")
    actors = _names(table["cast"], at_most=N_ACTORS)
    return _facts_table(table, {words.DIRECTORS: directors, words.ACTORS: actors})


def _facts_table(table: pa.Table, lists: dict[str, list[list[str]]]) -> pa.Table:
    arrays = {name: pa.array(values, pa.list_(pa.string())) for name, values in lists.items()}
    return pa.table({"id": table["id"], **arrays, words.LINE: table[words.LINE]})


def _names(
    cells: pa.ChunkedArray,
    at_most: int | None = None,
    containing: str = "",
    matches: Callable[[dict[str, str | None]], bool] = lambda record: True,
) -> list[list[str]]:
    """The names in each cell's records, in order, each once."""
    found = []
    for records in map(parse_records, cells.to_pylist(), repeat(at_most), repeat(containing)):
        names = (" ".join((record.get("name") or "").split()) for record in records if matches(record))
        found.append(list(dict.fromkeys(filter(None, names))))
    return found
