"""The task of the ingest that describes a published snapshot."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from recsys import tracking
from recsys.columns import SNAPSHOT_TABLES
from recsys.config import Settings
from recsys.eda import report as eda_report
from recsys.eda.summaries import summarise
from recsys.spark import spark_session
from recsys.storage import layout
from recsys.storage.store import Store, open_store
from recsys.storage.tables import read_json, spark_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

EXPERIMENT = "recsys-eda"
_BRIEF_ROWS = 1_000_000  # below this, Spark spends its time on compiling queries


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
