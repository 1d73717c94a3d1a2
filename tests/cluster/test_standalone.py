"""The same jobs on a real Spark standalone cluster: a master and two workers, one of which is lost on the way."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import columns
from recsys.config import PROJECT_ROOT, ScoreConfig, Settings, TrainConfig
from recsys.messages import ChampionRef, ModelVersion
from recsys.models.factors import Biases, Factors
from recsys.models.recommender import RatingModel, Recommender
from recsys.scoring import tasks as scoring_tasks
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, write_table
from recsys.training import tasks as training_tasks
from recsys.workspace import Workspace
from tests.cluster.standalone import cluster
from tests.storage.manifests import write_manifest
from tests.training.tiny import write_snapshot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CHAMPION = ChampionRef(
    model=ModelVersion(name="recsys-big", number=1, uri="models:/recsys-big/1"),
    mlflow_run_id="r",
    model_prefix="models/big",
    dataset="big",
    snapshot_id="big-1",
)
N_USERS, N_MOVIES, RANK = 150_000, 40_000, 64


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


def environment(master, state_dir):
    """What a user sets: the master and the executors' size; state, and so checkpoints, are where all see them."""
    conf = {
        "spark.executor.memory": "1g",
        "spark.executor.cores": "1",
        "spark.pyspark.python": sys.executable,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT),
        "RECSYS_STATE_DIR": str(state_dir),
        "RECSYS_SPARK_MASTER": master,
        "RECSYS_SPARK_CONF": json.dumps(conf),
        "RECSYS_SPARK_DRIVER_MEMORY": "1g",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


@contextmanager
def started(place, folder, *command):
    """A job under way, and its log; a test that fails leaves none behind."""
    log = folder / "job.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *command], env=place, cwd=folder, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield process, log
    finally:
        process.terminate()
        process.wait(60)


def wait_for(condition, process, log, timeout_s=300):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


def write_big_model(settings):
    """Random factors large enough that scoring takes a while, and a snapshot of one rating per user."""
    rng = np.random.default_rng(0)
    users, movies = np.arange(1, N_USERS + 1, dtype=np.int32), np.arange(1, N_MOVIES + 1, dtype=np.int32)
    factors = [rng.normal(size=(n, RANK)).astype(np.float32) for n in (N_USERS, N_MOVIES)]
    nothing = np.zeros(N_USERS, np.float32), np.zeros(N_MOVIES, np.float32)
    biases = Biases(3.5, users, nothing[0], movies, nothing[1])
    none = np.empty(0, np.int32), np.empty((0, 1), np.float32)
    pair = Recommender(
        Factors(users, factors[0], movies, factors[1]),
        RatingModel(biases, Factors(*none, *none), 0.5, 5.0),
        movies,
        np.ones(N_MOVIES, np.int32),
    )
    store = open_store(settings.resolved_store_url)
    store.put(layout.recommender("models/big"), pair.to_bytes())
    times = pa.array(np.full(N_USERS, 1_600_000_000_000)).cast(columns.RATINGS.field("timestamp").type)
    stars = pa.array(np.full(N_USERS, 4.0, np.float32))
    seen = rng.choice(movies, N_USERS).astype(np.int32)
    ratings = pa.Table.from_arrays([pa.array(users), pa.array(seen), stars, times], schema=columns.RATINGS)
    titles = pa.array([f"Movie {movie}" for movie in movies])
    catalogue = pa.Table.from_arrays(
        [pa.array(movies), titles, pa.nulls(N_MOVIES, pa.int16()), pa.array([[]] * N_MOVIES, pa.list_(pa.string()))],
        schema=columns.MOVIES,
    )
    write_table(store, layout.snapshot_table("big-1", "ratings"), ratings)
    write_table(store, layout.snapshot_table("big-1", "movies"), catalogue)
    write_table(store, layout.snapshot_table("big-1", "links"), columns.LINKS.empty_table())
    write_manifest(store, "big-1", dataset="big")
    return factors, seen


def test_training_survives_the_loss_of_a_worker(tmp_path):
    with cluster(tmp_path) as running:
        place = environment(running.master, tmp_path / "state")
        flags = ["--set", "sample_ratings=30000", "--set", "sample_users=400", "--set", "sample_movies=400"]
        ingest = [sys.executable, "-m", "recsys.cli", "ingest", *flags]
        local = {**place, "RECSYS_SPARK_MASTER": "local[2]", "RECSYS_SPARK_CONF": "{}"}
        subprocess.run(ingest, env=local, cwd=tmp_path, check=True, capture_output=True)
        small = [f"{name}={value}" for name, value in {"n_folds": 2, "ranking_trials": 4, "rating_trials": 1}.items()]
        small += ["max_rank=8", "max_iter=6", "n_members=1", "baselines=svd", "search_engine=mllib"]
        tune = ["-m", "recsys.cli", "tune", *(flag for each in small for flag in ("--set", each))]
        with started(place, tmp_path, *tune) as (process, log):
            wait_for(lambda: "ranking trial 1/4" in log.read_text(), process, log)
            running.kill_worker(0)
            assert process.wait(600) == 0, log.read_text()[-3000:]
            assert '"promoted": true' in log.read_text()


def trials_of(settings, run_id):
    """The trials of both searches and the learning curves, without the seconds they took."""
    record = read_json(open_store(settings.resolved_store_url), layout.search(layout.model(run_id)))
    trials = [trial for each in record.values() for trial in each["outcome"]["trials"]]
    return repr([{**trial, "seconds": 0} for trial in trials]), [each["curve"] for each in record.values()]


def test_a_compiled_search_survives_the_loss_of_a_worker_and_gives_the_trials_of_threads(tracked_settings, tmp_path):
    settings = tracked_settings
    write_snapshot(settings)
    shape = {"n_folds": 2, "k": 5, "max_rank": 8, "n_members": 1, "strategy": "halving", "max_iter": 24}
    config = TrainConfig(**shape, ranking_trials=40, rating_trials=8)
    call = (
        "import json; from recsys.config import TrainConfig; from recsys.training import tasks as train; "
        "import logging; logging.basicConfig(level=20); "
        f"config = TrainConfig.model_validate_json({config.model_dump_json()!r}); "
        "from recsys.workspace import Workspace; at = Workspace.open(); "
        "print(json.dumps(train.search(at, train.split(at, 'tiny-1', config, 'tasks'), config).to_json()))"
    )
    with cluster(tmp_path) as running:
        place = environment(running.master, settings.state_dir)
        with started(place, tmp_path, "-c", call) as (process, log):
            wait_for(lambda: "ranking trial 5/" in log.read_text(), process, log)
            running.kill_worker(0)
            assert process.wait(600) == 0, log.read_text()[-3000:]
        said = log.read_text()
        assert f"2 fits at a time by compiled code in tasks on {running.master}" in said
        assert "Lost executor" in said.partition("rating trial 1/")[0]
    # Executors import the driver's package from a folder, and keep there what they compile.
    [package] = running.work_dir(1).glob("app-*/*/recsys")
    assert all(list(package.glob(f"{room}/__pycache__/*.nbi")) for room in ("compiled", "topk"))
    assert "NUMBA_CACHE_DIR" not in (package.parent / "stderr").read_text()
    store = open_store(settings.resolved_store_url)
    assert not list(store.list(layout.scratch("")))
    lines = said.splitlines()
    at = Workspace(settings)
    in_threads = training_tasks.search(at, training_tasks.split(at, "tiny-1", config, "threads"), config)
    in_tasks = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    assert trials_of(settings, in_tasks["mlflow_run_id"]) == trials_of(settings, in_threads.mlflow_run_id)


def test_scoring_survives_the_loss_of_a_worker_and_gives_the_same_lists(running, tmp_path):
    settings = Settings(state_dir=tmp_path / "state")
    factors, seen = write_big_model(settings)
    place = environment(running.master, tmp_path / "state")
    call = (
        "from recsys.config import ScoreConfig; from recsys.messages import ChampionRef; "
        "from recsys.scoring import tasks as score; from recsys.workspace import Workspace; "
        "import logging; logging.basicConfig(level=20); "
        f"champion = ChampionRef.read({CHAMPION.to_json()!r}); "
        "print(score.score_lists(Workspace.open(), champion, ScoreConfig(), 'lost'))"
    )
    with started(place, tmp_path, "-c", call) as (process, log):
        wait_for(lambda: "Spark 4" in log.read_text(), process, log)
        # A Python worker below an executor means that a task is computing lists.
        wait_for(lambda: running.n_python_workers() >= 2, process, log)
        running.kill_worker(0)
        assert process.wait(600) == 0, log.read_text()[-3000:]
        assert "Lost executor" in log.read_text()  # while it was needed, not after
    store = open_store(settings.resolved_store_url)
    version = scoring_tasks.version_id_of(CHAMPION, ScoreConfig(), "lost")
    rows = read_json(store, f"{layout.version(version)}/_files/recommendations.json")
    lists = pa.concat_tables([pq.read_table(store.local_path(row["key"])) for row in rows]).to_pandas()
    assert len(lists) == 10 * N_USERS
    assert lists.user_id.nunique() == N_USERS
    for user in (1, N_USERS // 2, N_USERS):
        scores = factors[1].astype(float) @ factors[0][user - 1].astype(float)
        scores[seen[user - 1] - 1] = -np.inf
        assert lists[lists.user_id == user].movie_id.tolist() == (np.argsort(-scores)[:10] + 1).tolist()
