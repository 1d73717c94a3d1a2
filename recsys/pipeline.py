"""The four DAGs as four functions, for running the same jobs without Airflow."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from recsys.config import IngestConfig, PosterConfig, ScoreConfig, TrainConfig
from recsys.ingest import tasks as ingest_tasks
from recsys.lifecycle import retention
from recsys.messages import ChampionRef, PosterManifestRef, PublishedTables, SnapshotRef
from recsys.posters import tasks as posters_tasks
from recsys.scoring import tasks as scoring_tasks
from recsys.storage import releases
from recsys.training import tasks as training_tasks
from recsys.workspace import Workspace

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def run_id(name: str) -> str:
    """A new id for what a run writes, such as ``manual-20261121T093000-123456``."""
    return f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S-%f}"


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The snapshot that an ingest published, or the one there is where its source is unchanged.

    Attributes:
        message: says that the source is unchanged; empty where a snapshot was published.
        due: what is left to do for an unchanged one: training, lists or nothing.
    """

    snapshot: SnapshotRef
    message: str = ""
    due: str = ""

    def to_json(self) -> dict[str, Any]:
        snapshot = self.snapshot.to_json()
        return {"message": self.message, **snapshot, "due": self.due} if self.message else snapshot


def ingest_ratings(workspace: Workspace, config: IngestConfig) -> IngestResult:
    """Download, parse, validate, publish, explore and prune; a source with nothing new is only downloaded."""
    archive = _timed(ingest_tasks.download, workspace, config, run_id("ingest"))
    if unchanged := ingest_tasks.find_unchanged(workspace, archive):
        return IngestResult(unchanged.snapshot, unchanged.message, ingest_tasks.due(workspace, unchanged.snapshot))
    staged = _timed(ingest_tasks.parse, workspace, archive)
    _timed(ingest_tasks.validate, workspace, staged, config)
    snapshot = _timed(ingest_tasks.publish, workspace, archive)
    _timed(ingest_tasks.explore, workspace, snapshot.snapshot_id)
    _timed(retention.prune, workspace, snapshot.dataset, config.keep_snapshots)
    return IngestResult(snapshot)


def train_model(workspace: Workspace, snapshot_id: str, config: TrainConfig) -> ChampionRef:
    """Split, search, fit, evaluate, register and promote; returns the champion."""
    split = _timed(training_tasks.split, workspace, snapshot_id, config, run_id("train"))
    searched = _timed(training_tasks.search, workspace, split, config)
    trained = _timed(training_tasks.fit, workspace, searched, config)
    evaluated = _timed(training_tasks.evaluate, workspace, trained, config)
    registered = _timed(training_tasks.register, workspace, evaluated, config)
    return _timed(training_tasks.promote, workspace, evaluated, registered, config)


def score_users(workspace: Workspace, champion: ChampionRef, config: ScoreConfig) -> PublishedTables:
    """Score lists and similar movies and publish both."""
    scoring_id = run_id("score")
    lists = _timed(scoring_tasks.score_lists, workspace, champion, config, scoring_id)
    similar = _timed(scoring_tasks.score_similar, workspace, champion, config, scoring_id)
    return _timed(scoring_tasks.publish, workspace, lists, similar, champion, config)


def fetch_posters(
    workspace: Workspace, config: PosterConfig, tables: PublishedTables | None = None
) -> PosterManifestRef:
    """Plan, fetch and list the posters of a published version, by default the current one; returns a summary."""
    tables = tables or PublishedTables(version_id=releases.current(workspace.store).version_id)
    plan = _timed(posters_tasks.plan, workspace, tables, config)
    fetched = [
        entry for batch in plan.batches for entry in _timed(posters_tasks.fetch, workspace, batch, tables, config)
    ]
    return _timed(posters_tasks.write_manifest, workspace, fetched, plan)


def _timed(job: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    started = time.monotonic()
    log.info("%s …", job.__name__)
    result = job(*args, **kwargs)
    log.info("%s done in %.1f s", job.__name__, time.monotonic() - started)
    return result
