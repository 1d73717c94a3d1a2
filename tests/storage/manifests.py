"""A snapshot's manifest as the ingest writes it, for tests that need a snapshot but no ingest."""

from recsys.storage import layout
from recsys.storage.snapshots import SnapshotManifest
from recsys.storage.tables import write_json


def manifest(snapshot_id="tiny-1", **fields):
    """A whole manifest; fields that are given replace those of a small synthetic snapshot."""
    return SnapshotManifest.of(_document(snapshot_id, **fields), "the test's")


def write_manifest(store, snapshot_id, **fields):
    """Write one as JSON, so that it may lack what earlier versions did not write."""
    write_json(store, layout.snapshot_manifest(snapshot_id), _document(snapshot_id, **fields), overwrite=True)


def table_file(key, n_rows=1):
    """The row of a table in a manifest."""
    return {"key": key, "n_rows": n_rows, "size_bytes": 1, "sha256": "0" * 64}


def _document(snapshot_id, *, lineage=(), **fields):
    made_of = {
        "ingest_id": f"ingest-{snapshot_id}",
        "source": "tests",
        "archive": "archives/tiny/0123/tiny.zip",
        "sha256": "a" * 64,
        "size_bytes": 1,
        "licence": "None.",
    }
    document = {
        "snapshot_id": snapshot_id,
        "created_at": "2026-01-02T00:00:00+00:00",
        "dataset": "tiny",
        "is_invented": True,
        "counts": {"n_ratings": 3, "n_users": 2, "n_movies": 2},
        "fingerprint": "f" * 64,
        "tables": {},
        "lineage": {**made_of, **dict(lineage)},
    }
    return {**document, **fields}
