"""The command line: JSON for programs, tables for people, and an exit status for both."""

import gzip
import json
import logging
import re
import sys

import pytest

from recsys import pipeline
from recsys.cli import commands, entry
from recsys.config import IngestConfig
from recsys.errors import RefusedError, TransientError
from recsys.ingest import tasks
from recsys.messages import SnapshotRef
from recsys.storage import layout, releases, snapshots
from recsys.storage.file_store import FileStore
from recsys.storage.tables import read_json
from recsys.training import runs
from recsys.webapp import queries
from recsys.workspace import Workspace
from tests.lifecycle import test_retention
from tests.storage.interrupting import interruptions
from tests.training.refused import EVALUATED, VERSION
from tests.webapp import published


@pytest.fixture
def store(tmp_path, monkeypatch):
    store = FileStore(tmp_path / "store")
    published.publish(store)
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path))
    return store


@pytest.fixture
def recsys(monkeypatch, capsys):
    """Run a command; returns its exit status, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["recsys", *arguments])
        with pytest.raises(SystemExit) as end:
            entry.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield run
    for handler in set(root.handlers).difference(before):
        root.removeHandler(handler)  # it writes to this test's standard error
    root.setLevel(level)


def test_a_users_list_as_json_has_the_agreed_fields(store, recsys):
    status, out, _ = recsys("recommend", "--user-id", "1", "--json")
    assert status == 0
    rows = json.loads(out)
    assert rows == queries.user_list(store, 1)
    assert list(rows[0]) == ["rank", "movie_id", "title", "score", "predicted_rating"]


def test_neighbours_as_json_have_the_same_fields(store, recsys):
    status, out, _ = recsys("similar", "--movie-id", "1", "--json")
    assert status == 0
    assert [row["title"] for row in json.loads(out)] == ["Heat (1995)", "Story of O, The (1975)"]
    assert list(json.loads(out)[0]) == ["rank", "movie_id", "title", "score", "predicted_rating"]


def test_people_get_a_table_with_titles(store, recsys):
    status, out, _ = recsys("recommend", "--user-id", "1")
    assert status == 0
    assert "Story of O, The (1975)" in out


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("recommend", "--user-id", "99"), 1, "User 99 has no list in the current release"),
        (("similar", "--movie-id", "471"), 1, "Movie 471 is not in the current release"),
        (("rollback", "v9"), 1, "version=v9/manifest.json: no such object"),
        (("ingest", "--set", "min_ratings=0"), 1, "min_ratings: Input should be greater than or equal to 1"),
        (("ingest", "--set", "colour=red"), 1, "colour: Extra inputs are not permitted"),
        (("ingest", "--set", "colour"), 1, "'colour' is no NAME=VALUE"),
        (("run", "--set", "colour=red"), 1, "unknown setting colour"),
        (("ingest", "--dataset", "ml-7b"), 1, "ml-latest-small"),
        (("prune", "--keep", "many"), 2, "--keep"),
        (("recommend",), 2, "--user-id"),
        (("recommend", "--user-id", "1", "--ratings", "1=5"), 2, "--user-id"),
        (("recommend", "--ratings", "1:5"), 1, "'1:5' is no rating"),
        (("recommend", "--ratings", "1=five"), 1, "'1=five' is no rating"),
        (("recommend", "--ratings", "1=6"), 1, "The scale is 1 to 5 stars"),
        (("recommend", "--ratings", "1=nan"), 1, "The scale is 1 to 5 stars"),
        (("recommend", "--ratings", "471=5"), 1, "No movie has the id 471"),
        (("recommend", "--ratings", "1=5", "--k", "0"), 2, "--k"),
        (("recommend", "--ratings", "1=5", "--k", "1001"), 1, "lists have 1 to 1,000 movies"),
        (("recommend", "--csv", "nowhere.csv"), 1, "nowhere.csv: no such file or folder"),
        (("recommend", "--user-id", "9" * 300), 1, "(300 characters) is no user id"),
        (("similar", "--movie-id", "9" * 300), 1, "(300 characters) is no movie id"),
        (("recommend", "--ratings", "9" * 300 + "=5"), 1, "(302 characters) is no rating"),
        (("find", "toy " * 1_000), 1, "titles are looked for by up to 20 words"),
        (("rollback", "v" * 300), 1, "is no valid key"),
        (("score", "--snapshot-id", "s" * 300), 1, "is no valid key"),
        (("dance",), 2, "No such command"),
    ],
)
def test_a_fault_is_one_sentence_and_a_status(store, recsys, arguments, status, sentence):
    published.store_model(store)
    got, _, err = recsys(*arguments)
    assert got == status
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("recommend", "--user-id", "ann"), ("similar", "--movie-id", "A1")])
def test_an_answer_is_of_one_release_when_the_next_numbers_ids_otherwise(tmp_path, monkeypatch, recsys, arguments):
    store = FileStore(tmp_path / "store")
    published.publish_twice_with_other_numbers(store)
    second = store.get(layout.release(2))
    answers = []
    for interruption in interruptions("before"):
        store.delete(layout.release(2))
        interruption.act = lambda: store.put(layout.release(2), second)
        watched = interruption.watch(store)
        monkeypatch.setattr(commands, "_store", lambda: watched)  # noqa: B023
        answers.append(json.loads(recsys(*arguments, "--json")[1]))
    after, before = answers[0], answers[-1]  # published before the first call, and after the last
    assert before != after
    assert all(answer in (before, after) for answer in answers)


def test_somebody_new_gets_a_list_from_ratings_and_is_told_when_it_is_the_popular_one(store, recsys):
    published.store_model(store)
    rows = json.loads(recsys("recommend", "--ratings", "1=5", "--k", "2", "--json")[1])
    # Movies 1, 3 and 4 have the factors 2, 1 and -1, so who likes 1 gets 3, then 4.
    assert [(row["title"], row["source"]) for row in rows] == [
        ("Heat (1995)", "fold_in"), ("Story of O, The (1975)", "fold_in"),
    ]  # fmt: skip
    assert list(rows[0]) == ["rank", "movie_id", "title", "score", "predicted_rating", "source"]
    status, out, _ = recsys("recommend", "--ratings", "", "--k", "2")
    assert (status, "Popular movies" in out, "Toy Story (1995)" in out) == (0, True, True)


def test_ratings_may_come_from_a_file(store, recsys, tmp_path):
    published.store_model(store)
    file = tmp_path / "mine.csv"
    file.write_text("userId,movieId,rating\n9,1,5.0\n9,3,4.5\n", encoding="utf-8-sig")
    written = recsys("recommend", "--ratings", "1=5,3=4.5", "--k", "2", "--json")
    assert recsys("recommend", "--csv", str(file), "--k", "2", "--json") == written
    assert written[0] == 0


def test_ratings_from_a_file_name_movies_as_the_source_does(tmp_path, monkeypatch, recsys):
    store = FileStore(tmp_path / "store")
    published.publish_with_source_ids(store, movie_names={1: "3", 2: "a1", 3: "B/3 ü", 4: "04"})
    published.store_model(store)
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path))
    (tmp_path / "mine.csv").write_text("movie_id,rating\n3,5.0\n")
    rows = json.loads(recsys("recommend", "--csv", str(tmp_path / "mine.csv"), "--json")[1])
    assert [row["source_movie_id"] for row in rows] == ["B/3 ü", "04", "a1"]  # and not 3, which was rated
    (tmp_path / "mine.csv").write_text("movie_id,rating\n1,5.0\n")  # the number in the tables
    status, _, err = recsys("recommend", "--csv", str(tmp_path / "mine.csv"))
    assert (status, "line 2: No movie is called '1'" in err) == (1, True)


@pytest.mark.parametrize(
    "content",
    [
        b"itemId;stars\n1;5,0\n3;4,5\n",
        b"sep=;\r\nfilm;score\r\n1;5\r\n3;4,5\r\n",
        "movieId\trating\n1.0\t5\n3.0\t4.5\n".encode("utf-16"),
        gzip.compress(b"item,rating,\n1,5,\n03,4.5,\n", mtime=0),
    ],
)
def test_ratings_from_a_file_are_read_as_sources_are(store, recsys, tmp_path, content):
    published.store_model(store)
    (tmp_path / "mine.csv").write_bytes(content)
    written = recsys("recommend", "--ratings", "1=5,3=4.5", "--k", "2", "--json")
    assert recsys("recommend", "--csv", str(tmp_path / "mine.csv"), "--k", "2", "--json") == written


def test_ratings_from_a_file_may_have_the_sources_ids(recsys, tmp_path, monkeypatch):
    store = FileStore(tmp_path / "store")
    published.publish_with_source_ids(store)
    published.store_model(store)
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path))
    file = tmp_path / "mine.csv"
    file.write_text('movie_id,rating\nA1,5\n"B/3 ü",4.5\n')
    rows = json.loads(recsys("recommend", "--csv", str(file), "--k", "1", "--json")[1])
    assert [row["source_movie_id"] for row in rows] == ["04"]
    assert (
        recsys("recommend", "--ratings", "A1=5,B/3 ü=4.5", "--k", "1", "--json")[1] == json.dumps(rows, indent=2) + "\n"
    )
    file.write_text("movie_id,rating\nA1,5\n4,4.5\n")  # 04 is another id than 4
    status, _, err = recsys("recommend", "--csv", str(file))
    assert (status, "mine.csv, line 3: No movie is called '4' in the release" in err) == (1, True)
    file.write_text("movie_id,rating\nA1,9\n")
    assert "not on it: A1=9." in recsys("recommend", "--csv", str(file))[2]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,5.0\n", "mine.csv has no header line; none is known as movie_id"),
        ("", "mine.csv is no table"),
        ("who,what\n1,5\n", "mine.csv has the columns who, what; none is known as movie_id"),
        ("movie_id,item_id,rating\n1,1,5\n", "movie_id and item_id could both be movie_id"),
        ("movie_id,rating\n1,5\n3,good\n", "mine.csv, line 3 is no rating: rating is 'good', not a finite number. "
         "The line is '3,good'"),
        ("movie_id,rating\n1\n", "mine.csv, line 2 is no rating: 1 cells where 2 belong. The line is '1'"),
        ("movie_id,rating\n1,5\n,4\n", "mine.csv, line 3 is no rating: movie_id is '', not an id"),
        ("movie_id,rating\n1,5\n471,4\n", "mine.csv, line 3: Movie 471 is not in the current release"),
        ("movie_id,rating\n1,5\nHeat,4\n", "mine.csv, line 3: 'Heat' is no movie id"),
        ("movie_id,rating\n" + "1,5\n" * 10_001, "holds more than 10,000 ratings"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_ratings_is_named(store, recsys, tmp_path, text, sentence):
    (tmp_path / "mine.csv").write_text(text)
    status, _, err = recsys("recommend", "--csv", str(tmp_path / "mine.csv"))
    assert status == 1
    assert sentence in err


def test_a_passing_fault_has_a_status_of_its_own(store, recsys, monkeypatch):
    def away(*_):
        raise TransientError("The store is away.")

    monkeypatch.setattr(queries, "user_list", away)
    status, _, err = recsys("recommend", "--user-id", "1")
    assert (status, err) == (75, "recsys: The store is away.\n")


def test_a_refused_first_model_is_told_in_words(store, recsys, monkeypatch):
    def refused(*_):
        raise RefusedError(runs.refusal(EVALUATED, VERSION))

    monkeypatch.setattr(pipeline, "train_model", refused)
    monkeypatch.setattr(snapshots, "latest", lambda *_: "tiny-1")
    monkeypatch.setattr(snapshots, "snapshot_ref", lambda *_: SnapshotRef(snapshot_id="tiny-1", dataset="tiny"))
    status, _, err = recsys("tune")
    assert status == 1
    assert err.startswith("recsys: No lists were made. recsys-tiny version 1 does not beat popularity. So the gate")
    assert "Traceback" not in err


def test_tuning_where_nobody_reaches_relevant_rating_is_a_sentence(recsys, monkeypatch, tracked_settings, tmp_path):
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tracked_settings.state_dir))
    rows = "".join(f"{user},{movie},{1 + (user + movie) % 3},964982703\n" for user in range(20) for movie in range(9))
    (tmp_path / "low.csv").write_text(f"userId,movieId,rating,timestamp\n{rows}")
    workspace = Workspace(tracked_settings)
    archive = tasks.download(workspace, IngestConfig(dataset=str(tmp_path / "low.csv")), "run-1")
    tasks.parse(workspace, archive)
    tasks.publish(workspace, archive)
    status, _, err = recsys("tune")
    assert status == 1
    assert "reaches relevant_rating 4, the highest is 3. Lists cannot be judged so, and nothing was trained" in err
    assert "Traceback" not in err


def test_rolling_back_is_a_dry_run_until_told_otherwise(store, recsys):
    manifest = releases.read_manifest(store, "v1")
    releases.publish(store, "v2", manifest.tables, manifest.lineage)
    store.delete(layout.snapshot_manifest("snap"))
    status, out, _ = recsys("rollback", "v1")
    assert status == 0
    assert "v1: Snapshot snap, which these lists were made from, was removed since" in out
    assert "Nothing was changed" in out
    assert releases.current(store).version_id == "v2"
    assert recsys("rollback", "v1", "--yes")[0] == 0
    assert releases.current(store).version_id == "v1"
    store.delete(layout.CURRENT)  # a rollback that was killed before it wrote the pointer
    assert recsys("rollback", "v1", "--yes")[1] == "v1 is current already.\n"
    assert read_json(store, layout.CURRENT) == releases.current(store).to_json()
    _, out, _ = recsys("history", "--json")
    assert [(row["number"], row["version_id"], row["reason"]) for row in json.loads(out)] == [
        (1, "v1", "publish"), (2, "v2", "publish"), (3, "v1", "rollback"),
    ]  # fmt: skip


def test_pruning_is_a_dry_run_until_told_otherwise(store, recsys, monkeypatch, tracked_settings):
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tracked_settings.state_dir))
    store = FileStore(tracked_settings.state_dir / "store")
    for day in (1, 2):
        test_retention.publish(store, f"ml-{day}", day)
    _, out, _ = recsys("snapshots", "--keep", "1", "--json")
    assert [(row["snapshot_id"], row["n_ratings"], row["kept_because"]) for row in json.loads(out)] == [
        ("ml-2", 2_000, "among the last 1 of ml"),
        ("ml-1", 1_000, "nothing: prune --keep 1 removes it"),
    ]
    status, out, _ = recsys("prune", "--keep", "1")
    assert status == 0
    assert "snapshots/ml-1: beyond the last 1 of ml" in out
    assert "Would remove 10 objects. Nothing was changed" in out
    assert test_retention.manifests(store) == {"ml-1", "ml-2"}
    assert recsys("prune", "--keep", "1", "--yes")[1] == "Removed 10 objects.\n"
    assert test_retention.manifests(store) == {"ml-2"}
    assert recsys("prune", "--keep", "0")[0] == 2


def test_pruning_without_a_number_keeps_as_many_as_the_ingest_does(recsys, monkeypatch, tracked_settings):
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tracked_settings.state_dir))
    store = FileStore(tracked_settings.state_dir / "store")
    for day in range(1, 12):
        test_retention.publish(store, f"ml-{day:02}", day)
    status, out, _ = recsys("prune")
    assert status == 0
    assert re.findall(r"^snapshots/\S+(?=:)", out, re.MULTILINE) == ["snapshots/ml-01"]  # keep_snapshots is 10


def test_genres_are_words_and_what_is_not_known_is_a_dash(store, recsys):
    status, out, _ = recsys("find", "story of o")
    assert status == 0
    assert " Drama " in out
    assert not re.search(r"[\[\]']Drama|None", out)


def test_help_names_every_command(recsys):
    status, out, _ = recsys("--help")
    assert status == 0
    for command in (
        "run",
        "ingest",
        "tune",
        "score",
        "posters",
        "recommend",
        "similar",
        "summary",
        "rollback",
        "snapshots",
        "prune",
    ):
        assert command in out


def test_nothing_published_yet_says_what_to_run(recsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path / "empty"))
    status, _, err = recsys("recommend", "--user-id", "1")
    assert status == 1
    assert "make run" in err
