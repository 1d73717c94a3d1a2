"""Any table of ratings with what stands beside it: CSV or Parquet files, whatever their columns are called.

`roles` finds the files, `sniffing` how they are written, `cells` what their columns hold. MovieLens' own CSV and
``::`` releases are read this way too. Without a file of movies the movies are those rated.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as words
from recsys.config import NO_RATINGS
from recsys.errors import DataError
from recsys.ingest.archives.archives import Archive
from recsys.ingest.archives.members import NOT_READ
from recsys.ingest.formats import parquet_files
from recsys.ingest.formats.roles import Part, Role, find_parts
from recsys.ingest.parsers.cells import LARGEST_ID, Blank, Column, Id, Real, Text, Whole, YesNo
from recsys.ingest.parsers.delimited import Shape, joined, read_delimited
from recsys.ingest.parsers.genres import SEPARATORS, split_column
from recsys.ingest.parsers.parsed_tables import Draft, Rows, in_part, movies_table
from recsys.ingest.parsers.sniffing import Table, with_text
from recsys.ingest.parsers.times import DAY_FIRST, ISO, MONTH_FIRST, NONE, UNCLEAR, UTC_MS, Time, time_form
from recsys.messages import Reading

NO_TIME_MS = 946_684_800_000  # 2000-01-01: what all ratings without times get, so that none is before another
_WHY_UNCLEAR = {
    "ambiguous": (
        "whether the day or the month comes first, it does not say",
        f"Say it: times={DAY_FIRST} or times={MONTH_FIRST}",
    ),
    "two digits": (
        "a year of two digits tells neither the century nor its place in the date",
        "Write the dates with years of four digits, as in 2018-12-02",
    ),
}
_PEOPLE = ("|", ";")  # what separates names: "Last, First" is one


@dataclass(frozen=True, slots=True)
class ReadOptions:
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

    @classmethod
    def of(cls, reading: Reading) -> Self:
        """The part of a snapshot's reading that the parsers use."""
        has_ratings = reading.rating_scale != NO_RATINGS
        return cls(reading.columns, reading.ratings_file, reading.times, reading.ids, has_ratings)

    @property
    def optional(self) -> set[str]:
        """Columns of ratings that need not be there."""
        return ({words.TIMESTAMP} if self.times == NONE else set()) | (set() if self.has_ratings else {words.RATING})


def find_tables(archive: Archive, options: ReadOptions) -> dict[Role, Part]:
    """The tables of a source, as `roles.find_parts`."""
    return find_parts(archive, options.columns, options.ratings_file, optional=options.optional)


def parse_tabular(archive: Archive, options: ReadOptions, draft: Draft) -> Draft:
    """Read the ratings, and what is beside them; without movies those that are rated.

    Raises:
        DataError: no file fits as ratings, several do, or their times cannot be told.
    """
    parts = find_tables(archive, options)
    for part in parts.values():
        add_part(draft, archive, part, options)
    return draft


def add_part(draft: Draft, archive: Archive, part: Part, options: ReadOptions) -> None:
    """Read one table of a source, whatever files it is in."""
    tables = []
    for number, table in enumerate(part.tables):
        rows = _read(archive, part, table, options)
        tables.append(in_part(rows.table, number))
        draft.account(part.role, table.member.path, rows.n_in, rows.table.num_rows, rows.faults)
    rows = joined(tables)
    draft.put(part.role, [table.member.path for table in part.tables], _FINISHES.get(part.role, lambda it: it)(rows))


def time_of(archive: Archive, part: Part, options: ReadOptions) -> Time | None:
    """How the times of a part are written; None where there are none.

    Raises:
        DataError: its first rows do not tell.
    """
    if options.times == NONE or words.TIMESTAMP not in part.names:
        return None
    table, column = part.tables[0], part.names[words.TIMESTAMP]
    cells = table.cells(column)
    form = (options.times if part.role == "ratings" else "") or time_form(cells)
    if not form or (form == "ambiguous" and options.times in (DAY_FIRST, MONTH_FIRST)):
        form = options.times  # what is said of the ratings' times
    if form in UNCLEAR:
        example = next(cell for cell in cells if UNCLEAR[form].fullmatch(cell))
        why, way_out = _WHY_UNCLEAR[form]
        raise DataError(
            f"{archive.place(table.member.path)}: column {column} holds dates such as {example.strip()!r}; {why}. "
            f"{NOT_READ} {way_out}."
        )
    return Time(form or (ISO if cells else "seconds"))


def columns_of(archive: Archive, part: Part, table: Table, options: ReadOptions) -> dict[str, Column]:
    """What is read of a file, by the names of the tables' columns."""
    comma = "," if table.form and (table.form.delimiter != "," or _has_decimal_comma(part, table)) else "."
    time = time_of(archive, part, options)
    kinds = {
        words.USER_ID: (Id(), False),
        words.MOVIE_ID: (Id(), False),
        words.RATING: (YesNo() if has_thumbs(part, table) else Real(comma), False),
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


def _read(archive: Archive, part: Part, table: Table, options: ReadOptions) -> Rows:
    if part.role in ("movies", "tags"):
        table = with_text(archive, table)
    columns = columns_of(archive, part, table, options)
    own = [column for column in columns.values() if column.name not in table.of_folders]
    shape = _SHAPES[part.role]

    def shaped(rows: pa.Table) -> pa.Table:
        by_name = {name: _cells_of(rows, column, table) for name, column in columns.items()}
        return shape(by_name, rows[words.LINE])

    form = table.form
    if form is not None and not form.is_quoted and part.role in ("movies", "tags"):
        text = columns[words.TITLE if part.role == "movies" else words.TAG].name
        table = replace(table, form=replace(form, text_column=table.names.index(text)))
    return read_columns(archive, table, own, shaped)


def read_columns(archive: Archive, table: Table, columns: Sequence[Column], shape: Shape) -> Rows:
    """These columns of a file, whatever it is written in; as `delimited.read_delimited`."""
    if table.form is None:
        return parquet_files.read_parquet(archive, table.member, columns, shape)
    n_named = max(place for place, name in enumerate(table.names, 1) if name)
    # Delimiters at the ends of all lines make columns without a name, which hold nothing.
    blanks = [
        Column(f"column {place}, which has no name,", Blank()) for place in range(n_named + 1, len(table.names) + 1)
    ]
    names = [*table.names[:n_named], *(column.name for column in blanks)]

    def shaped(rows: pa.Table) -> pa.Table:
        return shape(rows.drop_columns([column.name for column in blanks]))

    return read_delimited(archive, table.member, names, [*columns, *blanks], table.form, shaped)


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


def has_thumbs(part: Part, table: Table) -> bool:
    """Whether the ratings of a file are words such as true and false."""
    return words.RATING in part.names and YesNo.fits(table.cells(part.names[words.RATING]))


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
    arrays = {name: columns.get(name, _no_texts(lines)) for name in (words.MOVIE_ID, words.TITLE, words.GENRES)}
    return pa.table({**arrays, words.LINE: lines})


def _finish_movies(rows: pa.Table) -> pa.Table:
    titles, genres = (rows[name].to_pylist() for name in (words.TITLE, words.GENRES))
    return movies_table(rows[words.MOVIE_ID], titles, split_column(genres), rows[words.LINE])


def _links(columns: _Columns, lines: pa.ChunkedArray) -> pa.Table:
    imdb, tmdb = columns.get(words.IMDB_ID), columns.get(words.TMDB_ID)
    imdb_ids = _no_texts(lines) if imdb is None else _imdb_ids(imdb)
    tmdb_ids = pa.nulls(len(lines), pa.int32()) if tmdb is None else tmdb.cast(pa.int32())
    return _table("links", [columns[words.MOVIE_ID], imdb_ids, tmdb_ids, lines])


def _imdb_ids(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """With prefix and zeros: 114709, 0114709, 114709.0 and tt0114709 are one."""
    digits = pc.replace_substring_regex(texts, r"^\s*(?:tt)?([0-9]+)(?:\.0*)?\s*$", r"\1")
    return pc.binary_join_element_wise("tt", pc.utf8_lpad(digits, width=7, padding="0"), "")


def _details(columns: _Columns, lines: pa.ChunkedArray) -> pa.Table:
    names = words.staged_schema("details").names
    return pa.table({**{name: columns.get(name, _no_texts(lines)) for name in names}, words.LINE: lines})


def _finish_details(rows: pa.Table) -> pa.Table:
    for name, separators in ((words.KEYWORDS, SEPARATORS), (words.DIRECTORS, _PEOPLE), (words.ACTORS, _PEOPLE)):
        values = pa.array(split_column(rows[name].to_pylist(), separators), pa.list_(pa.string()))
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows


def _no_texts(lines: pa.ChunkedArray) -> pa.Array:
    return pa.nulls(len(lines), pa.string())


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
_FINISHES: dict[Role, Callable[[pa.Table], pa.Table]] = {"movies": _finish_movies, "details": _finish_details}
"""What is made of a table when all its rows are there, as a column shows only as a whole how it lists values."""
