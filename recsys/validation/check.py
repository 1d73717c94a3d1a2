"""Run the suites with Great Expectations on Spark, and say what came out as plain values.

Three passes, so that a healthy table costs few Spark jobs and a faulty one is explained: the shape (columns and
types; no job), the values (counts only), then samples for the rules that failed. Measured on 100,000 ratings and
ten rules: 21 jobs with samples asked for at once, 14 without. An exception inside an expectation looks like a failed
one in the library's verdict; here it is told apart, because it says nothing about the data.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from recsys import columns as c
from recsys.validation.suites import KNOWN_MOVIES_VIEW, Limits, import_great_expectations, suite

if TYPE_CHECKING:
    from great_expectations.core.batch import Batch
    from great_expectations.expectations.expectation import Expectation
    from pyspark.sql import DataFrame

N_SAMPLES = 10
_SAMPLE_LENGTH = 200

Status = Literal["passed", "failed", "error", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """What one expectation said about one table.

    Attributes:
        expectation: Great Expectations' name of it, ``expect_column_values_to_be_in_set``.
        column: the column or columns it reads, comma-separated; empty for the table as a whole.
        rule: what must hold, as a sentence.
        severity: ``critical`` or ``warning``.
        status: ``error`` when the expectation itself raised; ``skipped`` when a column it reads is missing or has
            another type, which is a failure of its own.
        observed: what was found, in words.
        n_unexpected: values or rows that break the rule; None where the rule is about the table as a whole.
        samples: up to `N_SAMPLES` of them, as text.
        exception: the message of what was raised, for ``error`` only.
    """

    table: str
    expectation: str
    column: str
    rule: str
    reason: str
    severity: str
    status: Status
    observed: str = ""
    n_unexpected: int | None = None
    samples: tuple[str, ...] = ()
    exception: str | None = None

    @property
    def success(self) -> bool:
        return self.status == "passed"

    @property
    def is_fault(self) -> bool:
        """Whether the data break a critical rule."""
        return self.status == "failed" and self.severity == "critical"

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "success": self.success, "samples": list(self.samples)}


@dataclass(frozen=True)
class Verdict:
    """All outcomes of one check, in the order of the suites."""

    outcomes: tuple[Outcome, ...]

    @property
    def success(self) -> bool:
        """True when every critical rule was evaluated and holds; warnings do not count."""
        return not self.faults and not self.errors

    @property
    def faults(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.is_fault]

    @property
    def warnings(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "failed" and outcome.severity != "critical"]

    @property
    def errors(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "error"]

    @property
    def skipped(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "skipped"]


def check(tables: Mapping[str, "DataFrame"], limits: Limits) -> Verdict:
    """Check Spark tables against their suites.

    Args:
        tables: DataFrames with the columns and types they are stored with (not cast to the schema first),
            by the names of `recsys.columns.SNAPSHOT_TABLES`; `movies` must be among them.
        limits: the numbers to compare with.
    """
    outcomes: list[Outcome] = []
    with _batches() as batch_of, _known_movies(tables["movies"]) as has_known_movies:
        for name, table in tables.items():
            outcomes += _check_table(name, table, batch_of(name, table), suite(name, limits), has_known_movies)
    return Verdict(tuple(outcomes))


@contextlib.contextmanager
def _batches() -> Iterator[Callable[[str, "DataFrame"], "Batch"]]:
    """A context in memory: no folder, no data docs, no telemetry, no progress bars."""
    gx = import_great_expectations()
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        ),
    )
    source = context.data_sources.add_spark("spark", persist=False)

    def batch_of(name: str, table: "DataFrame") -> "Batch":
        whole = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("whole")
        return whole.get_batch(batch_parameters={"dataframe": table})

    # Spark writes the whole Java trace of a failed query to stderr; the outcome keeps its message.
    noisy = logging.getLogger("SQLQueryContextLogger")
    level = noisy.level
    noisy.setLevel(logging.CRITICAL + 1)
    try:
        yield batch_of
    finally:
        noisy.setLevel(level)


@contextlib.contextmanager
def _known_movies(movies: "DataFrame") -> Iterator[bool]:
    """The view the anti-joins read; False where `movies` has no such column."""
    if c.MOVIE_ID not in movies.columns:
        yield False
        return
    movies.select(c.MOVIE_ID).createOrReplaceTempView(KNOWN_MOVIES_VIEW)
    try:
        yield True
    finally:
        movies.sparkSession.catalog.dropTempView(KNOWN_MOVIES_VIEW)


def _check_table(
    name: str, table: "DataFrame", batch: "Batch", rules: list["Expectation"], has_known_movies: bool
) -> list[Outcome]:
    unreadable = {column for column in c.SNAPSHOT_TABLES[name].names if column not in table.columns}
    done: dict[str, Outcome] = {}
    for is_shape in (True, False):
        runnable: list[Expectation] = []
        for rule in (rule for rule in rules if rule.meta["is_shape"] == is_shape):
            obstacle = _obstacle(rule, unreadable, has_known_movies)
            if obstacle:
                done[rule.meta["rule"]] = _outcome(name, rule, "skipped", observed=obstacle)
            else:
                runnable.append(rule)
        done |= _run(name, batch, runnable)
        unreadable |= {outcome.column for outcome in done.values() if outcome.status != "passed"}
    return [done[rule.meta["rule"]] for rule in rules]


def _obstacle(rule: "Expectation", unreadable: set[str], has_known_movies: bool) -> str:
    columns = [column for column in rule.meta["reads"] if column in unreadable]
    if columns:
        return f"not checked: {', '.join(columns)} is missing or has another type"
    if rule.meta["needs_movies"] and not has_known_movies:
        return "not checked: movies has no movie_id"
    return ""


def _run(table: str, batch: "Batch", rules: list["Expectation"]) -> dict[str, Outcome]:
    """Outcomes by rule: one pass that counts, and one that collects samples for what failed."""
    if not rules:
        return {}
    gx = import_great_expectations()
    results = batch.validate(
        gx.ExpectationSuite(table, expectations=rules),
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0},
    ).results
    # The library answers in an order of its own.
    by_rule = {result.expectation_config.meta["rule"]: result for result in results}
    outcomes = {}
    for rule in rules:
        result = by_rule[rule.meta["rule"]]
        exception = _exception(result.exception_info or {})
        if exception:
            outcomes[rule.meta["rule"]] = _outcome(table, rule, "error", exception=exception)
            continue
        outcomes[rule.meta["rule"]] = _outcome(
            table,
            rule,
            "passed" if result.success else "failed",
            observed=_observed(result.result),
            n_unexpected=_n_unexpected(rule, result.result),
            samples=() if result.success or rule.meta["is_shape"] else _samples(batch, rule),
        )
    return outcomes


def _outcome(table: str, rule: "Expectation", status: Status, **found: Any) -> Outcome:
    return Outcome(
        table=table,
        expectation=rule.expectation_type,
        column=", ".join(rule.meta["reads"]),
        rule=rule.meta["rule"],
        reason=rule.meta["reason"],
        severity=str(getattr(rule.severity, "value", rule.severity)),
        status=status,
        **found,
    )


def _exception(info: Mapping[str, Any]) -> str | None:
    """The first message, from either of the two forms the library uses: flat, or by failed metric."""
    entries = [info] if "raised_exception" in info else [entry for entry in info.values() if isinstance(entry, dict)]
    raised = [entry for entry in entries if entry.get("raised_exception")]
    return str(raised[0].get("exception_message") or "an exception without a message") if raised else None


def _observed(result: Mapping[str, Any]) -> str:
    if "unexpected_count" in result:
        n_rows, n_wrong = int(result["element_count"]), int(result["unexpected_count"] or 0)  # None: no rows
        if not n_wrong:
            return f"{n_rows:,} rows, all as expected"
        return f"{n_wrong:,} of {n_rows:,} rows ({n_wrong / n_rows:.3%})"
    value = result.get("observed_value")
    if isinstance(value, int):
        return f"{value:,} rows"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _n_unexpected(rule: "Expectation", result: Mapping[str, Any]) -> int | None:
    if "unexpected_count" in result:
        return int(result["unexpected_count"] or 0)
    return int(result["observed_value"]) if hasattr(rule, "unexpected_rows_query") else None


def _samples(batch: "Batch", rule: "Expectation") -> tuple[str, ...]:
    # COMPLETE collects every offending id to the driver, except for queries, which the library caps at 200 rows
    # and shows in this form only.
    form = "COMPLETE" if hasattr(rule, "unexpected_rows_query") else "SUMMARY"
    found = batch.validate(rule, result_format={"result_format": form, "partial_unexpected_count": N_SAMPLES}).result
    rows = found.get("details", {}).get("unexpected_rows") or found.get("partial_unexpected_list") or []
    return tuple(dict.fromkeys(_text(row) for row in rows[:N_SAMPLES]))


def _text(value: Any) -> str:
    """A value or a row as short text.

    >>> _text({"user_id": 1, "movie_id": 2}), _text(float("nan"))
    ('user_id 1, movie_id 2', 'nan')
    """
    row = value.asDict() if hasattr(value, "asDict") else value
    text = ", ".join(f"{key} {item}" for key, item in row.items()) if isinstance(row, dict) else str(row)
    return text if len(text) <= _SAMPLE_LENGTH else f"{text[:_SAMPLE_LENGTH]}…"
