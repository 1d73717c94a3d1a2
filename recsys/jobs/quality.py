"""The task of the ingest that refuses tables which break a rule."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from recsys.columns import SNAPSHOT_TABLES
from recsys.config import IngestConfig, Settings
from recsys.errors import DataError, PermanentError
from recsys.spark import spark_session
from recsys.storage import layout
from recsys.storage.store import open_store
from recsys.storage.tables import read_schema, spark_table, write_json
from recsys.validation.check import Verdict, check
from recsys.validation.report import document, failure, headline, page
from recsys.validation.suites import Limits

log = logging.getLogger(__name__)

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
