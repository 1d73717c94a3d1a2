"""The real archives parse to the official counts. They are not ours to redistribute, so this skips without them."""

import os
from pathlib import Path

import pytest

from recsys.config import PROJECT_ROOT
from recsys.ingest.formats.known_releases import RELEASES, Counts
from recsys.ingest.formats.reading import read_source
from recsys.ingest.formats.tabular import ReadOptions
from recsys.ingest.inspection import look_at

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
    parsed = read_source(path)
    tables = parsed.tables
    assert parsed.quarantine.num_rows == 0
    assert parsed.layout == RELEASES[release].layout
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
        assert first == [{"movie_id": 1, "imdb_id": "tt0114709", "tmdb_id": 862, "line": 2}]
        assert tables["links"]["tmdb_id"].null_count == 8


@pytest.mark.parametrize(
    ("file", "roles"),
    [
        ("ml-latest-small.zip", ["ratings", "tags", "movies", "links"]),
        ("ml-100k.zip", ["ratings", "movies"]),
        ("ml-1m-reconstructed.zip", ["ratings", "movies"]),
        ("the-movies-dataset-partial.zip", ["ratings", "links", "movies", "details"]),
    ],
)
def test_the_columns_of_a_release_are_recognised_before_it_is_read(file, roles):
    path = FOLDER / file
    if not path.is_file():
        pytest.skip(f"{file} is not in {FOLDER}")
    seen = look_at(path, ReadOptions())
    assert [found.role for found in seen.files] == roles
    assert [*filter(None, seen.files[0].columns.values())] == ["user_id", "movie_id", "rating", "timestamp"]
    assert all(len(row) == len(found.columns) for found in seen.files for row in found.first_rows)
    assert seen.times == "seconds"


def test_the_movies_dataset_adds_up_and_its_three_broken_records_are_quarantined():
    """45,466 rows as pandas counts them, each half of a broken record for one: 45,460 and twice 3."""
    path = FOLDER / "the-movies-dataset-partial.zip"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {FOLDER}: fetch the data set from Kaggle to run this test")
    parsed = read_source(path)
    tables = parsed.tables
    assert parsed.layout == "movies-dataset"
    assert [(a.file, a.n_in, a.n_out, a.n_quarantined) for a in parsed.files] == [
        ("ratings_small.csv", 100_004, 100_004, 0),
        ("links.csv", 45_843, 45_843, 0),
        ("movies_metadata.DERIVED.csv", 45_463, 45_460, 3),
        ("keywords.csv", 46_419, 46_415, 4),  # three describe the broken records; one of these stands there twice
    ]
    assert len(tables["ratings"]["user_id"].unique()) == 671
    broken = [row for row in parsed.quarantine.to_pylist() if row["table"] == "movies"]
    assert [(row["line"], row["reason"]) for row in broken] == [(n, "malformed") for n in (19_734, 29_507, 35_591)]
    for row, tmdb_id, title in zip(
        broken, (82663, 122662, 249260), ("Midnight Man", "Mardock", "Avalanche"), strict=True
    ):
        first, second = row["content"].split("\n")
        assert f",{tmdb_id}," in first
        assert title in first
        assert title in second
        assert row["fault"] == "a row broken over two lines: 10 + 15 cells where 24 belong"
    assert len(tables["movies"]["movie_id"].unique()) == len(tables["movies"]["line"].unique()) == 45_460
    assert tables["movies"].slice(0, 1).to_pylist() == [
        {
            "movie_id": 1,
            "title": "Toy Story (1995)",
            "year": 1995,
            "genres": ["Animation", "Comedy", "Family"],
            "line": 2,
        }
    ]
    details = tables["details"].slice(0, 1).to_pylist()[0]
    assert (details["language"], details["keywords"][:2]) == ("en", ["jealousy", "toy"])
