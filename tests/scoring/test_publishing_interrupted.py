"""The publication of lists is killed at every call to the store: old tables or new ones, and the next run ends it."""

import shutil

import pytest

from recsys.scoring import tasks
from recsys.storage import layout, releases
from recsys.storage.file_store import FileStore
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json
from tests.scoring.test_scoring_tasks import CHAMPION, CONFIG, run, store  # noqa: F401
from tests.storage.interrupting import interruptions

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("_share_the_session")]


@pytest.fixture
def scored(store, settings):  # noqa: F811
    """Tables are published, and those of a second scoring are written; returns what its jobs returned."""
    tasks.publish(*run(settings, "first"), CHAMPION, CONFIG, settings)
    return run(settings, "second")


def check_a_reader_sees_whole_tables(store, versions):  # noqa: F811
    for release in (releases.current(store), read_json(store, layout.CURRENT)):
        assert release["version_id"] in versions
        for name, rows in releases.read_manifest(store, release["version_id"])["tables"].items():
            folder = layout.version_table(release["version_id"], name)
            sizes = {key: store.size_bytes(key) for key in store.list(f"{folder}/")}
            assert sizes == {row["key"]: row["size_bytes"] for row in rows}


@pytest.mark.parametrize("when", ["before", "after"])
def test_lists_are_published_whole_or_not_at_all(scored, settings, tmp_path, monkeypatch, when):
    prepared = open_store(settings.resolved_store_url).root
    [old] = releases.history(FileStore(prepared))
    new = scored[0]["version_id"]
    for interruption in interruptions(when):
        copy = FileStore(shutil.copytree(prepared, tmp_path / f"{interruption.at}"))
        with interruption, monkeypatch.context() as patch:
            patch.setattr(tasks, "open_store", lambda _: interruption.watch(copy))  # noqa: B023
            tasks.publish(*scored, CHAMPION, CONFIG, settings)
        check_a_reader_sees_whole_tables(copy, {old["version_id"], new})
        with monkeypatch.context() as patch:
            patch.setattr(tasks, "open_store", lambda _: copy)  # noqa: B023
            published = tasks.publish(*scored, CHAMPION, CONFIG, settings)
        assert (published["release"], published["version_id"]) == (2, new)
        check_a_reader_sees_whole_tables(copy, {new})
        shutil.rmtree(copy.root)
    assert f"put {layout.release(2)}" in interruption.calls
