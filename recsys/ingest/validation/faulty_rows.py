"""Find the rows that break the rules of single rows, each with its line, one reason and a sentence.

One scan of a table judges every rule but duplicates; of those that pass, duplicates are looked for among the pairs that
are repeated at all. A faulty row therefore never wins over a sound one.
"""

from typing import TYPE_CHECKING

from recsys import columns as c
from recsys.ingest.validation.check import handed_whole, repeated_ratings
from recsys.ingest.validation.limits import Limits
from recsys.ingest.validation.rules import DUPLICATE, SUPERSEDED, RowFault
from recsys.ingest.validation.suites import suite

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_REPEATS = (DUPLICATE, SUPERSEDED)
_FAULT_LENGTH = 300  # a sentence quotes a value, and a value may be a book


def faulty_rows(name: str, table: "DataFrame", limits: Limits, movies: "DataFrame") -> "DataFrame":
    """The rows of a staged table that must not be published.

    The first rule a row breaks names its reason. Of several sound ratings of one movie by one user the latest stays (by
    timestamp, then by line); of several sound records of one movie the first.

    Args:
        name: the table's name.
        table: its rows, with `line`.
        limits: the numbers of its suite.
        movies: the movies its rows may refer to; not read for `movies` itself.

    Returns:
        Columns line, reason, fault; a line for every faulty row.
    """
    from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

    rules = [RowFault(**rule.meta["row"]) for rule in suite(name, limits) if rule.meta["row"]]
    judged = table
    if name != "movies":
        known = handed_whole(movies.select(F.col(c.MOVIE_ID).alias("known_movie_id")).distinct())
        judged = table.join(known, F.col(c.MOVIE_ID) == F.col("known_movie_id"), "left")
    judged = judged.withColumns(_first_broken([rule for rule in rules if rule.reason not in _REPEATS]))
    faulty = judged.where("reason IS NOT NULL")
    duplicates = [rule for rule in rules if rule.reason in _REPEATS]
    if duplicates:
        sound = judged.where("reason IS NULL").drop("reason", "fault")
        if name == "ratings":
            sound = sound.join(repeated_ratings(table), [c.USER_ID, c.MOVIE_ID], "left_semi")
        faulty = faulty.unionByName(_superseded(name, sound, duplicates), allowMissingColumns=True)
    return faulty.select(c.LINE, "reason", F.expr(f"left(fault, {_FAULT_LENGTH})").alias("fault"))


def _first_broken(rules: list[RowFault]) -> "dict[str, object]":
    """Columns reason and fault; null for a row that breaks none of the rules."""
    from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

    reason = " ".join(f"WHEN {rule.condition} THEN '{rule.reason}'" for rule in rules)
    fault = " ".join(f"WHEN {rule.condition} THEN {rule.fault}" for rule in rules)
    return {"reason": F.expr(f"CASE {reason} END"), "fault": F.expr(f"CASE {fault} END")}


def _superseded(name: str, sound: "DataFrame", duplicates: list[RowFault]) -> "DataFrame":
    from pyspark.sql import Window
    from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

    if name == "ratings":
        keys, order = [c.USER_ID, c.MOVIE_ID], [F.desc(c.TIMESTAMP), F.desc(c.LINE)]
    else:
        keys, order = [c.MOVIE_ID], [F.asc(c.LINE)]
    kept = F.first(c.LINE).over(Window.partitionBy(*keys).orderBy(*order))
    return sound.withColumn("kept_line", kept).withColumns(_first_broken(duplicates)).where("reason IS NOT NULL")
