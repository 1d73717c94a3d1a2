"""A page shows one release, whatever is published meanwhile, and shows it though what it was made from is gone."""

import io
import re

import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from recsys.pages.summary_page import print_summary
from recsys.storage import layout, releases
from recsys.storage.file_store import FileStore
from recsys.storage.opening import open_store
from recsys.storage.tables import write_json
from recsys.webapp import app, new_user_lists, queries
from recsys.webapp.summary import summary
from recsys.workspace import Workspace
from tests.storage.interrupting import interruptions
from tests.webapp import published

PAGES = ["/", "/user?user_id=1", "/movie?movie_id=1", "/search?q=toy", "/new?ratings=1=5"]
KEYS = {
    "snapshot": layout.snapshot_manifest("snap"),
    "ratings": layout.snapshot_table("snap", "ratings"),
    "model": layout.recommender(layout.model("run")),
    "evaluation": layout.evaluation(layout.model("run")),
    "report": layout.eda_report("snap"),
    "posters": layout.POSTER_MANIFEST,
}


@pytest.fixture
def store(settings):
    """The releases 1 and 2; all titles of the second end with "again"."""
    store = open_store(settings.resolved_store_url)
    published.publish(store)
    published.store_model(store)
    evaluation = {"k": 10, "n_users": 2, "models": {"challenger": {"ndcg_at_10": 0.5}}, "reason": "none before"}
    write_json(store, KEYS["evaluation"], evaluation)
    write_json(store, KEYS["posters"], {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "TITLES", {at: f"{title} again" for at, title in published.TITLES.items()})
        published.publish(store, "v2")
    return store


def get(store, path):
    with TestClient(app.create_app(store, recommend=new_user_lists.recommend)) as client:
        return client.get(path)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_of_one_release_when_another_is_published_between_any_two_calls(store, path):
    second = store.get(layout.release(2))
    for interruption in interruptions("before"):
        store.delete(layout.release(2))
        interruption.act = lambda: store.put(layout.release(2), second)
        watched = interruption.watch(store)
        page = get(watched, path).text
        number = int(re.search(r"Release (\d) of", page).group(1))
        titles = re.findall(r'href="movie\?movie_id=\d+">([^<]+)<', page)
        assert titles
        assert {title.endswith(" again") for title in titles} == {number == 2}
    assert len(interruption.calls) > 5


@pytest.mark.parametrize("path", ["/api/users/ann", "/api/movies/A1/similar"])
def test_an_answer_of_the_api_is_of_one_release_when_the_next_numbers_ids_otherwise(tmp_path, path):
    store = FileStore(tmp_path)
    published.publish_twice_with_other_numbers(store)
    second, after = store.get(layout.release(2)), get(store, path).json()
    store.delete(layout.release(2))
    before = get(store, path).json()
    assert before != after
    answers = []
    for interruption in interruptions("before"):
        store.delete(layout.release(2))
        interruption.act = lambda: store.put(layout.release(2), second)
        watched = interruption.watch(store)
        answers.append(get(watched, path).json())
    assert all(answer in (before, after) for answer in answers)
    assert before in answers
    assert after in answers


@pytest.fixture
def rolled_back(store):
    releases.rollback(store, "v1")
    return store


def remove(store, name):
    assert store.exists(KEYS[name])
    store.delete(KEYS[name])
    if name == "snapshot":
        store.delete(KEYS["ratings"])


def printed(settings):
    console = Console(file=io.StringIO(), width=160)
    print_summary(summary(Workspace(settings)), console)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("snapshot", "Snapshot snap, which these lists were made from, was removed since"),
        ("ratings", "Release 3 of"),
        ("model", "The model of run run is not in the store any more"),
        ("evaluation", "Release 3 of"),
        ("report", "There is no exploratory report of snapshot snap."),
        ("posters", "Release 3 of"),
    ],
)
def test_pages_of_a_release_that_was_rolled_back_to_say_what_is_gone(rolled_back, name, sentence):
    remove(rolled_back, name)
    with TestClient(app.create_app(rolled_back, recommend=new_user_lists.recommend)) as client:
        answers = {path: client.get(path) for path in PAGES}
    if name == "model":
        assert answers["/new?ratings=1=5"].status_code == 404
        assert "the model of the release is not in" in answers.pop("/new?ratings=1=5").text
    assert {answer.status_code for answer in answers.values()} == {200}
    assert all(sentence in answer.text for answer in answers.values())
    assert all("Toy Story (1995)" in answers[path].text for path in ("/", "/search?q=toy"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("snapshot", "Snapshot snap, which these lists were made from, was removed since"),
        ("ratings", "Release 3: 4 movies"),
        ("model", "The model of run run is not in the store any more"),
        ("evaluation", "its evaluation was removed from the store"),
        ("report", "There is no exploratory report of snapshot snap."),
        ("posters", "Release 3: 4 movies"),
    ],
)
def test_the_summary_of_a_release_that_was_rolled_back_to_says_what_is_gone(rolled_back, settings, name, sentence):
    remove(rolled_back, name)
    text = printed(settings)
    assert sentence in text
    assert "recsys-sample-v1 on sample" in text
    assert re.search("Recommended to user [17]", text)
    assert ("rated high" in text) == (name not in {"snapshot", "ratings"})
    assert ("posters" in text) == (name != "posters")


def test_where_everything_is_there_nothing_is_said_to_be_gone(store, settings):
    assert queries.gone(store, queries.published(store).lineage) == []
    assert not re.search("removed|not in the store|no exploratory", printed(settings) + get(store, "/").text)


@pytest.mark.parametrize("path", PAGES[1:])
def test_a_page_of_nothing_says_what_to_run(tmp_path, path):
    answer = get(FileStore(tmp_path), path)
    assert answer.status_code == 404
    assert "holds no published tables yet. Run `make run`" in answer.text


def test_a_release_whose_tables_are_gone_is_not_nothing(rolled_back):
    rolled_back.delete(f"{layout.version('v1')}/{layout.MANIFEST}")
    answer = get(rolled_back, "/")
    assert answer.status_code == 404
    assert "version=v1/manifest.json: no such object" in answer.text
    assert "Nothing is published yet" not in answer.text
