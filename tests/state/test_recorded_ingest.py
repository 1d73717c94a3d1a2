"""Documents of the ingest in the recorded state are read, and would be written again as they are."""

from recsys.ingest.ingest_documents import ArchiveNote, StagingManifest
from recsys.storage.file_store import FileStore
from recsys.storage.snapshots import SnapshotManifest
from recsys.storage.tables import read_json
from tests.state.test_recorded_state import state

__all__ = ["state"]  # the fixture


def test_the_recorded_documents_of_the_ingest_are_read_and_written_again_as_they_were(state):
    store = FileStore(state / "store")
    kinds = {"archives/": ArchiveNote, "staging/": StagingManifest, "snapshots/": SnapshotManifest}
    for prefix, kind in kinds.items():
        keys = [key for key in store.list(prefix) if key.endswith(".json")]
        assert len(keys) == 2  # the sample, and the increment
        for key in keys:
            assert kind.load(store, key).to_json() == read_json(store, key)
