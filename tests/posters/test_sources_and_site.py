"""Both sources over real HTTP: the local site, and a server that speaks TMDB's paths."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from urllib.error import HTTPError

import pyarrow as pa
import pytest
from PIL import Image

from recsys import columns
from recsys.config import PROJECT_ROOT
from recsys.errors import ConfigError, NotFoundError
from recsys.posters import poster_sources
from recsys.posters.fetcher import Fetcher
from recsys.posters.poster_sources import Movie, SiteSource, TmdbSource, page_meta
from recsys.posters.site import StoreLookup, serving
from recsys.storage import layout, releases
from recsys.storage.file_store import FileStore
from recsys.storage.tables import write_table
from tests.posters.servers import answer, server
from tests.storage.manifests import write_manifest
from tests.storage.versions import lineage, write_file

MOVIE = Movie(7, 'Quiet "Café" & Sons, The (1987)', 1987, ("Drama", "Crime"), "tt0000007", 77)


@pytest.fixture
def site():
    with serving({"tt0000007": MOVIE}.get) as base:
        yield base


def read(url):
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.headers.get_content_type(), response.read()


def test_the_local_site_has_a_page_that_names_a_drawn_poster_and_says_so(site):
    kind, page = read(f"{site}/title/tt0000007/")
    meta = page_meta(page.decode())
    assert kind == "text/html"
    assert meta["og:title"] == 'The Quiet "Café" & Sons'
    assert meta["og:image"] == f"{site}/posters/tt0000007.jpg"
    assert meta[poster_sources.DRAWN_META] == "true"
    assert b"placeholder" in page
    kind, image = read(meta["og:image"])
    assert kind == "image/jpeg"
    assert Image.open(io.BytesIO(image)).size == (500, 750)


@pytest.mark.parametrize(
    "path", ["/title/tt0000008/", "/posters/tt0000008.jpg", "/etc/passwd", "/title/../x", "/posters/"]
)
def test_what_the_local_site_does_not_know_is_404(site, path):
    with pytest.raises(HTTPError, match="404"):
        read(site + path)


def test_a_site_is_scraped_page_by_page(site):
    with Fetcher([site], timeout_s=5) as fetcher:
        found = SiteSource(site, fetcher, "local-site").find(MOVIE)
    assert (found.page_url, found.image_url) == (f"{site}/title/tt0000007/", f"{site}/posters/tt0000007.jpg")
    assert found.is_drawn
    assert found.content_type == "image/jpeg"


@pytest.mark.parametrize("imdb_id", [None, "tt0000099", "../../etc", "tt1/../2"])
def test_a_movie_the_site_cannot_know_is_missing_not_an_error(site, imdb_id):
    movie = Movie(8, "X", None, (), imdb_id, None)
    with Fetcher([site], timeout_s=5) as fetcher, pytest.raises(NotFoundError):
        SiteSource(site, fetcher).find(movie)


def test_an_image_on_another_host_is_not_followed():
    page = b'<meta property="og:image" content="http://169.254.169.254/latest/meta-data">'
    routes = {"/robots.txt": answer(404), "/title/tt0000007/": answer(body=page)}
    with server(routes) as (base, _), Fetcher([base], timeout_s=2) as fetcher:
        with pytest.raises(ConfigError, match=r"169\.254\.169\.254.* is not fetched"):
            SiteSource(base, fetcher).find(MOVIE)


def test_robots_txt_is_obeyed_and_read_once():
    routes = {"/robots.txt": answer(body=b"User-agent: *\nDisallow: /title/\n")}
    with server(routes) as (base, requests), Fetcher([base], timeout_s=2) as fetcher:
        source = SiteSource(base, fetcher)
        for _ in range(2):
            with pytest.raises(ConfigError, match="closed to robots"):
                source.find(MOVIE)
    assert [path for path, _ in requests] == ["/robots.txt"]


def test_a_page_without_a_poster_is_missing():
    routes = {"/robots.txt": answer(404), "/title/tt0000007/": answer(body=b"<html><p>no poster</html>")}
    with server(routes) as (base, _), Fetcher([base], timeout_s=2) as fetcher:
        with pytest.raises(NotFoundError, match="names no og:image"):
            SiteSource(base, fetcher).find(MOVIE)


def tmdb(**more):
    """The answers of TMDB's API, version 3; image paths are served by the same server."""
    page = json.dumps({"images": {"secure_base_url": "BASE/t/p/", "poster_sizes": ["w342", "w500", "original"]}})
    by_imdb_id = b'{"movie_results": [{"id": 78, "poster_path": "/by.jpg"}]}'
    return {
        "/3/configuration": lambda h: answer(body=page.replace("BASE", f"http://{h.headers['Host']}").encode())(h),
        "/3/movie/77": answer(body=b'{"id": 77, "poster_path": "/seventy.jpg"}'),
        "/3/find/tt0000007?external_source=imdb_id": answer(body=by_imdb_id),
        "/t/p/w500/seventy.jpg": answer(body=b"jpeg", Content_Type="image/jpeg"),
        "/t/p/w500/by.jpg": answer(body=b"by imdb", Content_Type="image/jpeg"),
        **more,
    }  # fmt: skip


def find_in_tmdb(routes, movie=MOVIE):
    with server(routes) as (base, requests), Fetcher([base], timeout_s=2, n_attempts=1) as fetcher:
        return TmdbSource("secret", fetcher, base).find(movie), requests


def test_tmdb_is_asked_by_its_own_id_with_the_token_for_the_api_only():
    found, requests = find_in_tmdb(tmdb())
    assert (found.body, found.page_url, found.is_drawn) == (b"jpeg", "https://www.themoviedb.org/movie/77", False)
    sent = {path: headers.get("Authorization") for path, headers in requests}
    assert sent == {
        "/3/movie/77": "Bearer secret",
        "/3/configuration": "Bearer secret",
        "/t/p/w500/seventy.jpg": None,
    }


@pytest.mark.parametrize("movie", [MOVIE, Movie(7, "X", None, (), "tt0000007", None)], ids=["id is gone", "no id"])
def test_tmdb_is_asked_by_imdb_id_where_its_own_is_unknown(movie):
    found, _ = find_in_tmdb(tmdb(**{"/3/movie/77": answer(404)}), movie)
    assert (found.body, found.page_url) == (b"by imdb", "https://www.themoviedb.org/movie/78")


@pytest.mark.parametrize("body", [b'{"id": 77, "poster_path": null}', b"{}"])
def test_a_movie_without_a_poster_at_tmdb_is_missing(body):
    with pytest.raises(NotFoundError, match="TMDB has no poster"):
        find_in_tmdb(tmdb(**{"/3/movie/77": answer(body=body)}))


def test_a_refused_token_is_a_matter_of_configuration():
    with pytest.raises(ConfigError, match="answered 401"):
        find_in_tmdb(tmdb(**{"/3/movie/77": answer(401)}))


def catalogue_row(title):
    return {
        "movie_id": 1, "title": title, "year": 1999, "genres": ["Drama"], "imdb_id": "tt0000001", "tmdb_id": None,
        "n_ratings": 0, "mean_rating": None, "predicted_rating": 3.0,
    }  # fmt: skip


def snapshot(store, name, created_at, title):
    row = {key: value for key, value in catalogue_row(title).items() if key in columns.MOVIES.names}
    write_table(store, layout.snapshot_table(name, "movies"), pa.Table.from_pylist([row], schema=columns.MOVIES))
    link = {"movie_id": 1, "imdb_id": "tt0000001", "tmdb_id": None}
    write_table(store, layout.snapshot_table(name, "links"), pa.Table.from_pylist([link], schema=columns.LINKS))
    write_manifest(store, name, created_at=created_at)


def release(store, version_id, title):
    table = pa.Table.from_pylist([catalogue_row(title)], schema=columns.CATALOGUE)
    row = write_file(store, f"{layout.version_table(version_id, 'movies')}/part-0.parquet", table)
    releases.publish(store, version_id, {"movies": [row]}, lineage())


def test_the_site_shows_the_newest_snapshot_until_there_is_a_release_and_then_follows_the_releases(tmp_path):
    store = FileStore(tmp_path)
    lookup = StoreLookup(store, max_age_s=0)
    assert lookup("tt0000001") is None
    snapshot(store, "b", "2026-01-01T00:00:00+00:00", "older")
    snapshot(store, "a", "2026-02-01T00:00:00+00:00", "newer")
    assert lookup("tt0000001").title == "newer"
    release(store, "v1", "released")
    assert lookup("tt0000001").title == "released"
    release(store, "v2", "released again")
    assert lookup("tt0000001").title == "released again"


def test_the_module_serves_the_store_says_when_it_is_ready_and_stops_on_sigterm(tmp_path):
    release(FileStore(tmp_path / "store"), "v1", "Silent Harbour, The (1999)")
    environment = os.environ | {"RECSYS_STATE_DIR": str(tmp_path), "PYTHONPATH": str(PROJECT_ROOT)}
    command = [sys.executable, "-m", "recsys.posters.site", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        base = re.fullmatch(r"Poster site ready: (http://127\.0\.0\.1:\d+)/\n", process.stdout.readline())[1]
        assert b"The Silent Harbour" in read(f"{base}/title/tt0000001/")[1]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()
