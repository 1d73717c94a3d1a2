"""Describes a published snapshot in one page, and what changed since the snapshot before it."""

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys.columns import SNAPSHOT_TABLES
from recsys.errors import NotFoundError
from recsys.ingest.eda import eda_report
from recsys.ingest.eda.comparison import compare
from recsys.ingest.eda.scale import COUNTS, Scale
from recsys.ingest.eda.summaries import FORMAT, Summaries, summarise
from recsys.rating_scales import stars_on
from recsys.storage import layout, snapshots
from recsys.storage.base import Store
from recsys.storage.snapshots import SnapshotManifest
from recsys.storage.tables import read_json, spark_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EdaReport:
    """The report on a snapshot: its page, and the numbers of its headline."""

    html: str
    n_ratings: int
    metrics: dict[str, float]


def tags(snapshot_id: str) -> dict[str, str]:
    """What tells reports apart: those of one snapshot and version look the same."""
    return {"snapshot_id": snapshot_id, "report_version": str(eda_report.VERSION)}


def describe(spark: "SparkSession", store: Store, manifest: SnapshotManifest) -> EdaReport:
    """Summarise a snapshot, compare it with the one before, and store its summaries."""
    before_id = previous_snapshot(store, manifest)
    summaries = _summarised(spark, store, manifest)
    before = _before(spark, store, before_id) if before_id else None
    html = eda_report.page(summaries, manifest, compare(before, summaries) if before else None)
    return EdaReport(html, int(summaries.headline["n_ratings"]), eda_report.metrics(summaries))


def previous_snapshot(store: Store, manifest: SnapshotManifest) -> str | None:
    """The snapshot that another one follows: the one its manifest names, else the newest made before it.

    A snapshot that was removed still counts while its summaries are there.

    Returns:
        An id of the same data set, or None where there is none.
    """
    named = manifest.previous_snapshot_id
    if named is None and manifest.knows_previous:
        return None
    if named and any(map(store.exists, (layout.snapshot_manifest(named), layout.eda_report(named, "json")))):
        return named
    earlier = (other for other in snapshots.manifests(store) if other.created_at < manifest.created_at)
    newest = snapshots.newest(earlier, manifest.dataset)
    return newest.snapshot_id if newest else None


def _before(spark: "SparkSession", store: Store, snapshot_id: str) -> Summaries | None:
    """The summaries of an earlier snapshot: those stored when it was explored, else computed now."""
    try:
        document = read_json(store, layout.eda_report(snapshot_id, "json"))
        if document.get("format") == FORMAT:
            return Summaries.from_document(document)
    except NotFoundError:
        log.info("%s has no summaries yet", snapshot_id)
    try:
        return _summarised(spark, store, snapshots.read_manifest(store, snapshot_id))
    except NotFoundError:  # the retention removed it just now, or long ago
        log.warning("%s is gone and left no summaries of this format: nothing is compared", snapshot_id)
        return None


def _summarised(spark: "SparkSession", store: Store, manifest: SnapshotManifest) -> Summaries:
    """Summarise a snapshot, and store the summaries."""
    snapshot_id = manifest.snapshot_id
    tables = {name: spark_table(spark, store, [layout.snapshot_table(snapshot_id, name)], SNAPSHOT_TABLES[name])
              for name in ("ratings", "movies", "tags")}  # fmt: skip
    key = layout.snapshot_table(snapshot_id, "details")
    if store.exists(key):
        details = spark_table(spark, store, [key], SNAPSHOT_TABLES["details"])
    else:  # a snapshot made before there were any
        details = spark.createDataFrame(SNAPSHOT_TABLES["details"].empty_table())
    stars = stars_on(manifest.rating_scale)
    scale = Scale(stars[0], stars[-1], stars[1] - stars[0] if len(stars) > 1 else 1.0) if stars else COUNTS
    summaries = summarise(**tables, details=details, scale=scale)
    document = {"snapshot_id": snapshot_id, "dataset": manifest.dataset, **summaries.document()}
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)  # not indented: a line per movie otherwise
    store.put(layout.eda_report(snapshot_id, "json"), text.encode(), overwrite=True)
    return summaries
