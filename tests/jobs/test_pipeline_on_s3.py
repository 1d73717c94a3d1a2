"""The whole chain against an S3 endpoint: the same jobs, the same tables, nothing but a setting changed."""

import json

import pytest

from recsys import columns
from recsys.config import IngestConfig, PosterConfig, ScoreConfig, Settings, TrainConfig
from recsys.explorer import queries
from recsys.jobs import pipeline
from recsys.jobs.summary import summary
from recsys.storage import layout, releases
from recsys.storage.store import open_store
from recsys.storage.tables import read_json, read_table

pytestmark = pytest.mark.spark


@pytest.fixture
def s3_settings(tracked_settings, monkeypatch):
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket="movies")
    yield Settings(**{**tracked_settings.model_dump(), "store_url": "s3://movies/recsys"})
    server.stop()


def test_the_whole_chain_runs_against_an_s3_endpoint(s3_settings):
    data = IngestConfig(sample_users=80, sample_movies=90, sample_ratings=3_000)
    snapshot = pipeline.ingest_ratings(data, s3_settings)
    tuning = TrainConfig(n_folds=2, ranking_trials=1, rating_trials=1, max_iter=3, max_rank=8, min_gain=-1.0)
    champion = pipeline.train_model(snapshot["snapshot_id"], tuning, s3_settings)
    pipeline.score_users(champion, ScoreConfig(k=5, n_similar=4), s3_settings)
    pipeline.fetch_posters(PosterConfig(max_posters=3), s3_settings)

    store = open_store(s3_settings.resolved_store_url)
    assert store.url == "s3://movies/recsys"
    for table, schema in columns.RELEASE_TABLES.items():
        [*parts] = [read_table(store, key) for key in releases.table_keys(store, table)]
        assert all(part.schema.equals(schema) for part in parts)
    lists = {
        row["user_id"]
        for key in releases.table_keys(store, "recommendations")
        for row in read_table(store, key).to_pylist()
    }
    assert len(lists) == snapshot["n_users"]
    assert len(queries.user_list(store, min(lists))) == 5
    assert store.exists(layout.eda_report(snapshot["snapshot_id"]))
    posters = [key for key in store.list(f"{layout.POSTERS}/images/")]
    assert len(posters) == 3
    assert json.dumps(read_json(store, layout.POSTER_MANIFEST))
    assert summary(s3_settings)["places"]["tables"].startswith("s3://movies/recsys/tables/version=")
    assert not (s3_settings.state_dir / "store").exists()
