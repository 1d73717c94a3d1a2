"""Run the suites with Great Expectations on Spark.

Three stages, so that a healthy table costs few Spark jobs and a faulty one is explained: the shape (columns and types;
no job), the values (counts only, then samples for the rules that failed), the comparison with the snapshot before.
Measured on 100,000 ratings and ten rules: 21 jobs with samples asked for at once, 14 without.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recsys import columns as c
from recsys.ingest.validation import data_docs
from recsys.ingest.validation.limits import Limits
from recsys.ingest.validation.outcomes import N_SAMPLES, Outcome, Verdict, outcome, without_result
from recsys.ingest.validation.rules import (
    DRIFT,
    KNOWN_MOVIES_VIEW,
    REPEATED_RATINGS_VIEW,
    SHAPE,
    VALUES,
    expect,
    import_great_expectations,
)
from recsys.ingest.validation.suites import suite
from recsys.messages import FaultyRow

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.core.batch import Batch
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations.expectation import Expectation
    from pyspark.sql import DataFrame

_FEW_ROWS = 250_000
# How many movies of one user are held in one set: a bound for data that give one user everything.
_SET_BITS = 16


def check(
    tables: Mapping[str, "DataFrame"],
    limits: Limits,
    *,
    movies: "DataFrame | None" = None,
    unreadable: Mapping[str, tuple[int, int, Sequence[FaultyRow]]] | None = None,
    context: "EphemeralDataContext | None" = None,
    run: str = "as-parsed",
) -> Verdict:
    """Check Spark tables against their suites.

    Args:
        tables: DataFrames with the columns and types they are stored with (not cast to the schema first),
            by the names of `recsys.columns.SNAPSHOT_TABLES`.
        limits: the numbers to compare with.
        movies: the movies that others may refer to, where `movies` is not among the tables.
        unreadable: rows of the files that are in no table, by table: how many, of how many, and the first; shown in the
            Data Docs.
        context: keeps the results for its Data Docs; by default one that is thrown away.
        run: names this check in the Data Docs; once per context.
    """
    context = context or data_docs.new_context()
    source = context.data_sources.add_spark(run, persist=False)
    outcomes: list[Outcome] = []
    with _quiet_spark(), _views(tables, tables["movies"] if movies is None else movies, limits) as views:
        for name, table in tables.items():
            whole = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("whole")
            batch = whole.get_batch(batch_parameters={"dataframe": table})
            rules = suite(name, limits)
            results = _check_table(name, table, batch, rules, views)
            outcomes += [_plain(name, rule, results[rule.meta["rule"]]) for rule in rules]
            if name in (unreadable or {}):
                rule, result = _unreadable(*(unreadable or {})[name])
                rules, results = [*rules, rule], {**results, rule.meta["rule"]: result}
            data_docs.record(context, batch, rules, results, table=name, run=run)
    return Verdict(tuple(outcomes))


@contextlib.contextmanager
def _quiet_spark() -> Iterator[None]:
    """Spark writes the whole Java trace of a failed query to stderr; the outcome keeps its message."""
    noisy = logging.getLogger("SQLQueryContextLogger")
    level = noisy.level
    noisy.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        noisy.setLevel(level)


@contextlib.contextmanager
def _views(tables: Mapping[str, "DataFrame"], movies: "DataFrame", limits: Limits) -> Iterator[set[str]]:
    """The views that rules need; one is missing where its columns are, or are no ids."""
    views: dict[str, DataFrame] = {}
    if c.MOVIE_ID in movies.columns:
        views[KNOWN_MOVIES_VIEW] = movies.select(c.MOVIE_ID)
    ratings = tables.get("ratings") if limits.stars else None
    if ratings is not None and {(c.USER_ID, "int"), (c.MOVIE_ID, "int")} <= set(ratings.dtypes):
        views[REPEATED_RATINGS_VIEW] = repeated_ratings(ratings).persist()  # read twice: counted and shown
    for name, view in views.items():
        view.createOrReplaceTempView(name)
    try:
        yield set(views)
    finally:
        for name, view in views.items():
            view.sparkSession.catalog.dropTempView(name)
            view.unpersist()


def repeated_ratings(ratings: "DataFrame") -> "DataFrame":
    """The pairs of user and movie that are there more than once: columns user_id, movie_id.

    Users who have as many movies as ratings have none, and that costs little to see where a user's ratings lie
    together, as releases have them: 4 s for 25M ratings on two cores. A window over all pairs takes 10, grouping 20.
    """
    from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

    part = F.shiftright(c.MOVIE_ID, _SET_BITS).alias("part")
    suspects = (
        ratings.groupBy(c.USER_ID, part)
        .agg(F.count(c.MOVIE_ID).alias("n"), F.size(F.collect_set(c.MOVIE_ID)).alias("n_distinct"))
        .where("n > n_distinct")
        .select(c.USER_ID)
        .distinct()
    )
    pairs = ratings.select(c.USER_ID, c.MOVIE_ID)
    suspicious = pairs.join(handed_whole(suspects), c.USER_ID, "left_semi")
    return handed_whole(suspicious.groupBy(*pairs.columns).count().where("count > 1").drop("count"))


def handed_whole(rows: "DataFrame") -> "DataFrame":
    """The same rows, where they are few computed now and given to every task: a join with them sorts nothing."""
    from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

    few = rows.limit(_FEW_ROWS + 1).toArrow()
    return F.broadcast(rows.sparkSession.createDataFrame(few)) if len(few) <= _FEW_ROWS else rows


def _check_table(
    name: str, table: "DataFrame", batch: "Batch", rules: list["Expectation"], views: set[str]
) -> dict[str, "ExpectationValidationResult | str"]:
    """By rule: the library's result, or why there is none."""
    unsound = {column: "is missing" for column in c.staged_schema(name).names if column not in table.columns}
    done: dict[str, ExpectationValidationResult | str] = {}
    for stage in (SHAPE, VALUES, DRIFT):
        obstacles = {
            rule.meta["rule"]: _obstacle(rule, unsound, views) for rule in rules if rule.meta["stage"] == stage
        }
        done |= {rule: obstacle for rule, obstacle in obstacles.items() if obstacle}
        runnable = [rule for rule in rules if obstacles.get(rule.meta["rule"]) == ""]
        done |= _run(name, batch, runnable)
        failed = [rule for rule in runnable if not done[rule.meta["rule"]].success]  # type: ignore[union-attr]
        why = "is missing or has another type" if stage == SHAPE else "holds faulty values"
        unsound |= {column: why for rule in failed for column in rule.meta["reads"]}
    return done


def _obstacle(rule: "Expectation", unsound: Mapping[str, str], views: set[str]) -> str:
    columns = [f"{column} {unsound[column]}" for column in rule.meta["reads"] if column in unsound]
    if columns:
        return f"not checked: {', '.join(columns)}"
    if rule.meta["needs"] and rule.meta["needs"] not in views:
        return "not checked: the ids it compares are missing or have another type"
    return ""


def _run(table: str, batch: "Batch", rules: list["Expectation"]) -> dict[str, "ExpectationValidationResult"]:
    """Results by rule: one pass that counts, and one that collects samples for what failed."""
    if not rules:
        return {}
    gx = import_great_expectations()
    found = batch.validate(
        gx.ExpectationSuite(table, expectations=rules),
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0},
    ).results
    # The library answers in an order of its own.
    results = {result.expectation_config.meta["rule"]: result for result in found}
    for rule in rules:
        result = results[rule.meta["rule"]]
        if not result.success and ("unexpected_count" in result.result or hasattr(rule, "unexpected_rows_query")):
            results[rule.meta["rule"]] = _with_samples(batch, rule)
    return results


def _with_samples(batch: "Batch", rule: "Expectation") -> "ExpectationValidationResult":
    # COMPLETE collects every offending id to the driver, except for queries, which the library caps at 200 rows
    # and shows in this form only.
    form = "COMPLETE" if hasattr(rule, "unexpected_rows_query") else "SUMMARY"
    result = batch.validate(rule, result_format={"result_format": form, "partial_unexpected_count": N_SAMPLES})
    details: dict[str, Any] = result.result.get("details") or {}
    if "unexpected_rows" in details:
        details["unexpected_rows"] = details["unexpected_rows"][:N_SAMPLES]
    return result


def _unreadable(
    n_rows: int, n_in: int, first: Sequence[FaultyRow]
) -> tuple["Expectation", "ExpectationValidationResult"]:
    """That every row can be read, and how many cannot: for the Data Docs alone, as the parser has judged them."""
    import_great_expectations()
    from great_expectations.core import ExpectationValidationResult

    rule = expect(
        "ExpectColumnValuesToMatchRegex",
        "every row of the file can be read",
        "What cannot be read is kept in the quarantine with file, line, reason and text.",
        column=c.LINE,
        regex=".",
    )
    shown = [f"{row.file} line {row.line}: {row.fault}; the row is {row.content}" for row in first]
    found = {
        "element_count": n_in,
        "unexpected_count": n_rows,
        "unexpected_percent": 100 * n_rows / n_in,
        "partial_unexpected_list": shown[:N_SAMPLES],
    }
    return rule, ExpectationValidationResult(success=False, expectation_config=rule.configuration, result=found)


def _plain(table: str, rule: "Expectation", result: "ExpectationValidationResult | str") -> Outcome:
    if isinstance(result, str):
        return without_result(table, rule, "skipped", observed=result)
    return outcome(table, rule, result)
