"""Whatever is asked for is answered soon, with a short sentence: every input of the pages and the API has limits."""

import json

import pytest
from fastapi.testclient import TestClient

from recsys.config import Settings
from recsys.errors import ConfigError
from recsys.storage.opening import open_store
from recsys.webapp import inputs, new_user_lists, queries
from recsys.webapp.app import create_app
from tests.webapp import published

LONG = "9" * 300
LONGEST = "9" * 5_000  # more digits than Python turns into a number


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(state_dir=tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def store(settings):
    store = open_store(settings.resolved_store_url)
    published.publish(store)
    published.store_model(store)
    return store


@pytest.fixture(scope="module")
def client(store):
    with TestClient(create_app(store, recommend=new_user_lists.recommend)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "query", "status", "sentence"),
    [
        ("/search", {"q": " ".join(map(str, range(5_000)))}, 400, "titles are looked for by up to 20 words"),
        ("/search", {"q": "toy" * 20_000}, 400, "words in 60,000 characters"),
        ("/api/movies", {"q": " ".join(map(str, range(21)))}, 400, "21 different words"),
        ("/user", {"user_id": LONG}, 404, "(300 characters) is no user id"),
        ("/user", {"user_id": LONGEST}, 404, "is no user id"),
        ("/user", {"user_id": "4_2"}, 404, "is no user id"),
        ("/user", {"user_id": "9999999999"}, 404, "User 9999999999 has no list"),
        ("/movie", {"movie_id": f"-{LONG}"}, 404, "is no movie id"),
        ("/movie", {"movie_id": "nan"}, 404, "is no movie id"),
        (f"/api/users/{LONG}", {}, 404, "(300 characters) is no user id"),
        (f"/api/users/{LONGEST}", {}, 404, "is no user id"),
        (f"/api/movies/-{LONG}/similar", {}, 404, "is no movie id"),
        ("/poster", {"movie_id": LONG}, 422, "less than 2147483648"),
        ("/poster", {"movie_id": "inf"}, 422, "valid integer"),
        (f"/reports/eda/{LONG}.html", {}, 404, "is no report"),
        (f"/reports/{'a/' * 2_000}b.html", {}, 404, "is no report"),
        (f"/reports/eda/{'ü' * 200}.html", {}, 404, "is no report"),
        ("/new", {"ratings": f"{LONG}=5"}, 400, "(302 characters) is no rating"),
        ("/new", {"ratings": f"1={LONGEST}"}, 400, "1 of 1 ratings are not on it"),
        ("/new", {"ratings": "1=1e999"}, 400, "The scale is 1 to 5 stars"),
        ("/new", {"ratings": ",".join(f"{at}=9" for at in range(4_000))}, 400, "4,000 of 4,000 ratings are not on it"),
        ("/new", {"ratings": ",".join(f"{at}=5" for at in range(4_000))}, 404, "No movie has the id 0, 5, 6"),
    ],
)
def test_what_is_too_much_is_refused_in_a_short_sentence(client, path, query, status, sentence):
    answer = client.get(path, params=query)
    assert answer.status_code == status
    text = answer.text.replace("&#39;", "'")
    assert sentence in text
    assert len(text) < len(client.get("/").text) + 1_000  # what was sent is not sent back whole


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (json.dumps({"ratings": {str(at): 5 for at in range(100_000)}}), 413),
        (" " * 2_000_000 + "{}", 413),
        ("[" * 500_000, 400),
        (json.dumps({"ratings": {str(at): 5 for at in range(10_001)}}), 400),
        (json.dumps({"ratings": {LONG: 5}}), 404),
        (json.dumps({"ratings": {LONGEST: 5}}), 404),
        (json.dumps({"ratings": {"x" * 100_000: 5}}), 404),
        (json.dumps({"ratings": {f"x{at}": "y" for at in range(9_000)}}), 422),
        (r'{"ratings": {"\ud800": 5}}', 404),
        ('{"ratings": {"1": 5}, "k": 1' + "0" * 300 + "}", 400),
        ('{"ratings": {"1": 5}, "k": 1' + "0" * 5_000 + "}", 400),
        ('{"ratings": {"1": 5}, "k": NaN}', 422),
        ('{"ratings": {"1": 5}, "k": -Infinity}', 422),
        ('{"ratings": {"1": 5}, "k": 1e999}', 422),
        ('{"ratings": {"1": -Infinity}}', 400),
    ],
)
def test_bodies_that_are_too_large_or_make_no_sense_are_answered_briefly(client, body, status):
    answer = client.post("/api/lists", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert len(answer.content) < 5_000


def test_a_body_without_a_stated_length_ends_where_it_is_too_large(client):
    answer = client.post("/api/lists", content=(b" " * 100_000 for _ in range(100)))
    assert answer.status_code == 413
    assert "transfer-encoding" in answer.request.headers


def test_as_much_as_is_allowed_is_answered(client):
    text = " ".join(f"w{at:03}" for at in range(20))
    assert client.get("/search", params={"q": text}).status_code == 200
    assert client.get("/new", params={"ratings": ",".join(["1=5"] * 4_000)}).status_code == 200


def test_titles_are_made_ready_once_for_all_searches(store, monkeypatch):
    queries.find_movies(store, "toy")
    monkeypatch.setattr(queries, "catalogue", None)  # whatever is asked now finds the titles as they were made ready
    assert [row["movie_id"] for row in queries.find_movies(store, "HEAT")] == [3]
    assert [row["movie_id"] for row in queries.most_rated(store, 2)] == [1, 3]


@pytest.mark.parametrize("text", ["x" * 201, " ".join(map(str, range(21)))])
def test_the_terminal_has_the_same_limits(store, text):
    with pytest.raises(ConfigError, match=r"Nothing was looked up\. Leave some out"):
        queries.find_movies(store, text)
    with pytest.raises(ConfigError, match=r"300,001 characters|10,002 ratings"):
        inputs.read_ratings("1" * 300_001 if "x" in text else "," * 10_001)
