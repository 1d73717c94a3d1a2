"""The tasks of ingest_ratings: download → compare → parse → validate → publish → explore.

`compare` asks `next_task` what follows. A source with nothing new goes on to `unchanged`, or to what was left undone
for the snapshot there is: `publish` or `announce_champion`. Archives stay in the store, so a second run needs no
network. Parsed tables are staged under the ingest's id, and only `publish` makes them visible.
"""

import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.config import IngestConfig
from recsys.errors import NotFoundError
from recsys.ingest import checking, exploring, parsing, publishing, snapshot_recipe, source_archives
from recsys.messages import (
    ChampionRef,
    EdaReportRef,
    SnapshotRef,
    SourceArchive,
    StagedTables,
    UnchangedSource,
    ValidationResult,
)
from recsys.storage import layout, snapshots
from recsys.storage.base import Store
from recsys.storage.snapshots import SnapshotManifest
from recsys.workspace import Workspace

if TYPE_CHECKING:
    from recsys.ingest.unfinished import Due

log = logging.getLogger(__name__)

EDA_EXPERIMENT = "recsys-eda"
_BRIEF_ROWS = 1_000_000  # below this, Spark spends its time on compiling queries


def download(workspace: Workspace, config: IngestConfig, ingest_id: str) -> SourceArchive:
    """Bring the archive into the store, from the network, a local path or the generator.

    Args:
        workspace: where things are.
        config: which data set, and how it is read.
        ingest_id: names what the ingest writes; made safe for keys.

    Raises:
        ConfigError: the data set is neither a known release nor an existing path, the store does not honour
            create-only writes, or an increment is said to hold counts and its base ratings, or the reverse.
        DataError: what arrived is no usable archive; nothing was stored.
        NotFoundError: `append_to` names no snapshot.
        TransientError: no address could be reached, and no copy is in the store.
    """
    store = workspace.store
    store.probe()  # before hours of work, not after them
    base = _base(store, config.append_to)
    if base:
        config = snapshot_recipe.with_scale_of(base, config)
    note = source_archives.bring(config, store, workspace.settings)
    archive = snapshot_recipe.source_archive(store, note, config, ingest_id, base)
    log.info("%s: %.1f MB, sha256 %s", archive.archive_key, archive.size_bytes / 1e6, archive.sha256)
    log.info("%s: %s", archive.dataset, archive.licence)
    return archive


def next_task(workspace: Workspace, archive: SourceArchive, config: IngestConfig) -> str:
    """The task of ingest_ratings that follows `compare`: parse, publish, announce_champion or unchanged."""
    found = find_unchanged(workspace, archive)
    if found is None:
        return "parse"
    if config.when_unchanged == "train":
        return "publish"
    after = {"training": "publish", "lists": "announce_champion", "nothing": "unchanged"}
    return after[due(workspace, found.snapshot)]


def find_unchanged(workspace: Workspace, archive: SourceArchive) -> UnchangedSource | None:
    """The snapshot that holds the rows of this archive already (`snapshots.held_by`); None where there is none."""
    snapshot_id = snapshots.held_by(workspace.store, archive)
    if snapshot_id is None:
        return None
    message = f"{archive.source} is unchanged: snapshot {snapshot_id} holds its rows. Nothing is published."
    log.info(message)
    return UnchangedSource(message=message, snapshot=snapshots.snapshot_ref(workspace.store, snapshot_id))


def due(workspace: Workspace, snapshot: SnapshotRef) -> "Due":
    """What is left to do for a published snapshot: training, lists or nothing; see `unfinished.due`."""
    from recsys.ingest import unfinished  # importing MLflow takes 2.6 s

    return unfinished.due(workspace.store, workspace.tracking, snapshot)


def unchanged(workspace: Workspace, archive: SourceArchive) -> UnchangedSource:
    """Say that the archive holds nothing new.

    Raises:
        NotFoundError: the snapshot that held its rows is not there any more.
    """
    found = find_unchanged(workspace, archive)
    if found is None:
        raise NotFoundError(
            f"snapshot {archive.snapshot_id} was removed meanwhile. Nothing was published. Run the ingest again."
        )
    return found


def announce_champion(workspace: Workspace, archive: SourceArchive) -> ChampionRef:
    """The champion, and the snapshot there is: as promoted, but for lists that were not published yet.

    Raises:
        NotFoundError: the snapshot is not there any more, or its data set has no champion.
    """
    from recsys.registry.champions import serving  # importing MLflow takes 2.6 s

    snapshot = unchanged(workspace, archive).snapshot
    champion = serving(workspace, snapshot.dataset, snapshot.snapshot_id)
    return champion.model_copy(update={"reason": "the published lists are older than the champion"})


def parse(workspace: Workspace, archive: SourceArchive) -> StagedTables:
    """Parse the archive into canonical tables with their quarantine, staged under the ingest's id.

    Raises:
        DataError: the archive was altered in the store, is refused, or holds nothing that can be read.
    """
    staged = parsing.stage(workspace.store, archive, workspace.settings)
    for account in staged.files:
        n_rows = (f"{n:,}" for n in (account.n_in, account.n_out, account.n_quarantined))
        log.info("%s: %s rows in, %s kept, %s quarantined", account.file, *n_rows)
    if staged.not_read:
        log.info("not read: %s", ", ".join(staged.not_read))
    return parsing.staged_tables(archive, staged)


def validate(workspace: Workspace, staged: StagedTables, config: IngestConfig) -> ValidationResult:
    """Check the staged tables and take single faulty rows out; the reports are written whatever comes out.

    Args:
        workspace: where things are.
        staged: the tables; drift is measured against the snapshot that the archive names as the previous one.
        config: its min_ratings, rating_scale, max_quarantined and max_drift are among the limits.

    Raises:
        DataError: the tables are faulty as such, or too many rows are; nothing is published.
        PermanentError: the data were not found wrong, but a check could not run.
        NotFoundError: a staged table is missing, or the snapshot before.
    """
    store, ingest_id, checked_at = workspace.store, staged.archive.ingest_id, datetime.now(UTC)
    limits = checking.limits_of(store, staged, config, checked_at)
    is_brief = sum(limits.n_rows.values()) < _BRIEF_ROWS
    with tempfile.TemporaryDirectory(dir=workspace.settings.tmp_dir, prefix="data-docs-") as folder:
        with workspace.spark(f"validate {ingest_id}", is_brief=is_brief) as spark:
            examination = checking.examine_staged(spark, store, staged, config, limits, Path(folder))
        data_docs_uri = checking.publish_docs(store, Path(folder), ingest_id)
    return checking.conclude(store, staged, examination, checked_at, data_docs_uri)


def publish(workspace: Workspace, archive: SourceArchive) -> SnapshotRef:
    """Make the staged tables, less the rows that validation took out, an immutable snapshot.

    Returns:
        The snapshot; the one there is, when the same source was published before.
    """
    return publishing.publish(workspace.store, archive, workspace.settings)


def explore(workspace: Workspace, snapshot_id: str) -> EdaReportRef:
    """Describe a published snapshot in one HTML page and as JSON, and log the page to MLflow; once per snapshot.

    Where an earlier snapshot of the same data set is known (`exploring.previous_snapshot`), the page has a section on
    what changed since then.

    Raises:
        NotFoundError: there is no such snapshot.
    """
    store, tracking = workspace.store, workspace.tracking
    manifest = snapshots.read_manifest(store, snapshot_id)
    key = layout.eda_report(snapshot_id)
    tags = exploring.tags(snapshot_id)
    finished = tracking.find_runs(EDA_EXPERIMENT, tags, status="FINISHED")
    if finished and store.exists(key):
        log.info("%s was explored before: %s", snapshot_id, store.uri(key))
        return EdaReportRef(
            snapshot_id=snapshot_id, report_uri=store.uri(key), mlflow_run_id=str(finished[0]["run_id"])
        )
    is_brief = manifest.counts["n_ratings"] < _BRIEF_ROWS
    with workspace.spark(f"explore {snapshot_id}", is_brief=is_brief) as spark:
        report = exploring.describe(spark, store, manifest)
    store.put(key, report.html.encode(), overwrite=True)
    log.info("%s: %s ratings explored. Report: %s", snapshot_id, f"{report.n_ratings:,}", store.uri(key))
    run_id = _log_report(workspace, manifest, report.html, report.metrics, tags)
    return EdaReportRef(snapshot_id=snapshot_id, report_uri=store.uri(key), mlflow_run_id=run_id)


def _base(store: Store, append_to: str) -> SnapshotManifest | None:
    """The snapshot an increment is added to; None where none is asked for."""
    if not append_to:
        return None
    return snapshots.read_manifest(store, snapshots.latest(store) if append_to == "latest" else append_to)


def _log_report(
    workspace: Workspace, manifest: SnapshotManifest, html: str, metrics: dict[str, float], tags: dict[str, str]
) -> str:
    from recsys.tracking.tracking import log_report

    with tempfile.TemporaryDirectory(dir=workspace.settings.tmp_dir) as folder:
        path = Path(folder) / "eda.html"
        path.write_text(html)
        return log_report(
            workspace.settings,
            experiment=EDA_EXPERIMENT,
            run_name=manifest.snapshot_id,
            html_path=path,
            params={"snapshot_id": manifest.snapshot_id, "dataset": manifest.dataset},
            metrics=metrics,
            tags={**tags, "is_invented": str(manifest.is_invented).lower()},
        )
