"""Publish, rollback and repair are killed at every call, or meet another publisher at every call."""

from functools import partial

import pytest

from recsys.errors import DataError, NotFoundError
from recsys.storage import layout, releases
from recsys.storage.file_store import FileStore
from recsys.storage.releases import FileRow, Release
from tests.storage.interrupting import interruptions
from tests.storage.versions import lineage

WHENS = ["before", "after"]
TASKS = {
    "publish": lambda store: releases.publish(store, "v3", tables("v3"), lineage()),
    "rollback": lambda store: releases.rollback(store, "v1"),
}
NEW = {"publish": "v3", "rollback": "v1"}


def tables(version_id):
    """Manifest rows of a version of one object."""
    key = f"{layout.version_table(version_id, 'recommendations')}/part-0.parquet"
    return {"recommendations": [FileRow(key=key, n_rows=1, size_bytes=len(version_id), sha256="")]}


def two_releases(folder):
    """A store that holds four versions, of which v1 was released, then v2."""
    store = FileStore(folder)
    for version_id in ("v1", "v2", "v3", "v4"):
        store.put(tables(version_id)["recommendations"][0].key, version_id.encode())
    for version_id in ("v1", "v2"):
        releases.publish(store, version_id, tables(version_id), lineage())
    return store


def pointer(store):
    return Release.load(store, layout.CURRENT)


def check_a_reader_sees_a_whole_version(store, versions):
    """Whichever way a reader takes: by the log or by the pointer."""
    for release in (releases.current(store), pointer(store)):
        assert release.version_id in versions
        rows = releases.read_manifest(store, release.version_id).tables["recommendations"]
        assert [store.size_bytes(row.key) for row in rows] == [row.size_bytes for row in rows]


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("task", TASKS)
def test_after_a_kill_readers_see_the_old_or_the_new_release_and_the_next_run_ends_it(tmp_path, task, when):
    new = NEW[task]
    for interruption in interruptions(when):
        store = two_releases(tmp_path / str(interruption.at))
        with interruption:
            TASKS[task](interruption.watch(store))
        check_a_reader_sees_a_whole_version(store, {"v2", new})
        TASKS[task](store)
        check_a_reader_sees_a_whole_version(store, {new})
        assert [release.version_id for release in releases.history(store)] == ["v1", "v2", new]
    assert f"put {layout.CURRENT}" in interruption.calls


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("task", TASKS)
def test_a_pointer_that_a_killed_publisher_left_behind_is_repaired_alone_too(tmp_path, task, when):
    n_behind = 0
    for interruption in interruptions(when):
        store = two_releases(tmp_path / str(interruption.at))
        with interruption:
            TASKS[task](interruption.watch(store))
        n_behind += pointer(store) != releases.current(store)
        releases.repair(store)
        assert pointer(store) == releases.current(store)
    assert n_behind > 0


@pytest.mark.parametrize("task", TASKS)
def test_the_pointer_follows_the_log_when_another_publishes_between_any_two_calls(tmp_path, task):
    for interruption in interruptions("before"):
        store = two_releases(tmp_path / str(interruption.at))
        interruption.act = partial(releases.publish, store, "v4", tables("v4"), lineage())
        TASKS[task](interruption.watch(store))
        assert pointer(store) == releases.current(store)
        if interruption.has_happened:
            assert "v4" in {release.version_id for release in releases.history(store)}


def test_a_version_that_was_released_is_not_released_again_when_a_newer_one_came_between(tmp_path):
    # Two attempts of one publication race, and a newer version is published between them.
    store = two_releases(tmp_path)
    assert releases.publish(store, "v1", tables("v1"), lineage()).number == 1
    assert releases.current(store).version_id == pointer(store).version_id == "v2"


def test_repairing_writes_nothing_where_pointer_and_log_agree_or_nothing_is_published(tmp_path):
    empty = FileStore(tmp_path / "empty")
    releases.repair(empty)
    assert [*empty.list()] == []
    interruption = next(interruptions("before", act=lambda: None))
    releases.repair(interruption.watch(two_releases(tmp_path / "full")))
    assert not [call for call in interruption.calls if call.startswith("put")]


@pytest.mark.parametrize("left", [b"", b"{", b'{"version_id": "v1"}'])
def test_a_pointer_that_says_anything_else_is_written_anew(tmp_path, left):
    store = two_releases(tmp_path)
    store.put(layout.CURRENT, left, overwrite=True)
    releases.repair(store)
    assert pointer(store) == releases.current(store)


def test_a_version_whose_files_are_gone_cannot_be_rolled_back_to(tmp_path):
    store = two_releases(tmp_path)
    store.delete(releases.table_keys(store, "recommendations", "v1")[0])
    with pytest.raises(DataError, match=r"version v1: .*part-0\.parquet is missing .* choose another version"):
        releases.rollback(store, "v1")
    with pytest.raises(NotFoundError):
        releases.rollback(store, "v9")
    assert releases.current(store).version_id == "v2"
