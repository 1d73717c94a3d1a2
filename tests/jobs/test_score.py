"""The scoring jobs over a snapshot and a model small enough to know: written once, checked, published whole."""

import numpy as np
import pyarrow as pa
import pytest

from recsys import columns
from recsys.config import ScoreConfig
from recsys.errors import DataError
from recsys.jobs import score
from recsys.models.factors import Biases, Factors
from recsys.models.recommender import RatingModel, Recommender
from recsys.storage import layout, releases
from recsys.storage.store import open_store
from recsys.storage.tables import read_json, read_table, write_json, write_table

pytestmark = pytest.mark.spark

CHAMPION = {
    "model_version": "recsys-tiny-v3",
    "model_uri": "models:/recsys-tiny/3",
    "run_id": "run3",
    "model_prefix": "models/run3",
    "snapshot_id": "tiny-0123",
}
CONFIG = ScoreConfig(k=3, n_similar=2)
N_USERS, N_MOVIES = 30, 12


@pytest.fixture
def store(settings):
    """A snapshot of 30 users and 12 movies; the model knows users 1 to 28 and movies 1 to 10."""
    store = open_store(settings.resolved_store_url)
    rng = np.random.default_rng(5)
    pairs = np.array([(u, m) for u in range(1, N_USERS + 1) for m in range(1, 12) if rng.random() < 0.4], np.int32)
    users, movies = pairs.T
    stars = ((users + movies) % 5 + 1).astype(np.float32)
    when = pa.array(np.full(len(users), "2025-01-01", "datetime64[ms]")).cast(pa.timestamp("ms", tz="UTC"))
    tables = {
        "ratings": pa.Table.from_arrays([*map(pa.array, (users, movies, stars)), when], schema=columns.RATINGS),
        "movies": pa.table(
            {
                "movie_id": range(1, N_MOVIES + 1),
                "title": [f"Movie {m}" for m in range(1, N_MOVIES + 1)],
                "year": [2000] * N_MOVIES,
                "genres": [["Drama"] if m % 2 else ["Comedy", "Drama"] for m in range(1, N_MOVIES + 1)],
            },
            schema=columns.MOVIES,
        ),
        "links": pa.table({"movie_id": [2, 1], "imdb_id": ["tt0000002", None], "tmdb_id": [22, 11]}, columns.LINKS),
    }
    for name, table in tables.items():
        write_table(store, layout.snapshot_table("tiny-0123", name), table)
    write_json(store, layout.snapshot_manifest("tiny-0123"), {"dataset": "tiny", "is_invented": True})
    known_users, known_movies = np.arange(1, 29, dtype=np.int32), np.arange(1, 11, dtype=np.int32)
    factors = Factors(
        known_users,
        rng.normal(size=(28, 4)).astype(np.float32),
        known_movies,
        rng.normal(size=(10, 4)).astype(np.float32),
    )
    biases = Biases(3.0, known_users, np.zeros(28, np.float32), known_movies, np.linspace(-4, 4, 10, dtype=np.float32))
    recommender = Recommender(
        factors, RatingModel(biases, factors, 1.0, 5.0), known_movies, np.arange(10, 0, -1, dtype=np.int32)
    )
    store.put(layout.recommender("models/run3"), recommender.to_bytes())
    return store


@pytest.fixture(autouse=True)
def _one_session(spark, monkeypatch):
    """The jobs use the tests' session instead of starting, and stopping, their own."""
    from contextlib import nullcontext

    monkeypatch.setattr(score, "spark_session", lambda *_: nullcontext(spark))


def run(settings, scoring_id="first", config=CONFIG):
    lists = score.score_lists(CHAMPION, config, scoring_id, settings)
    similar = score.score_similar(CHAMPION, config, scoring_id, settings)
    return lists, similar


def test_three_tables_are_published_in_one_release_with_their_lineage(store, settings):
    lists, similar = run(settings)
    assert releases.history(store) == []  # nothing is visible before publish
    published = score.publish(lists, similar, CHAMPION, CONFIG, settings)

    release = releases.current(store)
    assert published == {
        "release": 1,
        "version_id": release["version_id"],
        "path": store.uri(f"tables/version={release['version_id']}"),
        "n_users": N_USERS,
        "n_movies": N_MOVIES,
    }
    assert set(release["tables"]) == {"recommendations", "similar_movies", "movies"}
    lineage = releases.read_manifest(store, release["version_id"])["lineage"]
    expected = {
        "snapshot_id": "tiny-0123",
        "model_version": "recsys-tiny-v3",
        "k": 3,
        "n_similar": 2,
        "dataset": "tiny",
    }
    assert lineage.items() >= {**expected, "is_invented": True, "run_id": "run3"}.items()
    recommended = pa.concat_tables(read_table(store, key) for key in releases.table_keys(store, "recommendations"))
    # Users 29 and 30 are unknown to the model; both have at least three movies left.
    sources = {row["user_id"]: row["source"] for row in recommended.to_pylist()}
    assert {user for user, source in sources.items() if source == "popular"} >= {29, 30}
    assert lineage["checks"]["recommendations"]["n_rows"] == recommended.num_rows


def test_the_catalogue_joins_links_counts_means_and_an_average_users_stars(store, settings):
    score.publish(*run(settings), CHAMPION, CONFIG, settings)
    catalogue = read_table(store, releases.table_keys(store, "movies")[0])
    rows = {row["movie_id"]: row for row in catalogue.to_pylist()}
    ratings = read_table(store, layout.snapshot_table("tiny-0123", "ratings")).to_pylist()
    of_two = [row["rating"] for row in ratings if row["movie_id"] == 2]

    assert catalogue.schema == columns.CATALOGUE
    assert (rows[2]["imdb_id"], rows[2]["tmdb_id"], rows[2]["n_ratings"]) == ("tt0000002", 22, len(of_two))
    assert rows[2]["mean_rating"] == pytest.approx(sum(of_two) / len(of_two))
    assert (rows[1]["imdb_id"], rows[1]["tmdb_id"]) == (None, 11)
    assert (rows[12]["n_ratings"], rows[12]["mean_rating"], rows[12]["imdb_id"]) == (0, None, None)
    # Mean 3 with biases from -4 to 4: movie 1 is clipped to 1, movie 10 to 5; movie 12 is unknown, so 3.
    assert [rows[m]["predicted_rating"] for m in (1, 10, 12)] == [1, 5, 3]


def test_a_snapshot_older_than_the_table_of_seen_movies_gets_it_once(store, settings):
    key = layout.snapshot_table("tiny-0123", "seen")
    assert not store.exists(key)
    run(settings)
    written = store.get(key)
    assert {row["user_id"] for row in read_table(store, key).to_pylist()} == set(range(1, N_USERS + 1))
    run(settings, "second")
    assert store.get(key) == written


def test_a_retry_after_success_scores_and_releases_nothing_again(store, settings):
    lists, similar = run(settings)
    published = score.publish(lists, similar, CHAMPION, CONFIG, settings)
    before = list(store.list())

    assert run(settings) == (lists, similar)
    assert score.publish(lists, similar, CHAMPION, CONFIG, settings) == published
    assert list(store.list()) == before


def test_a_late_retry_of_an_older_scoring_does_not_push_a_newer_release_aside(store, settings):
    older = run(settings, "older")
    first = score.publish(*older, CHAMPION, CONFIG, settings)
    newer = score.publish(*run(settings, "newer"), CHAMPION, CONFIG, settings)

    assert score.publish(*older, CHAMPION, CONFIG, settings) == first
    assert releases.current(store)["version_id"] == newer["version_id"] != first["version_id"]


def test_files_of_a_killed_attempt_are_neither_named_nor_left_in_the_published_folder(store, settings):
    version_id = score.version_id_of(CHAMPION, CONFIG, "first")
    orphan = f"{layout.version_table(version_id, 'recommendations')}/part-00000-7-dead.parquet"
    write_table(store, orphan, columns.RECOMMENDATIONS.empty_table())  # written, then the process was killed

    score.publish(*run(settings), CHAMPION, CONFIG, settings)

    named = releases.table_keys(store, "recommendations")
    assert orphan not in named
    assert list(store.list(f"{layout.version_table(version_id, 'recommendations')}/")) == sorted(named)


def test_lists_that_break_a_rule_are_not_published_and_the_current_release_stands(store, settings):
    score.publish(*run(settings, "good"), CHAMPION, CONFIG, settings)
    good = releases.current(store)
    lists, similar = run(settings, "bad")
    row = read_json(store, lists["files"])[0]
    table = read_table(store, row["key"])
    broken = table.set_column(1, "rank", pa.array(np.full(table.num_rows, 2, np.int16)))
    write_json(store, lists["files"], [write_table(store, row["key"], broken, overwrite=True)], overwrite=True)

    with pytest.raises(DataError, match="Nothing was published, the current release stands"):
        score.publish(lists, similar, CHAMPION, CONFIG, settings)
    assert releases.current(store) == good


@pytest.mark.parametrize("change", [{"scoring_id": "second"}, {"k": 4}, {"snapshot_id": "tiny-9"}])
def test_another_scoring_snapshot_or_length_is_another_version(change):
    champion = CHAMPION | {name: change[name] for name in change if name in CHAMPION}
    config = ScoreConfig(k=change.get("k", 3), n_similar=2)
    ours = score.version_id_of(CHAMPION, CONFIG, "first")
    assert score.version_id_of(champion, config, change.get("scoring_id", "first")) != ours


def test_the_version_id_is_a_plain_key_whatever_the_names():
    version_id = score.version_id_of(CHAMPION | {"model_version": "../a b/ü"}, CONFIG, "scheduled__2026-11-21T00:00+00")
    assert layout.version(version_id).count("/") == 1
    assert set(version_id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
