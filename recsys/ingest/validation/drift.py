"""The rules that compare a table with the snapshot before: how the stars are spread, their mean, and how many rows.

They are the last to be run, and only where the values they read are sound: what is new is compared with what would be
published, not with its faults.
"""

from typing import TYPE_CHECKING

from recsys import columns as c
from recsys.ingest.validation.limits import Baseline, Limits
from recsys.ingest.validation.rules import DRIFT, expect

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

# The means of MovieLens' releases of two decades lie within 0.08 stars (3.50 to 3.58), 2 % of the scale.
_MEAN_TOLERANCE = 0.05
# GroupLens' latest releases grew each time; a truncated file is the likelier reason for a tenth less.
_KEPT_SHARE = 0.9
# How ratings are spread is compared on scales of few values, and where there are many ratings of each value.
_FEW_VALUES, _LEAST_PER_VALUE = 100, 50


def drift_rules(table: str, limits: Limits) -> list["Expectation"]:
    """The comparisons of one table with the baseline; none without one."""
    before = limits.baseline
    if before is None:
        return []
    rules = [_kept_rows(table, before)] if before.n_rows.get(table) else []
    # Counts have no scale: what is usual for a shop or a player grows with time.
    return [*_stars(before, limits), *rules] if table == "ratings" and limits.stars and before.stars else rules


def _stars(before: Baseline, limits: Limits) -> list["Expectation"]:
    n_values = len(limits.stars)
    # On a fine scale two samples of one taste differ by chance alone, by about values over ratings.
    is_told = n_values <= _FEW_VALUES or sum(before.stars.values()) >= _LEAST_PER_VALUE * n_values
    return [*([_spread(before, limits)] if is_told else []), _mean(before, limits)]


def _spread(before: Baseline, limits: Limits) -> "Expectation":
    shares = before.shares(limits.stars)
    return expect(
        "ExpectColumnKLDivergenceToBeLessThan",
        f"the stars are spread as in {before.snapshot_id}: they diverge by at most {limits.max_drift:g} nats",
        "Tastes change slowly. A larger divergence (Kullback-Leibler) is another scale, a misread column or "
        "another source; if it is what the source now says, raise max_drift.",
        stage=DRIFT,
        column=c.RATING,
        partition_object={"values": list(shares), "weights": list(shares.values())},
        threshold=limits.max_drift,
    )


def _mean(before: Baseline, limits: Limits) -> "Expectation":
    span = limits.stars[-1] - limits.stars[0]
    low, high = before.mean - _MEAN_TOLERANCE * span, before.mean + _MEAN_TOLERANCE * span
    return expect(
        "ExpectColumnMeanToBeBetween",
        f"the mean rating is from {low:.2f} to {high:.2f} ({before.mean:.2f} in {before.snapshot_id})",
        f"It seldom moves by {_MEAN_TOLERANCE:.0%} of the scale: MovieLens' releases all lie within 2 %.",
        severity="warning",
        stage=DRIFT,
        column=c.RATING,
        min_value=low,
        max_value=high,
    )


def _kept_rows(table: str, before: Baseline) -> "Expectation":
    n_before = before.n_rows[table]
    least = int(n_before * _KEPT_SHARE)
    return expect(
        "ExpectTableRowCountToBeBetween",
        f"{table} has at least {least:,} rows, {_KEPT_SHARE:.0%} of the {n_before:,} in {before.snapshot_id}",
        "This source only adds rows; fewer are a truncated file. If it truly shrank, give it a name of its own."
        if before.is_growing
        else "Fewer rows than before may be meant; a truncated file looks the same.",
        severity="critical" if before.is_growing else "warning",
        stage=DRIFT,
        min_value=least,
    )
