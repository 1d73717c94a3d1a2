"""Pruning beside everything else: manifests say what belongs together, what is being made stays, kills are repaired."""

import shutil
from datetime import timedelta
from functools import partial
from typing import get_args

import pyarrow as pa
import pytest

from recsys import columns
from recsys.config import TrainConfig
from recsys.errors import NotFoundError
from recsys.lifecycle import retention
from recsys.registry.model_records import ModelRecord, read_record
from recsys.splitting.split import Strategy
from recsys.storage import layout, snapshots
from recsys.storage.file_store import FileStore
from recsys.storage.tables import read_table, write_json, write_table
from recsys.tracking.tracking import CHAMPION
from recsys.training import stored, tasks
from recsys.workspace import Workspace
from tests.lifecycle.test_retention import LATER, NOW, left, manifests, publish, register, store, tracking  # noqa: F401
from tests.storage.interrupting import interruptions

USERS, MOVIES = [1, 1, 1, 2, 2, 2, 3, 3, 3], [10, 20, 30] * 3


def publish_ratings(store, snapshot_id, day):  # noqa: F811
    """A snapshot that can be split: three users have rated three movies, a rating a day."""
    publish(store, snapshot_id, day)
    times = pa.array([86_400_000 * at for at in range(9)]).cast(columns.RATINGS.field("timestamp").type)
    table = pa.table([USERS, MOVIES, [4.0] * 9, times], names=columns.RATINGS.names).cast(columns.RATINGS)
    write_table(store, layout.snapshot_table(snapshot_id, "ratings"), table, overwrite=True)


def split(store, settings, snapshot_id, strategy="random"):  # noqa: F811
    return tasks.split(Workspace(settings), snapshot_id, TrainConfig(split=strategy, holdout_fraction=0.3), "training")


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_splits_of_every_kind_stay_and_go_with_their_snapshot(store, settings, strategy):  # noqa: F811
    for day in (1, 2):
        publish_ratings(store, f"a-{day}", day)
    old, live = (split(store, settings, f"a-{day}", strategy) for day in (1, 2))
    assert retention.prune(Workspace(settings), None, 1).removed == ("a-1",)
    assert read_table(store, live.train_key).num_rows + read_table(store, live.holdout_key).num_rows == 9
    assert split(store, settings, "a-2", strategy) == live
    assert [store.exists(key) for key in (old.train_key, old.holdout_key)] == [False, False]


def test_a_split_that_is_being_written_stays_for_a_day(store, tracking):  # noqa: F811
    publish(store, "a-1", 1)
    store.put("splits/whatever/train.parquet", b"x")
    assert retention.plan(store, tracking, 1).removals == ()
    plan = retention.plan(store, tracking, 1, now=LATER)
    assert [removal.prefix for removal in plan.removals] == ["splits/whatever"]


@pytest.mark.parametrize("name", ["a-1-seed42-holdout0.2", "b-2", "nothing"])
def test_a_splits_name_says_nothing_of_its_snapshot(store, tracking, name):  # noqa: F811
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    store.put(f"{layout.split(name)}/holdout.parquet", b"x")
    write_json(store, f"{layout.split(name)}/{layout.MANIFEST}", {"snapshot_id": "a-2"}, overwrite=True)
    retention.apply(store, retention.plan(store, tracking, 1))
    assert name in left(store)["splits"]


def test_what_a_model_was_trained_on_is_remembered_while_it_has_an_alias(store, settings, tracking, tmp_path):  # noqa: F811
    for day in (1, 2):
        publish_ratings(store, f"a-{day}", day)
    pairs = split(store, settings, "a-1")
    tags = {"train": pairs.train_key}
    register(tracking, tmp_path, "gone", CHAMPION, tags=tags)  # the registry names no snapshot that is there
    assert retention.prune(Workspace(settings), None, 1).removed == ("a-1",)
    assert len(stored.trained_on(store, read_record(store, "run", tags))) == pairs.n_train
    register(tracking, tmp_path, "a-2", CHAMPION)
    retention.prune(Workspace(settings), None, 1)
    assert not store.exists(pairs.train_key)


def test_what_a_live_model_was_trained_on_stays_whatever_people_edit_in_mlflow(store, tracking, tmp_path):  # noqa: F811
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    split_id = "a-1-seed42-holdout0.2"
    register(tracking, tmp_path, "a-1", CHAMPION)
    [model] = tracking.aliased_versions()
    record = ModelRecord(snapshot_id="a-1", train_key=f"{layout.split(split_id)}/train.parquet")
    record.write(store, layout.model_record(layout.model(model["run_id"])))
    tracking.tag_version(model["name"], model["version"], {"snapshot_id": "edited"})
    retention.apply(store, retention.plan(store, tracking, 1))
    assert "a-1" in manifests(store)
    assert split_id in left(store)["splits"]


def test_staging_goes_with_the_snapshot_that_its_manifest_names(store, tracking):  # noqa: F811
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    # The ingest that published a-1 runs again, with another source: this staging is for a snapshot to come.
    source = {"source": {"snapshot_id": "a-3"}}
    write_json(store, layout.staging_manifest("ingest-a-1"), source, overwrite=True)
    retention.apply(store, retention.plan(store, tracking, 1))
    assert "ingest-a-1" in left(store)["staging"]
    retention.apply(store, retention.plan(store, tracking, 1, now=NOW + timedelta(days=8)))
    assert left(store)["staging"] == set()


def test_an_archive_that_an_ingest_has_just_brought_stays_though_another_came_after_it(store, tracking):  # noqa: F811
    publish(store, "a-1", 1)
    for name, at in (("fresh", "2026-02-01"), ("fresher", "2026-02-02")):
        key = layout.archive("ml", name, "ml.zip")
        store.put(key, b"zip")
        write_json(store, layout.archive_note(key), {"sha256": name, "at": at, "archive": key})
    assert retention.plan(store, tracking, 1).removals == ()
    plan = retention.plan(store, tracking, 1, now=LATER)
    assert [removal.prefix for removal in plan.removals] == ["archives/ml/fresh/ml.zip"]


@pytest.fixture
def prepared(store, tracking, tmp_path):  # noqa: F811
    """Two snapshots, of which one goes, and the objects that stay."""
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    register(tracking, tmp_path, "a-2", CHAMPION)
    return store.root, {key for key in store.list() if "a-2" in key}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_call_leaves_whole_things_and_the_next_run_ends_it(prepared, tracking, tmp_path, when):  # noqa: F811
    folder, staying = prepared
    for interruption in interruptions(when):
        store = FileStore(shutil.copytree(folder, tmp_path / f"copy-{interruption.at}"))  # noqa: F811
        before = set(store.list())
        watched, registry = interruption.watch(store), interruption.watch(tracking)
        with interruption:
            retention.apply(watched, retention.plan(watched, registry, 1))
        now = set(store.list())
        assert staying <= now
        for manifest in {key for key in before - staying if key.endswith(("manifest.json", "zip.json"))} & now:
            room = manifest.rpartition("/")[0]
            assert {key for key in before if key.startswith(room)} <= now  # what is listed is whole
        retention.apply(store, retention.plan(store, tracking, 1, now=NOW + timedelta(days=6)))
        assert {key for key in store.list() if not key.startswith("staging")} == {
            key for key in staying if not key.startswith("staging")
        }
    assert interruption.calls[-1].startswith("delete")


def test_two_that_prune_at_once_do_not_stumble_over_each_other(prepared, tracking, tmp_path):  # noqa: F811
    folder, staying = prepared
    for interruption in interruptions("after"):
        store = FileStore(shutil.copytree(folder, tmp_path / f"copy-{interruption.at}"))  # noqa: F811
        interruption.act = partial(retention.apply, store, retention.plan(store, tracking, 1))
        watched = interruption.watch(store)
        retention.apply(watched, retention.plan(watched, tracking, 1))
        assert set(store.list()) == staying


def test_a_snapshot_that_is_removed_while_all_are_listed_is_passed_over(store):  # noqa: F811
    for day in (1, 2):
        publish(store, f"a-{day}", day)
    interruption = next(interruptions("after"))
    interruption.act = lambda: store.delete(layout.snapshot_manifest("a-2"))
    assert snapshots.latest(interruption.watch(store)) == "a-1"
    store.delete(layout.snapshot_manifest("a-1"))
    with pytest.raises(NotFoundError, match="holds no snapshot yet"):
        snapshots.latest(store)
