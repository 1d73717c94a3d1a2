"""Documents of the store are read by one loader, older ones too, and are written again as they were."""

import pytest

from recsys.errors import DataError, NotFoundError
from recsys.storage import layout, releases
from recsys.storage.file_store import FileStore
from recsys.storage.releases import Lineage, Release, VersionManifest
from recsys.storage.tables import read_json, write_json

# As the first versions wrote it: neither the data set nor whether it is synthetic.
OLD = {
    "version_id": "v1",
    "created_at": "2026-11-21T10:00:00+00:00",
    "tables": {"movies": [{"key": "tables/version=v1/movies/0.parquet", "n_rows": 3, "size_bytes": 9, "sha256": "a"}]},
    "lineage": {
        "snapshot_id": "s",
        "run_id": "r",
        "model_version": "m-v1",
        "model_uri": "models:/m/1",
        "k": 10,
        "n_similar": 5,
        "checks": {},
    },
}
KEY = f"{layout.version('v1')}/{layout.MANIFEST}"


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path)


def test_what_an_older_document_lacks_has_a_default_and_is_not_added_to_it(store):
    write_json(store, KEY, OLD)
    before = store.get(KEY)
    manifest = releases.read_manifest(store, "v1")
    assert (manifest.lineage.dataset, manifest.lineage.is_invented, manifest.lineage.similarity) == (
        "",
        False,
        "cosine",
    )
    assert manifest.tables["movies"][0].id_range("movie_id") is None
    manifest.write(store, KEY, overwrite=True)
    assert store.get(KEY) == before


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({**OLD, "lineage": {"snapshot_id": "s"}}, r"lineage\.run_id: Field required"),
        ({**OLD, "tables": {"movies": [{"key": "k"}]}}, r"tables\.movies\.0\.n_rows: Field required"),
        ({**OLD, "colour": "red"}, "colour: Extra inputs are not permitted"),
        ([], "all of it: Input should be"),
    ],
)
def test_a_document_with_other_fields_is_named_with_its_faults_and_what_to_do(store, document, fault):
    write_json(store, KEY, document)
    with pytest.raises(
        DataError, match=rf"version=v1/manifest.json is no VersionManifest: {fault}.*Nothing was changed"
    ):
        releases.read_manifest(store, "v1")


def test_a_document_that_is_not_there_is_said_to_be_missing(store):
    with pytest.raises(NotFoundError):
        VersionManifest.load(store, KEY)


def test_the_fields_of_what_is_published_are_those_that_other_programs_read(store):
    key = "tables/version=v1/movies/0.parquet"
    store.put(key, b"123")
    file = releases.FileRow(key=key, n_rows=3, size_bytes=3, sha256="a", min_movie_id=1, max_movie_id=3)
    checks = {"recommendations": {"n_users": 2}, "similar_movies": {"n_movies": 3}}
    given = {**OLD["lineage"], "dataset": "d", "is_invented": False, "similarity": "cosine", "checks": checks}
    releases.publish(store, "v1", {"movies": [file]}, Lineage(**given))
    release, manifest = read_json(store, layout.release(1)), read_json(store, KEY)
    assert release == read_json(store, layout.CURRENT) == Release.load(store, layout.CURRENT).to_json()
    del release["published_at"]
    assert release == {"number": 1, "version_id": "v1", "path": "version=v1", "reason": "publish",
                       "tables": {"movies": "version=v1/movies"}}  # fmt: skip
    row = {"key": key, "n_rows": 3, "size_bytes": 3, "sha256": "a", "min_movie_id": 1, "max_movie_id": 3}
    assert manifest == {"version_id": "v1", "created_at": manifest["created_at"], "tables": {"movies": [row]},
                        "lineage": given}  # fmt: skip
