"""Where the source's ids are text, users and movies are asked for by them, and shown with them."""

import pytest
from fastapi.testclient import TestClient

from recsys.config import Settings
from recsys.errors import NotFoundError
from recsys.storage.opening import open_store
from recsys.webapp import new_user_lists, queries, source_id_lookup
from recsys.webapp.app import create_app
from recsys.webapp.inputs import read_ratings
from recsys.webapp.summary import summary
from recsys.workspace import Workspace
from tests.webapp import published


@pytest.fixture
def settings(tmp_path):
    settings = Settings(state_dir=tmp_path)
    published.publish_with_source_ids(open_store(settings.resolved_store_url))
    return settings


@pytest.fixture
def store(settings):
    return open_store(settings.resolved_store_url)


def test_ids_are_looked_up_as_they_are_written(store):
    assert [source_id_lookup.user_number(store, text, "v1") for text in ("ann", "0007")] == [1, 7]
    assert [source_id_lookup.movie_number(store, text, "v1") for text in ("A1", "a1")] == [1, 2]
    assert source_id_lookup.user_name(store, 7, "v1") == "0007"
    for text in ("7", "Ann", ""):
        with pytest.raises(NotFoundError, match=r"No user is called .* the source's own, zeros and capitals included"):
            source_id_lookup.user_number(store, text, "v1")


def test_movies_are_shown_with_the_sources_ids(store):
    assert [row["source_movie_id"] for row in queries.user_list(store, 1)] == ["04", "a1"]
    assert [row["source_movie_id"] for row in queries.similar_movies(store, 1)] == ["B/3 ü", "04"]
    assert [row["source_movie_id"] for row in queries.rated_high(store, 1)] == ["B/3 ü", "A1"]
    assert queries.find_movies(store, "heat")[0]["source_movie_id"] == "B/3 ü"


def test_ratings_by_hand_name_movies_as_the_source_does(store):
    assert read_ratings("A1=5, a1=4.5", source_id_lookup.movie_numbers(store, "v1")) == {1: 5.0, 2: 4.5}


def test_the_summary_takes_a_user_as_the_source_calls_them(settings):
    shown = summary(Workspace(settings), "0007").user
    assert (shown.user_id, [row["source_movie_id"] for row in shown.listed]) == ("0007", ["A1"])
    with pytest.raises(NotFoundError, match="No user is called '7'"):
        summary(Workspace(settings), "7")


def test_a_new_users_ratings_name_movies_as_the_source_does_over_the_api_too(store):
    # What is 1 in the tables, the source calls 3.
    published.publish_with_source_ids(store, "v2", movie_names={1: "3", 2: "a1", 3: "B/3 ü", 4: "04"})
    published.store_model(store)
    client = TestClient(create_app(store, recommend=new_user_lists.recommend))
    listed = client.post("/api/lists", json={"ratings": {"3": 5}, "k": 4})
    assert [row["movie_id"] for row in listed.json()] == [3, 4, 2]  # and not 1, which was rated
    assert client.post("/api/lists", json={"ratings": {"1": 5}}).status_code == 404


def test_the_pages_and_the_api_take_the_sources_ids(store):
    client = TestClient(create_app(store))
    page = client.get("/user?user_id=ann").text
    assert "For user ann" in page
    assert 'href="movie?movie_id=04"' in page
    assert "Heat (1995)" in client.get("/movie?movie_id=B/3%20%C3%BC").text
    assert 'placeholder="1 to 7"' not in client.get("/").text  # these are no ids of the source
    assert client.get("/api/users/0007").json()[0]["source_movie_id"] == "A1"
    assert client.get("/api/users/7").status_code == 404


def test_a_list_for_a_new_user_is_asked_for_by_the_sources_ids(store):
    published.store_model(store)
    client = TestClient(create_app(store, recommend=new_user_lists.recommend))
    rows = client.post("/api/lists", json={"ratings": {"A1": 5, "B/3 ü": 4.5}, "k": 1}).json()
    assert [row["source_movie_id"] for row in rows] == ["04"]
    unknown = client.post("/api/lists", json={"ratings": {"4": 5}})
    assert (unknown.status_code, "No movie is called '4'" in unknown.json()["detail"]) == (404, True)
