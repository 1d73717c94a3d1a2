"""Two tasks of the ingest: refuse tables that break a rule, and describe a published snapshot."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from recsys import tracking
from recsys.columns import SNAPSHOT_TABLES
from recsys.config import IngestConfig, Settings
from recsys.eda import report as eda_report
from recsys.eda.summaries import summarise
from recsys.errors import DataError, PermanentError
from recsys.spark import spark_session
from recsys.storage import layout
from recsys.storage.store import Store, open_store
from recsys.storage.tables import read_json, read_schema, spark_table, write_json
from recsys.validation.check import Verdict, check
from recsys.validation.report import document, failure, headline, page
from recsys.validation.suites import Limits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

EXPERIMENT = "recsys-eda"
_BRIEF_ROWS = 1_000_000  # below this, Spark spends its time on compiling queries
_N_NAMED = 5  # failed expectations an error message names; the report has all


def validate(parsed: Mapping[str, Any], config: IngestConfig, settings: Settings | None = None) -> dict[str, Any]:
    """Check the staged tables; the reports are written whatever comes out.

    Args:
        parsed: what `recsys.jobs.ingest.parse` returned.
        config: its `min_ratings` is one of the limits.
        settings: where things are; by default from the environment.

    Returns:
        ``{"report": uri of the HTML page, "n_expectations": int, "success": True}``.

    Raises:
        DataError: a critical expectation failed; nothing is published.
        PermanentError: the data were not found wrong, but a check could not run.
        NotFoundError: a staged table is missing.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    ingest_id = str(parsed["ingest_id"])
    n_rows = {table: int(parsed[f"n_{table}"]) for table in SNAPSHOT_TABLES if f"n_{table}" in parsed}
    checked_at = datetime.now(UTC)
    keys = {table: layout.staging_table(ingest_id, table) for table in SNAPSHOT_TABLES}
    log.info("Checking %s", ", ".join(f"{n:,} {table}" for table, n in n_rows.items()) or f"the tables of {ingest_id}")
    with spark_session(settings, f"validate {ingest_id}", is_brief=sum(n_rows.values()) < _BRIEF_ROWS) as spark:
        # With the types they were written with: the schema is one of the things to check.
        tables = {name: spark_table(spark, store, [key], read_schema(store, key)) for name, key in keys.items()}
        verdict = check(tables, Limits.at(checked_at, min_ratings=config.min_ratings, n_rows=n_rows))
    about: dict[str, Any] = {
        "ingest_id": ingest_id,
        "dataset": str(parsed.get("dataset", ingest_id)),
        "is_invented": bool(parsed.get("is_invented")),
        "checked_at": checked_at,
    }
    write_json(store, layout.validation_report(ingest_id, "json"), document(verdict, **about), overwrite=True)
    html_key = layout.validation_report(ingest_id)
    store.put(html_key, page(verdict, **about).encode(), overwrite=True)
    log.info("%s Report: %s", headline(verdict), store.uri(html_key))
    _refuse(verdict, store.uri(html_key))
    return {"report": store.uri(html_key), "n_expectations": len(verdict.outcomes), "success": True}


def explore(snapshot_id: str, settings: Settings | None = None) -> dict[str, Any]:
    """Describe a published snapshot in one HTML page, and log it to MLflow.

    Returns:
        ``{"report": uri of the page, "mlflow_run_id": str}``; those of the finished run where there is one.

    Raises:
        NotFoundError: there is no such snapshot.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    manifest = read_json(store, layout.snapshot_manifest(snapshot_id))
    key = layout.eda_report(snapshot_id)
    tags = {"snapshot_id": snapshot_id, "report_version": str(eda_report.VERSION)}
    finished = tracking.Tracking(settings).find_runs(EXPERIMENT, tags, status="FINISHED")
    if finished and store.exists(key):
        log.info("%s was explored before: %s", snapshot_id, store.uri(key))
        return {"report": store.uri(key), "mlflow_run_id": finished[0]["run_id"]}
    n_ratings = int((manifest.get("counts") or {}).get("n_ratings", 0))
    with spark_session(settings, f"explore {snapshot_id}", is_brief=n_ratings < _BRIEF_ROWS) as spark:
        summaries = summarise(*(_table(spark, store, snapshot_id, name) for name in ("ratings", "movies", "tags")))
    html = eda_report.page(summaries, snapshot_id=snapshot_id, manifest=manifest)
    store.put(key, html.encode(), overwrite=True)
    log.info("%s: %s ratings explored. Report: %s", snapshot_id, f"{summaries.headline['n_ratings']:,}", store.uri(key))
    with TemporaryDirectory(dir=settings.tmp_dir) as folder:
        path = Path(folder) / "eda.html"
        path.write_text(html)
        run_id = tracking.log_report(
            settings,
            experiment=EXPERIMENT,
            run_name=snapshot_id,
            html_path=path,
            params={"snapshot_id": snapshot_id, "dataset": manifest.get("dataset", "")},
            metrics=eda_report.metrics(summaries),
            tags={**tags, "is_invented": str(bool(manifest.get("is_invented"))).lower()},
        )
    return {"report": store.uri(key), "mlflow_run_id": run_id}


def _table(spark: "SparkSession", store: Store, snapshot_id: str, name: str) -> "DataFrame":
    return spark_table(spark, store, [layout.snapshot_table(snapshot_id, name)], SNAPSHOT_TABLES[name])


def _refuse(verdict: Verdict, report: str) -> None:
    if verdict.success:
        return
    wrong = verdict.faults or verdict.errors
    named = "; ".join(failure(outcome) for outcome in wrong[:_N_NAMED])
    more = f"; and {len(wrong) - _N_NAMED} more" if len(wrong) > _N_NAMED else ""
    state = f"Nothing was published. The report with every rule, its reason and samples: {report}."
    if verdict.faults:
        raise DataError(
            f"{headline(verdict)} {named}{more}. {state} Correct the source or choose another, then run "
            "ingest_ratings again."
        )
    raise PermanentError(
        f"{headline(verdict)} {named}{more}. The data were not found wrong; the check itself raised. {state} Mend what "
        "the message names, then run ingest_ratings again."
    )
