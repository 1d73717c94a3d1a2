"""Why no ratings were found in a source, and what to do: the messages of `roles`."""

from collections.abc import Mapping, Sequence

from recsys import columns as words
from recsys.errors import DataError
from recsys.ingest.archives.archives import Archive
from recsys.ingest.archives.members import NOT_READ
from recsys.ingest.archives.plain_files import first_bytes
from recsys.ingest.parsers.column_names import COUNT_NAMES, plain_name
from recsys.ingest.parsers.sniffing import HEAD_BYTES, Table, is_archive, kind_of


def unnamed(
    archive: Archive, tables: Sequence[Table], missing: Sequence[Sequence[str]], mapping: Mapping[str, str]
) -> DataError:
    """No columns of these tables are known as what ratings need.

    Args:
        archive: holds them.
        tables: those that are most like ratings.
        missing: what each of them needs.
        mapping: what was said of columns.
    """
    files: dict[str, list[str]] = {}
    for table, need in zip(tables, missing, strict=True):
        fault = f"has the columns {listed(table)}, none of them known as {' or '.join(need)}"
        files.setdefault(fault, []).append(archive.place(table.member.path))
    seen = "; ".join(f"{_with_others(names)} {fault}" for fault, names in files.items())
    needed = missing[0]
    said = ",".join(f"{name}={mapping[name]}" for name in needed if name in mapping)
    advice = f"Say which of the file's columns they are: columns={','.join(f'{name}=…' for name in needed)}"
    if words.TIMESTAMP in needed:
        advice += "; or, where there is no time column, times=none"
    if words.RATING in needed:
        advice += "; or, where nothing was rated but only seen or bought, rating_scale=none"
        counts = [name for name in tables[0].names if plain_name(name) in COUNT_NAMES]
        advice += f" (then {' or '.join(counts)} says how often)" if counts else ""
    return DataError(f"{seen}{f' (columns={said} was given)' if said else ''}. {NOT_READ} {advice}.")


def _with_others(names: Sequence[str]) -> str:
    """The first of several files, and how many are like it."""
    n_more = len(names) - 1
    return names[0] + (f" (as {n_more} other file{'s' * (n_more > 1)})" if n_more else "")


def no_table(archive: Archive, tables: Sequence[Table], columns: Sequence[str]) -> DataError:
    """Nothing that could hold ratings."""
    needed = f"a CSV or Parquet file with the columns {', '.join(columns)}"
    heads = {member.path: first_bytes(archive, member, HEAD_BYTES) for member in archive.members[:5]}
    if packed := next((path for path, head in heads.items() if is_archive(head)), None):
        inside = "" if packed == archive.label else " in an archive"
        return DataError(
            f"{archive.place(packed)} is an archive{inside} that is not opened. {NOT_READ} Unpack it once, and give "
            "what is in it."
        )
    if archive.find("workbook.xml"):
        return DataError(
            f"{archive.label} is a spreadsheet's workbook. {NOT_READ} Save the sheet as CSV, and give that."
        )
    if len(archive.members) == 1 and not tables:
        ((path, head),) = heads.items()
        return DataError(f"{archive.place(path)} is no table: {kind_of(head)}. {NOT_READ} Give {needed}.")
    return DataError(
        f"{archive.label}: looked for ratings.csv, ratings.dat, u.data, movies_metadata.csv, or any table of ratings; "
        f"found {archive.listing()}. {NOT_READ} Give {needed}, or an archive of MovieLens or The Movies Dataset."
    )


def listed(table: Table) -> str:
    """A table's columns, in a line of bounded length."""
    names = [name if name.isprintable() else repr(name) for name in (name[:40] for name in table.names[:20])]
    n_more = len(table.names) - len(names)
    return ", ".join(names) + (f" and {n_more:,} more" if n_more > 0 else "")


def headless(archive: Archive, table: Table) -> DataError:
    return DataError(
        f"{archive.place(table.member.path)} has no header line: its first line, {table.first_line[:100]!r}, is "
        f"data. {NOT_READ} Name its {len(table.names)} columns by their places, as in "
        "columns=user_id=column1,movie_id=column2,rating=column3,timestamp=column4, or put a header line above."
    )
