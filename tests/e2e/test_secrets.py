"""Secrets planted in every setting are nowhere in what a run shows, logs or stores, whether it ends well or not."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from recsys.config import PROJECT_ROOT, IngestConfig, Settings
from recsys.ingest.synthetic.sample import write_sample
from recsys.stack import launcher
from recsys.stack.places import Places
from recsys.stack.ports import MLFLOW, free_port
from tests.ingest.servers import reply, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]

SECRETS = {
    name: f"planted-{name}-4711" for name in ("mirror", "mirrortoken", "mlflow", "endpoint", "key", "tmdb", "site")
}
BUDGET = {"n_folds": 2, "ranking_trials": 1, "rating_trials": 1, "n_members": 1, "max_rank": 8, "max_iter": 3}
BUDGET |= {"baselines": "[]", "min_gain": -1.0, "max_rmse_loss": 1.0, "max_drift": 100, "max_quarantined": 1.0}
CONF = [f"{name}={value}" for name, value in BUDGET.items()]


@contextmanager
def mlflow_server(folder: Path):
    """A real MLflow server over SQLite; yields its port. It takes every user and password."""
    port = free_port(MLFLOW)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and not answers(port):
            time.sleep(0.5)
        try:
            yield port
        finally:
            server.terminate()


def answers(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def s3_server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


def command(env, *arguments):
    """What a command shows, and its status."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], env=env, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr, done.returncode


def spilled(text, where):
    return [f"{name} in {where}" for name, secret in SECRETS.items() if secret.encode() in text]


def test_a_run_leaves_no_planted_secret_behind(tmp_path, monkeypatch):
    archive = tmp_path / "source.zip"
    sizes = {"sample_users": 80, "sample_movies": 300, "sample_ratings": 3_000}
    write_sample(IngestConfig(**sizes), archive)
    answer = partial(served, archive.read_bytes())
    folder = tmp_path / "mlflow"
    folder.mkdir()
    with serving(answer) as (mirror, _), s3_server() as s3_port, mlflow_server(folder) as mlflow_port:
        place = mirror.removeprefix("http://").partition("/")[0]
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RECSYS_")},
            "DATASET": "ml-latest-small",
            "RECSYS_STATE_DIR": str(tmp_path / "state"),
            "RECSYS_STORE_URL": "s3://movies/recsys",
            "AWS_ENDPOINT_URL_S3": f"http://eve:{SECRETS['endpoint']}@127.0.0.1:{s3_port}",
            "AWS_ACCESS_KEY_ID": "AKIAPLANTED",
            "AWS_SECRET_ACCESS_KEY": SECRETS["key"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "RECSYS_MIRRORS": f'{{"ml-latest-small": ["http://bob:{SECRETS["mirror"]}@{place}/refused.zip", '
            f'"http://bob:{SECRETS["mirror"]}@{place}/ml.zip?token={SECRETS["mirrortoken"]}"]}}',
            "RECSYS_MLFLOW_TRACKING_URI": f"http://ann:{SECRETS['mlflow']}@127.0.0.1:{mlflow_port}",
            "RECSYS_SPARK_CONF": f'{{"spark.hadoop.fs.s3a.secret.key": "{SECRETS["key"]}"}}',
            "RECSYS_POSTER_SITE_URL": f"http://sam:{SECRETS['site']}@{place}/posters?token={SECRETS['site']}",
        }
        # The token of TMDB is planted where nobody asks for a poster: the real service is not to be asked by a test.
        with_token = {**env, "RECSYS_TMDB_TOKEN": SECRETS["tmdb"]}
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, env[name])
        bucket = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_port}")
        bucket.create_bucket(Bucket="movies")

        shown = {}
        shown["run"], status = command(with_token, "recsys.stack", "run", *CONF, "max_posters=0")
        assert status == 0, shown["run"][-3000:]
        shown["summary"], status = command(with_token, "recsys.cli", "summary")
        assert status == 0, shown["summary"]
        shown["posters"], _ = command(env, "recsys.cli", "-v", "posters", "--set", "max_posters=3")
        refused = {**env, "RECSYS_MIRRORS": f'{{"ml-1m": ["ftp://bob:{SECRETS["mirror"]}@{place}"]}}'}
        shown["refused mirror"], status = command(refused, "recsys.cli", "ingest", "--dataset", "ml-1m")
        assert status == 1
        away = {**env, "AWS_ENDPOINT_URL_S3": f"http://eve:{SECRETS['endpoint']}@127.0.0.1:{free_port(9000)}"}
        shown["store away"], status = command(away, "recsys.stack", "run", *CONF)
        assert status == 1
        objects = bucket.get_paginator("list_objects_v2").paginate(Bucket="movies")
        keys = [item["Key"] for page in objects for item in page["Contents"]]
        stored = {key: bucket.get_object(Bucket="movies", Key=key)["Body"].read() for key in keys}
    shown["MLflow away"], status = command(
        {**env, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "RECSYS_STORE_URL": str(tmp_path / "other")},
        "recsys.cli", "-v", "prune", "--keep", "1",
    )  # fmt: skip
    assert status != 0

    found = [line for name, text in shown.items() for line in spilled(text.encode(), name)]
    found += [line for key, data in stored.items() for line in spilled(data, key)]
    for path in [*(tmp_path / "state").rglob("*"), *folder.rglob("*")]:
        found += spilled(path.read_bytes(), path.relative_to(tmp_path)) if path.is_file() else []
    assert found == []
    assert len(stored) > 20
    launcher.take_down(Places.of(Settings(state_dir=tmp_path / "state")))


def served(archive, handler, _number):
    """A mirror that refuses one address and serves the other, and a poster site that has nothing."""
    if handler.path.startswith("/ml.zip"):
        reply(handler, archive, Content_Type="application/zip")
    else:
        reply(handler, b"", 403 if handler.path.startswith("/refused") else 404, declared=0)
