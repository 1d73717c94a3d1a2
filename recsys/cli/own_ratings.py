"""The ratings of one person from a file: read as sources are, its movies called as the published version calls them."""

import re
from pathlib import Path

import pyarrow as pa

from recsys import columns
from recsys.errors import ConfigError, NotFoundError
from recsys.ingest.archives.archives import Archive, open_archive
from recsys.ingest.archives.plain_files import first_bytes
from recsys.ingest.formats import tabular
from recsys.ingest.formats.roles import Part
from recsys.ingest.parsers.column_names import match_columns
from recsys.ingest.parsers.lines import Format
from recsys.ingest.parsers.parsed_tables import Rows
from recsys.ingest.parsers.sniffing import HEAD_BYTES, Table, encoding_of, sniff, table_of
from recsys.ingest.parsers.times import NONE
from recsys.storage.base import Store
from recsys.webapp import queries, source_id_lookup
from recsys.webapp.inputs import MOST_RATINGS, excerpt

_WANTED = (columns.MOVIE_ID, columns.RATING)
_WAY_OUT = "Nothing was looked up. Name one column movie_id and one rating in its first line."
_WHOLE = re.compile(r"([0-9]+)\.0*")  # as pandas writes integers beside gaps


def read_file(path: Path, store: Store, version_id: str, *, has_ratings: bool = True) -> dict[int, float]:
    """Ratings by movie id; of a movie that is rated twice, the later row counts.

    Args:
        path: a CSV or Parquet file, packed or not, with a movie and a rating in each row; other columns do not matter.
        store: holds the published tables.
        version_id: their version, whose movies are meant.
        has_ratings: whether its data have ratings; else a column of counts says how often, or each row counts as 1,
            and those of a movie are summed.

    Raises:
        ConfigError: the file has no such columns or too many rows, or a row is no rating.
        DataError: there is no such file, or it is damaged.
        NotFoundError: a movie is not in that version.
    """
    with open_archive(path) as archive:
        rows = _read(archive, path, has_ratings=has_ratings)
    if rows.faults:
        line, fault, content, _ = rows.faults[0]
        raise ConfigError(
            f"{path}, line {line:,} is no rating: {fault}. The line is {excerpt(content, 100)}. Nothing was looked up. "
            "Correct it."
        )
    found: dict[int, float] = {}
    for row in rows.table.to_pylist():
        text, line, rating = row[columns.MOVIE_ID], row[columns.LINE], row.get(columns.RATING, 1.0)
        try:
            movie_id = _movie(store, version_id, text)
            found[movie_id] = rating if has_ratings else found.get(movie_id, 0.0) + rating
        except NotFoundError as error:
            raise NotFoundError(f"{path}, line {line:,}: {error} Nothing was looked up.") from error
    return found


def _movie(store: Store, version_id: str, text: str) -> int:
    names = source_id_lookup.numbers_of(store, version_id, columns.MOVIE_ID)
    whole = _WHOLE.fullmatch(text) if names is None or text not in names else None
    number = source_id_lookup.movie_number(store, whole[1] if whole else text, version_id)
    queries.movie(store, number, version_id)
    return number


def _single_column(archive: Archive) -> Table | None:
    """A file of movies alone; None where its first line is no name for them."""
    head = first_bytes(archive, archive.members[0], HEAD_BYTES)
    encoding = encoding_of(head)
    name = head.decode(encoding, "replace").removeprefix("\ufeff").partition("\n")[0].strip()
    if not match_columns([name], None, (columns.MOVIE_ID,)):
        return None
    return table_of(archive, archive.members[0], [name], Format(",", encoding=encoding))


def _read(archive: Archive, path: Path, *, has_ratings: bool) -> Rows:
    """Id as text, rating (where there is one) and line of each row."""
    if len(archive.members) != 1:
        raise ConfigError(f"{path} holds {len(archive.members):,} files. Nothing was looked up. Give one CSV file.")
    table = sniff(archive, archive.members[0]) or (None if has_ratings else _single_column(archive))
    if table is None:
        raise ConfigError(f"{path} is no table. {_WAY_OUT}")
    found = match_columns(table.names, None, _WANTED, has_ratings=has_ratings) if table.has_header else {}
    wanted = [name for name in _WANTED if has_ratings or name == columns.MOVIE_ID or found.get(name)]
    for name in wanted:
        if len(candidates := found.get(name, [])) != 1:
            has = f"the columns {', '.join(table.names[:40])}" if table.has_header else "no header line"
            fits = " and ".join(candidates) + " could both be" if candidates else "none is known as"
            raise ConfigError(f"{path} has {has}; {fits} {name}. {_WAY_OUT}")
    part = Part("ratings", (table,), {name: found[name][0] for name in wanted})
    kinds = tabular.columns_of(archive, part, table, tabular.ReadOptions(times=NONE, has_ratings=has_ratings))
    n_rows = 0

    def counted(rows: pa.Table) -> pa.Table:
        nonlocal n_rows
        n_rows += rows.num_rows
        if n_rows > MOST_RATINGS:  # the rest is not read
            raise ConfigError(
                f"{path} holds more than {MOST_RATINGS:,} ratings, which is as many as are taken. Nothing was looked "
                "up. Give those of one person, the newest perhaps."
            )
        named = {column: name for name, column in part.names.items()}
        rows = rows.rename_columns([named.get(column, column) for column in rows.column_names])
        return rows.set_column(0, columns.MOVIE_ID, rows[columns.MOVIE_ID].cast(pa.string()))

    return tabular.read_columns(archive, table, [kinds[name] for name in wanted], counted)
