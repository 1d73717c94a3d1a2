"""Any table of ratings with what stands beside it: CSV or Parquet files, whatever their columns are called.

`roles` finds the files, `sniffing` how they are written, `cells` what their columns hold. MovieLens' own CSV and
``::`` releases are read this way too. Without a file of movies the movies are those rated.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as words
from recsys.datasets import parquet
from recsys.datasets.archives import Archive
from recsys.datasets.cells import LARGEST_ID, MISSING, Column, Id, Real, Text, Whole
from recsys.datasets.delimited import joined, read_delimited
from recsys.datasets.movielens import movies_table, split_genres
from recsys.datasets.parsed import Draft, Rows, in_part
from recsys.datasets.roles import Part, Role, find_parts
from recsys.datasets.sniffing import Table, with_text
from recsys.datasets.times import DAY_FIRST, ISO, MONTH_FIRST, NONE, ORDERED_DATE, UTC_MS, Time, time_form
from recsys.errors import DataError

NO_TIME_MS = 946_684_800_000  # 2000-01-01: what all ratings without times get, so that none is before another
_LIST = re.compile(r"\s*\|\s*")


@dataclass(frozen=True, slots=True)
class How:
    """How a source of one's own is read, as far as its files do not say it.

    Attributes:
        columns: the file's column for each of `column_names.USUAL_NAMES`; those with usual names need no entry.
        ratings_file: the file name of the ratings, where there are several.
        times: one of `times.FORMS`, or `times.NONE`; empty: as the first rows have them.
        ids: ``text`` or ``number``; empty: as the ids are.
        has_ratings: whether a column says how a movie was liked; else one may say how often, or each row counts as 1.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    ratings_file: str | None = None
    times: str = ""
    ids: str = ""
    has_ratings: bool = True

    @property
    def optional(self) -> set[str]:
        """Columns of ratings that need not be there."""
        return ({words.TIMESTAMP} if self.times == NONE else set()) | (set() if self.has_ratings else {words.RATING})


def find_tables(archive: Archive, how: How) -> dict[Role, Part]:
    """The tables of a source, as `roles.find_parts`."""
    return find_parts(archive, how.columns, how.ratings_file, optional=how.optional)


def parse_tabular(archive: Archive, how: How, draft: Draft) -> Draft:
    """Read the ratings, and what is beside them; without movies those that are rated.

    Raises:
        DataError: no file fits as ratings, several do, or their times cannot be told.
    """
    parts = find_tables(archive, how)
    for part in parts.values():
        add_part(draft, archive, part, how)
    return draft


def add_part(draft: Draft, archive: Archive, part: Part, how: How) -> None:
    """Read one table of a source, whatever files it is in."""
    tables = []
    for number, table in enumerate(part.tables):
        rows = _read(archive, part, table, how)
        tables.append(in_part(rows.table, number))
        draft.account(part.role, table.member.path, rows.n_in, rows.table.num_rows, rows.faults)
    draft.put(part.role, [table.member.path for table in part.tables], joined(tables))


def time_of(archive: Archive, part: Part, how: How) -> Time | None:
    """How the times of a part are written; None where there are none.

    Raises:
        DataError: its first rows do not tell.
    """
    if how.times == NONE or words.TIMESTAMP not in part.names:
        return None
    table, column = part.tables[0], part.names[words.TIMESTAMP]
    cells = table.cells(column)
    form = (how.times if part.role == "ratings" else "") or time_form(cells) or how.times
    if form == "ambiguous":
        example = next(cell for cell in cells if ORDERED_DATE.fullmatch(cell))
        raise DataError(
            f"{archive.place(table.member.path)}: column {column} holds dates such as {example.strip()!r}; whether "
            f"the day or the month comes first, it does not say. Nothing was read or stored. Say it: "
            f"times={DAY_FIRST} or times={MONTH_FIRST}."
        )
    return Time(form or (ISO if cells else "seconds"))


def columns_of(archive: Archive, part: Part, table: Table, how: How) -> dict[str, Column]:
    """What is read of a file, by the names of the tables' columns."""
    comma = "," if table.form and (table.form.delimiter != "," or _has_decimal_comma(part, table)) else "."
    time = time_of(archive, part, how)
    kinds = {
        words.USER_ID: (Id(), False),
        words.MOVIE_ID: (Id(), False),
        words.RATING: (Real(comma), False),
        words.TIMESTAMP: (time, False),
        words.TITLE: (Text(), False),
        words.TAG: (Text(), False),
        words.IMDB_ID: (Text(re.compile(r"\s*(tt)?[0-9]{1,10}(\.0*)?\s*"), "an IMDb id such as tt0114709"), True),
        words.TMDB_ID: (Whole(0, LARGEST_ID), True),
    }
    text = (Text(), True)
    found = {}
    for name, column in part.names.items():
        kind, is_optional = kinds.get(name, text)
        if kind is not None:
            found[name] = Column(column, kind, is_optional)  # type: ignore[arg-type]
    return found


def _read(archive: Archive, part: Part, table: Table, how: How) -> Rows:
    if part.role in ("movies", "tags"):
        table = with_text(archive, table)
    columns = columns_of(archive, part, table, how)
    own = [column for column in columns.values() if column.name not in table.of_folders]
    shape = _SHAPES[part.role]

    def shaped(rows: pa.Table) -> pa.Table:
        by_name = {name: _cells_of(rows, column, table) for name, column in columns.items()}
        return shape(by_name, rows[words.LINE])

    if table.form is None:
        return parquet.read_parquet(archive, table.member, own, shaped)
    form = table.form
    if not form.is_quoted and part.role in ("movies", "tags"):
        form = replace(form, text_column=len(table.names) - 2)
    return read_delimited(archive, table.member, table.names, own, form, shaped)


def _cells_of(rows: pa.Table, column: Column, table: Table) -> pa.ChunkedArray:
    """A column of a file, or one that its folders say.

    Raises:
        DataError: what the folders say is no such value.
    """
    text = table.of_folders.get(column.name)
    if text is None:
        return rows[column.name]
    values, is_wrong = column.read(pa.chunked_array([pa.array([text] * len(rows), pa.string())]))
    if is_wrong is not None:
        raise DataError(f"{table.member.path}: its folder says that {column.fault(text)}. Nothing was published.")
    return values


def _has_decimal_comma(part: Part, table: Table) -> bool:
    cells = table.cells(part.names[words.RATING]) if words.RATING in part.names else []
    return any(re.fullmatch(r"\s*-?[0-9]+,[0-9]+\s*", cell) for cell in cells)


_Columns = Mapping[str, pa.ChunkedArray]


def _ratings(columns: _Columns, lines: pa.ChunkedArray) -> pa.Table:
    stars = columns.get(words.RATING, pa.chunked_array([pa.repeat(pa.scalar(1.0, pa.float32()), len(lines))]))
    return _table("ratings", [columns[words.USER_ID], columns[words.MOVIE_ID], stars, _times(columns, lines), lines])


def _tags(columns: _Columns, lines: pa.ChunkedArray) -> pa.Table:
    keys = [columns[name] for name in (words.USER_ID, words.MOVIE_ID, words.TAG)]
    return _table("tags", [*keys, _times(columns, lines), lines])


def _times(columns: _Columns, lines: pa.ChunkedArray) -> pa.ChunkedArray:
    none = pa.scalar(NO_TIME_MS, pa.int64()).cast(UTC_MS)
    return columns.get(words.TIMESTAMP, pa.chunked_array([pa.repeat(none, len(lines))]))


def _movies(columns: _Columns, lines: pa.ChunkedArray) -> pa.Table:
    n_rows = len(lines)
    cells = columns[words.GENRES].to_pylist() if words.GENRES in columns else [""] * n_rows
    genres = [split_genres(cell or "") for cell in cells]
    return movies_table(columns[words.MOVIE_ID], columns[words.TITLE].to_pylist(), genres, lines)


def _links(columns: _Columns, lines: pa.ChunkedArray) -> pa.Table:
    imdb, tmdb = columns.get(words.IMDB_ID), columns.get(words.TMDB_ID)
    imdb_ids = pa.nulls(len(lines), pa.string()) if imdb is None else _imdb_ids(imdb)
    tmdb_ids = pa.nulls(len(lines), pa.int32()) if tmdb is None else tmdb.cast(pa.int32())
    return _table("links", [columns[words.MOVIE_ID], imdb_ids, tmdb_ids, lines])


def _imdb_ids(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """With prefix and zeros: 114709, 0114709, 114709.0 and tt0114709 are one."""
    digits = pc.replace_substring_regex(texts, r"^\s*(?:tt)?([0-9]+)(?:\.0*)?\s*$", r"\1")
    return pc.binary_join_element_wise("tt", pc.utf8_lpad(digits, width=7, padding="0"), "")


def _details(columns: _Columns, lines: pa.ChunkedArray) -> pa.Table:
    language = columns.get(words.LANGUAGE, pa.nulls(len(lines), pa.string()))
    lists = [_lists(columns.get(name), len(lines)) for name in (words.KEYWORDS, words.DIRECTORS, words.ACTORS)]
    return _table("details", [columns[words.MOVIE_ID], language, *lists, lines])


def _lists(texts: pa.ChunkedArray | None, n_rows: int) -> pa.Array:
    cells: Sequence[str | None] = [""] * n_rows if texts is None else texts.to_pylist()
    found = [[word for word in _LIST.split(cell or "") if word.strip() not in MISSING] for cell in cells]
    return pa.array(found, pa.list_(pa.string()))


def _table(name: str, arrays: Sequence[pa.ChunkedArray | pa.Array]) -> pa.Table:
    """A staged table whose ids may still be text."""
    return pa.table(arrays, names=words.staged_schema(name).names)


_SHAPES: dict[Role, Callable[[_Columns, pa.ChunkedArray], pa.Table]] = {
    "ratings": _ratings,
    "movies": _movies,
    "links": _links,
    "tags": _tags,
    "details": _details,
}
