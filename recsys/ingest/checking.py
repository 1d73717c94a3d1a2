"""Keeps faulty rows out of a snapshot, and refuses tables that are faulty as such."""

import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys import columns as c
from recsys.config import NO_RATINGS, IngestConfig
from recsys.errors import DataError, PermanentError
from recsys.ingest.formats.known_releases import RELEASES, Release
from recsys.ingest.parsers.counts import n_pairs
from recsys.ingest.validation import data_docs
from recsys.ingest.validation.limits import Baseline, Limits
from recsys.ingest.validation.quarantine import Examination, Removal, examine
from recsys.ingest.validation.rules import SUPERSEDED
from recsys.ingest.validation.validation_report import CheckedSource, document, failure, headline, page
from recsys.messages import SourceArchive, StagedTables, ValidationResult
from recsys.rating_scales import parse_scale, propose_scale
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.snapshots import read_manifest
from recsys.storage.tables import read_schema, read_table, spark_table, write_json, write_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_N_EXAMPLES = 2
_ROW_LENGTH = 80
_CAN_BE_SPARED = {
    *("unknown_movie", "blank_title", "blank_tag", "bad_genres", "bad_imdb_id", "bad_tmdb_id", "duplicate"),
    "bad_count",
}
_SETTINGS = {"not a time": "times=… (how they are written)", "ids=text": "ids=text"}
_N_NAMED = 5  # failed expectations and faulty rows an error message names; the report has more


def limits_of(store: Store, staged: StagedTables, config: IngestConfig, now: datetime) -> Limits:
    """The numbers that the rules compare with, for a check made at `now`."""
    archive = staged.archive
    release = RELEASES.get(archive.release or "")
    counts = release.counts if release else None
    official = {"ratings": counts.n_ratings, "movies": counts.n_movies, "tags": counts.n_tags} if counts else {}
    return Limits.at(
        now,
        min_ratings=config.min_ratings,
        stars=() if archive.rating_scale == NO_RATINGS else parse_scale(archive.rating_scale),
        n_rows=dict(staged.n_rows),
        official={table: n - staged.n_malformed.get(table, 0) for table, n in official.items()},
        is_official_binding=bool(release and release.is_frozen),
        max_drift=config.max_drift,
        baseline=_baseline(store, archive, release),
    )


def examine_staged(
    spark: "SparkSession", store: Store, staged: StagedTables, config: IngestConfig, limits: Limits, site: Path
) -> Examination:
    """Check the staged tables, and what is left of them without faulty rows; writes the Data Docs into a folder."""
    ingest_id, dataset = staged.archive.ingest_id, staged.archive.dataset
    keys = {table: layout.staging_table(ingest_id, table) for table in c.SNAPSHOT_TABLES}
    n_rows = ", ".join(f"{n:,} {table}" for table, n in limits.n_rows.items())
    log.info("Checking %s", n_rows or f"the tables of {ingest_id}")
    # With the types they were written with: the schema is one of the things to check.
    tables = {name: spark_table(spark, store, [key], read_schema(store, key)) for name, key in keys.items()}
    context = data_docs.new_context(site, f"{dataset}, ingest {ingest_id}")
    found = examine(
        tables,
        limits,
        max_quarantined=config.max_quarantined,
        n_malformed=staged.n_malformed,
        malformed=staged.malformed,
        n_base=staged.n_base,
        files=staged.source_files,
        context=context,
    )
    data_docs.build(context, site)
    return found


def publish_docs(store: Store, site: Path, ingest_id: str) -> str:
    """Put the pages into the store in place of those of an earlier attempt; returns the address of the first."""
    prefix = layout.data_docs(ingest_id)
    for key in list(store.list(f"{prefix}/")):
        store.delete(key)
    for path in site.rglob("*.html"):  # the library's own images and fonts are not used
        store.put_file(f"{prefix}/{path.relative_to(site).as_posix()}", path, overwrite=True)
    return store.uri(f"{prefix}/index.html")


def conclude(
    store: Store, staged: StagedTables, found: Examination, checked_at: datetime, data_docs_uri: str
) -> ValidationResult:
    """Write the report and, where the tables pass, the rows that are taken out of them.

    Raises:
        DataError: the tables are faulty as such, or too many rows are.
        PermanentError: the data were not found wrong, but a check could not run.
    """
    advice = " ".join(dict.fromkeys(_advice(removal, staged, store) for removal in found.over))
    report_uri = _publish_report(store, found, staged, checked_at, advice)
    log.info("%s Report: %s. Data Docs: %s", headline(found), report_uri, data_docs_uri)
    if not found.success:
        raise _refusal(found, report_uri, advice)
    write_table(store, layout.staging_faults(staged.archive.ingest_id), found.faults, overwrite=True)
    return ValidationResult(
        report_uri=report_uri,
        data_docs_uri=data_docs_uri,
        n_expectations=len(found.first.outcomes),
        n_quarantined=found.faults.num_rows,
        quarantined=_by_reason(found),
    )


def _baseline(store: Store, archive: SourceArchive, release: Release | None) -> Baseline | None:
    """The snapshot before; only its column of ratings is transferred."""
    snapshot_id = archive.previous_snapshot_id
    if not snapshot_id or archive.is_invented:  # synthetic data are as their settings say, not as they were
        return None
    manifest = read_manifest(store, snapshot_id)
    n_rows = {table: about.n_rows for table, about in manifest.tables.items()}
    is_growing = bool(release and not release.is_frozen)
    if not manifest.has_ratings:
        # An increment starts from the pairs of its base, a source anew from its rows.
        if manifest.summed and not archive.reading.base_snapshot_id:
            n_rows["ratings"] = manifest.summed.n_rows
        return Baseline(snapshot_id, {}, n_rows, is_growing=is_growing)
    with store.open(layout.snapshot_table(snapshot_id, "ratings")) as file:
        ratings = (batch.column(c.RATING) for batch in pq.ParquetFile(file).iter_batches(columns=[c.RATING]))
        return Baseline.of(snapshot_id, ratings, n_rows, is_growing=is_growing)


def _publish_report(store: Store, found: Examination, staged: StagedTables, checked_at: datetime, advice: str) -> str:
    """Write the page and its JSON; returns the address of the page."""
    ingest_id = staged.archive.ingest_id
    source = CheckedSource(
        ingest_id=ingest_id,
        dataset=staged.archive.dataset,
        is_invented=staged.archive.is_invented,
        checked_at=checked_at,
        advice=advice,
        not_read=staged.not_read,
        summed=_summed(store, found, staged.archive),
    )
    write_json(store, layout.validation_report(ingest_id, "json"), document(found, source), overwrite=True)
    key = layout.validation_report(ingest_id)
    link = f"../{layout.data_docs(ingest_id).removeprefix('reports/')}/index.html"
    store.put(key, page(found, source, link).encode(), overwrite=True)
    return store.uri(key)


def _summed(store: Store, found: Examination, archive: SourceArchive) -> str:
    """What becomes of rows with counts, in a sentence; empty where there are ratings, or nothing is published."""
    if archive.rating_scale != NO_RATINGS or not found.success:
        return ""
    rows = read_table(store, layout.staging_table(archive.ingest_id, "ratings"), [c.USER_ID, c.MOVIE_ID, c.LINE])
    faulty = found.faults.filter(pc.equal(found.faults["table"], "ratings"))[c.LINE].combine_chunks()
    rows = rows.filter(pc.invert(pc.is_in(rows[c.LINE], faulty)))
    return (
        f"Nobody rated: the counts of {rows.num_rows:,} rows are summed over {n_pairs(rows):,} pairs of user and "
        "movie, each at its latest time."
    )


def _by_reason(found: Examination) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for removal in found.removals:
        for reason, n in removal.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + n
    return reasons


def _refusal(found: Examination, report: str, advice: str) -> PermanentError:
    state = f"Nothing was published. The report with every rule, its reason and samples: {report}."
    if found.over:
        lines = [headline(found), *map(_examples, found.over), f"{advice} Then run ingest_ratings again.", state]
        return DataError("\n".join(line for line in lines if line))
    wrong = found.verdict.faults or found.verdict.errors
    named = "; ".join(failure(outcome) for outcome in wrong[:_N_NAMED])
    more = f"; and {len(wrong) - _N_NAMED} more" if len(wrong) > _N_NAMED else ""
    if found.verdict.faults:
        return DataError(
            f"{headline(found)} {named}{more}. {state} Correct the source or choose another, then run "
            "ingest_ratings again."
        )
    return PermanentError(
        f"{headline(found)} {named}{more}. The data were not found wrong; the check itself raised. {state} Mend what "
        "the message names, then run ingest_ratings again."
    )


def _examples(removal: Removal) -> str:
    """The first faulty rows of a table, with their text, in one line."""
    wrong = [sample for sample in removal.samples if sample.reason != SUPERSEDED]
    shown = [
        f"{sample.file or removal.table} line {sample.line:,}: {sample.fault}"
        + (f" (the row is {sample.content[:_ROW_LENGTH]!r})" if sample.content else "")
        for sample in wrong[:_N_EXAMPLES]
    ]
    n_more = removal.n_wrong - len(shown)
    return f"Such as {'; '.join(shown)}{f'; and {n_more:,} more' if n_more else ''}." if shown else ""


def _advice(removal: Removal, staged: StagedTables, store: Store) -> str:
    """What to do about a table's faulty rows: the most frequent reason decides."""
    reason = next(reason for reason in removal.by_reason if reason != SUPERSEDED)
    if reason == "off_scale":
        return _scale_advice(staged.archive, store)
    if reason == "malformed":
        faults = " ".join(sample.fault for sample in removal.samples)
        settings = [setting for word, setting in _SETTINGS.items() if word in faults]
        return f"Correct the source{''.join(f', or say {setting}' for setting in settings)}."
    if reason in _CAN_BE_SPARED:
        return "Correct the source or choose another, or raise max_quarantined if these rows may be left out."
    return "Correct the source or choose another."


def _scale_advice(archive: SourceArchive, store: Store) -> str:
    """Which scale the ratings may be on; an increment has its base's."""
    rows = read_table(store, layout.staging_table(archive.ingest_id, "ratings"), [c.RATING, c.LINE])
    values = rows.filter(pc.greater(rows[c.LINE], 0))[c.RATING].unique().to_pylist()
    found = propose_scale(values)
    if archive.reading.base_snapshot_id:
        return (
            "The increment has another rating scale than the snapshot it is added to, whose rating_scale holds for "
            "both. Bring the ratings to that scale, or take them in as a data set of their own."
        )
    if found is None:
        return "Say which scale the ratings are on: rating_scale=lowest-highest/step; for counts, rating_scale=none."
    return f"If the ratings are right, say their scale: rating_scale={found.text}, as {found.reason}."
