"""The publication of lists is killed at every call to the store: old tables or new ones, and the next run ends it."""

import shutil

import pytest

from recsys.scoring import tasks
from recsys.storage import layout, releases
from recsys.storage.file_store import FileStore
from recsys.workspace import Workspace
from tests.scoring.test_scoring_tasks import CHAMPION, CONFIG, run, run_and_publish, store  # noqa: F401
from tests.storage.interrupting import interruptions

pytestmark = pytest.mark.spark


@pytest.fixture
def scored(store, workspace):  # noqa: F811
    """Tables are published, and those of a second scoring are written; returns what its jobs returned."""
    run_and_publish(workspace, "first")
    return run(workspace, "second")


def check_a_reader_sees_whole_tables(store, versions):  # noqa: F811
    for release in (releases.current(store), releases.Release.load(store, layout.CURRENT)):
        assert release.version_id in versions
        for name, rows in releases.read_manifest(store, release.version_id).tables.items():
            folder = layout.version_table(release.version_id, name)
            sizes = {key: store.size_bytes(key) for key in store.list(f"{folder}/")}
            assert sizes == {row.key: row.size_bytes for row in rows}


@pytest.mark.parametrize("when", ["before", "after"])
def test_lists_are_published_whole_or_not_at_all(scored, workspace, tmp_path, monkeypatch, when):
    prepared = workspace.store.root
    [old] = releases.history(FileStore(prepared))
    new = scored[0].version_id
    for interruption in interruptions(when):
        copy = FileStore(shutil.copytree(prepared, tmp_path / f"{interruption.at}"))
        with interruption, monkeypatch.context() as patch:
            patch.setattr("recsys.workspace.open_store", lambda _: interruption.watch(copy))  # noqa: B023
            tasks.publish(Workspace(workspace.settings), *scored, CHAMPION, CONFIG)
        check_a_reader_sees_whole_tables(copy, {old.version_id, new})
        with monkeypatch.context() as patch:
            patch.setattr("recsys.workspace.open_store", lambda _: copy)  # noqa: B023
            published = tasks.publish(Workspace(workspace.settings), *scored, CHAMPION, CONFIG)
        assert (published.number, published.version_id) == (2, new)
        check_a_reader_sees_whole_tables(copy, {new})
        shutil.rmtree(copy.root)
    assert f"put {layout.release(2)}" in interruption.calls
