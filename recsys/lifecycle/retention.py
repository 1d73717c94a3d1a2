"""What of the past is kept and what goes: old snapshots, and what was made on the way to them.

A snapshot stays when one of these holds; all else goes:

* it is among the last `keep` of its data set;
* a registered model that carries an alias was trained on it;
* a training that began within a day and has not finished uses it;
* the current release of the tables was scored on it, or the release before, to which a rollback returns;
* it is what a snapshot that stays for one of these reasons was added to. (An increment holds all rows itself, so the
  base of a base may go.)

With a snapshot go its splits (but none that a model with an alias was trained on) and the staging of its ingest;
further, staging older than a week, archives that no snapshot names any more (never the newest of a data set), and what
killed runs and searches left behind. What belongs to a snapshot is said by manifests, never by names; what has none
may belong to a run that is under way, and stays for a day. Manifests and notes go first: from then on readers see
nothing, and a removal that is killed is ended by the next. Reports, models and published tables are not touched.
"""

import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from recsys.errors import ConfigError, NotFoundError
from recsys.messages import Pruned
from recsys.registry import training_runs
from recsys.registry.model_records import read_record
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.storage.snapshots import SnapshotManifest, read_manifest
from recsys.storage.tables import read_json
from recsys.tracking.tracking import Tracking
from recsys.workspace import Workspace

log = logging.getLogger(__name__)

_STAGING_KEPT = timedelta(days=7)
_TRAININGS_TAKE = timedelta(days=1)
_ORPHANS_KEPT = timedelta(days=1)  # younger ones may belong to a run that is under way


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A published snapshot, and why it stays; without a reason it goes."""

    snapshot_id: str
    dataset: str
    created_at: str
    n_ratings: int
    kept_because: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """Objects that go together, in the order in which they go, and why."""

    prefix: str
    reason: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Every snapshot in question, newest first, and everything that is to be removed."""

    snapshots: tuple[Snapshot, ...]
    removals: tuple[Removal, ...]

    @property
    def n_objects(self) -> int:
        return sum(len(removal.keys) for removal in self.removals)


def prune(workspace: Workspace, dataset: str | None, keep: int) -> Pruned:
    """Remove what is no longer to be kept, of one data set or of all; run again, it goes on where it was stopped.

    Raises:
        ConfigError: `keep` is below 1.
    """
    found = plan(workspace.store, workspace.tracking, keep, dataset)
    apply(workspace.store, found)
    return Pruned(
        kept=tuple(snapshot.snapshot_id for snapshot in found.snapshots if snapshot.kept_because),
        removed=tuple(snapshot.snapshot_id for snapshot in found.snapshots if not snapshot.kept_because),
        n_objects=found.n_objects,
    )


def plan(
    store: Store, tracking: Tracking, keep: int, dataset: str | None = None, *, now: datetime | None = None
) -> Plan:
    """Find out what stays and what goes; nothing is removed.

    Args:
        store: where it is.
        tracking: whose registry says which models are alive.
        keep: how many snapshots of each data set stay whatever refers to them.
        dataset: only this data set's snapshots and archives; leftovers of killed runs are found anyway.
        now: the time that ages are counted from.

    Raises:
        ConfigError: `keep` is below 1.
    """
    if keep < 1:
        raise ConfigError(
            f"keep is {keep}, at least 1 is needed. Nothing was removed. Keep the newest snapshot at least."
        )
    now = now or datetime.now(UTC)
    # The snapshots last: what a run makes of one that it publishes meanwhile is then not seen without it.
    splits, staging, scratch = (_folders(store, room("")) for room in (layout.split, layout.staging, layout.scratch))
    archives, folders = _folders(store, layout.archives()), _folders(store, layout.snapshot(""))
    found = {name: _snapshot_manifest(store, name, keys) for name, keys in folders.items()}
    manifests = [manifest for manifest in found.values() if manifest]
    live_models = tracking.aliased_versions()
    reasons = _reasons(manifests, keep, _live(store, tracking, live_models, now))
    snapshots = tuple(
        Snapshot(m.snapshot_id, m.dataset, m.created_at, m.counts["n_ratings"], reasons[m.snapshot_id])
        for m in _newest_first(manifests)
        if dataset in (None, m.dataset)
    )
    gone = {snapshot.snapshot_id for snapshot in snapshots if not snapshot.kept_because}
    going = [manifest for manifest in manifests if manifest.snapshot_id in gone]
    staying = [manifest for manifest in manifests if manifest.snapshot_id not in gone]
    trained_on = {read_record(store, model["run_id"], model["tags"]).train_key for model in live_models}
    unpublished = {layout.snapshot(name): keys for name, keys in folders.items() if not found[name]}
    unowned = unpublished | {layout.scratch(owner_id): keys for owner_id, keys in scratch.items()}
    removals = (
        *_old_snapshots(going, folders, keep),
        *_leftovers(store, unowned, now),
        *_splits(store, splits, {m.snapshot_id for m in staying}, trained_on, now),
        *_staging(store, staging, {m.lineage.ingest_id: m.snapshot_id for m in going}, now),
        *_archives(store, _of_dataset(archives, dataset, going), going, staying, now),
    )
    return Plan(snapshots, removals)


def apply(store: Store, plan: Plan) -> None:
    """Remove what a plan says, and log what stays, what goes, and why."""
    for snapshot in plan.snapshots:
        if snapshot.kept_because:
            log.info("snapshot %s stays: %s", snapshot.snapshot_id, "; ".join(snapshot.kept_because))
    for removal in plan.removals:
        log.info("%s goes: %s (%d objects)", removal.prefix, removal.reason, len(removal.keys))
        for key in removal.keys:
            store.delete(key)


def _reasons(
    manifests: list[SnapshotManifest], keep: int, live: Iterable[tuple[str, str]]
) -> Mapping[str, tuple[str, ...]]:
    """Why each snapshot stays, by its id; nothing for those that go."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    by_dataset: defaultdict[str, list[SnapshotManifest]] = defaultdict(list)
    for manifest in _newest_first(manifests):
        by_dataset[manifest.dataset].append(manifest)
    for name, group in by_dataset.items():
        for manifest in group[:keep]:
            reasons[manifest.snapshot_id].append(f"among the last {keep} of {name}")
    for snapshot_id, reason in live:
        reasons[snapshot_id].append(reason)
    bases = [
        (base_id, manifest.snapshot_id)
        for manifest in manifests
        if manifest.snapshot_id in reasons and (base_id := manifest.lineage.base_snapshot_id)
    ]
    for base_id, snapshot_id in bases:
        reasons[base_id].append(f"{snapshot_id} was added to it")
    return defaultdict(tuple, {snapshot_id: tuple(found) for snapshot_id, found in reasons.items()})


def _live(
    store: Store, tracking: Tracking, live_models: list[dict[str, Any]], now: datetime
) -> Iterator[tuple[str, str]]:
    """Snapshots that models, trainings or published tables refer to, and how."""
    for model in live_models:
        if snapshot_id := read_record(store, model["run_id"], model["tags"]).snapshot_id:
            aliases = ", ".join(model["aliases"])
            yield snapshot_id, f"{model['name']} version {model['version']} ({aliases}) was trained on it"
    for run in tracking.find_runs(training_runs.EXPERIMENT, {"kind": "training"}):
        if run["status"] != "FINISHED" and now - run["started_at"] < _TRAININGS_TAKE and "snapshot_id" in run["params"]:
            yield run["params"]["snapshot_id"], "a training that is under way uses it"
    for word, release in zip(("current", "previous"), reversed(releases.latest(store, 2)), strict=False):
        with contextlib.suppress(NotFoundError):  # tables that were removed by hand refer to nothing
            lineage = releases.read_manifest(store, release.version_id).lineage
            yield lineage.snapshot_id, f"the {word} release of the tables was scored on it"


def _old_snapshots(going: Iterable[SnapshotManifest], folders: Mapping[str, list[str]], keep: int) -> Iterator[Removal]:
    for manifest in going:
        reason = f"beyond the last {keep} of {manifest.dataset}, and nothing live refers to it"
        yield _removal(layout.snapshot(manifest.snapshot_id), reason, folders[manifest.snapshot_id])


def _leftovers(store: Store, folders: Mapping[str, list[str]], now: datetime) -> Iterator[Removal]:
    """What has no manifest, by its prefix, and belongs to nothing that is under way."""
    for prefix, keys in folders.items():
        if _is_abandoned(store, keys, now):
            yield _removal(prefix, "it has no manifest, and nobody has written to it for a day", keys)


def _splits(
    store: Store, folders: Mapping[str, list[str]], staying: set[str], trained_on: set[str], now: datetime
) -> Iterator[Removal]:
    for name, keys in folders.items():
        manifest = _manifest(store, layout.split(name), keys)
        if manifest is None:
            yield from _leftovers(store, {layout.split(name): keys}, now)
        elif manifest["snapshot_id"] not in staying and trained_on.isdisjoint(keys):
            yield _removal(layout.split(name), f"snapshot {manifest['snapshot_id']} goes or is gone", keys)


def _staging(
    store: Store, folders: Mapping[str, list[str]], going: Mapping[str, str], now: datetime
) -> Iterator[Removal]:
    """Staging of the snapshots that go, which are given by the ingest that published them, and what is old."""
    for ingest_id, keys in folders.items():
        prefix = layout.staging(ingest_id)
        published = going.get(ingest_id)
        # The same ingest may be staging anew by now, for another snapshot.
        manifest = _manifest(store, prefix, keys)
        source = {} if manifest is None else {"snapshot_id": published, **manifest.get("source", {})}
        if published and source.get("snapshot_id") == published:
            yield _removal(prefix, "its snapshot goes", keys)
        elif _is_abandoned(store, keys, now, _STAGING_KEPT):
            yield _removal(prefix, f"older than {_STAGING_KEPT.days} days", keys)


def _archives(
    store: Store,
    folders: Mapping[str, list[str]],
    going: list[SnapshotManifest],
    staying: list[SnapshotManifest],
    now: datetime,
) -> Iterator[Removal]:
    for keys in folders.values():
        notes = {key: layout.archive_note(key) for key in keys if layout.archive_note(key) in keys}
        known = {key: note for key, at in notes.items() if (note := _document(store, at))}
        newest = max(known, key=lambda key: str(known[key]["at"]), default=None)
        for key, note in known.items():
            if key == newest or _is_made_of(staying, key, note):
                continue
            # Where no snapshot was made of it, an ingest that is under way may be about to.
            if _is_made_of(going, key, note) or _is_abandoned(store, [notes[key]], now):
                yield Removal(key, "no snapshot that stays was made of it", (notes[key], key))
        for key in sorted(set(keys) - {*notes.keys(), *notes.values()}):
            if _is_abandoned(store, [key], now):
                yield Removal(key, "an archive without its note, or a note without its archive, for a day", (key,))


def _is_made_of(manifests: Iterable[SnapshotManifest], archive: str, note: Mapping[str, Any]) -> bool:
    lineages = [manifest.lineage for manifest in manifests]
    return any(archive == of.archive or note["sha256"] in of.contains for of in lineages)


def _of_dataset(
    archives: Mapping[str, list[str]], dataset: str | None, going: list[SnapshotManifest]
) -> Mapping[str, list[str]]:
    """The archives that are looked at: an increment's lies under the name of its own source."""
    if dataset is None:
        return archives
    named = {manifest.lineage.archive.split("/")[1] for manifest in going}
    return {name: keys for name, keys in archives.items() if name == dataset or name in named}


def _folders(store: Store, prefix: str) -> dict[str, list[str]]:
    """Keys by the folder below `prefix` that they lie in, by one listing."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for key in store.list(prefix):
        folders[key.removeprefix(prefix).partition("/")[0]].append(key)
    return dict(folders)


def _snapshot_manifest(store: Store, snapshot_id: str, keys: Iterable[str]) -> SnapshotManifest | None:
    """The manifest of a snapshot; None where it has none, or loses it just now."""
    try:
        return read_manifest(store, snapshot_id) if layout.snapshot_manifest(snapshot_id) in keys else None
    except NotFoundError:  # another removal is under way
        return None


def _manifest(store: Store, prefix: str, keys: Iterable[str]) -> dict[str, Any] | None:
    """What a folder says of itself; None where it has no manifest, or loses it just now."""
    key = f"{prefix}/{layout.MANIFEST}"
    return _document(store, key) if key in keys else None


def _document(store: Store, key: str) -> dict[str, Any] | None:
    try:
        return dict(read_json(store, key))
    except NotFoundError:  # another removal is under way
        return None


def _is_abandoned(store: Store, keys: Iterable[str], now: datetime, kept: timedelta = _ORPHANS_KEPT) -> bool:
    """Whether nobody has written to any of the objects for so long."""
    try:
        return now - max(store.modified_at(key) for key in keys) > kept
    except NotFoundError:  # what they belong to has just ended and removes them
        return False


def _newest_first(manifests: Iterable[SnapshotManifest]) -> list[SnapshotManifest]:
    return sorted(manifests, key=lambda m: (m.created_at, m.snapshot_id), reverse=True)


def _removal(prefix: str, reason: str, keys: Iterable[str]) -> Removal:
    """A folder with its manifest first."""
    first = f"{prefix}/{layout.MANIFEST}"
    return Removal(prefix, reason, tuple(sorted(keys, key=lambda key: (key != first, key))))
