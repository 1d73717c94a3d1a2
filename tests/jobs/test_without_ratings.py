"""A whole chain on purchases: counts are learned from, no rating is predicted, and everything downstream says so."""

import json

import numpy as np
import pytest

from recsys.config import IngestConfig, PosterConfig, ScoreConfig, TrainConfig
from recsys.jobs import pipeline
from recsys.models.recommender import Recommender
from recsys.storage import layout
from recsys.storage.store import open_store
from recsys.storage.tables import read_json

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("_share_the_session")]

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


def chain(settings, folder):
    path = folder / "purchases.csv"
    path.write_text(purchases())
    columns = {"user_id": "customer", "movie_id": "isbn", "timestamp": "bought_at"}
    ingested = IngestConfig(dataset=str(path), columns=columns, rating_scale="none")
    snapshot = pipeline.ingest_ratings(ingested, settings)
    champion = pipeline.train_model(snapshot["snapshot_id"], TRAINING, settings)
    release = pipeline.score_users(champion, ScoreConfig(k=5, min_support=1), settings)
    pipeline.fetch_posters(PosterConfig(max_posters=3), settings, {"version_id": release["version_id"]})
    return snapshot, champion, release


def test_purchases_become_lists_without_ratings_and_everything_says_so(settings, tmp_path, monkeypatch):
    import time

    t = time.time()
    snapshot, champion, release = chain(settings, tmp_path)
    print("CHAIN", time.time() - t)
    store = open_store(settings.resolved_store_url)
    model = Recommender.from_bytes(store.get(layout.recommender(champion["model_prefix"])))
    assert model.rating is None
    evaluation = read_json(store, layout.evaluation(champion["model_prefix"]))
    print(json.dumps(evaluation, indent=1)[:3000])
