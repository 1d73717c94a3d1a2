"""The poster jobs over a published release, against the local site and a server that misbehaves."""

import io
import json

import pyarrow as pa
import pytest
from PIL import Image

from recsys import columns
from recsys.config import PosterConfig, Settings
from recsys.errors import ConfigError, NotFoundError, PermanentError, TransientError
from recsys.jobs import posters
from recsys.posters.draw import draw_poster
from recsys.storage import layout, releases
from recsys.storage.store import open_store
from recsys.storage.tables import read_json, write_table
from tests.posters.servers import answer, server

CONFIG = PosterConfig(batch_size=2, concurrency=2, timeout_s=2)
TITLES = {1: "One (2001)", 2: "Two (2002)", 3: "Three (2003)", 4: "Four (2004)"}
# Movie 3 stands on three lists, 1 and 2 on two, 4 on none.
LISTS = [(1, 3), (1, 1), (2, 3), (2, 2), (3, 3), (3, 1), (4, 2)]


def publish(store, version_id="v1", titles=TITLES, lists=LISTS, is_invented=True):
    rows = [
        {"user_id": u, "rank": 1, "movie_id": m, "score": 1, "predicted_rating": 3, "source": "als"} for u, m in lists
    ]
    movies = [
        {"movie_id": m, "title": title, "year": 2000 + m, "genres": ["Drama"], "tmdb_id": m,
         "imdb_id": None if m == 2 else f"tt000000{m}", "n_ratings": 1, "mean_rating": 3, "predicted_rating": 3}
        for m, title in titles.items()
    ]  # fmt: skip
    tables = {
        "recommendations": pa.Table.from_pylist(rows, schema=columns.RECOMMENDATIONS),
        "movies": pa.Table.from_pylist(movies, schema=columns.CATALOGUE),
    }
    files = {
        name: [write_table(store, f"{layout.version_table(version_id, name)}/part-0.parquet", table)]
        for name, table in tables.items()
    }
    releases.publish(store, version_id, files, {"is_invented": is_invented})


@pytest.fixture
def store(settings):
    store = open_store(settings.resolved_store_url)
    publish(store)
    return store


def run(settings, config=CONFIG):
    plan = posters.plan(config, settings)
    results = [posters.fetch(batch, config, settings) for batch in plan["batches"]]
    return plan, results, posters.write_manifest(results, plan, settings)


def entries(store):
    return {entry["movie_id"]: entry for entry in read_json(store, layout.POSTER_MANIFEST)["posters"]}


def test_the_most_recommended_movies_come_first_and_lists_bound_what_is_wanted(store, settings):
    assert posters.plan(CONFIG, settings)["batches"] == [[3, 1], [2]]
    assert posters.plan(PosterConfig(max_posters=1), settings)["batches"] == [[3]]
    assert posters.plan(PosterConfig(max_posters=0), settings)["batches"] == []


def test_posters_of_the_lists_are_fetched_from_the_local_site_and_listed_as_drawn(store, settings):
    plan, results, summary = run(settings)

    assert plan["source"] == "local-site"
    # Movie 2 has no IMDb id, so the site cannot have it.
    counts = {"n_stored": 2, "n_failed": 0, "n_missing": 1, "n_reused": 0, "n_known": 2}
    assert summary == {"manifest": store.uri("posters/manifest.json"), **counts}
    with Image.open(io.BytesIO(store.get(layout.poster_image(3)))) as image:
        assert (image.format, image.size) == ("JPEG", (500, 750))
    three, two = entries(store)[3], entries(store)[2]
    assert (three["status"], three["source"], three["is_drawn"]) == ("stored", "local-site", True)
    assert three["key"] == "posters/images/3.jpg"
    assert three["size_bytes"] == store.size_bytes(three["key"])
    assert (two["status"], two["error"].startswith("movie 2 has no IMDb id")) == ("missing", True)
    assert "placeholders" in read_json(store, layout.POSTER_MANIFEST)["note"]
    json.dumps(results)


def test_a_second_run_fetches_nothing_again(store, settings):
    run(settings)
    plan, _, summary = run(settings)
    assert plan["batches"] == [[2]]  # asked again: a poster may have appeared
    assert (summary["n_reused"], summary["n_known"], summary["n_stored"]) == (2, 2, 0)


def test_a_lost_image_is_fetched_again(store, settings):
    run(settings)
    store.delete(layout.poster_image(3))
    assert posters.plan(CONFIG, settings)["batches"] == [[3, 2]]


def test_an_id_that_stands_for_another_movie_now_loses_the_old_poster(store, settings):
    run(settings)
    publish(store, "v2", {**TITLES, 3: "Quite Another (1950)"})
    before = store.get(layout.poster_image(3))
    plan, _, _ = run(settings)
    assert 3 in plan["batches"][0]
    assert store.get(layout.poster_image(3)) != before

    publish(store, "v3", {**TITLES, 1: "Renamed (1960)"}, lists=[(1, 3)])
    run(settings)
    assert 1 not in entries(store)
    assert not store.exists(layout.poster_image(1))


def misbehaving(**pages):
    """A site where movie 1 has a poster, and movie 3 what `pages` says."""
    routes = {"/robots.txt": answer(404)}
    for movie, body in {
        1: draw_poster("One", 2001, []),
        **{int(name[1:]): value for name, value in pages.items()},
    }.items():
        page = f'<meta property="og:image" content="/{movie}.jpg">'.encode()
        routes[f"/title/tt000000{movie}/"] = answer(body=page)
        routes[f"/{movie}.jpg"] = body if callable(body) else answer(body=body)
    return server(routes)


def test_one_bad_image_is_a_row_with_an_error_and_the_rest_is_stored(store, settings):
    with misbehaving(_3=b"<html>prove that you are human</html>") as (base, _):
        _, _, summary = run(Settings(state_dir=settings.state_dir, poster_site_url=base))
    assert (summary["n_stored"], summary["n_failed"], summary["n_missing"]) == (1, 1, 1)
    assert entries(store)[3]["error"].startswith("DataError: a body of 37 bytes beginning '<html>prove")
    assert entries(store)[1]["is_drawn"] is False  # not the local site: its pages do not say so
    assert not store.exists(layout.poster_image(3))


def test_a_failure_does_not_push_aside_a_poster_fetched_before(store, settings):
    run(settings)
    with misbehaving(_3=b"garbage") as (base, _):
        run(Settings(state_dir=settings.state_dir, poster_site_url=base))
    assert (entries(store)[3]["status"], entries(store)[3]["source"]) == ("stored", "local-site")
    assert store.exists(layout.poster_image(3))


def test_a_batch_that_fails_whole_is_retried_when_the_fault_may_pass_and_not_when_it_will_not(store, settings):
    with misbehaving(_3=answer(503, Retry_After="999")) as (base, _):
        site = Settings(state_dir=settings.state_dir, poster_site_url=base)
        with pytest.raises(TransientError, match=r"1 of 1 posters failed, none was stored.*answered 503"):
            posters.fetch([3], CONFIG, site)
    with misbehaving(_3=b"garbage") as (base, _):
        site = Settings(state_dir=settings.state_dir, poster_site_url=base)
        with pytest.raises(PermanentError, match="none was stored") as caught:
            posters.fetch([3], CONFIG, site)
        assert not isinstance(caught.value, TransientError)


def test_a_batch_of_movies_the_source_has_not_is_no_failure_but_a_source_without_any_poster_is(store, settings):
    with server({"/robots.txt": answer(404), "/title/tt0000001/": answer(404), "/title/tt0000003/": answer(404)}) as (
        base,
        _,
    ):
        site = Settings(state_dir=settings.state_dir, poster_site_url=base)
        assert [row["status"] for row in posters.fetch([1, 3], CONFIG, site)] == ["missing", "missing"]
        with pytest.raises(PermanentError, match="no poster of any of the 3 wanted movies"):
            run(site)
    assert entries(store)[1]["status"] == "missing"  # the manifest was written all the same


def test_a_source_that_is_away_is_not_asked_for_every_movie(settings):
    store = open_store(settings.resolved_store_url)
    titles = {m: f"Movie {m}" for m in range(1, 10)} | {m + 100: f"Movie {m}" for m in range(60)}
    publish(store, titles=titles)
    with server({"/robots.txt": answer(403)}) as (base, requests):
        site = Settings(state_dir=settings.state_dir, poster_site_url=base)
        with pytest.raises(PermanentError, match="posters failed, none was stored"):
            posters.fetch(list(titles), CONFIG, site)
    assert len(requests) < 20  # of 69 movies


def test_the_source_follows_from_the_settings_and_invented_movies_are_never_looked_up(settings):
    def name(is_invented=False, **more):
        return posters.source_name(Settings(state_dir=settings.state_dir, **more), is_invented)

    assert name() == "local-site"
    assert name(poster_site_url="https://example.org/") == "example.org"
    assert name(poster_site_url="https://example.org", tmdb_token="x") == "tmdb"
    assert name(is_invented=True, tmdb_token="x") == "local-site"


def test_a_poster_site_that_is_no_address_is_refused(store, settings):
    with pytest.raises(ConfigError, match="RECSYS_POSTER_SITE_URL"):
        posters.fetch([1], CONFIG, Settings(state_dir=settings.state_dir, poster_site_url="example.org"))


def test_without_lists_there_is_nothing_to_plan(settings):
    with pytest.raises(NotFoundError, match="no published tables yet"):
        posters.plan(CONFIG, settings)
