"""What a source seems to hold, in words: files and their roles, columns, scale, times, ids, counts, and doubts.

Each doubt names the setting that settles it. `recsys inspect` shows it before anything is taken in, and the log of the
task `parse` begins with it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as words
from recsys.errors import DataError
from recsys.ingest.archives.archives import Archive, open_archive
from recsys.ingest.formats import tabular
from recsys.ingest.formats.reading import detect_layout, find_parts, read_source
from recsys.ingest.formats.roles import Part
from recsys.ingest.formats.tabular import ReadOptions
from recsys.ingest.parsers.column_names import COUNT_NAMES, match_columns, plain_name
from recsys.ingest.parsers.counts import n_pairs
from recsys.ingest.parsers.genres import separator_of
from recsys.ingest.parsers.parsed_tables import Parsed
from recsys.ingest.parsers.sniffing import Table, sniff
from recsys.ingest.parsers.times import NONE
from recsys.rating_scales import propose_scale

_N_ROWS = 3
_MANY = 5_000_000
_N_FILES = 20
_HALF_STARS = "0.5-5/0.5"


@dataclass(frozen=True, slots=True)
class File:
    """One table of a source.

    Attributes:
        role: what it is; empty for a file that is not read.
        files: where it stands, in one file or several.
        written: how, in words.
        columns: what each column was taken for; empty for those that are not read.
        first_rows: as text.
    """

    role: str
    files: tuple[str, ...]
    written: str
    columns: dict[str, str]
    first_rows: list[list[str]]

    def columns_in_words(self) -> str:
        """What each column was taken for; those of a file without a header are called by what they are."""
        by_meaning: dict[str, list[str]] = {}
        for column, meaning in self.columns.items():
            by_meaning.setdefault(meaning, []).append(column)
        others = by_meaning.pop("", [])
        known = [
            meaning
            if columns == [meaning]
            else f"{', '.join(columns)} {'is' if len(columns) == 1 else 'are'} {meaning}"
            for meaning, columns in by_meaning.items()
        ]
        not_read = f"; not read: {', '.join(others)}" if others else ""
        return (", ".join(known) or "none known") + not_read


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a source seems to hold.

    Attributes:
        source: its name.
        layout: how it is read; empty where it is not.
        files: its tables.
        not_read: files that hold nothing of it.
        scale: of the ratings, with the reason.
        times: how they are written, and the first and the last.
        ids: what users and movies are called by.
        counts: rows of each table, users, and rows in quarantine.
        doubts: what a person should look at, each with the setting that settles it.
    """

    source: str
    layout: str
    files: tuple[File, ...]
    not_read: tuple[str, ...]
    scale: str
    times: str
    ids: str
    counts: dict[str, int]
    doubts: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The same for people."""
        yield f"{self.source}: {f'read as {self.layout}' if self.layout else 'not readable as it is'}"
        for file in self.files:
            yield f"{file.role or 'not read'}: {_listed(file.files)} ({file.written})"
            yield f"  columns: {file.columns_in_words()}"
            for row in file.first_rows:
                yield f"  {' | '.join(cell[:40] for cell in row)}"
        yield from self.facts()

    def facts(self) -> Iterator[str]:
        """What is said of all the rows together, and the doubts."""
        for name in ("scale", "times", "ids"):
            if text := getattr(self, name):
                yield f"{name}: {text}"
        if self.counts:
            yield "counts: " + ", ".join(f"{n:,} {name}" for name, n in self.counts.items())
        if self.not_read:
            yield f"not read: {_listed(self.not_read)}"
        yield from (f"doubt: {doubt}" for doubt in self.doubts)


def inspect_source(path: Path, options: ReadOptions | None = None) -> Inspection:
    """Look at a source and read it, without keeping anything.

    Raises:
        ConfigError: a setting names what is no column.
        DataError: it is no archive, folder or file that can be opened.
    """
    options = options or ReadOptions()
    seen = look_at(path, options)
    try:
        return completed(seen, read_source(path, options), options) if seen.layout else seen
    except DataError as error:
        return replace(seen, layout="", doubts=(str(error),))


def look_at(path: Path, options: ReadOptions) -> Inspection:
    """What the beginnings of the files show, before they are read: no counts, no ids, and scale and times as there.

    Raises:
        ConfigError, DataError: as `inspect_source`.
    """
    with open_archive(path) as archive:
        layout, files, scale, times, doubts = "", tuple[File, ...](), "", "", tuple[str, ...]()
        try:
            recognised = detect_layout(archive, options)
            parts = find_parts(archive, recognised, options)
            files = tuple(_file(part.role, part.tables, part.meanings, _remarks(part)) for part in parts)
            ratings = next(part for part in parts if part.role == "ratings")
            time = tabular.time_of(archive, ratings, options)
            layout, scale, times = recognised, _first_scale(archive, ratings, options), time.form if time else NONE
        except DataError as error:
            doubts = (str(error),)
            files = files or tuple(_guessed(archive))
        return Inspection(path.name, layout, files, (), scale, times, "", {}, doubts)


def completed(seen: Inspection, parsed: Parsed, options: ReadOptions) -> Inspection:
    """The same with what only all rows together show."""
    ratings = next((file for file in seen.files if file.role == "ratings"), None)
    meanings = ratings.columns.items() if ratings else ()
    column = next((name for name, meaning in meanings if meaning == words.RATING), "")
    return replace(
        seen,
        not_read=parsed.unread,
        scale=_scale(parsed, options, column) if len(parsed.tables["ratings"]) else "",
        times=_times(parsed, options, seen.times) if len(parsed.tables["ratings"]) else seen.times,
        ids=_ids(parsed),
        counts=_counts(parsed),
        doubts=tuple(_doubts(parsed, options, column)),
    )


def _listed(paths: Sequence[str]) -> str:
    n_more = len(paths) - _N_FILES
    return ", ".join(paths[:_N_FILES]) + (f" and {n_more:,} more" if n_more > 0 else "")


def _file(role: str, tables: tuple[Table, ...], meanings: Mapping[str, str], remarks: Iterable[str] = ()) -> File:
    table = tables[0]
    form = table.form
    written = ["Parquet"] if form is None else [form.encoding, f"separated by {form.delimiter!r}"]
    if form is not None and not form.has_header:
        written.append("no header line")
    if form is not None and form.is_escaped:
        written.append("quotes with backslashes")
    columns = {column: meanings.get(column, "") for column in (*table.names, *table.of_folders) if column}
    paths = tuple(table.member.path for table in tables)
    return File(role, paths, ", ".join([*written, *remarks]), columns, table.sample[:_N_ROWS])


def _guessed(archive: Archive) -> Iterator[File]:
    """Files of a source that is not read, their columns by usual names."""
    for member in archive.members[:_N_FILES]:
        if table := sniff(archive, member):
            yield _file("", (table,), {found[0]: name for name, found in match_columns(table.names).items()})


def _remarks(part: Part) -> Iterator[str]:
    """How values are written that have several ways."""
    table = part.tables[0]
    if tabular.has_thumbs(part, table):
        yield f"{part.names[words.RATING]} in words: true or yes is 1, false or no is 0"
    genres = table.cells(part.names[words.GENRES]) if words.GENRES in part.names else []
    if any(genre.startswith("[") for genre in genres):
        yield "genres in lists"
    elif any(separator_of(genres) in genre for genre in genres):
        yield f"genres separated by {separator_of(genres)!r}"


def _first_scale(archive: Archive, ratings: Part, options: ReadOptions) -> str:
    table = ratings.tables[0]
    column = tabular.columns_of(archive, ratings, table, options).get(words.RATING)
    if not options.has_ratings:
        return "none: nobody rated"
    if column is None:
        return ""
    values, _ = column.read(pa.chunked_array([table.cells(column.name)], pa.string()))
    found = propose_scale(values.drop_null().unique().to_pylist())
    return f"{found.text} by the first rows" if found else ""


def _scale(parsed: Parsed, options: ReadOptions, column: str) -> str:
    ratings = parsed.tables["ratings"]
    if not options.has_ratings:
        counted = f"{column} says how often" if column else "each row counts as 1"
        summed = f"{ratings.num_rows:,} rows of {n_pairs(ratings):,} pairs of user and movie"
        return f"none: nobody rated, {counted}; {summed}, whose counts are summed"
    found = propose_scale(ratings[words.RATING].unique().to_pylist())
    return f"{found.text}, as {found.reason}" if found else "none that is usual: these may be counts"


def _times(parsed: Parsed, options: ReadOptions, form: str) -> str:
    times = parsed.tables["ratings"][words.TIMESTAMP]
    if options.times == NONE or not len(times):
        return "none"
    span = pc.min_max(times).as_py()
    return f"{form}, from {span['min']:%Y-%m-%d} to {span['max']:%Y-%m-%d}"


def _ids(parsed: Parsed) -> str:
    told = []
    for name, schema in words.ID_TABLES.items():
        kind = f"text, numbered ({parsed.ids[name].num_rows:,} in a dictionary)" if name in parsed.ids else "numbers"
        told.append(f"{schema.names[0].removesuffix('_id')}s by {kind}")
    return ", ".join(told)


def _counts(parsed: Parsed) -> dict[str, int]:
    counts = {name: table.num_rows for name, table in parsed.tables.items() if table.num_rows}
    return {**counts, "users": len(parsed.tables["ratings"][words.USER_ID].unique()),
            "malformed": parsed.quarantine.num_rows}  # fmt: skip


def _doubts(parsed: Parsed, options: ReadOptions, column: str) -> Iterator[str]:
    ratings = parsed.tables["ratings"]
    found = propose_scale(ratings[words.RATING].unique().to_pylist()) if options.has_ratings else None
    on_half_stars = not len(ratings) or (found and found.text in ("1-5/1", _HALF_STARS))
    if options.has_ratings and plain_name(column) in COUNT_NAMES:
        yield f"{column} seems to say how often, not how somebody liked it; say rating_scale=none"
    elif options.has_ratings and not on_half_stars:
        setting = f"rating_scale={found.text}" if found else "rating_scale=lowest-highest/step, or none for counts"
        yield f"the ratings are not on half stars up to 5; say {setting}"
    if parsed.ids:
        yield f"{' and '.join(sorted(parsed.ids))}: no 32-bit integers, so they get numbers; ids=number refuses them"
    if parsed.quarantine.num_rows:
        first = parsed.quarantine.slice(0, 1).to_pylist()[0]
        n_rows, place = parsed.quarantine.num_rows, f"{first['file']} line {first['line']:,}"
        yield f"{n_rows:,} rows cannot be read, such as {place}: {first['fault']}"
    if n_again := _n_again(parsed) if options.has_ratings else 0:
        yield f"{n_again:,} ratings are of a movie that the same user rated again; the latest counts"
    if not any(account.table == "movies" for account in parsed.files):
        yield "no file of movies was found beside the ratings, so titles are made of ids; say columns=title=…"


def _n_again(parsed: Parsed) -> int:
    """Ratings of a movie that the same user rated again; not counted where that would need a sort of millions."""
    ratings = parsed.tables["ratings"]
    pairs = ratings[words.USER_ID].to_numpy().astype(np.int64) << 32 | ratings[words.MOVIE_ID].to_numpy()
    if len(pairs) > _MANY and np.all(pairs[1:] >= pairs[:-1]):
        return int((pairs[1:] == pairs[:-1]).sum())
    return len(pairs) - len(np.unique(pairs)) if len(pairs) <= _MANY else 0
