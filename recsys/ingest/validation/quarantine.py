"""Check tables, take out single faulty rows up to a limit, and check what remains: the verdict that counts.

Above the limit, or for a fault of a table as a whole, nothing is taken out: then the source is wrong, not a row of it.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys import columns as c
from recsys.ingest.validation.check import check, handed_whole
from recsys.ingest.validation.faulty_rows import faulty_rows
from recsys.ingest.validation.limits import Limits
from recsys.ingest.validation.outcomes import N_SAMPLES, Verdict
from recsys.ingest.validation.rules import DUPLICATE, SUPERSEDED
from recsys.messages import FaultyRow

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Removal:
    """The rows of one table that are kept out of it.

    Attributes:
        table: its name.
        n_in: rows of the source: staged and malformed; of an increment its own.
        n_malformed: those the parser could not read.
        reasons: how many staged rows are faulty, by reason.
        samples: some of them.
        max_share: the share of `n_in` that may be kept out.
    """

    table: str
    n_in: int
    n_malformed: int
    reasons: Mapping[str, int]
    samples: tuple[FaultyRow, ...] = ()
    max_share: float = 0.0

    @property
    def n_faulty(self) -> int:
        """Staged rows that are faulty."""
        return sum(self.reasons.values())

    @property
    def n_out(self) -> int:
        return self.n_malformed + self.n_faulty

    @property
    def by_reason(self) -> dict[str, int]:
        """All rows that are kept out, the most frequent reason first.

        >>> Removal("tags", 9, 1, {"missing": 2}).by_reason
        {'missing': 2, 'malformed': 1}
        """
        counts = {**self.reasons, "malformed": self.n_malformed}
        return dict(sorted(((reason, n) for reason, n in counts.items() if n), key=lambda item: (-item[1], item[0])))

    @property
    def n_wrong(self) -> int:
        """Rows that are faulty indeed; those that a later one replaces are history.

        >>> Removal("ratings", 9, 1, {"superseded": 5, "off_scale": 1}).n_wrong
        2
        """
        return self.n_out - self.reasons.get(SUPERSEDED, 0)

    @property
    def share(self) -> float:
        return self.n_wrong / self.n_in if self.n_in else 0.0

    @property
    def is_over(self) -> bool:
        """Whether these are too many.

        >>> Removal("tags", 100, 1, {"missing": 1}, max_share=0.02).is_over
        False
        >>> Removal("tags", 100, 1, {"missing": 2}, max_share=0.02).is_over
        True
        """
        return self.n_wrong > self.max_share * self.n_in

    def to_dict(self) -> dict[str, Any]:
        samples = [sample.model_dump(exclude_defaults=True) for sample in self.samples]
        return {**asdict(self), "samples": samples, "by_reason": self.by_reason, "share": self.share}


@dataclass(frozen=True)
class Examination:
    """What was found, taken out, and found again.

    Attributes:
        first: the tables as they were parsed.
        second: those that lost rows, without these; None when nothing was taken out.
        removals: the tables that have malformed or faulty rows.
        faults: the rows that were taken out, in the schema `columns.QUARANTINE`, without their content.
    """

    first: Verdict
    second: Verdict | None
    removals: tuple[Removal, ...]
    faults: pa.Table

    @property
    def verdict(self) -> Verdict:
        """What would be published."""
        return self.first.amended(self.second) if self.second else self.first

    @property
    def over(self) -> list[Removal]:
        """Tables with more faulty rows than may be taken out."""
        return [removal for removal in self.removals if removal.is_over]

    @property
    def success(self) -> bool:
        return not self.over and self.verdict.success


def examine(
    tables: Mapping[str, "DataFrame"],
    limits: Limits,
    *,
    max_quarantined: float,
    n_malformed: Mapping[str, int] | None = None,
    malformed: Mapping[str, Sequence[FaultyRow]] | None = None,
    n_base: Mapping[str, int] | None = None,
    files: Mapping[str, Sequence[str]] | None = None,
    context: "EphemeralDataContext | None" = None,
) -> Examination:
    """Check the staged tables of a source, and what is left of them without single faulty rows.

    Args:
        tables: as for `check`, movies among them; a source's are all of `columns.SNAPSHOT_TABLES`.
        limits: the numbers to compare with.
        max_quarantined: the share of a table's rows, malformed ones included, that may be kept out of it.
        n_malformed: rows the parser could not read, by table.
        malformed: the first of these rows.
        n_base: staged rows that are not of the source but of the snapshot it is added to, by table.
        files: the files of the source that a table's rows stand in.
        context: keeps the results for its Data Docs.
    """
    removals = _malformed(tables, limits, n_malformed or {}, n_base or {}, max_quarantined)
    for name, rows in (malformed or {}).items():
        removals[name] = replace(removals[name], samples=tuple(rows))
    unreadable = {
        name: (kept.n_malformed, kept.n_in, kept.samples) for name, kept in removals.items() if kept.n_malformed
    }
    first = check(tables, limits, unreadable=unreadable, context=context)

    def examination(second: Verdict | None = None, faults: pa.Table | None = None) -> Examination:
        kept_out = tuple(removal for removal in removals.values() if removal.n_out)
        return Examination(first, second, kept_out, c.QUARANTINE.empty_table() if faults is None else faults)

    if not first.is_mendable or any(removal.is_over for removal in removals.values()):
        return examination()
    with contextlib.closing(_Sieve(tables, limits, first)) as sieve:
        for name in sieve.names():
            removals[name] = _with_faulty(removals[name], sieve.find(name), (files or {}).get(name, ()))
            if name == "movies" and removals[name].is_over:
                break  # what refers to them would be found faulty too
        if any(removal.is_over for removal in removals.values()):
            return examination()
        faults = sieve.collect(files or {})
        left = limits.without({name: removal.n_faulty for name, removal in removals.items()})
        second = check(sieve.remaining(), left, movies=sieve.movies, context=context, run="without-quarantined")
    return examination(second, faults)


def _malformed(
    tables: Mapping[str, "DataFrame"],
    limits: Limits,
    n_malformed: Mapping[str, int],
    n_base: Mapping[str, int],
    max_share: float,
) -> dict[str, Removal]:
    """What the parser kept out of every table, in the tables' order."""
    removals = {}
    for name, table in tables.items():
        n_staged = limits.n_rows[name] if name in limits.n_rows else table.count()
        n_staged -= n_base.get(name, 0)
        n_kept_out = n_malformed.get(name, 0)
        removals[name] = Removal(name, n_staged + n_kept_out, n_kept_out, {}, max_share=max_share)
    return removals


def _with_faulty(removal: Removal, found: "DataFrame", files: Sequence[str]) -> Removal:
    """With the rows that were found; the first line of every reason is among the samples."""
    from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

    first = F.min(F.struct(c.LINE, "reason", "fault")).alias("first")
    counted = found.groupBy("reason").agg(F.count("*").alias("n"), first).collect()
    rows = [*(row["first"] for row in counted), *found.limit(N_SAMPLES).collect()]
    samples = {row[c.LINE]: _sample(row[c.LINE], row["reason"], row["fault"], files) for row in rows}
    return replace(
        removal,
        reasons={row["reason"]: row["n"] for row in counted},
        samples=(*(samples[line] for line in sorted(samples)), *removal.samples),
    )


def _sample(line: int, reason: str, fault: str, files: Sequence[str]) -> FaultyRow:
    """A sample with its file, and its line there."""
    if not files or line < 0:
        return FaultyRow(line=line, reason=reason, fault=fault)
    file, line = c.place_of(files, line)
    return FaultyRow(line=line, reason=reason, fault=fault, file=file)


class _Sieve:
    """The faulty rows of the tables that have some, kept by Spark until it is closed."""

    def __init__(self, tables: Mapping[str, "DataFrame"], limits: Limits, first: Verdict) -> None:
        self.movies = tables["movies"]
        self._tables, self._limits = tables, limits
        self._suspects = {outcome.table for outcome in first.faults}
        self._found: dict[str, DataFrame] = {}

    def names(self) -> Iterator[str]:
        """Tables to search, movies first: what refers to a movie that is taken out is faulty too."""
        ordered = sorted(self._tables, key=lambda name: name != "movies")
        yield from (name for name in ordered if name in self._suspects)
        if "movies" in self._found and not self._found["movies"].where(f"reason <> '{DUPLICATE}'").isEmpty():
            yield from (name for name in ordered if name not in self._suspects)

    def find(self, name: str) -> "DataFrame":
        self._found[name] = faulty_rows(name, self._tables[name], self._limits, self.movies).persist()
        if name == "movies":
            self.movies = self._without_faulty(name)
        return self._found[name]

    def remaining(self) -> dict[str, "DataFrame"]:
        """The tables that were searched, without what was found."""
        return {name: self._without_faulty(name) for name in self._found}

    def collect(self, files: Mapping[str, Sequence[str]]) -> pa.Table:
        """All faulty rows, in the schema of the quarantine; lines are those of the staged tables."""
        tables = [c.QUARANTINE.empty_table()]
        for name, found in self._found.items():
            rows = found.orderBy(c.LINE).toArrow()
            known = {"table": name, "content": None}
            columns = {key: pa.array([value] * len(rows), pa.string()) for key, value in known.items()}
            sources: Sequence[str | None] = files.get(name) or [None]  # type: ignore[assignment]
            columns["file"] = pa.array(sources, pa.string()).take(
                pc.max_element_wise(pc.shift_right(rows[c.LINE], c.LINE_BITS), 0)
            )
            columns |= {key: rows[key] for key in rows.column_names}
            tables.append(pa.table(columns).select(c.QUARANTINE.names).cast(c.QUARANTINE))
        return pa.concat_tables(tables)

    def close(self) -> None:
        for found in self._found.values():
            found.unpersist()

    def _without_faulty(self, name: str) -> "DataFrame":
        return self._tables[name].join(handed_whole(self._found[name].select(c.LINE)), c.LINE, "left_anti")
