"""The task of the ingest that keeps faulty rows out of a snapshot, and refuses tables that are faulty as such."""

import logging
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recsys import columns as c
from recsys.config import IngestConfig, Settings
from recsys.datasets.catalogue import RELEASES, Release
from recsys.errors import DataError, PermanentError
from recsys.spark import spark_session
from recsys.storage import layout
from recsys.storage.store import Store, open_store
from recsys.storage.tables import read_json, read_schema, spark_table, write_json, write_table
from recsys.validation import data_docs
from recsys.validation.limits import HALF_STARS, Baseline, Limits, parse_scale, stars_of
from recsys.validation.quarantine import Examination, examine
from recsys.validation.report import document, failure, headline, page

log = logging.getLogger(__name__)

_BRIEF_ROWS = 1_000_000  # below this, Spark spends its time on compiling queries
_N_NAMED = 5  # failed expectations and faulty rows an error message names; the report has more


def validate(parsed: Mapping[str, Any], config: IngestConfig, settings: Settings | None = None) -> dict[str, Any]:
    """Check the staged tables and set single faulty rows aside; the reports are written whatever comes out.

    Args:
        parsed: what `recsys.jobs.ingest.parse` returned: ``ingest_id``, ``dataset`` and the staged rows as
            ``n_<table>``; where known also ``release`` (its scale and counts apply), ``previous_snapshot_id`` (drift is
            measured against it), ``n_malformed`` and ``files`` (both by table) and ``is_invented``.
        config: its min_ratings, rating_scale, max_quarantined and max_drift are among the limits.
        settings: where things are; by default from the environment.

    Returns:
        ``report`` and ``data_docs`` (addresses of the pages), ``n_expectations``, ``n_quarantined`` (staged rows that
        were set aside, in `layout.staging_faults`), ``quarantined`` (the same by reason) and ``success``.

    Raises:
        DataError: the tables are faulty as such, or too many rows are; nothing is published.
        PermanentError: the data were not found wrong, but a check could not run.
        NotFoundError: a staged table is missing, or the snapshot before.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    ingest_id = str(parsed["ingest_id"])
    checked_at = datetime.now(UTC)
    limits = _limits(parsed, config, store, checked_at)
    with tempfile.TemporaryDirectory(dir=settings.tmp_dir, prefix="data-docs-") as folder:
        site = Path(folder)
        found = _examine(parsed, config, settings, limits, site)
        docs = _publish_docs(store, site, ingest_id)
    report = _publish_report(store, found, parsed, checked_at)
    log.info("%s Report: %s. Data Docs: %s", headline(found), report, docs)
    _refuse(found, report)
    write_table(store, layout.staging_faults(ingest_id), found.faults, overwrite=True)
    return {
        "report": report,
        "data_docs": docs,
        "n_expectations": len(found.first.outcomes),
        "n_quarantined": found.faults.num_rows,
        "quarantined": _by_reason(found),
        "success": True,
    }


def _examine(
    parsed: Mapping[str, Any], config: IngestConfig, settings: Settings, limits: Limits, site: Path
) -> Examination:
    store = open_store(settings.resolved_store_url)
    ingest_id = str(parsed["ingest_id"])
    keys = {table: layout.staging_table(ingest_id, table) for table in c.SNAPSHOT_TABLES}
    n_rows = limits.n_rows
    log.info("Checking %s", ", ".join(f"{n:,} {table}" for table, n in n_rows.items()) or f"the tables of {ingest_id}")
    with spark_session(settings, f"validate {ingest_id}", is_brief=sum(n_rows.values()) < _BRIEF_ROWS) as spark:
        # With the types they were written with: the schema is one of the things to check.
        tables = {name: spark_table(spark, store, [key], read_schema(store, key)) for name, key in keys.items()}
        context = data_docs.new_context(site, f"{parsed.get('dataset', ingest_id)}, ingest {ingest_id}")
        found = examine(
            tables,
            limits,
            max_quarantined=config.max_quarantined,
            n_malformed=parsed.get("n_malformed"),
            files=parsed.get("files"),
            context=context,
        )
        data_docs.build(context, site)
    return found


def _limits(parsed: Mapping[str, Any], config: IngestConfig, store: Store, now: datetime) -> Limits:
    release = RELEASES.get(parsed.get("release") or "")
    malformed: Mapping[str, int] = parsed.get("n_malformed") or {}
    counts = release.counts if release else None
    official = {"ratings": counts.n_ratings, "movies": counts.n_movies, "tags": counts.n_tags} if counts else {}
    scale = (parsed.get("reading") or {}).get("rating_scale") or config.rating_scale  # an increment takes its base's
    stars = parse_scale(scale) if scale else stars_of(*release.rating_range) if release else HALF_STARS
    return Limits.at(
        now,
        min_ratings=config.min_ratings,
        stars=stars,
        n_rows={table: int(parsed[f"n_{table}"]) for table in c.SNAPSHOT_TABLES if f"n_{table}" in parsed},
        official={table: n - malformed.get(table, 0) for table, n in official.items()},
        is_official_binding=bool(release and release.is_frozen),
        max_drift=config.max_drift,
        baseline=_baseline(parsed, release, store),
    )


def _baseline(parsed: Mapping[str, Any], release: Release | None, store: Store) -> Baseline | None:
    """The snapshot before; only its column of ratings is transferred."""
    snapshot_id = parsed.get("previous_snapshot_id")
    if not snapshot_id or parsed.get("is_invented"):  # what is invented is as its settings say, not as it was
        return None
    tables = read_json(store, layout.snapshot_manifest(snapshot_id))["tables"]
    n_rows = {table: int(about["n_rows"]) for table, about in tables.items()}
    with store.open(layout.snapshot_table(snapshot_id, "ratings")) as file:
        ratings = (batch.column(c.RATING) for batch in pq.ParquetFile(file).iter_batches(columns=[c.RATING]))
        return Baseline.of(snapshot_id, ratings, n_rows, is_growing=bool(release and not release.is_frozen))


def _publish_docs(store: Store, site: Path, ingest_id: str) -> str:
    """Put the pages into the store in place of those of an earlier attempt; returns the address of the first."""
    prefix = layout.data_docs(ingest_id)
    for key in list(store.list(f"{prefix}/")):
        store.delete(key)
    for path in site.rglob("*.html"):  # the library's own images and fonts are not used
        store.put_file(f"{prefix}/{path.relative_to(site).as_posix()}", path, overwrite=True)
    return store.uri(f"{prefix}/index.html")


def _publish_report(store: Store, found: Examination, parsed: Mapping[str, Any], checked_at: datetime) -> str:
    """Write the page and its JSON; returns the address of the page."""
    ingest_id = str(parsed["ingest_id"])
    about: dict[str, Any] = {
        "ingest_id": ingest_id,
        "dataset": str(parsed.get("dataset", ingest_id)),
        "is_invented": bool(parsed.get("is_invented")),
        "checked_at": checked_at,
    }
    write_json(store, layout.validation_report(ingest_id, "json"), document(found, **about), overwrite=True)
    key = layout.validation_report(ingest_id)
    link = f"../{layout.data_docs(ingest_id).removeprefix('reports/')}/index.html"
    store.put(key, page(found, **about, data_docs=link).encode(), overwrite=True)
    return store.uri(key)


def _by_reason(found: Examination) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for removal in found.removals:
        for reason, n in removal.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + n
    return reasons


def _refuse(found: Examination, report: str) -> None:
    if found.success:
        return
    state = f"Nothing was published. The report with every rule, its reason and samples: {report}."
    if found.over:
        samples = [f"{name} line {row['line']}: {row['fault']}" for name, row in _first_faults(found)]
        named = f" Such as {'; '.join(samples)}." if samples else ""
        raise DataError(
            f"{headline(found)}{named} {state} Correct the source or choose another, or raise max_quarantined if these "
            "rows may be left out, then run ingest_ratings again."
        )
    wrong = found.verdict.faults or found.verdict.errors
    named = "; ".join(failure(outcome) for outcome in wrong[:_N_NAMED])
    more = f"; and {len(wrong) - _N_NAMED} more" if len(wrong) > _N_NAMED else ""
    if found.verdict.faults:
        raise DataError(
            f"{headline(found)} {named}{more}. {state} Correct the source or choose another, then run "
            "ingest_ratings again."
        )
    raise PermanentError(
        f"{headline(found)} {named}{more}. The data were not found wrong; the check itself raised. {state} Mend what "
        "the message names, then run ingest_ratings again."
    )


def _first_faults(found: Examination) -> list[tuple[str, Mapping[str, Any]]]:
    return [(removal.table, sample) for removal in found.over for sample in removal.samples][:_N_NAMED]
