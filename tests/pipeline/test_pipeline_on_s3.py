"""The whole chain against an S3 endpoint: the same command, the same tables, nothing but settings changed."""

import json
import os
import subprocess
import sys

import pytest

from recsys import columns
from recsys.storage import layout, releases
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, read_table
from recsys.webapp.summary import summary
from recsys.workspace import Workspace

pytestmark = [pytest.mark.spark, pytest.mark.slow]

SIZES = {"sample_users": 80, "sample_movies": 300, "sample_ratings": 3_000}
BUDGET = {"n_folds": 2, "ranking_trials": 1, "rating_trials": 1, "max_iter": 3, "max_rank": 8, "min_gain": -1.0}
BUDGET["max_rmse_loss"] = 1.0  # the gate is not the subject here, and so little data teaches little
LISTS = {"k": 5, "n_similar": 4, "max_posters": 3}


@pytest.fixture
def bucket(monkeypatch):
    """A bucket on a local endpoint; its address and keys stand in the environment, where boto3 looks for them."""
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
    yield "s3://movies/recsys"
    server.stop()


def recsys(settings, bucket, *arguments):
    """The installed command in a process of its own: its Spark workers inherit this environment."""
    env = {**os.environ, "RECSYS_STATE_DIR": str(settings.state_dir), "RECSYS_STORE_URL": bucket}
    command = [sys.executable, "-m", "recsys.cli", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_whole_chain_runs_against_an_s3_endpoint(settings, bucket):
    given = {**SIZES, **BUDGET, **LISTS}
    shown = recsys(settings, bucket, "run", *(f"--set={name}={value}" for name, value in given.items()))
    assert "invented" in shown
    assert "popularity" in shown

    settings = settings.model_copy(update={"store_url": bucket})
    store = open_store(settings.resolved_store_url)
    for table, schema in columns.RELEASE_TABLES.items():
        for key in releases.table_keys(store, table):
            assert read_table(store, key).schema.equals(schema), table
    rows = [row for key in releases.table_keys(store, "recommendations") for row in read_table(store, key).to_pylist()]
    users = {row["user_id"] for row in rows}
    assert len(rows) == 5 * len(users)
    found = summary(Workspace(settings))
    manifest = read_json(store, layout.snapshot_manifest(found.snapshot_id))
    assert len(users) == manifest["counts"]["n_users"]
    assert found.places["tables"].startswith("s3://movies/recsys/tables/version=")
    assert store.exists(layout.eda_report(found.snapshot_id))
    assert len(list(store.list(f"{layout.POSTERS}/images/"))) == 3
    assert read_json(store, layout.POSTER_MANIFEST)
    assert not (settings.state_dir / "store").exists()

    listed = json.loads(recsys(settings, bucket, "recommend", "--user-id", str(min(users)), "--json"))
    assert [row["rank"] for row in listed] == [1, 2, 3, 4, 5]
    assert set(listed[0]) == {"rank", "movie_id", "title", "score", "predicted_rating"}
