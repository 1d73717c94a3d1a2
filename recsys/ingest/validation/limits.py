"""The numbers that the rules compare with: what a release promises, what the parser counted, what was there before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from recsys.rating_scales import HALF_STARS


@dataclass(frozen=True)
class Baseline:
    """What the snapshot before looked like, as far as drift is measured.

    Attributes:
        snapshot_id: its id.
        stars: how many ratings it has of each value.
        n_rows: its rows by table.
        is_growing: whether the source only ever adds, so that fewer rows are a fault; elsewhere they are remarkable.
    """

    snapshot_id: str
    stars: Mapping[float, int]
    n_rows: Mapping[str, int] = field(default_factory=dict)
    is_growing: bool = False

    @classmethod
    def of(
        cls,
        snapshot_id: str,
        ratings: Iterable[pa.Array],
        n_rows: Mapping[str, int] | None = None,
        *,
        is_growing: bool = False,
    ) -> Self:
        """Count the ratings of a snapshot.

        Args:
            snapshot_id: its id.
            ratings: its column of ratings, in pieces of any size.
            n_rows: its rows by table.
            is_growing: see the attribute.

        >>> Baseline.of("s", [pa.array([4.0, 3.0]), pa.array([4.0])]).stars
        {3.0: 1, 4.0: 2}
        """
        stars: dict[float, int] = {}
        for piece in ratings:
            for pair in pc.value_counts(piece).to_pylist():
                stars[pair["values"]] = stars.get(pair["values"], 0) + pair["counts"]
        return cls(snapshot_id, dict(sorted(stars.items())), n_rows or {}, is_growing)

    @property
    def mean(self) -> float:
        """The mean rating, in stars.

        >>> Baseline("s", {3.0: 1, 4.0: 3}).mean
        3.75
        """
        return sum(star * n for star, n in self.stars.items()) / sum(self.stars.values())

    def shares(self, stars: Iterable[float]) -> dict[float, float]:
        """The share of each value, those of a scale that were never given included.

        One rating is added to each (Laplace), or a value that is new would make every divergence infinite.

        >>> Baseline("s", {3.0: 1, 4.0: 5}).shares([2.0, 3.0, 4.0])
        {2.0: 0.1111111111111111, 3.0: 0.2222222222222222, 4.0: 0.6666666666666666}
        """
        values = sorted({*stars, *self.stars})
        n_total = sum(self.stars.values()) + len(values)
        return {value: (self.stars.get(value, 0) + 1) / n_total for value in values}


@dataclass(frozen=True)
class Limits:
    """The numbers the rules compare with.

    Attributes:
        latest: no timestamp may be later (UTC).
        earliest: nor earlier; MovieLens' oldest ratings are of January 1995.
        min_ratings: fewer rows in `ratings` fail it.
        stars: the values a rating may take, ascending; none where nobody rated, and counts stand in their place.
        n_rows: rows there must be, by table; tables that are not named are not compared.
        official: rows the publisher names, by table, less those that were quarantined.
        is_official_binding: whether another number is a fault (the release is frozen) or only remarkable.
        max_drift: how far the stars may have moved from the baseline (Kullback-Leibler divergence, nats).
        baseline: the snapshot before; None where there is none.
    """

    latest: datetime
    earliest: datetime = datetime(1995, 1, 1, tzinfo=UTC)
    min_ratings: int = 1
    stars: tuple[float, ...] = HALF_STARS
    n_rows: Mapping[str, int] = field(default_factory=dict)
    official: Mapping[str, int] = field(default_factory=dict)
    is_official_binding: bool = False
    max_drift: float = 0.1
    baseline: Baseline | None = None

    @classmethod
    def at(cls, now: datetime, **numbers: object) -> Self:
        """Limits for a check made at `now`: a day of grace for clocks and time zones.

        >>> Limits.at(datetime(2026, 1, 1, tzinfo=UTC), min_ratings=5).latest.isoformat()
        '2026-01-02T00:00:00+00:00'
        """
        return cls(latest=now + timedelta(days=1), **numbers)  # type: ignore[arg-type]

    def without(self, n_removed: Mapping[str, int]) -> Self:
        """The same limits for tables out of which that many rows were taken.

        >>> limits = Limits(datetime(2026, 1, 1, tzinfo=UTC), n_rows={"ratings": 9}, official={"ratings": 10})
        >>> after = limits.without({"ratings": 2, "tags": 1})
        >>> after.n_rows, after.official
        ({'ratings': 7}, {'ratings': 8})
        """
        n_rows, official = (
            {table: n - n_removed.get(table, 0) for table, n in counts.items()}
            for counts in (self.n_rows, self.official)
        )
        return replace(self, n_rows=n_rows, official=official)
