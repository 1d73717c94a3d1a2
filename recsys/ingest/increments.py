"""New rows added to a snapshot: an increment supersedes what it says anew, and keeps the rest.

The rule, by table: a rating replaces the one of the same user and movie unless that one is later; a record of a
movie replaces the record with its id; a tag that was there already is not added twice. What is replaced goes to the
quarantine with the reason ``superseded``, so that each row of both sides is accounted for. Counts of the same user and
movie replace nothing: both stay, and are summed when the snapshot is published.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys import columns as c
from recsys.ingest.parsers.parsed_tables import Parsed
from recsys.storage.snapshots import FileAccount

SUPERSEDED = "superseded"
_KEYS = {
    "ratings": [c.USER_ID, c.MOVIE_ID],
    "movies": [c.MOVIE_ID],
    "links": [c.MOVIE_ID],
    "tags": [c.USER_ID, c.MOVIE_ID, c.TAG, c.TIMESTAMP],
    "details": [c.MOVIE_ID],
}


def append(base: Mapping[str, pa.Table], increment: Parsed, base_id: str, *, has_ratings: bool = True) -> Parsed:
    """The snapshot's tables with the increment's rows added.

    Args:
        base: the tables of a snapshot, by the names and in the schemas of `columns.SNAPSHOT_TABLES`.
        increment: what is added. Movies it only names (its source has no file of movies) never replace a record.
        base_id: the snapshot's id, named in the account.
        has_ratings: whether the ratings are such; else they are counts.

    Returns:
        Both, the base first; its rows have the lines -1, -2, …, which are their places in the snapshot's table.
    """
    label = snapshot_label(base_id)
    has_file = {account.table for account in increment.files}
    tables, quarantines, accounts = {}, [increment.quarantine], []
    for name in c.SNAPSHOT_TABLES:
        old, new = base[name], increment.tables[name]
        if name == "movies" and name not in has_file:
            new = new.filter(pc.invert(pc.is_in(new[c.MOVIE_ID], old[c.MOVIE_ID].combine_chunks())))
        stays = name == "ratings" and not has_ratings
        is_replaced = np.zeros(old.num_rows, bool) if stays else _replaced(name, old, new)
        old = old.append_column(c.LINE, pa.array(-np.arange(1, old.num_rows + 1)))
        tables[name] = pa.concat_tables([old.filter(pa.array(~is_replaced)), new])
        n_replaced = int(is_replaced.sum())
        accounts.append(FileAccount(label, name, old.num_rows, old.num_rows - n_replaced, n_replaced))
        quarantines.append(_superseded(name, old.filter(pa.array(is_replaced)), label))
    files = (*increment.files, *accounts)
    return replace(increment, tables=tables, quarantine=pa.concat_tables(quarantines), files=files)


def snapshot_label(snapshot_id: str) -> str:
    """How the quarantine names a row's file when the row comes from a snapshot, not from an archive."""
    return f"snapshot {snapshot_id}"


def _replaced(name: str, old: pa.Table, new: pa.Table) -> NDArray[np.bool_]:
    """Which rows of `old` the rows of `new` supersede; shape (rows of old,)."""
    if not new.num_rows or not old.num_rows:
        return np.zeros(old.num_rows, bool)
    keys = _KEYS[name]
    time = c.TIMESTAMP if name == "ratings" else None
    fresh = new.select([*keys, time] if time else keys).group_by(keys)
    fresh = fresh.aggregate([(time, "max")]) if time else fresh.aggregate([])
    columns = old.select([*keys, time] if time else keys).append_column("place", pa.array(np.arange(old.num_rows)))
    met = columns.join(fresh, keys=keys, join_type="inner")
    if time:
        met = met.filter(pc.greater_equal(met[f"{time}_max"], met[time]))
    is_replaced = np.zeros(old.num_rows, bool)
    is_replaced[met["place"].to_numpy()] = True
    return is_replaced


def _superseded(name: str, rows: pa.Table, label: str) -> pa.Table:
    n = rows.num_rows
    return pa.table(
        {
            "table": pa.repeat(pa.scalar(name), n),
            "file": pa.repeat(pa.scalar(label), n),
            c.LINE: pc.negate(rows[c.LINE]),
            "reason": pa.repeat(pa.scalar(SUPERSEDED), n),
            "fault": pa.repeat(pa.scalar("the increment says it anew"), n),
            "content": pa.nulls(n, pa.string()),
        },
        schema=c.QUARANTINE,
    )
