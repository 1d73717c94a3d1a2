"""What of the past is kept and what goes: old snapshots, and what was made on the way to them.

A snapshot stays when one of these holds; all else goes:

* it is among the last `keep` of its data set;
* a registered model that carries an alias was trained on it;
* a training that began within a day and has not finished uses it;
* the current release of the tables was scored on it, or the release before, to which a rollback returns;
* it is what a snapshot that stays for one of these reasons was added to. (An increment holds all rows itself, so the
  base of a base may go.)

With a snapshot go its splits and the staging of its ingest; further, staging older than a week, archives that no
snapshot names any more (never the newest of a data set), and what killed runs and searches left behind. Manifests and
notes go first: from then on readers see nothing, and a removal that is killed is ended by the next. Reports, models
and published tables are not touched.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from recsys.config import Settings
from recsys.errors import ConfigError, NotFoundError
from recsys.jobs import trials
from recsys.storage import layout, releases
from recsys.storage.store import Store, open_store
from recsys.storage.tables import read_json
from recsys.tracking import Tracking

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


def prune(dataset: str | None, keep: int, settings: Settings | None = None) -> dict[str, Any]:
    """Remove what is no longer to be kept, of one data set or of all; run again, it goes on where it was stopped.

    Returns:
        ``{"kept": ids, "removed": ids, "n_objects": how many objects went}``.

    Raises:
        ConfigError: `keep` is below 1.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    found = plan(store, Tracking(settings), keep, dataset)
    apply(store, found)
    return {
        "kept": [snapshot.snapshot_id for snapshot in found.snapshots if snapshot.kept_because],
        "removed": [snapshot.snapshot_id for snapshot in found.snapshots if not snapshot.kept_because],
        "n_objects": found.n_objects,
    }


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
    splits, staging = _folders(store, layout.split("")), _folders(store, layout.staging(""))
    scratch = _folders(store, layout.scratch(""))
    archives, folders = _folders(store, layout.archives()), _folders(store, layout.snapshot(""))
    manifests = [
        read_json(store, layout.snapshot_manifest(name)) for name, keys in folders.items() if _has_manifest(name, keys)
    ]
    reasons = _reasons(store, tracking, manifests, keep, now)
    newest_first = sorted(manifests, key=lambda m: (str(m["created_at"]), m["snapshot_id"]), reverse=True)
    snapshots = tuple(
        Snapshot(m["snapshot_id"], m["dataset"], m["created_at"], m["counts"]["n_ratings"], reasons[m["snapshot_id"]])
        for m in newest_first
        if dataset in (None, m["dataset"])
    )
    going = {snapshot.snapshot_id: snapshot for snapshot in snapshots if not snapshot.kept_because}
    staying = [m for m in manifests if m["snapshot_id"] not in going]
    removals = (
        *_old_snapshots(going.values(), folders, keep),
        *_orphans(store, {name: keys for name, keys in folders.items() if not _has_manifest(name, keys)}, now),
        *_splits(splits, {m["snapshot_id"] for m in staying}),
        *_staging(store, staging, {m["lineage"]["ingest_id"] for m in manifests if m["snapshot_id"] in going}, now),
        *_scratch(store, scratch, now),
        *_archives(store, _of_dataset(archives, dataset, manifests, going), staying, now),
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
    store: Store, tracking: Tracking, manifests: list[dict[str, Any]], keep: int, now: datetime
) -> Mapping[str, tuple[str, ...]]:
    """Why each snapshot stays, by its id; nothing for those that go."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    by_dataset: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for manifest in manifests:
        by_dataset[manifest["dataset"]].append(manifest)
    for name, group in by_dataset.items():
        group.sort(key=lambda m: (str(m["created_at"]), m["snapshot_id"]), reverse=True)
        for manifest in group[:keep]:
            reasons[manifest["snapshot_id"]].append(f"among the last {keep} of {name}")
    for snapshot_id, reason in _live(store, tracking, now):
        reasons[snapshot_id].append(reason)
    bases = [
        (base_id, manifest["snapshot_id"])
        for manifest in manifests
        if manifest["snapshot_id"] in reasons and (base_id := manifest["lineage"].get("base_snapshot_id"))
    ]
    for base_id, snapshot_id in bases:
        reasons[base_id].append(f"{snapshot_id} was added to it")
    return defaultdict(tuple, {snapshot_id: tuple(found) for snapshot_id, found in reasons.items()})


def _live(store: Store, tracking: Tracking, now: datetime) -> Iterator[tuple[str, str]]:
    """Snapshots that models, trainings or published tables refer to, and how."""
    for model in tracking.aliased_versions():
        if snapshot_id := model["tags"].get("snapshot_id"):
            aliases = ", ".join(model["aliases"])
            yield snapshot_id, f"{model['name']} version {model['version']} ({aliases}) was trained on it"
    for run in tracking.find_runs(trials.EXPERIMENT, {"kind": "training"}):
        if run["status"] != "FINISHED" and now - run["started_at"] < _TRAININGS_TAKE and "snapshot_id" in run["params"]:
            yield run["params"]["snapshot_id"], "a training that is under way uses it"
    for word, release in zip(("current", "previous"), reversed(releases.latest(store, 2)), strict=False):
        lineage = releases.read_manifest(store, release["version_id"])["lineage"]
        yield lineage["snapshot_id"], f"the {word} release of the tables was scored on it"


def _old_snapshots(going: Iterable[Snapshot], folders: Mapping[str, list[str]], keep: int) -> Iterator[Removal]:
    for snapshot in going:
        first = layout.snapshot_manifest(snapshot.snapshot_id)
        reason = f"beyond the last {keep} of {snapshot.dataset}, and nothing live refers to it"
        yield _removal(layout.snapshot(snapshot.snapshot_id), reason, folders[snapshot.snapshot_id], first)


def _orphans(store: Store, folders: Mapping[str, list[str]], now: datetime) -> Iterator[Removal]:
    for name, keys in folders.items():
        if now - _newest_of(store, keys) > _ORPHANS_KEPT:
            yield _removal(layout.snapshot(name), "it has no manifest, and nobody has written to it for a day", keys)


def _splits(folders: Mapping[str, list[str]], staying: set[str]) -> Iterator[Removal]:
    for name, keys in folders.items():
        snapshot_id = name.rpartition("-seed")[0]
        if snapshot_id not in staying:
            first = f"{layout.split(name)}/{layout.MANIFEST}"
            yield _removal(layout.split(name), f"snapshot {snapshot_id} goes or is gone", keys, first)


def _staging(store: Store, folders: Mapping[str, list[str]], going: set[str], now: datetime) -> Iterator[Removal]:
    for ingest_id, keys in folders.items():
        first = layout.staging_manifest(ingest_id)
        if ingest_id in going:
            yield _removal(layout.staging(ingest_id), "its snapshot goes", keys, first)
        elif now - _newest_of(store, keys) > _STAGING_KEPT:
            yield _removal(layout.staging(ingest_id), f"older than {_STAGING_KEPT.days} days", keys, first)


def _scratch(store: Store, folders: Mapping[str, list[str]], now: datetime) -> Iterator[Removal]:
    for owner_id, keys in folders.items():
        try:
            newest = _newest_of(store, keys)
        except NotFoundError:  # what it belongs to has just ended and removes it
            continue
        if now - newest > _ORPHANS_KEPT:
            reason = "what it belongs to did not remove it, and nobody has written to it for a day"
            yield _removal(layout.scratch(owner_id), reason, keys)


def _archives(
    store: Store, folders: Mapping[str, list[str]], staying: list[dict[str, Any]], now: datetime
) -> Iterator[Removal]:
    lineages = [manifest["lineage"] for manifest in staying]
    named = {lineage["archive"] for lineage in lineages}
    digests = {digest for lineage in lineages for digest in lineage.get("contains", ())}
    for keys in folders.values():
        notes = {key: layout.archive_note(key) for key in keys if layout.archive_note(key) in keys}
        known = {key: read_json(store, note) for key, note in notes.items()}
        newest = max(known, key=lambda key: str(known[key]["at"]), default=None)
        for key, note in known.items():
            if key != newest and key not in named and note["sha256"] not in digests:
                yield Removal(key, "no snapshot that stays was made of it", (notes[key], key))
        for key in sorted(set(keys) - {*notes.keys(), *notes.values()}):
            if now - store.modified_at(key) > _ORPHANS_KEPT:
                yield Removal(key, "an archive without its note, or a note without its archive, for a day", (key,))


def _of_dataset(
    archives: Mapping[str, list[str]], dataset: str | None, manifests: list[dict[str, Any]], going: Mapping[str, Any]
) -> Mapping[str, list[str]]:
    """The archives that are looked at: an increment's lies under the name of its own source."""
    if dataset is None:
        return archives
    named = {m["lineage"]["archive"].split("/")[1] for m in manifests if m["snapshot_id"] in going}
    return {name: keys for name, keys in archives.items() if name == dataset or name in named}


def _folders(store: Store, prefix: str) -> dict[str, list[str]]:
    """Keys by the folder below `prefix` that they lie in, by one listing."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for key in store.list(prefix):
        folders[key.removeprefix(prefix).partition("/")[0]].append(key)
    return dict(folders)


def _has_manifest(name: str, keys: list[str]) -> bool:
    return layout.snapshot_manifest(name) in keys


def _newest_of(store: Store, keys: Iterable[str]) -> datetime:
    return max(store.modified_at(key) for key in keys)


def _removal(prefix: str, reason: str, keys: Iterable[str], first: str = "") -> Removal:
    return Removal(prefix, reason, tuple(sorted(keys, key=lambda key: (key != first, key))))
