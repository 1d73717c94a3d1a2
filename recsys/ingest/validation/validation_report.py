"""The outcome of an examination as one readable page and as JSON."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from recsys.ingest.validation.outcomes import N_SAMPLES, Outcome
from recsys.ingest.validation.quarantine import Examination, Removal
from recsys.ingest.validation.rules import SUPERSEDED
from recsys.pages.rendering import render

_LABELS = {
    "failed": "Failed",
    "error": "Could not check",
    "warning": "Warning",
    "skipped": "Not checked",
    "passed": "Holds",
}
_ORDER = list(_LABELS)


@dataclass(frozen=True, slots=True)
class CheckedSource:
    """What was checked, for the report.

    Attributes:
        ingest_id: of the ingest.
        dataset: its name.
        is_invented: whether the generator made it.
        checked_at: when (UTC).
        advice: what to do about too many faulty rows.
        not_read: files of the source that hold nothing of the tables.
        summed: what becomes of rows with counts, where nobody rated.
    """

    ingest_id: str
    dataset: str
    is_invented: bool
    checked_at: datetime
    advice: str = ""
    not_read: tuple[str, ...] = ()
    summed: str = ""


def page(found: Examination, source: CheckedSource, data_docs: str = "") -> str:
    """One self-contained HTML page: the verdict, what was quarantined, then a table per suite with what failed first.

    Args:
        found: what was found.
        source: what was checked.
        data_docs: address of Great Expectations' own pages, relative to this one; empty: no link.
    """
    verdict = found.verdict
    return render(
        "validation.html",
        title=f"Validation of {source.dataset}: {'passed' if found.success else 'failed'}",
        success=found.success,
        headline=headline(found),
        next_step=_next_step(found, source.advice),
        not_read=source.not_read,
        summed=source.summed,
        dataset=source.dataset,
        ingest_id=source.ingest_id,
        is_invented=source.is_invented,
        checked_at=f"{source.checked_at:%Y-%m-%d %H:%M:%S}",
        data_docs=data_docs,
        tiles=_tiles(found),
        removals=[
            (
                removal,
                f"{_percent(removal.share)} of {_rows(removal.n_in)}; at most {_percent(removal.max_share)} may be.",
            )
            for removal in found.removals
        ],
        suites=_suites(verdict.outcomes),
        # What was found before anything was taken out, where it is not what stands above.
        as_parsed=_suites(outcome for outcome in found.first.outcomes if not outcome.success) if found.second else [],
        labels=_LABELS,
        n_samples=N_SAMPLES,
    )


def document(found: Examination, source: CheckedSource) -> dict[str, Any]:
    """The same as JSON: ``{success, headline, ingest_id, …, quarantined: [...], as_parsed: [...], remaining: [...]}``.

    `remaining` holds the outcomes of the tables that were checked again, without what was quarantined.
    """
    return {
        "success": found.success,
        "headline": headline(found),
        **asdict(source),
        "not_read": list(source.not_read),
        "checked_at": source.checked_at.isoformat(),
        "n_expectations": len(found.first.outcomes),
        "quarantined": [removal.to_dict() for removal in found.removals],
        "as_parsed": [outcome.to_dict() for outcome in found.first.outcomes],
        "remaining": [outcome.to_dict() for outcome in found.second.outcomes] if found.second else [],
    }


def headline(found: Examination) -> str:
    """The verdict in one sentence or two.

    >>> from recsys.ingest.validation.outcomes import Verdict
    >>> headline(Examination(Verdict(()), None, (), None))
    'All 0 expectations hold.'
    """
    verdict, n = found.verdict, len(found.verdict.outcomes)
    over = [excess(removal) for removal in found.over]
    if over:
        return " ".join(over)
    parts = []
    if verdict.faults:
        parts.append(f"{len(verdict.faults)} of {n} expectations failed")
    if verdict.errors:
        parts.append(f"{len(verdict.errors)} of {n} could not be checked")
    if parts:
        return f"{' and '.join(parts)}{' without the faulty rows' if found.second else ''}."
    n_out = sum(removal.n_out for removal in found.removals)
    aside = f"; {_rows(n_out)} {'is' if n_out == 1 else 'are'} in quarantine" if n_out else ""
    warnings = len(verdict.warnings)
    if warnings:
        return f"{n - warnings} of {n} expectations hold, {warnings} warn{aside}."
    return f"All {n} expectations hold{aside}."


def excess(removal: Removal) -> str:
    """What is said of a table with too many faulty rows.

    >>> excess(Removal("tags", 200, 1, {"blank_tag": 3}, max_share=0.01))
    'tags: 4 of 200 rows are faulty (2%: 3 blank_tag, 1 malformed), at most 1% may be.'
    """
    named = ", ".join(f"{n:,} {reason}" for reason, n in removal.by_reason.items() if reason != SUPERSEDED)
    return (
        f"{removal.table}: {removal.n_wrong:,} of {_rows(removal.n_in)} are faulty ({_percent(removal.share)}: "
        f"{named}), at most {_percent(removal.max_share)} may be."
    )


def failure(outcome: Outcome) -> str:
    """One failed expectation in a line, for an error message.

    >>> failure(Outcome("ratings", "e", "rating", "rating is 1 to 5", "", "critical", "failed", "1 row", 1, ("9.0",)))
    'ratings: rating is 1 to 5 (found: 1 row; such as 9.0)'
    """
    found = outcome.exception.splitlines()[0] if outcome.exception else outcome.observed
    samples = f"; such as {' | '.join(outcome.samples[:3])}" if outcome.samples else ""
    return f"{outcome.table}: {outcome.rule} (found: {found}{samples})"


def _suites(outcomes: Iterable[Outcome]) -> list[tuple[str, list[Outcome], str]]:
    suites = []
    for table, group in groupby(outcomes, key=lambda outcome: outcome.table):
        rows = sorted(group, key=_rank)
        suites.append((table, rows, f"{sum(row.success for row in rows)} of {len(rows)} expectations hold."))
    return suites


def _rank(outcome: Outcome) -> int:
    is_warning = outcome.status == "failed" and not outcome.is_fault
    return _ORDER.index("warning" if is_warning else outcome.status)


def _next_step(found: Examination, advice: str) -> str:
    if found.over:
        return (
            "Nothing was published: readers still see the snapshot before this one. So many faulty rows are a faulty "
            f"source, or one that is read in the wrong way. {advice} Then run ingest_ratings again."
        )
    if found.verdict.faults:
        return (
            "Nothing was published: readers still see the snapshot before this one. Correct the source or choose "
            "another, then run ingest_ratings again."
        )
    if found.verdict.errors:
        return (
            "Nothing was published. The data were not found wrong: a check itself could not run. Look at its message, "
            "then run ingest_ratings again."
        )
    return "The tables may become a snapshot; what is in quarantine is published beside them, with its reasons."


def _tiles(found: Examination) -> list[tuple[str, int]]:
    verdict = found.verdict
    tiles = [
        ("expectations", len(verdict.outcomes)),
        ("hold", sum(outcome.success for outcome in verdict.outcomes)),
        ("failed", len(verdict.faults)),
        ("could not be checked", len(verdict.errors)),
        ("warnings", len(verdict.warnings)),
        ("faulty rows", sum(removal.n_out for removal in found.removals)),
    ]
    return tiles if not verdict.skipped else [*tiles, ("not checked", len(verdict.skipped))]


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _rows(n: int) -> str:
    return f"{n:,} row" if n == 1 else f"{n:,} rows"
