"""The real archives get their posters without any setting: with ids or without, drawn cards and no failure."""

import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from recsys import columns, pipeline
from recsys.config import PROJECT_ROOT, PosterConfig
from recsys.ingest.formats.reading import read_source
from recsys.messages import PublishedTables
from recsys.storage import layout, releases
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json
from recsys.workspace import Workspace
from tests.storage.versions import lineage, write_file

FOLDER = Path(os.environ.get("RECSYS_REALDATA", PROJECT_ROOT.parent / "shared" / "data"))

pytestmark = pytest.mark.realdata


def publish(store, tables):
    """A release whose lists recommend the sixty most rated movies."""
    rated = Counter(tables["ratings"]["movie_id"].to_pylist())
    links = {row["movie_id"]: row for row in tables["links"].to_pylist()}
    movies = [
        {**dict.fromkeys(columns.CATALOGUE.names), **links.get(row["movie_id"], {}), **row, "n_ratings": 1}
        for row in tables["movies"].to_pylist()
    ]
    lists = [
        {"user_id": 1, "rank": rank, "movie_id": at, "score": 1, "predicted_rating": 3, "source": "als"}
        for rank, (at, _) in enumerate(rated.most_common(60), 1)
    ]
    rows = {"movies": (movies, columns.CATALOGUE), "recommendations": (lists, columns.RECOMMENDATIONS)}
    files = {
        name: [write_file(store, f"{layout.version_table('v1', name)}/0.parquet", pa.Table.from_pylist(found, schema))]
        for name, (found, schema) in rows.items()
    }
    return releases.publish(store, "v1", files, lineage())


@pytest.mark.parametrize(
    "file", ["ml-100k.zip", "ml-1m-reconstructed.zip", "ml-latest-small.zip", "the-movies-dataset-partial.zip"]
)
def test_every_archive_gets_title_cards_and_ends_green(settings, file):
    path = FOLDER / file
    if not path.is_file():
        pytest.skip(f"{file} is not in {FOLDER}")
    store = open_store(settings.resolved_store_url)
    release = publish(store, read_source(path).tables)
    summary = pipeline.fetch_posters(
        Workspace(settings), PosterConfig(batch_size=25), PublishedTables(version_id=release.version_id)
    )
    assert (summary.n_stored, summary.n_drawn, summary.n_failed) == (60, 60, 0)
    manifest = read_json(store, layout.POSTER_MANIFEST)
    assert {entry["drawn_because"][:34] for entry in manifest["posters"]} == {"no source of posters is configured"}
    assert len(list(store.list(f"{layout.POSTERS}/images/"))) == 60
