"""The outcome of a check as one readable page and as JSON."""

from datetime import datetime
from itertools import groupby
from typing import Any

from recsys.pages import render
from recsys.validation.check import N_SAMPLES, Outcome, Verdict

_LABELS = {
    "failed": "Failed",
    "error": "Could not check",
    "warning": "Warning",
    "skipped": "Not checked",
    "passed": "Holds",
}
_ORDER = list(_LABELS)


def page(verdict: Verdict, *, ingest_id: str, dataset: str, is_invented: bool, checked_at: datetime) -> str:
    """One self-contained HTML page: the verdict, then a table per suite with what failed first."""
    suites = []
    for table, group in groupby(verdict.outcomes, key=lambda outcome: outcome.table):
        outcomes = sorted(group, key=_rank)
        suites.append((table, outcomes, _summary(outcomes)))
    return render(
        "validation.html",
        title=f"Validation of {dataset}: {'passed' if verdict.success else 'failed'}",
        verdict=verdict,
        headline=headline(verdict),
        next_step=_next_step(verdict),
        dataset=dataset,
        ingest_id=ingest_id,
        is_invented=is_invented,
        checked_at=f"{checked_at:%Y-%m-%d %H:%M:%S}",
        tiles=_tiles(verdict),
        suites=suites,
        labels=_LABELS,
        n_samples=N_SAMPLES,
    )


def document(
    verdict: Verdict, *, ingest_id: str, dataset: str, is_invented: bool, checked_at: datetime
) -> dict[str, Any]:
    """The same as JSON: ``{success, headline, ingest_id, dataset, …, outcomes: [...]}``."""
    return {
        "success": verdict.success,
        "headline": headline(verdict),
        "ingest_id": ingest_id,
        "dataset": dataset,
        "is_invented": is_invented,
        "checked_at": checked_at.isoformat(),
        "n_expectations": len(verdict.outcomes),
        "outcomes": [outcome.to_dict() for outcome in verdict.outcomes],
    }


def headline(verdict: Verdict) -> str:
    """The verdict in one sentence.

    >>> headline(Verdict(()))
    'All 0 expectations hold.'
    """
    n = len(verdict.outcomes)
    parts = []
    if verdict.faults:
        parts.append(f"{len(verdict.faults)} of {n} expectations failed")
    if verdict.errors:
        parts.append(f"{len(verdict.errors)} of {n} could not be checked")
    if parts:
        return f"{' and '.join(parts)}."
    warnings = len(verdict.warnings)
    return (
        f"All {n} expectations hold." if not warnings else f"{n - warnings} of {n} expectations hold, {warnings} warn."
    )


def failure(outcome: Outcome) -> str:
    """One failed expectation in a line, for an error message.

    >>> failure(Outcome("ratings", "e", "rating", "rating is 1 to 5", "", "critical", "failed", "1 row", 1, ("9.0",)))
    'ratings: rating is 1 to 5 (found: 1 row; such as 9.0)'
    """
    found = outcome.exception.splitlines()[0] if outcome.exception else outcome.observed
    samples = f"; such as {' | '.join(outcome.samples[:3])}" if outcome.samples else ""
    return f"{outcome.table}: {outcome.rule} (found: {found}{samples})"


def _rank(outcome: Outcome) -> int:
    is_warning = outcome.status == "failed" and not outcome.is_fault
    return _ORDER.index("warning" if is_warning else outcome.status)


def _next_step(verdict: Verdict) -> str:
    if verdict.faults:
        return (
            "Nothing was published: readers still see the snapshot before this one. Correct the source or choose "
            "another, then run ingest_ratings again."
        )
    if verdict.errors:
        return (
            "Nothing was published. The data were not found wrong: a check itself could not run. Look at its message, "
            "then run ingest_ratings again."
        )
    return "The tables may become a snapshot."


def _tiles(verdict: Verdict) -> list[tuple[str, int]]:
    tiles = [
        ("expectations", len(verdict.outcomes)),
        ("hold", sum(outcome.success for outcome in verdict.outcomes)),
        ("failed", len(verdict.faults)),
        ("could not be checked", len(verdict.errors)),
        ("warnings", len(verdict.warnings)),
    ]
    return tiles if not verdict.skipped else [*tiles, ("not checked", len(verdict.skipped))]


def _summary(outcomes: list[Outcome]) -> str:
    held = sum(outcome.success for outcome in outcomes)
    return f"{held} of {len(outcomes)} expectations hold."
