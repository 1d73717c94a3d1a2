"""The publication of a snapshot is killed at every call to the store: it is there whole, or not at all."""

import shutil

import pytest

from recsys.errors import NotFoundError
from recsys.ingest import publishing
from recsys.storage import layout
from recsys.storage.file_store import FileStore
from recsys.storage.tables import read_json
from tests.ingest.test_tasks import SAMPLE, run
from tests.storage.interrupting import interruptions


def published(store, snapshot_id):
    """The manifest of a snapshot, if it is there; then all it names is."""
    try:
        manifest = read_json(store, layout.snapshot_manifest(snapshot_id))
    except NotFoundError:
        return None
    assert {row["key"]: store.size_bytes(row["key"]) for row in manifest["tables"].values()} == {
        row["key"]: row["size_bytes"] for row in manifest["tables"].values()
    }
    return manifest


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_snapshot_is_published_whole_or_not_at_all(settings, tmp_path, when):
    archive, _, whole = run("sample", settings, **SAMPLE)
    prepared = settings.state_dir / "store"
    shutil.rmtree(prepared / "snapshots")
    for interruption in interruptions(when):
        store = FileStore(shutil.copytree(prepared, tmp_path / f"copy-{interruption.at}"))
        with interruption:
            publishing.publish(interruption.watch(store), archive, settings)
        before = published(store, whole.snapshot_id)
        publishing.publish(store, archive, settings)
        after = published(store, whole.snapshot_id)
        assert after["fingerprint"] == whole.fingerprint
        assert before in (None, after)  # what was published stands
    assert f"put {layout.snapshot_manifest(whole.snapshot_id)}" in interruption.calls
