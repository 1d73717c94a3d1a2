"""Retention: the last snapshots stay, and those that something live refers to; the rest goes, also after a kill."""

import logging
import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recsys.errors import ConfigError
from recsys.lifecycle import retention
from recsys.messages import Pruned
from recsys.models.biases import fit_biases
from recsys.models.factors import Factors
from recsys.models.recommender import RatingModel, Recommender
from recsys.registry.training_runs import EXPERIMENT
from recsys.storage import layout, releases
from recsys.storage.opening import open_store
from recsys.storage.s3_store import S3Store
from recsys.storage.tables import write_json
from recsys.tracking.tracking import CHALLENGER, CHAMPION, Tracking
from recsys.workspace import Workspace
from tests.storage.conftest import s3_endpoint, s3_environment  # noqa: F401
from tests.storage.manifests import write_manifest
from tests.storage.versions import lineage

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=2)  # leftovers of today are then old enough


@pytest.fixture
def store(settings):
    return open_store(settings.resolved_store_url)


@pytest.fixture
def tracking(settings):
    return Tracking(settings)


def publish(store, snapshot_id, day, dataset="ml", base=None, archive=None, contains=()):
    """A snapshot with all that an ingest and a training leave: archive, staging, tables, a split."""
    archive = archive or layout.archive(dataset, snapshot_id, f"{dataset}.zip")
    store.put(archive, b"zip", overwrite=True)
    note = {"sha256": f"sha of {archive}", "at": f"2026-01-{day:02}", "archive": archive}
    write_json(store, layout.archive_note(archive), note, overwrite=True)
    for name in ("ratings", "movies"):
        store.put(layout.staging_table(f"ingest-{snapshot_id}", name), b"x")
        store.put(layout.snapshot_table(snapshot_id, name), b"x")
    write_json(store, layout.staging_manifest(f"ingest-{snapshot_id}"), {})
    made_of = {"archive": archive, "ingest_id": f"ingest-{snapshot_id}", "base_snapshot_id": base}
    write_manifest(
        store,
        snapshot_id,
        dataset=dataset,
        created_at=f"2026-01-{day:02}T04:00:00+00:00",
        counts={"n_ratings": 1_000 * day},
        lineage={**made_of, "contains": list(contains)},
    )
    split = layout.split(f"{snapshot_id}-seed42-holdout0.2")
    store.put(f"{split}/train.parquet", b"x")
    write_json(store, f"{split}/{layout.MANIFEST}", {"snapshot_id": snapshot_id})


def score(store, version_id, snapshot_id):
    """Publish tables that were scored on a snapshot."""
    key = f"{layout.version_table(version_id, 'movies')}/part-0.parquet"
    store.put(key, b"x")
    file = releases.FileRow(key=key, n_rows=1, size_bytes=1, sha256="")
    releases.publish(store, version_id, {"movies": [file]}, lineage(snapshot_id=snapshot_id))


def register(tracking, tmp_path, snapshot_id, alias, name="recsys-ml", tags=()):
    """Register a model that was trained on a snapshot, under an alias."""
    users, movies = np.array([1], np.int32), np.array([10, 20], np.int32)
    factors = Factors(users, np.ones((1, 1), np.float32), movies, np.ones((2, 1), np.float32))
    biases = fit_biases(np.array([1, 1], np.int32), movies, np.array([4, 2], np.float32))
    pair = Recommender(factors, RatingModel(biases, factors, 0.5, 5.0), movies, np.array([2, 1], np.int32))
    path = tmp_path / "recommender.npz"
    path.write_bytes(pair.to_bytes())
    run_id = tracking.start_run("e", "r")
    version = tracking.register(run_id, name, path, {"snapshot_id": snapshot_id, **dict(tags)})["version"]
    tracking.set_alias(name, alias, version)


def manifests(store):
    return {key.split("/")[1] for key in store.list("snapshots/") if key.endswith("/manifest.json")}


def left(store):
    """What is left, by room: the names below it."""
    return {
        room: {key.split("/")[1 if room != "archives" else 2] for key in store.list(f"{room}/")}
        for room in ("archives", "staging", "snapshots", "splits")
    }


def test_the_last_ones_of_each_data_set_stay_and_the_rest_goes_with_all_that_belongs_to_it(store, settings):
    for day, snapshot_id in enumerate(("a-1", "a-2", "a-3"), start=1):
        publish(store, snapshot_id, day)
    publish(store, "b-1", 1, dataset="other")
    assert retention.prune(Workspace(settings), None, 2) == Pruned(
        kept=("a-3", "a-2", "b-1"), removed=("a-1",), n_objects=10
    )
    assert left(store) == {
        "archives": {"a-2", "a-3", "b-1"},
        "staging": {"ingest-a-2", "ingest-a-3", "ingest-b-1"},
        "snapshots": {"a-2", "a-3", "b-1"},
        "splits": {f"{name}-seed42-holdout0.2" for name in ("a-2", "a-3", "b-1")},
    }
    assert retention.prune(Workspace(settings), None, 2).n_objects == 0


def test_one_data_set_is_pruned_without_the_others(store, settings):
    for day in (1, 2):
        publish(store, f"a-{day}", day)
        publish(store, f"b-{day}", day, dataset="other")
    assert retention.prune(Workspace(settings), "ml", 1).removed == ("a-1",)
    assert manifests(store) == {"a-2", "b-1", "b-2"}
    assert left(store)["archives"] == {"a-2", "b-1", "b-2"}


@pytest.mark.parametrize("alias", [CHAMPION, CHALLENGER, "canary"])
def test_a_snapshot_stays_while_a_model_with_an_alias_was_trained_on_it(store, tracking, settings, tmp_path, alias):
    for day in (1, 2, 3):
        publish(store, f"a-{day}", day)
    register(tracking, tmp_path, "a-1", alias)
    plan = retention.plan(store, tracking, 1)
    why = {snapshot.snapshot_id: snapshot.kept_because for snapshot in plan.snapshots}
    assert why == {
        "a-3": ("among the last 1 of ml",),
        "a-2": (),
        "a-1": (f"recsys-ml version 1 ({alias}) was trained on it",),
    }
    retention.apply(store, plan)
    assert manifests(store) == {"a-1", "a-3"}
    register(tracking, tmp_path, "a-3", alias)
    assert retention.prune(Workspace(settings), None, 1).removed == ("a-1",)


def test_a_training_under_way_keeps_its_snapshot_for_a_day(store, tracking):
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    run_id = tracking.start_run(EXPERIMENT, "training", tags={"kind": "training"})
    tracking.log(run_id, params={"snapshot_id": "a-1"})
    assert retention.plan(store, tracking, 1).snapshots[1].kept_because == ("a training that is under way uses it",)
    assert retention.plan(store, tracking, 1, now=LATER).snapshots[1].kept_because == ()
    tracking.end_run(run_id)
    assert retention.plan(store, tracking, 1).snapshots[1].kept_because == ()


def test_the_release_and_the_one_a_rollback_returns_to_keep_their_snapshots(store, settings):
    for day in (1, 2, 3, 4):
        publish(store, f"a-{day}", day)
    for version_id, snapshot_id in (("v1", "a-1"), ("v2", "a-2"), ("v3", "a-3")):
        score(store, version_id, snapshot_id)
    assert retention.prune(Workspace(settings), None, 1).kept == ("a-4", "a-3", "a-2")
    releases.rollback(store, "v2")
    assert retention.prune(Workspace(settings), None, 1).kept == ("a-4", "a-3", "a-2")
    releases.rollback(store, "v1")  # its tables are whole, whatever became of the snapshot they were made of
    assert retention.prune(Workspace(settings), None, 1).removed == ("a-3",)


def test_what_an_increment_was_added_to_stays_with_it_and_so_do_the_sources_in_it(store, settings):
    publish(store, "a-1", 1)
    publish(store, "a-2", 2, base="a-1", archive="archives/more/1/more.zip")
    contains = [f"sha of {layout.archive('ml', 'a-1', 'ml.zip')}", "sha of archives/more/1/more.zip"]
    publish(store, "a-3", 3, base="a-2", archive="archives/more/2/more.zip", contains=contains)
    found = retention.prune(Workspace(settings), "ml", 1)
    assert (found.kept, found.removed) == (("a-3", "a-2"), ("a-1",))
    assert left(store)["archives"] == {"a-1", "1", "2"}  # a-3 can be made again from all three


def test_the_newest_archive_of_a_data_set_stays_though_no_snapshot_names_it(store, settings):
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    fresh = layout.archive("ml", "fresh", "ml.zip")
    store.put(fresh, b"zip")
    write_json(store, layout.archive_note(fresh), {"sha256": "f", "at": "2026-02-01", "archive": fresh})
    retention.prune(Workspace(settings), None, 1)
    assert left(store)["archives"] == {"a-2", "fresh"}


def test_an_archive_of_two_snapshots_goes_with_the_last_of_them(store, settings):
    publish(store, "a-1", 1, archive="archives/ml/0/ml.zip")
    publish(store, "a-2", 2, archive="archives/ml/0/ml.zip")
    publish(store, "a-3", 3)
    retention.prune(Workspace(settings), None, 2)
    assert "archives/ml/0/ml.zip" in set(store.list())
    retention.prune(Workspace(settings), None, 1)
    assert "archives/ml/0/ml.zip" not in set(store.list())


def test_manifests_and_notes_go_first(store, tracking):
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    removals = retention.plan(store, tracking, 1).removals
    firsts = [removal.keys[0] for removal in removals]
    assert firsts == [
        "snapshots/a-1/manifest.json",
        "splits/a-1-seed42-holdout0.2/manifest.json",
        "staging/ingest-a-1/manifest.json",
        "archives/ml/a-1/ml.zip.json",
    ]


@pytest.mark.parametrize("n_done", range(10))
def test_a_removal_that_was_killed_is_ended_by_the_next(store, tracking, n_done):
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    keys = [key for removal in retention.plan(store, tracking, 1).removals for key in removal.keys]
    assert len(keys) == 10
    for key in keys[:n_done]:
        store.delete(key)
    assert "a-2" in manifests(store)
    retention.apply(store, retention.plan(store, tracking, 1, now=NOW + timedelta(days=8)))
    assert left(store) == {
        "archives": {"a-2"},
        "staging": set(),  # older than a week by then
        "snapshots": {"a-2"},
        "splits": {"a-2-seed42-holdout0.2"},
    }


def test_what_is_being_written_now_is_left_alone_and_collected_when_nobody_ended_it(store, tracking):
    store.put(layout.snapshot_table("a-9", "ratings"), b"x")
    store.put("archives/ml/9/ml.zip", b"x")
    store.put(layout.staging_table("ingest-9", "ratings"), b"x")
    assert retention.plan(store, tracking, 1).removals == ()
    prefixes = {removal.prefix for removal in retention.plan(store, tracking, 1, now=LATER).removals}
    assert prefixes == {"snapshots/a-9", "archives/ml/9/ml.zip"}
    prefixes = {removal.prefix for removal in retention.plan(store, tracking, 1, now=NOW + timedelta(days=8)).removals}
    assert "staging/ingest-9" in prefixes


def test_what_a_killed_search_left_goes_when_nobody_has_written_to_it_for_a_day(store, tracking, monkeypatch):
    store.put(f"{layout.scratch('search')}/fold-0/state.npz", b"x")
    assert retention.plan(store, tracking, 1).removals == ()
    found = retention.plan(store, tracking, 1, now=LATER)
    assert [removal.prefix for removal in found.removals] == ["scratch/search"]
    retention.apply(store, found)
    assert not list(store.list("scratch/"))
    # Between listing and looking a search may end and remove its own: that is no fault.
    monkeypatch.setattr(store, "list", lambda prefix: iter([f"{prefix}search/a.npz"] * (prefix == "scratch/")))
    assert retention.plan(store, tracking, 1, now=LATER).removals == ()


def test_the_log_says_what_stays_what_goes_and_why(store, settings, caplog):
    caplog.set_level(logging.INFO)
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    retention.prune(Workspace(settings), None, 1)
    assert "snapshot a-2 stays: among the last 1 of ml" in caplog.text
    assert "snapshots/a-1 goes: beyond the last 1 of ml, and nothing live refers to it (3 objects)" in caplog.text


def test_nothing_is_removed_when_the_registry_cannot_say_what_is_alive(store, settings):
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    before = list(store.list())
    (settings.state_dir / "mlflow" / "mlflow.db").write_bytes(b"no database")
    with pytest.raises(Exception, match="not a database"):
        retention.prune(Workspace(settings), None, 1)
    assert list(store.list()) == before


def test_to_keep_none_is_refused(store, settings):
    with pytest.raises(ConfigError, match="at least 1 is needed"):
        retention.prune(Workspace(settings), None, 0)


def test_an_empty_store_has_nothing_to_prune(settings):
    assert retention.prune(Workspace(settings), None, 1) == Pruned(kept=(), removed=(), n_objects=0)


def test_the_same_holds_in_a_bucket(tracking, tmp_path, s3_environment):  # noqa: F811
    store = S3Store(f"b-{os.getpid()}", "some/prefix")
    store.client.create_bucket(Bucket=store.bucket)
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    retention.apply(store, retention.plan(store, tracking, 1))
    assert manifests(store) == {"a-2"}
