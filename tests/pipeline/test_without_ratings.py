"""A whole chain on purchases: counts are learned from, no rating is predicted, and everything downstream says so."""

import json

import duckdb
import mlflow
import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from recsys import pipeline
from recsys.cli.commands import app
from recsys.config import IngestConfig, PosterConfig, ScoreConfig, TrainConfig
from recsys.models.factors import Factors
from recsys.models.recipe import Member, Recipe
from recsys.models.recommender import Recommender
from recsys.scoring import tasks as scoring_tasks
from recsys.storage import layout, releases
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, write_json
from recsys.tracking.tracking import Tracking
from recsys.training import runs
from recsys.training import tasks as training_tasks
from recsys.training.relevance import for_counts
from recsys.webapp import new_user_lists
from recsys.webapp.app import create_app
from tests.training.tiny import CONFIG

pytestmark = pytest.mark.spark

TRAINING = TrainConfig(
    n_folds=2, ranking_trials=2, max_iter=3, max_rank=8, k=5, n_members=2, baselines=("svd", "bias_order")
)
N_USERS, N_MOVIES = 120, 40


def purchases():
    """Two camps that buy their own movies, some of them again and again; ids are text, and there is no rating."""
    rng = np.random.default_rng(0)
    rows = ["customer,isbn,bought_at"]
    for user in range(N_USERS):
        for movie in range(N_MOVIES):
            n_times = rng.poisson(1.2 if user % 2 == movie % 2 else 0.05)
            rows += [f"ann-{user:03},B{movie:04},2024-0{1 + n % 9}-1{movie % 10}" for n in range(n_times)]
    return "\n".join(rows) + "\n"


def chain(workspace, folder):
    path = folder / "purchases.csv"
    path.write_text(purchases())
    columns = {"user_id": "customer", "movie_id": "isbn", "timestamp": "bought_at"}
    ingested = IngestConfig(dataset=str(path), columns=columns, rating_scale="none")
    snapshot = pipeline.ingest_ratings(workspace, ingested).to_json()
    champion = pipeline.train_model(workspace, snapshot["snapshot_id"], TRAINING)
    tables = pipeline.score_users(workspace, champion, ScoreConfig(k=5, min_support=1))
    pipeline.fetch_posters(workspace, PosterConfig(max_posters=3), tables)
    return snapshot, champion, tables


def test_purchases_become_lists_without_ratings_and_everything_says_so(workspace, tmp_path, monkeypatch):
    snapshot, champion, tables = chain(workspace, tmp_path)
    store, settings = workspace.store, workspace.settings
    monkeypatch.setenv("RECSYS_STATE_DIR", str(settings.state_dir))
    check_training(store, settings, champion)
    check_tables(store, snapshot, tables.version_id)
    check_pages(store, snapshot)
    check_commands(tmp_path)


def check_training(store, settings, champion):
    model = Recommender.from_bytes(store.get(layout.recommender(champion.model_prefix)))
    assert model.rating is None
    assert [member.scheme for member in model.recipe.ranking]
    assert model.recipe.rating == ()
    evaluation = read_json(store, layout.evaluation(champion.model_prefix))
    assert set(evaluation["models"]) == {"challenger", "popularity", "svd"}
    assert not [name for values in evaluation["models"].values() for name in values if "rmse" in name]
    assert [check["name"] for check in evaluation["checks"]] == ["beats popularity"]
    assert evaluation["calibration"] == []
    run = Tracking(settings).get_run(champion.mlflow_run_id)
    assert run["tags"]["rating_model"] == "none: these data have no ratings"
    assert not [name for name in run["metrics"] if "rmse" in name]
    assert set(json.loads(run["tags"]["composition"])["rating"]) == set()
    [page] = settings.state_dir.rglob("artifacts/training.html")
    html = page.read_text()
    assert "These data have no ratings: there is no rating model" in html
    assert "RMSE" not in html
    assert '<figure id="calibration"' not in html


def check_tables(store, snapshot, version_id):
    version = store.local_path(layout.version(version_id))
    lists = duckdb.sql(f"select * from '{version}/recommendations/*.parquet'")
    assert lists.filter("predicted_rating is not null").fetchall() == []
    assert lists.aggregate("count(distinct source_user_id)").fetchall() == [(N_USERS,)]
    listed = lists.filter("source = 'als'").select("source_user_id, source_movie_id").fetchall()
    own = [int(user[-3:]) % 2 == int(movie[-4:]) % 2 for user, movie in listed]
    assert np.mean(own) > 0.8  # two camps
    movies = duckdb.sql(f"select * from '{version}/movies/*.parquet'")
    assert movies.filter("mean_rating is not null or predicted_rating is not null").fetchall() == []
    assert movies.aggregate("sum(n_ratings)").fetchall() == [(snapshot["n_ratings"],)]  # pairs, not purchases
    assert purchases().count("\n") - 1 > snapshot["n_ratings"]
    assert releases.read_manifest(store, version_id).lineage.rating_scale == "none"


def check_pages(store, snapshot):
    client = TestClient(create_app(store, recommend=new_user_lists.recommend))
    user = client.get("/user", params={"user_id": "ann-007"}).text
    assert "These data have no ratings" in user
    assert "What user ann-007 had most often" in user
    assert "Stars" not in user
    assert "Predicted rating" not in user
    new = client.get("/new", params={"ratings": "B0001, B0003=4"}).text
    assert "For somebody new" in new
    assert "popular movies" not in new
    assert "have no ratings, but counts above 0" in client.get("/new", params={"ratings": "B0001=-1"}).text
    assert {row["predicted_rating"] for row in client.get("/api/users/ann-007").json()} == {None}
    asked = client.post("/api/lists", json={"ratings": {"B0001": 2}, "k": 3}).json()
    assert [(row["rank"], row["source"]) for row in asked] == [(1, "fold_in"), (2, "fold_in"), (3, "fold_in")]
    eda = store.get(layout.eda_report(snapshot["snapshot_id"])).decode()
    assert '<figure id="counts"' in eda
    for absent in ("stars", '<figure id="rating_distribution"', '<figure id="mean_ratings"', '<figure id="best_rated"'):
        assert absent not in eda.partition('id="library"')[0]
    assert f"{purchases().count(chr(10)) - 1:,} rows to {snapshot['n_ratings']:,} pairs of user and movie" in eda


def check_commands(folder):
    def run(*args):
        result = CliRunner().invoke(app, args)
        assert result.exit_code == 0, result.output
        return result.output

    assert "no ratings are predicted: these data have none" in run("recommend", "--user-id", "ann-007")
    (folder / "seen.csv").write_text("movie_id\nB0001\nB0003\nB0003\n")
    rows = json.loads(run("recommend", "--csv", str(folder / "seen.csv"), "--json"))
    assert {row["source"] for row in rows} == {"fold_in"}
    assert rows == json.loads(run("recommend", "--ratings", "B0001,B0003=2", "--json"))
    summary = " ".join(run("summary").split())  # titles of narrow tables are wrapped
    assert "These data have no ratings" in summary
    assert "had most often" in summary
    assert "RMSE" not in summary
    assert "stars" not in summary


def test_the_served_model_takes_counts(settings, tmp_path):
    movies = np.arange(1, 5, dtype=np.int32)
    factors = Factors(movies[:1], np.ones((1, 2), np.float32), movies, np.eye(4, 2, dtype=np.float32) + 0.1)
    recipe = Recipe(ranking=(Member(rank=2, reg_param=0.1, alpha=1.0),), rating=())
    model = Recommender(factors, None, movies, np.array([9, 5, 3, 1], np.int32), recipe)
    path = tmp_path / "recommender.npz"
    path.write_bytes(model.to_bytes())
    tracking = Tracking(settings)
    example = runs.input_example(model)
    assert example["ratings"] == [1.0]
    with tracking.run("counts", "one") as run_id:
        version = tracking.register(run_id, "recsys-counts", path, {}, example)
    served = mlflow.pyfunc.load_model(version["uri"])

    def ask(**row):
        return served.predict(pd.DataFrame([{"user_id": 99, **row}]), params={"k": 2})

    counted = ask(seen=[1], ratings=[700.0])
    assert counted["source"].tolist() == ["fold_in"] * 2
    assert ask(seen=[1])["source"].tolist() == ["fold_in"] * 2  # each of `seen` counts as 1
    assert ask(seen=[1])["movie_id"].tolist() == ask(seen=[1], ratings=[1.0])["movie_id"].tolist()
    with pytest.raises(mlflow.MlflowException, match="1 that are no counts above 0 and at most 1,000,000,000"):
        ask(seen=[1], ratings=[0.0])


@pytest.mark.parametrize("without", ["challenger", "champion"])
def test_where_one_of_two_models_predicts_no_ratings_the_gate_compares_the_order_alone(workspace, trained, without):
    store, fitted = workspace.store, trained["fit"]
    keys = {"champion": layout.recommender(fitted.model_prefix), "challenger": layout.recommender("models/other")}
    model = Recommender.from_bytes(store.get(keys["champion"]))
    for name, key in keys.items():
        store.put(key, (model.without_rating() if name == without else model).to_bytes(), overwrite=True)
    config = CONFIG if without == "champion" else for_counts(CONFIG, {})
    challenger = fitted.model_copy(update={"model_prefix": "models/other"})
    evaluation = training_tasks._evaluate(workspace, challenger, config)
    names = [check.name for check in evaluation.checks]
    assert [name for name in names if "champion" in name] == ["beats champion"]
    assert "rmse" not in evaluation.models["champion"]
    own = [name for name in names if "biases" in name]
    assert own == (["stars no worse than biases"] if without == "champion" else [])


def test_a_champion_of_stars_publishes_no_ratings_for_a_snapshot_of_counts(settings, champion):
    store = open_store(settings.resolved_store_url)
    key = layout.snapshot_manifest(champion.snapshot_id)
    write_json(store, key, {**read_json(store, key), "rating_scale": "none"}, overwrite=True)
    model = scoring_tasks._recommender(store, champion)
    assert model.rating is None
    assert model.recipe.rating == ()
