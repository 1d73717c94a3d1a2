"""The sample has the shape of MovieLens, admits that it is invented, and is the same for the same seed."""

import zipfile

import numpy as np
import pytest

from recsys.config import IngestConfig
from recsys.ingest.formats.reading import read_source
from recsys.ingest.synthetic.sample import write_sample
from recsys.ingest.synthetic.taste import GENRES

SIZES = {"sample_users": 200, "sample_movies": 400, "sample_ratings": 10_000}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "sample.zip"
    write_sample(IngestConfig(**SIZES), path)
    return path


@pytest.fixture(scope="module")
def tables(path):
    parsed = read_source(path)
    assert (parsed.layout, parsed.quarantine.num_rows) == ("csv", 0)
    return parsed.tables


def test_the_same_seed_and_sizes_give_the_same_bytes(path, tmp_path):
    write_sample(IngestConfig(**SIZES), tmp_path / "again.zip")
    write_sample(IngestConfig(**SIZES, sample_seed=43), tmp_path / "other.zip")
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()
    assert (tmp_path / "other.zip").read_bytes() != path.read_bytes()


def test_the_archive_says_that_its_movies_are_invented(path):
    with zipfile.ZipFile(path) as archive:
        assert "Nothing in this archive is real" in archive.read("sample/README.txt").decode()
        assert archive.read("sample/ratings.csv").startswith(b"userId,movieId,rating,timestamp\r\n1,")


def test_sizes_are_those_asked_for(tables):
    assert tables["ratings"].num_rows == 10_000
    assert tables["movies"].num_rows == tables["links"].num_rows == 400
    assert 100 < tables["tags"].num_rows < 300  # 2 % of 10,000


def test_each_user_rates_at_least_twenty_movies_and_none_twice(tables):
    users, movies = (tables["ratings"][name].to_numpy().astype(np.int64) for name in ("user_id", "movie_id"))
    assert np.bincount(users)[1:].min() >= 20
    assert len(np.unique(users * 2**32 + movies)) == 10_000
    assert np.isin(movies, tables["movies"]["movie_id"].to_numpy()).all()


def test_ratings_are_half_stars_in_sessions_after_the_movies_came_out(tables):
    stars = tables["ratings"]["rating"].to_numpy()
    assert set(np.unique(stars)) <= {half / 2 for half in range(1, 11)}
    assert 3.2 < stars.mean() < 3.8  # MovieLens: 3.5
    seconds = np.sort(tables["ratings"]["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64))
    assert seconds[0] >= 1_420_070_400  # 2015-01-01
    assert tables["movies"]["year"].to_numpy().max() < 2015
    first_user = tables["ratings"].slice(0, 20)["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    assert np.median(np.diff(np.sort(first_user))) < 120  # within a session seconds pass, between them days


def test_a_few_movies_have_most_of_the_ratings(tables):
    counts = np.sort(np.bincount(tables["ratings"]["movie_id"].to_numpy()))[::-1]
    assert counts[:40].sum() > 0.25 * 10_000  # the top tenth
    assert np.median(counts[:400]) < counts[:400].mean()


def test_titles_are_unique_and_dated_and_genres_are_movielens_own(tables):
    movies = tables["movies"]
    assert len(set(movies["title"].to_pylist())) == 400
    assert movies["year"].null_count == 0
    genres = [genre for names in movies["genres"].to_pylist() for genre in names]
    assert set(genres) <= set(GENRES)
    assert genres.count("Drama") > genres.count("Sci-Fi") > 0


def test_links_point_to_no_real_movie(tables):
    assert all(imdb_id.startswith("tt99") for imdb_id in tables["links"]["imdb_id"].to_pylist())
    assert tables["links"]["tmdb_id"].null_count == 400


@pytest.mark.parametrize(
    ("users", "movies", "ratings", "expected"),
    [
        (10, 50, 500, 500),  # exactly all pairs
        (10, 50, 9_000, 500),  # more than there are
        (600, 50, 500, 500),  # fewer ratings than users
    ],
)
def test_extreme_sizes_work(tmp_path, users, movies, ratings, expected):
    config = IngestConfig(sample_users=users, sample_movies=movies, sample_ratings=ratings)
    write_sample(config, tmp_path / "sample.zip")
    assert read_source(tmp_path / "sample.zip").tables["ratings"].num_rows == expected
