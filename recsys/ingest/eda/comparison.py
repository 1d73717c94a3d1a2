"""What changed between two snapshots of one data set, from their summaries alone."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.ingest.eda.summaries import Summaries


@dataclass(frozen=True)
class Comparison:
    """What the report says of the snapshot before.

    Attributes:
        before, now: their summaries.
        n_new, n_vanished: movies that only the later, only the earlier snapshot has.
        ratings: both distributions: rating, n_before, n_now, share_before, share_now; every rating of either. Without
            rows where one of both has counts, or another scale.
        gained: movies with more ratings than before, the most gained first: movie_id, title, before, now, gained.
    """

    before: Summaries
    now: Summaries
    n_new: int
    n_vanished: int
    ratings: pa.Table
    gained: pa.Table


def compare(before: Summaries, now: Summaries, *, n_top: int = 15) -> Comparison:
    """Hold the summaries of a snapshot against those of an earlier one.

    Args:
        before: the titles of its movies are not needed, so it may come from a stored document.
        now: as `recsys.ingest.eda.summaries.summarise` returns it.
        n_top: length of the list of movies.
    """
    old, new = before.tables["movies"], now.tables["movies"]
    # As JSON knows no 32-bit integers, the types of a stored document are said again.
    counts = {"movie_id": old["movie_id"].cast(pa.int32()), "before": old["n_ratings"].cast(pa.int64())}
    both = new.join(pa.table(counts), "movie_id", join_type="left outer")
    n_new = both["before"].null_count
    n_before = pc.fill_null(both["before"], 0)
    gained = pa.table(
        {
            "movie_id": both["movie_id"],
            "title": both["title"],
            "before": n_before,
            "now": both["n_ratings"],
            "gained": pc.subtract(both["n_ratings"], n_before),
        }
    )
    gained = gained.filter(pc.greater(gained["gained"], 0))
    return Comparison(
        before,
        now,
        n_new=n_new,
        n_vanished=old.num_rows - (new.num_rows - n_new),
        ratings=_ratings(before, now),
        gained=gained.sort_by([("gained", "descending"), ("movie_id", "ascending")])[:n_top],
    )


def _ratings(before: Summaries, now: Summaries) -> pa.Table:
    counts = [
        dict(zip(table["rating"].to_pylist(), table["n_ratings"].to_pylist(), strict=True))
        for table in (summaries.tables["rating_distribution"] for summaries in (before, now))
    ]
    ratings = sorted({*counts[0], *counts[1]})
    if before.scale != now.scale:
        ratings = []
    columns = {"rating": np.array(ratings, float)}
    for name, of in zip(("before", "now"), counts, strict=True):
        n = np.array([of.get(rating, 0) for rating in ratings], int)
        columns |= {f"n_{name}": n, f"share_{name}": n / max(1, n.sum())}
    return pa.table(columns)
