"""What a check found, as plain values: an `Outcome` for each expectation, and the `Verdict` over all of them.

An exception inside an expectation looks like a failed one in Great Expectations' own verdict; here it is told apart,
because it says nothing about the data.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

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
        severity: ``row``, ``critical`` or ``warning``.
        status: ``error`` when the expectation itself raised; ``skipped`` when a column it reads is missing, has
            another type or holds faulty values, which is a failure of its own.
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
        """Whether the data break a rule that must hold for what is published."""
        return self.status == "failed" and self.severity != "warning"

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "success": self.success, "samples": list(self.samples)}


@dataclass(frozen=True)
class Verdict:
    """All outcomes of one check, in the order of the suites."""

    outcomes: tuple[Outcome, ...]

    @property
    def success(self) -> bool:
        """True when every rule was evaluated and holds; warnings do not count."""
        return not self.faults and not self.errors

    @property
    def is_mendable(self) -> bool:
        """Whether taking out single rows may be all that it needs."""
        return bool(self.faults) and not self.errors and all(outcome.severity == "row" for outcome in self.faults)

    @property
    def faults(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.is_fault]

    @property
    def warnings(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "failed" and not outcome.is_fault]

    @property
    def errors(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "error"]

    @property
    def skipped(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "skipped"]

    def amended(self, later: "Verdict") -> "Verdict":
        """This verdict with the tables that were checked again as they were found the second time."""
        tables = dict.fromkeys(outcome.table for outcome in (*self.outcomes, *later.outcomes))
        again = {outcome.table for outcome in later.outcomes}
        return Verdict(
            tuple(
                outcome
                for table in tables
                for outcome in (later if table in again else self).outcomes
                if outcome.table == table
            )
        )


def outcome(table: str, rule: "Expectation", result: "ExpectationValidationResult") -> Outcome:
    """What Great Expectations' result of one expectation says."""
    exception = _exception(result.exception_info or {})
    if exception:
        return without_result(table, rule, "error", exception=exception)
    found: Mapping[str, Any] = result.result
    return without_result(
        table,
        rule,
        "passed" if result.success else "failed",
        observed=_observed(found),
        n_unexpected=_n_unexpected(rule, found),
        samples=() if result.success else _samples(found),
    )


def without_result(table: str, rule: "Expectation", status: Status, **found: Any) -> Outcome:
    """The outcome of an expectation that was not or could not be evaluated, or of which `found` says the rest."""
    return Outcome(
        table=table,
        expectation=rule.expectation_type,
        column=", ".join(rule.meta["reads"]),
        rule=rule.meta["rule"],
        reason=rule.meta["reason"],
        severity=rule.meta["severity"],
        status=status,
        **found,
    )


def _exception(info: Mapping[str, Any]) -> str | None:
    """The first message, from either of the two forms the library uses: flat, or by failed metric."""
    entries = [info] if "raised_exception" in info else [entry for entry in info.values() if isinstance(entry, dict)]
    raised = [entry for entry in entries if entry.get("raised_exception")]
    return str(raised[0].get("exception_message") or "an exception without a message") if raised else None


def _observed(found: Mapping[str, Any]) -> str:
    if "unexpected_count" in found:
        n_rows, n_wrong = int(found["element_count"]), int(found["unexpected_count"] or 0)  # None: no rows
        if not n_wrong:
            return f"{n_rows:,} rows, all as expected"
        return f"{n_wrong:,} of {n_rows:,} rows ({n_wrong / n_rows:.3%})"
    value = found.get("observed_value")
    if isinstance(value, int):
        return f"{value:,} rows"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _n_unexpected(rule: "Expectation", found: Mapping[str, Any]) -> int | None:
    if "unexpected_count" in found:
        return int(found["unexpected_count"] or 0)
    return int(found["observed_value"]) if hasattr(rule, "unexpected_rows_query") else None


def _samples(found: Mapping[str, Any]) -> tuple[str, ...]:
    rows = found.get("details", {}).get("unexpected_rows") or found.get("partial_unexpected_list") or []
    return tuple(dict.fromkeys(short_text(row) for row in rows[:N_SAMPLES]))


def short_text(value: Any) -> str:
    """A value or a row as short text.

    >>> short_text({"user_id": 1, "movie_id": 2}), short_text(float("nan"))
    ('user_id 1, movie_id 2', 'nan')
    """
    row = value.asDict() if hasattr(value, "asDict") else value
    text = ", ".join(f"{key} {item}" for key, item in row.items()) if isinstance(row, dict) else str(row)
    return text if len(text) <= _SAMPLE_LENGTH else f"{text[:_SAMPLE_LENGTH]}…"
