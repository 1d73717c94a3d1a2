"""The real archives parse to the official counts. They are not ours to redistribute, so this skips without them."""

import os
from pathlib import Path

import pytest

from recsys.config import PROJECT_ROOT
from recsys.datasets.catalogue import RELEASES, Counts
from recsys.datasets.movielens import read_tables

FOLDER = Path(os.environ.get("RECSYS_REALDATA", PROJECT_ROOT.parent / "shared" / "data"))

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize(
    ("release", "file", "n_without_year"),
    [
        ("ml-latest-small", "ml-latest-small.zip", 12),
        ("ml-100k", "ml-100k.zip", 2),
        ("ml-1m", "ml-1m-reconstructed.zip", 0),
    ],
)
def test_a_release_has_its_official_counts(release, file, n_without_year):
    path = FOLDER / file
    if not path.is_file():
        pytest.skip(f"{file} is not in {FOLDER}: fetch it from {RELEASES[release].url} to run this test")
    layout, tables = read_tables(path)
    assert layout == RELEASES[release].layout
    assert RELEASES[release].counts == Counts(
        n_ratings=tables["ratings"].num_rows,
        n_users=len(tables["ratings"]["user_id"].unique()),
        n_movies=tables["movies"].num_rows,
        n_tags=tables["tags"].num_rows,
    )
    assert tables["movies"]["year"].null_count == n_without_year
    low, high, step = RELEASES[release].rating_range
    assert set(tables["ratings"]["rating"].unique().to_pylist()) <= {
        low + i * step for i in range(round((high - low) / step) + 1)
    }
    if release == "ml-latest-small":
        first = tables["links"].slice(0, 1).to_pylist()
        assert first == [{"movie_id": 1, "imdb_id": "tt0114709", "tmdb_id": 862}]
        assert tables["links"]["tmdb_id"].null_count == 8
