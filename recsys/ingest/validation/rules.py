"""How one rule becomes an expectation of Great Expectations, with all that the report and the quarantine need of it.

Every rule carries a sentence, its reason and a severity of three:

- ``row``: a fault of single rows. Up to a stated share of a table they are taken out and published as its quarantine.
- ``critical``: a fault of the table as a whole. Nothing is published.
- ``warning``: shown, and the table passes.

A rule of severity ``row`` also says, in Spark's SQL, which rows break it: Great Expectations counts faults, the
quarantine needs their lines.
"""

import logging
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

KNOWN_MOVIES_VIEW = "recsys_known_movies"  # movie_id
REPEATED_RATINGS_VIEW = "recsys_repeated_ratings"  # user_id and movie_id of pairs that are rated more than once
DUPLICATE = "duplicate"
SUPERSEDED = "superseded"  # a row that a later one replaces: history, not a fault

Severity = Literal["row", "critical", "warning"]
# Rules of a stage are run together; one is passed over when a column it reads failed in a stage before.
SHAPE, VALUES, DRIFT = range(3)


@dataclass(frozen=True)
class RowFault:
    """Which rows break a rule, in Spark's SQL over the table's own columns.

    Attributes:
        reason: one word for counting, such as ``off_scale``.
        condition: true for a faulty row. Two columns are there besides: `known_movie_id`, null where the row's movie is
            not among the movies, and, for duplicates, `kept_line`, the line of the one that stays.
        fault: an expression that gives the fault as a sentence.
    """

    reason: str
    condition: str
    fault: str


def import_great_expectations() -> Any:
    """The library, silenced first: importing it before its logger is set writes 214 lines into a task's log."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations

    return great_expectations


def expect(
    kind: str,
    rule: str,
    reason: str,
    *,
    severity: Severity = "critical",
    row: RowFault | None = None,
    stage: int = VALUES,
    needs: str = "",
    reads: list[str] | None = None,
    **arguments: Any,
) -> "Expectation":
    """One expectation of the class `kind`, with its own `arguments`.

    `rule` is unique within a table; `row` makes it a rule of single rows; `needs` names a view that must exist for it
    to be checked; `reads` the columns it depends on, where the arguments do not.
    """
    import_great_expectations()
    import great_expectations.expectations as gxe

    meta = {
        "rule": rule,
        "reason": reason,
        "severity": "row" if row else severity,
        "reads": reads or arguments.get("column_list") or ([arguments["column"]] if "column" in arguments else []),
        "stage": stage,
        "needs": needs,
        "row": asdict(row) if row else None,
    }
    return getattr(gxe, kind)(
        description=rule,
        notes=reason,
        meta=meta,
        # To the library, a rule that single rows break is critical too: what is published holds it without exception.
        severity="warning" if severity == "warning" else "critical",
        **arguments,
    )


def expect_no_rows(rule: str, reason: str, query: str, reads: list[str], **more: Any) -> "Expectation":
    """An expectation that a query over ``{batch}`` finds nothing."""
    return expect("UnexpectedRowsExpectation", rule, reason, reads=reads, unexpected_rows_query=query, **more)
