"""The scoring jobs over a snapshot and a model small enough to know: written once, checked, published whole."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from recsys import columns
from recsys.config import ScoreConfig
from recsys.errors import ConfigError, DataError, NotFoundError
from recsys.messages import ChampionRef, ModelVersion, PublishedTables
from recsys.models.factors import Biases, Factors
from recsys.models.fold_in import ranking_vector
from recsys.models.recipe import Member, Recipe
from recsys.models.recommender import RatingModel, Recommender
from recsys.scoring import tasks
from recsys.storage import layout, releases
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, read_table, write_json, write_table
from recsys.webapp import new_user_lists, queries
from recsys.webapp.app import create_app
from tests.storage.manifests import write_manifest

pytestmark = pytest.mark.spark

CHAMPION = ChampionRef(
    model=ModelVersion(name="recsys-tiny", number=3, uri="models:/recsys-tiny/3"),
    mlflow_run_id="run3",
    model_prefix="models/run3",
    dataset="tiny",
    snapshot_id="tiny-0123",
)
CONFIG = ScoreConfig(k=3, n_similar=2, min_support=0)
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
    write_manifest(store, "tiny-0123")
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


def run(workspace, scoring_id="first", config=CONFIG):
    lists = tasks.score_lists(workspace, CHAMPION, config, scoring_id)
    similar = tasks.score_similar(workspace, CHAMPION, config, scoring_id)
    return lists, similar


def run_and_publish(workspace, scoring_id="first"):
    return tasks.publish(workspace, *run(workspace, scoring_id), CHAMPION, CONFIG)


def test_three_tables_are_published_in_one_release_with_their_lineage(store, workspace):
    lists, similar = run(workspace)
    assert releases.history(store) == []  # nothing is visible before publish
    published = tasks.publish(workspace, lists, similar, CHAMPION, CONFIG)

    release = releases.current(store)
    assert published == PublishedTables(
        version_id=release.version_id,
        number=1,
        dataset="tiny",
        uri=store.uri(f"tables/version={release.version_id}"),
        n_users=N_USERS,
        n_movies=N_MOVIES,
    )
    assert set(release.tables) == {"recommendations", "similar_movies", "movies"}
    lineage = releases.read_manifest(store, release.version_id).lineage
    expected = {
        "snapshot_id": "tiny-0123",
        "model_version": "recsys-tiny-v3",
        "k": 3,
        "n_similar": 2,
        "dataset": "tiny",
    }
    assert lineage.to_json().items() >= {**expected, "is_invented": True, "run_id": "run3"}.items()
    recommended = pa.concat_tables(read_table(store, key) for key in releases.table_keys(store, "recommendations"))
    # Users 29 and 30 are unknown to the model; both have at least three movies left.
    sources = {row["user_id"]: row["source"] for row in recommended.to_pylist()}
    assert {user for user, source in sources.items() if source == "popular"} >= {29, 30}
    assert lineage.checks["recommendations"]["n_rows"] == recommended.num_rows


def test_the_catalogue_joins_links_counts_means_and_an_average_users_stars(store, workspace):
    run_and_publish(workspace)
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


def test_a_snapshot_older_than_the_table_of_seen_movies_gets_it_once(store, workspace):
    key = layout.snapshot_table("tiny-0123", "seen")
    assert not store.exists(key)
    run(workspace)
    written = store.get(key)
    assert {row["user_id"] for row in read_table(store, key).to_pylist()} == set(range(1, N_USERS + 1))
    run(workspace, "second")
    assert store.get(key) == written


def test_a_retry_after_success_scores_and_releases_nothing_again(store, workspace):
    lists, similar = run(workspace)
    published = tasks.publish(workspace, lists, similar, CHAMPION, CONFIG)
    before = list(store.list())

    assert run(workspace) == (lists, similar)
    assert tasks.publish(workspace, lists, similar, CHAMPION, CONFIG) == published
    assert list(store.list()) == before


def test_a_late_retry_of_an_older_scoring_does_not_push_a_newer_release_aside(store, workspace):
    older = run(workspace, "older")
    first = tasks.publish(workspace, *older, CHAMPION, CONFIG)
    newer = run_and_publish(workspace, "newer")

    assert tasks.publish(workspace, *older, CHAMPION, CONFIG) == first
    assert releases.current(store).version_id == newer.version_id != first.version_id


def test_files_of_a_killed_attempt_are_neither_named_nor_left_in_the_published_folder(store, workspace):
    version_id = tasks.version_id_of(CHAMPION, CONFIG, "first")
    orphan = f"{layout.version_table(version_id, 'recommendations')}/part-00000-7-dead.parquet"
    write_table(store, orphan, columns.RECOMMENDATIONS.empty_table())  # written, then the process was killed

    run_and_publish(workspace)

    named = releases.table_keys(store, "recommendations")
    assert orphan not in named
    assert list(store.list(f"{layout.version_table(version_id, 'recommendations')}/")) == sorted(named)


def test_lists_that_break_a_rule_are_not_published_and_the_current_release_stands(store, workspace):
    run_and_publish(workspace, "good")
    good = releases.current(store)
    lists, similar = run(workspace, "bad")
    row = read_json(store, lists.files_key)[0]
    table = read_table(store, row["key"])
    broken = table.set_column(1, "rank", pa.array(np.full(table.num_rows, 2, np.int16)))
    write_json(store, lists.files_key, [write_table(store, row["key"], broken, overwrite=True)], overwrite=True)

    with pytest.raises(DataError, match="Nothing was published, the current release stands"):
        tasks.publish(workspace, lists, similar, CHAMPION, CONFIG)
    assert releases.current(store) == good


@pytest.mark.parametrize("change", [{"scoring_id": "second"}, {"k": 4}, {"snapshot_id": "tiny-9"}])
def test_another_scoring_snapshot_or_length_is_another_version(change):
    champion = CHAMPION.model_copy(update={name: change[name] for name in change if name == "snapshot_id"})
    config = ScoreConfig(k=change.get("k", 3), n_similar=2)
    ours = tasks.version_id_of(CHAMPION, CONFIG, "first")
    assert tasks.version_id_of(champion, config, change.get("scoring_id", "first")) != ours


def test_the_version_id_is_a_plain_key_whatever_the_names():
    version_id = tasks.version_id_of(
        CHAMPION.model_copy(update={"snapshot_id": "../a b/ü"}), CONFIG, "scheduled__2026-11-21T00:00+00"
    )
    assert layout.version(version_id).count("/") == 1
    assert set(version_id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


RECIPE = Recipe(
    ranking=(Member(rank=4, reg_param=0.1, alpha=2.0),), rating=(Member(rank=4, reg_param=0.1),), newest_ms=10**12
)


@pytest.fixture
def knowing(store):
    """The same model, stored with its recipe, so that users can be folded in."""
    key = layout.recommender("models/run3")
    pair = replace(Recommender.from_bytes(store.get(key)), recipe=RECIPE)
    store.put(key, pair.to_bytes(), overwrite=True)
    new_user_lists._recommender.cache_clear()
    return store


def test_users_who_came_after_the_training_are_folded_in_and_marked(knowing, workspace):
    run_and_publish(workspace)
    lists = pa.concat_tables(
        [read_table(knowing, key) for key in releases.table_keys(knowing, "recommendations", current(knowing))]
    ).to_pandas()
    sources = lists.groupby("user_id").source.agg(set)
    assert set(sources[:28].map(tuple)) <= {("als",), ("als", "popular"), ("popular", "als")}
    assert "fold_in" in sources[29]
    assert "fold_in" in sources[30]
    pair = Recommender.from_bytes(knowing.get(layout.recommender("models/run3")))
    ratings = read_table(knowing, layout.snapshot_table("tiny-0123", "ratings")).to_pandas().query("user_id == 29")
    row = ranking_vector(pair.ranking, ratings.movie_id.to_numpy(), ratings.rating.to_numpy(), 2.0, 0.1)
    scores = {m: float(pair.ranking.movie_factors[m - 1] @ row) for m in range(1, 11) if m not in set(ratings.movie_id)}
    best = sorted(scores, key=lambda m: -scores[m])[:3]
    assert lists.query("user_id == 29").movie_id.tolist()[: len(best)] == best


def test_somebody_new_gets_the_list_that_a_user_with_the_same_ratings_gets(knowing, workspace):
    run_and_publish(workspace)
    ratings = read_table(knowing, layout.snapshot_table("tiny-0123", "ratings")).to_pandas().query("user_id == 29")
    stars = dict(zip(ratings.movie_id.tolist(), ratings.rating.tolist(), strict=True))
    rows = new_user_lists.recommend(knowing, stars, k=3)
    assert [row["title"] for row in rows] == [row["title"] for row in queries.user_list(knowing, 29)]
    assert rows[0]["source"] == "fold_in"
    # User 29 rated in 2025, after the training, so time plays no part; the bias is folded in as well.
    published = [row["predicted_rating"] for row in queries.user_list(knowing, 29)]
    assert [row["predicted_rating"] for row in rows] == pytest.approx(published, abs=1e-4)


@pytest.mark.parametrize("ratings", [{}, {11: 5.0}, {12: 1.0}])
def test_somebody_new_of_whom_the_model_can_make_nothing_gets_popular_movies(knowing, workspace, ratings):
    run_and_publish(workspace)
    rows = new_user_lists.recommend(knowing, ratings, k=3)
    assert [(row["movie_id"], row["source"]) for row in rows] == [(1, "popular"), (2, "popular"), (3, "popular")]


@pytest.mark.parametrize(
    ("ratings", "k", "error", "sentence"),
    [
        ({1: 6.0}, 3, ConfigError, "The scale is 1 to 5 stars"),
        ({1: float("nan")}, 3, ConfigError, "The scale is 1 to 5 stars"),
        ({1: 4.0}, 0, ConfigError, "k is 0"),
        ({1: 4.0, 777: 3.0}, 3, NotFoundError, "No movie has the id 777"),
    ],
)
def test_ratings_that_make_no_sense_are_refused(knowing, workspace, ratings, k, error, sentence):
    run_and_publish(workspace)
    with pytest.raises(error, match=sentence):
        new_user_lists.recommend(knowing, ratings, k)


def test_the_pages_and_the_api_make_lists_for_somebody_new(knowing, workspace):
    run_and_publish(workspace)
    client = TestClient(create_app(knowing, recommend=new_user_lists.recommend))
    wanted = new_user_lists.recommend(knowing, {1: 5.0, 2: 4.0}, 2)
    answer = client.post("/api/lists", json={"ratings": {"1": 5, "2": 4}, "k": 2})
    assert (answer.status_code, answer.json()) == (200, wanted)
    page = client.get("/new", params={"ratings": "1=5, 2=4"})
    assert page.status_code == 200
    assert wanted[0]["title"] in page.text
    assert "popular movies" in client.get("/new").text
    assert client.post("/api/lists", json={"ratings": {"1": 9}}).status_code == 400
    assert client.post("/api/lists", json={"ratings": {"777": 5}}).status_code == 404
    assert client.post("/api/lists", json={"ratings": {"Heat": 5}}).status_code == 404
    refused = client.get("/new", params={"ratings": "<script>=5"})
    assert refused.status_code == 400
    assert "<script>=" not in refused.text
    assert TestClient(create_app(knowing)).get("/new").status_code == 404


def test_a_model_stored_without_its_recipe_folds_nobody_in(store, workspace):
    new_user_lists._recommender.cache_clear()
    run_and_publish(workspace)
    assert {row["source"] for row in new_user_lists.recommend(store, {1: 5.0}, 3)} == {"popular"}
    pair = Recommender.from_bytes(store.get(layout.recommender("models/run3")))
    with pytest.raises(ConfigError, match="without its recipe"):
        pair.fold_in(np.array([9]), np.array([1]), np.array([5.0]), np.array(["2025-01-01"], "datetime64[ms]"))


def current(store):
    return releases.current(store).version_id
