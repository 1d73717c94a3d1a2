"""The task of the ingest that describes a published snapshot, and what changed since the one before."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from recsys.columns import SNAPSHOT_TABLES
from recsys.config import Settings
from recsys.errors import NotFoundError
from recsys.ingest.eda import eda_report
from recsys.ingest.eda.comparison import compare
from recsys.ingest.eda.scale import COUNTS, Scale
from recsys.ingest.eda.summaries import FORMAT, Summaries, summarise
from recsys.rating_scales import stars_on
from recsys.spark.session import spark_session
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, spark_table
from recsys.tracking import tracking

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

EXPERIMENT = "recsys-eda"
_BRIEF_ROWS = 1_000_000  # below this, Spark spends its time on compiling queries


def explore(snapshot_id: str, settings: Settings | None = None) -> dict[str, Any]:
    """Describe a published snapshot in one HTML page and as JSON, and log the page to MLflow.

    Where an earlier snapshot of the same data set is known (see `previous_snapshot`), the page has a section on what
    changed since then.

    Returns:
        ``{"snapshot_id": str, "report": uri of the page, "mlflow_run_id": str}``; those of the finished run where
        there is one.

    Raises:
        NotFoundError: there is no such snapshot.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    manifest = read_json(store, layout.snapshot_manifest(snapshot_id))
    key = layout.eda_report(snapshot_id)
    found = {"snapshot_id": snapshot_id, "report": store.uri(key)}
    tags = {"snapshot_id": snapshot_id, "report_version": str(eda_report.VERSION)}
    finished = tracking.Tracking(settings).find_runs(EXPERIMENT, tags, status="FINISHED")
    if finished and store.exists(key):
        log.info("%s was explored before: %s", snapshot_id, store.uri(key))
        return {**found, "mlflow_run_id": finished[0]["run_id"]}
    n_ratings = int((manifest.get("counts") or {}).get("n_ratings", 0))
    before_id = previous_snapshot(store, snapshot_id, manifest)
    with spark_session(settings, f"explore {snapshot_id}", is_brief=n_ratings < _BRIEF_ROWS) as spark:
        summaries = _summarised(spark, store, snapshot_id)
        before = _before(spark, store, before_id) if before_id else None
    comparison = compare(before, summaries) if before else None
    html = eda_report.page(summaries, snapshot_id=snapshot_id, manifest=manifest, comparison=comparison)
    store.put(key, html.encode(), overwrite=True)
    log.info("%s: %s ratings explored. Report: %s", snapshot_id, f"{summaries.headline['n_ratings']:,}", store.uri(key))
    tags["is_invented"] = str(bool(manifest.get("is_invented"))).lower()
    run_id = _logged(
        settings, html, {"snapshot_id": snapshot_id, "dataset": manifest.get("dataset", "")}, summaries, tags
    )
    return {**found, "mlflow_run_id": run_id}


def previous_snapshot(store: Store, snapshot_id: str, manifest: Mapping[str, Any]) -> str | None:
    """The snapshot that another one follows: the one its manifest names, else the newest made before it.

    Args:
        store: where the snapshots are.
        snapshot_id: the later one.
        manifest: its manifest; its `previous_snapshot_id` names the earlier one, or says that there is none. A snapshot
            that was removed still counts while its summaries are there.

    Returns:
        An id of the same data set, or None where there is none.
    """
    if "previous_snapshot_id" in manifest and manifest["previous_snapshot_id"] is None:
        return None
    named = manifest.get("previous_snapshot_id")
    if named and any(map(store.exists, (layout.snapshot_manifest(named), layout.eda_report(named, "json")))):
        return str(named)
    earlier = []
    for key in store.list("snapshots/"):
        if key.endswith(f"/{layout.MANIFEST}") and key != layout.snapshot_manifest(snapshot_id):
            other = read_json(store, key)
            if other.get("dataset") == manifest.get("dataset") and other["created_at"] < manifest["created_at"]:
                earlier.append((other["created_at"], key.split("/")[1]))
    return max(earlier)[1] if earlier else None


def _logged(settings: Settings, html: str, about: dict[str, str], summaries: Summaries, tags: dict[str, str]) -> str:
    with TemporaryDirectory(dir=settings.tmp_dir) as folder:
        path = Path(folder) / "eda.html"
        path.write_text(html)
        return tracking.log_report(
            settings,
            experiment=EXPERIMENT,
            run_name=about["snapshot_id"],
            html_path=path,
            params=about,
            metrics=eda_report.metrics(summaries),
            tags=tags,
        )


def _before(spark: "SparkSession", store: Store, snapshot_id: str) -> Summaries | None:
    """The summaries of an earlier snapshot: those stored when it was explored, else computed now."""
    try:
        document = read_json(store, layout.eda_report(snapshot_id, "json"))
        if document.get("format") == FORMAT:
            return Summaries.from_document(document)
    except NotFoundError:
        log.info("%s has no summaries yet", snapshot_id)
    try:
        return _summarised(spark, store, snapshot_id)
    except NotFoundError:  # the retention removed it just now, or long ago
        log.warning("%s is gone and left no summaries of this format: nothing is compared", snapshot_id)
        return None


def _summarised(spark: "SparkSession", store: Store, snapshot_id: str) -> Summaries:
    """Summarise a snapshot, and store the summaries."""
    manifest = read_json(store, layout.snapshot_manifest(snapshot_id))
    tables = {name: spark_table(spark, store, [layout.snapshot_table(snapshot_id, name)], SNAPSHOT_TABLES[name])
              for name in ("ratings", "movies", "tags")}  # fmt: skip
    key = layout.snapshot_table(snapshot_id, "details")
    if store.exists(key):
        details = spark_table(spark, store, [key], SNAPSHOT_TABLES["details"])
    else:  # a snapshot made before there were any
        details = spark.createDataFrame(SNAPSHOT_TABLES["details"].empty_table())
    stars = stars_on(manifest.get("rating_scale", ""))
    scale = Scale(stars[0], stars[-1], stars[1] - stars[0] if len(stars) > 1 else 1.0) if stars else COUNTS
    summaries = summarise(**tables, details=details, scale=scale)
    document = {"snapshot_id": snapshot_id, "dataset": manifest.get("dataset", ""), **summaries.document()}
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)  # not indented: a line per movie otherwise
    store.put(layout.eda_report(snapshot_id, "json"), text.encode(), overwrite=True)
    return summaries
