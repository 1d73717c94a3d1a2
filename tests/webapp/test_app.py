"""The web pages and JSON over the published tables."""

import re

import pytest
from fastapi import Depends, HTTPException
from fastapi.testclient import TestClient

from recsys.storage import layout
from recsys.storage.file_store import FileStore
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json
from recsys.webapp import new_user_lists
from recsys.webapp.app import create_app
from tests.webapp import published

ROUTES = ["/", "/user?user_id=1", "/movie?movie_id=1", "/search?q=toy", "/poster?movie_id=4", "/reports/eda/snap.html",
          "/api/release", "/api/users/1", "/api/movies/1/similar", "/api/movies?q=toy", "/new?ratings=1=5"]  # fmt: skip


@pytest.fixture
def store(settings):
    store = open_store(settings.resolved_store_url)
    published.publish(store)
    store.put(layout.poster_image(4), b"\xff\xd8jpeg")
    return store


@pytest.fixture
def client(store):
    published.store_model(store)
    with TestClient(create_app(store, recommend=new_user_lists.recommend)) as client:
        yield client


def test_the_first_page_offers_movies_and_ids_to_begin_with(client):
    page = client.get("/").text
    assert "The most rated movies" in page
    assert "Heat (1995)" in page
    assert 'placeholder="1 to 7"' in page


def test_a_users_page_shows_the_list_and_what_the_user_rated_high(client):
    page = client.get("/user?user_id=1").text
    assert page.index("Story of O, The (1975)") < page.index("What user 1 rated highest") < page.index("Heat (1995)")
    assert "invented" in page


def test_a_user_the_model_does_not_know_is_told_so(client):
    assert "these are popular movies" in client.get("/user?user_id=7").text


def test_somebody_new_gets_a_page_from_ratings_in_the_address(client):
    page = client.get("/new", params={"ratings": "1=5, 3=4.5"}).text
    assert page.index("For somebody new") < page.index("Story of O, The (1975)")
    assert 'value="1=5, 3=4.5"' in page
    assert "popular movies" not in page
    assert "these are popular movies" in client.get("/new").text
    assert "<script" not in client.get("/new", params={"ratings": '"><script>'}).text


def test_somebody_new_gets_a_list_over_the_api_with_its_source(client):
    answer = client.post("/api/lists", json={"ratings": {"1": 5}, "k": 2})
    # Movies 1, 3 and 4 have the factors 2, 1 and -1: one rating of 5 stars for 1 makes x = (1 + 5) 2 / (6 + 5 4 + 1).
    assert [(row["movie_id"], row["score"], row["source"]) for row in answer.json()] == [
        (3, pytest.approx(12 / 27), "fold_in"), (4, pytest.approx(-12 / 27), "fold_in"),
    ]  # fmt: skip
    popular = client.post("/api/lists", json={"ratings": {}, "k": 1}).json()
    assert [(row["movie_id"], row["source"]) for row in popular] == [(1, "popular")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"ratings": {"1": 6}}', 400),
        ('{"ratings": {"1": NaN}}', 400),
        ('{"ratings": {"1": 5}, "k": 0}', 400),
        ('{"ratings": {"1": 5}, "k": 1000000000000}', 400),
        ('{"ratings": {"471": 5}}', 404),
        ('{"ratings": {"99999999999999999999": 5}}', 404),
        ('{"ratings": {"one": 5}}', 404),
        ('{"ratings": {"1": "five"}}', 422),
        ('{"ratings": {"1": [NaN]}}', 422),
        ('{"ratings": [1, 5]}', 422),
        ('{"ratings": {}, "colour": "red"}', 422),
        ("{}", 422),
        ("ratings", 422),
        ('{"ratings": {"1": Infinity}}', 400),
    ],
)
def test_ratings_that_make_no_sense_are_answered_with_a_reason(client, body, status):
    answer = client.post("/api/lists", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_titles_are_escaped(client):
    page = client.get("/user?user_id=1").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "<script" not in client.get("/search", params={"q": "<script>"}).text


def test_a_movies_page_shows_its_neighbours_and_the_posters_there_are(client):
    page = client.get("/movie?movie_id=1").text
    assert "Heat (1995)" in page
    assert 'src="poster?movie_id=4"' in page
    assert 'src="poster?movie_id=3"' not in page
    assert client.get("/poster?movie_id=4").headers["content-type"] == "image/jpeg"
    assert client.get("/poster?movie_id=3").status_code == 404


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/user?user_id=99", "User 99 has no list"),
        ("/user?user_id=abc", "is no user id: it must be a whole number"),
        ("/movie?movie_id=471", "Movie 471 is not in the current release"),
        ("/reports/eda/none.html", "reports/eda/none.html: no such object"),
    ],
)
def test_what_is_not_there_is_answered_with_a_sentence(client, path, sentence):
    answer = client.get(path)
    assert answer.status_code == 404
    assert sentence in answer.text


def test_json_has_the_rows_of_the_command_line(client):
    assert client.get("/api/users/1").json()[0] == {
        "rank": 1, "movie_id": 4, "title": "Story of O, The (1975)", "score": 0.75, "predicted_rating": 4.25,
    }  # fmt: skip
    assert [row["movie_id"] for row in client.get("/api/movies/1/similar").json()] == [3, 4]
    assert client.get("/api/movies?q=toy").json()[0]["movie_id"] == 1
    assert client.get("/api/users/99").json()["detail"].startswith("User 99 has no list")
    assert client.get("/api/users/x").status_code == 404
    assert (
        client.get("/api/users/x").json()["detail"]
        == "'x' is no user id: it must be a whole number of up to 10 digits."
    )


@pytest.mark.parametrize(
    "path",
    [
        "../tables/current.json",
        "%2e%2e/tables/current.json",
        "eda/..%2f..%2ftables/current.json",
        "eda%2f%2e%2e%2f%2e%2e%2ftables%2fcurrent.json",
        "/etc/hosts.html",
        "%2fetc%2fhosts.html",
        "eda/%2e/snap.html",
        "eda//snap.html",
        "eda\\snap.html",
        "eda/snap.html%00.png",
        "eda/",
        "eda",
        "",
        "eda/snap.parquet",
        "eda/snap",
    ],
)
def test_only_reports_are_served_below_reports(client, path):
    answer = client.get(f"/reports/{path}")
    assert answer.status_code == 404
    assert "version" not in answer.text  # nothing of tables/current.json


def test_the_first_page_links_the_reports_there_are_by_addresses_that_work(client, store):
    store.put(layout.validation_report("in-1"), b"<html>rules</html>")
    store.put(f"{layout.data_docs('in-1')}/index.html", b"<html>docs</html>")
    links = dict(re.findall(r'<a href="(reports/[^"]+)">([^<]+)</a>', client.get("/").text))
    assert links == {
        "reports/eda/snap.html": "Exploratory report",
        "reports/validation/in-1.html": "Validation report",
    }
    assert client.get("/reports/validation/in-1.html").content == b"<html>rules</html>"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("static/a.css", "text/css; charset=utf-8"),
        ("static/a.js", "text/javascript; charset=utf-8"),
        ("static/a.png", "image/png"),
        ("static/a.svg", "image/svg+xml"),
        ("static/a.woff2", "font/woff2"),
        ("results.json", "application/json"),
    ],
)
def test_a_report_of_many_files_is_served_file_by_file_and_may_run_nothing(client, store, name, media_type):
    store.put(f"{layout.data_docs('in-1')}/{name}", b"content")
    answer = client.get(f"/reports/data-docs/in-1/{name}")
    assert (answer.content, answer.headers["content-type"]) == (b"content", media_type)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; ")
    assert "script" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_api_answers_the_release_and_its_lineage_as_they_are_stored(client, store):
    manifest = read_json(store, f"{layout.version('v1')}/{layout.MANIFEST}")
    assert client.get("/api/release").json() == {**read_json(store, layout.CURRENT), "lineage": manifest["lineage"]}


def test_an_empty_store_says_what_to_run(tmp_path):
    with TestClient(create_app(FileStore(tmp_path))) as client:
        answer = client.get("/")
    assert answer.status_code == 200
    assert "make run" in answer.text


@pytest.mark.parametrize("path", ROUTES)
def test_every_answer_forbids_scripts_and_foreign_frames(client, path):
    headers = client.get(path).headers
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    # A report draws with scripts, but in an origin of its own, where no cookie of Airflow's is.
    assert ("script-src" in policy) == policy.startswith("sandbox allow-scripts;") == path.startswith("/reports/eda")


@pytest.mark.parametrize("path", [*ROUTES, "/docs", "/openapi.json"])
def test_every_route_depends_on_what_it_is_given(store, path):
    def refuse():
        raise HTTPException(401)

    with TestClient(create_app(store, [Depends(refuse)], new_user_lists.recommend)) as client:
        assert client.post("/api/lists", json={"ratings": {}}).status_code == 401
        assert client.get(path).status_code in {401, 404}
        assert client.get(path).status_code == 401 or path in {"/docs", "/openapi.json"}
