"""The poster jobs over a published release, against the local site and a server that misbehaves."""

import io
import json

import pyarrow as pa
import pytest
from PIL import Image

from recsys import columns, pipeline
from recsys.config import PosterConfig, Settings
from recsys.errors import ConfigError, NotFoundError, PermanentError, TransientError
from recsys.messages import PosterManifestRef, PublishedTables
from recsys.posters import tasks
from recsys.posters.manifest import PosterEntry
from recsys.posters.poster_sources import TmdbSource
from recsys.posters.title_cards import draw_poster
from recsys.storage import layout, releases
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json
from recsys.workspace import Workspace
from tests.posters.servers import answer, server
from tests.storage.versions import lineage, write_file

CONFIG = PosterConfig(batch_size=2, concurrency=2, timeout_s=2)
TITLES = {1: "One (2001)", 2: "Two (2002)", 3: "Three (2003)", 4: "Four (2004)"}
# Movie 3 stands on three lists, 1 and 2 on two, 4 on none.
LISTS = [(1, 3), (1, 1), (2, 3), (2, 2), (3, 3), (3, 1), (4, 2)]


def publish(store, version_id="v1", titles=TITLES, lists=LISTS, is_invented=True, tmdb_ids=None):
    rows = [
        {"user_id": u, "rank": 1, "movie_id": m, "score": 1, "predicted_rating": 3, "source": "als"} for u, m in lists
    ]
    movies = [
        {"movie_id": m, "title": title, "year": 2000 + m, "genres": ["Drama"],
         "tmdb_id": m if tmdb_ids is None else tmdb_ids.get(m),
         "imdb_id": None if m == 2 else f"tt000000{m}", "n_ratings": 1, "mean_rating": 3, "predicted_rating": 3}
        for m, title in titles.items()
    ]  # fmt: skip
    tables = {
        "recommendations": pa.Table.from_pylist(rows, schema=columns.RECOMMENDATIONS),
        "movies": pa.Table.from_pylist(movies, schema=columns.CATALOGUE),
    }
    files = {
        name: [write_file(store, f"{layout.version_table(version_id, name)}/part-0.parquet", table)]
        for name, table in tables.items()
    }
    releases.publish(store, version_id, files, lineage(is_invented=is_invented))


@pytest.fixture
def store(settings):
    store = open_store(settings.resolved_store_url)
    publish(store)
    return store


V1 = PublishedTables(version_id="v1")
V2 = PublishedTables(version_id="v2")


def batches(tables, config, settings, **more):
    return [list(batch) for batch in tasks.plan(Workspace(settings), tables, config, **more).batches]


def run(settings, config=CONFIG, tables=None):
    workspace = Workspace(settings)
    tables = tables or PublishedTables(version_id=releases.current(workspace.store).version_id)
    plan = tasks.plan(workspace, tables, config)
    fetched = [entry for batch in plan.batches for entry in tasks.fetch(workspace, batch, tables, config)]
    return plan, fetched, tasks.write_manifest(workspace, fetched, plan)


def entries(store):
    return {entry["movie_id"]: entry for entry in read_json(store, layout.POSTER_MANIFEST)["posters"]}


def test_the_most_recommended_movies_come_first_and_lists_bound_what_is_wanted(store, settings):
    assert batches(V1, CONFIG, settings) == [[3, 1], [2]]
    assert batches(V1, PosterConfig(max_posters=1), settings) == [[3]]
    assert batches(V1, PosterConfig(max_posters=0), settings) == []


def test_posters_of_the_lists_are_fetched_from_the_local_site_and_listed_as_drawn(store, settings):
    plan, fetched, summary = run(settings)

    assert plan.source == "local-site"
    counts = {"n_stored": 3, "n_drawn": 3, "n_failed": 0, "n_missing": 0, "n_reused": 0, "n_known": 3}
    assert summary == PosterManifestRef(uri=store.uri("posters/manifest.json"), version_id="v1", **counts)
    with Image.open(io.BytesIO(store.get(layout.poster_image(3)))) as image:
        assert (image.format, image.size) == ("JPEG", (500, 750))
    three, two = entries(store)[3], entries(store)[2]
    assert (three["status"], three["source"], three["is_drawn"]) == ("stored", "local-site", True)
    assert three["key"] == "posters/images/3.jpg"
    assert three["size_bytes"] == store.size_bytes(three["key"])
    assert three["drawn_because"] == "local-site says that its posters are drawn"
    # Movie 2 has no IMDb id, so the site cannot have it.
    assert (two["status"], two["source"], two["is_drawn"]) == ("stored", "title-card", True)
    assert two["drawn_because"] == "it has no IMDb id, by which local-site names its pages"
    assert "placeholders" in read_json(store, layout.POSTER_MANIFEST)["note"]
    assert [PosterEntry.read(json.loads(json.dumps(entry.to_json()))) for entry in fetched] == fetched


def test_a_second_run_fetches_nothing_again(store, settings):
    run(settings)
    plan, _, summary = run(settings)
    assert plan.batches == ()
    assert (summary.n_reused, summary.n_known, summary.n_stored) == (3, 3, 0)


def test_a_lost_image_is_fetched_again(store, settings):
    run(settings)
    store.delete(layout.poster_image(3))
    assert batches(V1, CONFIG, settings) == [[3]]


def test_an_id_that_stands_for_another_movie_now_loses_the_old_poster(store, settings):
    run(settings)
    publish(store, "v2", {**TITLES, 3: "Quite Another (1950)"})
    before = store.get(layout.poster_image(3))
    plan, _, _ = run(settings)
    assert 3 in plan.batches[0]
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
    assert (summary.n_stored, summary.n_drawn, summary.n_failed, summary.n_missing) == (2, 1, 1, 0)
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
        with pytest.raises(TransientError, match=r"1 of 1 posters failed, none was fetched.*answered 503"):
            tasks.fetch(Workspace(site), [3], V1, CONFIG)
    with misbehaving(_3=b"garbage") as (base, _):
        site = Settings(state_dir=settings.state_dir, poster_site_url=base)
        with pytest.raises(PermanentError, match="none was fetched") as caught:
            tasks.fetch(Workspace(site), [3], V1, CONFIG)
        assert not isinstance(caught.value, TransientError)


def nothing(**more):
    """A site that knows no movie."""
    pages = {f"/title/tt000000{movie}/": answer(404) for movie in (1, 3)}
    return server({"/robots.txt": answer(404), **pages, **more})


def test_movies_that_the_source_does_not_have_get_title_cards_and_are_asked_for_again(store, settings, caplog):
    with nothing() as (base, _):
        site = Settings(state_dir=settings.state_dir, poster_site_url=base)
        _, _, summary = run(site)
        assert (summary.n_stored, summary.n_drawn) == (3, 3)
        assert entries(store)[3]["drawn_because"] == f"{base}/title/tt0000003/ answered 404: there is nothing."
        assert "has a poster of none of these 3 movies" in caplog.text
        # A poster may have appeared; movie 2 has no id to ask for.
        assert batches(V1, CONFIG, site) == [[3, 1]]
    with misbehaving(_3=draw_poster("Three", 2003, [])) as (base, _):
        run(Settings(state_dir=settings.state_dir, poster_site_url=base))
    assert {at: entry["is_drawn"] for at, entry in entries(store).items()} == {1: False, 2: True, 3: False}


def test_a_title_card_does_not_replace_a_poster_of_its_own(store, settings):
    with misbehaving(_3=draw_poster("Three", 2003, [])) as (base, _):
        run(Settings(state_dir=settings.state_dir, poster_site_url=base))
        before = store.get(layout.poster_image(3)), entries(store)[3]
    with nothing() as (base, _):
        _, _, summary = run(Settings(state_dir=settings.state_dir, poster_site_url=base))
    assert (summary.n_missing, summary.n_stored, summary.n_drawn) == (2, 1, 1)
    publish(store, "v2", is_invented=False)
    plan, _, _ = run(settings)  # no source any more
    assert plan.batches == ((2,),)  # drawn, and for another reason now
    assert (store.get(layout.poster_image(3)), entries(store)[3]) == before


def test_a_batch_is_red_when_its_source_failed_although_title_cards_were_drawn(store, settings):
    with misbehaving(_3=answer(503, Retry_After="999")) as (base, _):
        site = Settings(state_dir=settings.state_dir, poster_site_url=base)
        with pytest.raises(TransientError, match="1 of 2 posters failed, none was fetched"):
            tasks.fetch(Workspace(site), [3, 2], V1, CONFIG)


def test_a_store_that_takes_no_image_is_no_fault_of_the_source(store, settings):
    store.put("posters/images", b"in the way of the folder")
    with misbehaving() as (base, _):
        with pytest.raises(ConfigError, match="a folder of its path is an object"):
            tasks.fetch(Workspace(Settings(state_dir=settings.state_dir, poster_site_url=base)), [1], V1, CONFIG)


@pytest.fixture
def real(settings):
    """A release of real movies, two of which have no ids at all."""
    store = open_store(settings.resolved_store_url)
    publish(store, is_invented=False, tmdb_ids={1: 1})
    return store


def test_real_movies_without_a_source_get_title_cards_and_no_site_is_asked(real, settings, monkeypatch):
    def no_site(*_):
        raise AssertionError("the local site was started for real movies")

    monkeypatch.setattr("recsys.posters.site.PosterSite.__init__", no_site)
    plan, _, summary = run(settings)
    assert plan.source == "title-card"
    assert (summary.n_stored, summary.n_drawn, summary.n_failed) == (3, 3, 0)
    for entry in entries(real).values():
        assert (entry["source"], entry["is_drawn"], entry["page_url"]) == ("title-card", True, None)
        assert entry["drawn_because"].startswith("no source of posters is configured (RECSYS_TMDB_TOKEN or")
    with Image.open(io.BytesIO(real.get(layout.poster_image(2)))) as image:
        assert (image.format, image.size) == ("JPEG", (500, 750))
    plan, _, summary = run(settings)
    assert (plan.batches, summary.n_reused) == ((), 3)


def test_a_later_run_with_a_token_fetches_the_real_posters_and_says_why_the_others_are_drawn(
    real, settings, monkeypatch
):
    run(settings)
    routes = {
        "/3/configuration": lambda h: answer(
            body=json.dumps({"images": {"secure_base_url": f"http://{h.headers['Host']}/"}}).encode()
        )(h),
        "/3/movie/1": answer(body=b'{"id": 1, "poster_path": "/1.jpg"}'),
        "/w500/1.jpg": answer(body=draw_poster("Found", 2001, [])),
        "/3/find/tt0000003?external_source=imdb_id": answer(body=b'{"movie_results": []}'),
    }
    with server(routes) as (base, _):
        monkeypatch.setattr(TmdbSource, "API", base)
        monkeypatch.setattr(TmdbSource, "IMAGES", base)
        _, _, summary = run(Settings(state_dir=settings.state_dir, tmdb_token="x"))
    assert (summary.n_stored, summary.n_drawn) == (3, 2)
    assert (entries(real)[1]["source"], entries(real)[1]["is_drawn"]) == ("tmdb", False)
    assert entries(real)[2]["drawn_because"] == "it has neither a TMDB id nor an IMDb id"
    assert entries(real)[3]["drawn_because"] == "TMDB has no poster of movie 3 (tt0000003, None)."


def test_all_tasks_of_a_run_work_on_the_release_of_its_event_whatever_is_published_meanwhile(store, settings):
    workspace = Workspace(settings)
    plan = tasks.plan(workspace, V1, CONFIG)
    publish(store, "v2", {5: "Five (2005)"}, lists=[(1, 5)])
    fetched = tasks.fetch(workspace, plan.batches[0], V1, CONFIG)
    publish(store, "v3", {6: "Six (2006)"}, lists=[(1, 6)])
    fetched += tasks.fetch(workspace, plan.batches[1], V1, CONFIG)
    summary = tasks.write_manifest(workspace, fetched, plan)
    assert [entry.status for entry in fetched] == ["stored"] * 3
    assert (summary.version_id, summary.n_stored, summary.n_missing) == ("v1", 3, 0)
    assert read_json(store, layout.POSTER_MANIFEST)["version_id"] == "v1"
    assert sorted(entries(store)) == [1, 2, 3]
    run(settings)  # the event of v3
    assert sorted(entries(store)) == [1, 2, 3, 6]


def test_an_older_release_draws_nothing_over_the_movies_of_another_data_set(store, settings):
    publish(store, "v2", {3: "Quite Another (1950)"}, lists=[(1, 3)])
    run(settings)
    before = store.get(layout.poster_image(3)), entries(store)[3]
    plan, _, summary = run(settings, tables=V1)  # its event comes late
    assert (plan.batches, plan.n_superseded) == (((1, 2),), 1)
    assert (store.get(layout.poster_image(3)), entries(store)[3]) == before
    assert summary.n_known == 3


def test_what_another_data_set_supersedes_while_it_is_fetched_is_not_listed(store, settings):
    publish(store, "v0", {3: "Quite Another (1950)"}, lists=[(1, 3)])
    run(settings)
    publish(store, "v2", lists=LISTS)
    workspace = Workspace(settings)
    plan = tasks.plan(workspace, V2, CONFIG)
    fetched = [entry for batch in plan.batches for entry in tasks.fetch(workspace, batch, V2, CONFIG)]
    releases.rollback(store, "v0")
    tasks.write_manifest(workspace, fetched, plan)
    assert sorted(entries(store)) == [1, 2]
    assert not store.exists(layout.poster_image(3))  # it would be shown for Quite Another
    run(settings)
    assert sorted(entries(store)) == [1, 2, 3]


def test_a_release_whose_tables_are_gone_is_named_and_nothing_else_is_used(store, settings):
    publish(store, "v2")
    for key in list(store.list("tables/version=v1/")):
        store.delete(key)
    for job in (
        lambda: tasks.plan(Workspace(settings), V1, CONFIG),
        lambda: tasks.fetch(Workspace(settings), [3], V1, CONFIG),
    ):
        with pytest.raises(NotFoundError, match=r"version v1 of the tables is gone.*for the current release"):
            job()


def test_there_are_never_more_batches_than_the_scheduler_takes(store, settings):
    publish(store, "v2", {at: f"Movie {at}" for at in range(1, 10)}, [(at, at) for at in range(1, 10)])
    config = PosterConfig(batch_size=1)
    for most, sizes in {100: [1] * 9, 9: [1] * 9, 8: [2, 2, 2, 2, 1], 2: [5, 4], 1: [9]}.items():
        found = batches(V2, config, settings, max_batches=most)
        assert [len(batch) for batch in found] == sizes


def test_a_source_that_is_away_is_not_asked_for_every_movie(settings):
    store = open_store(settings.resolved_store_url)
    titles = {m: f"Movie {m}" for m in range(1, 10)} | {m + 100: f"Movie {m}" for m in range(60)}
    publish(store, titles=titles)
    with server({"/robots.txt": answer(403)}) as (base, requests):
        site = Settings(state_dir=settings.state_dir, poster_site_url=base)
        with pytest.raises(PermanentError, match="posters failed, none was fetched"):
            tasks.fetch(Workspace(site), list(titles), V1, CONFIG)
    assert len(requests) < 20  # of 69 movies


def test_the_source_follows_from_the_settings_and_invented_movies_are_never_looked_up(settings):
    def name(is_invented=False, **more):
        return tasks.source_name(Settings(state_dir=settings.state_dir, **more), is_invented)

    assert name() == "title-card"
    assert name(is_invented=True) == "local-site"
    assert name(poster_site_url="https://example.org/") == "example.org"
    assert name(poster_site_url="https://ann:secret@example.org/") == "example.org"
    assert name(poster_site_url="https://example.org", tmdb_token="x") == "tmdb"
    assert name(is_invented=True, tmdb_token="x") == "local-site"


def test_a_poster_site_that_is_no_address_is_refused(store, settings):
    with pytest.raises(ConfigError, match="RECSYS_POSTER_SITE_URL"):
        tasks.fetch(Workspace(Settings(state_dir=settings.state_dir, poster_site_url="example.org")), [1], V1, CONFIG)


def test_without_lists_there_is_nothing_to_fetch(settings):
    with pytest.raises(NotFoundError, match="no published tables yet"):
        pipeline.fetch_posters(Workspace(settings), CONFIG)
