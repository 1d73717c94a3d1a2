"""Top-k lists inside Spark, on the same invented factors: MLlib's own way, and our whole job."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.inventing import Floats, Problem
from benchmarks.measuring import Cost, weigh
from benchmarks.peers import Ids, Peer, check
from recsys import columns
from recsys.config import Settings
from recsys.models.factors import Biases, Factors
from recsys.models.recommender import RatingModel, Recommender
from recsys.scoring.user_lists import write_lists
from recsys.spark.session import spark_session
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.releases import FileRow
from recsys.storage.seen_lists import seen_lists
from recsys.storage.tables import read_table, write_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MLLIB, JOB = "MLlib recommendForAllUsers", "our Spark job"
PEERS = {MLLIB: Peer(None, leaves_out_seen=False), JOB: Peer(None)}
_N_CHECKED = 256


def run(problem: Problem, k: int, n_sampled: int, folder: Path) -> tuple[dict[str, float], dict[str, Cost]]:
    """Recall and cost of both for all users, in one session that has been warmed up.

    MLlib scores `n_sampled` users and three times as many; the difference is scaled, so that what it does once does
    not count. Our job runs over all users.
    """
    settings = Settings(state_dir=folder / "state", spark_master="local[2]")
    store = open_store(settings.resolved_store_url)
    _store_inputs(problem, store)
    recalls, costs = {}, {}
    with spark_session(settings, "benchmarks.scoring") as spark:
        _score(spark, store, "warm-up", k)
        costs[JOB] = weigh(lambda: _score(spark, store, "all", k))
        recalls[JOB] = check(JOB, PEERS[JOB], _lists(store, costs[JOB].result, k), problem.first(_N_CHECKED), k)
        model = _als_model(spark, problem, folder)
        found = _recommend(model, spark, _N_CHECKED, k).orderBy("user").collect()
        ids = np.array([[pair[0] for pair in row["recommendations"]] for row in found])
        recalls[MLLIB] = check(MLLIB, PEERS[MLLIB], ids, problem.first(_N_CHECKED), k)
        costs[MLLIB] = _marginal(model, spark, k, n_sampled, len(problem.users))
    return recalls, costs


def _store_inputs(problem: Problem, store: Store) -> None:
    """What the job reads: a champion's factors, and who has seen what; ids are positions."""
    users, movies = (np.arange(len(factors), dtype=np.int32) for factors in (problem.users, problem.movies))
    ranking = Factors(users, problem.users, movies, problem.movies)
    biases = Biases(3.5, users, np.zeros(len(users), np.float32), movies, np.zeros(len(movies), np.float32))
    counts = np.bincount(problem.seen_indices, minlength=len(movies)).astype(np.int32)
    recommender = Recommender(ranking, RatingModel(biases, ranking, 0.5, 5.0), movies, counts)
    store.put("recommender.npz", recommender.to_bytes())
    rated = {"user_id": np.repeat(users, np.diff(problem.seen_indptr)), "movie_id": problem.seen_indices}
    write_table(store, "seen.parquet", seen_lists(pa.table(rated)), row_group_rows=20_000)


def _score(spark: "SparkSession", store: Store, name: str, k: int) -> list[FileRow]:
    """As `recsys.scoring.tasks.score_lists`: read factors and seen lists, score, write Parquet."""
    recommender = Recommender.from_bytes(store.get("recommender.npz"))
    movie_ids = recommender.ranking.movie_ids
    return write_lists(spark, store, recommender, movie_ids, "seen.parquet", f"lists/{name}", k)


def _lists(store: Store, written: list[FileRow], k: int) -> Ids:
    table = read_table(store, written[0].key).slice(0, _N_CHECKED * k)
    found: Ids = table.column(columns.MOVIE_ID).to_numpy().reshape(-1, k)
    return found


def _als_model(spark: "SparkSession", problem: Problem, folder: Path) -> Any:
    """A fitted model as MLlib stores it, with our factors in place of its own."""
    from pyspark.ml.recommendation import ALS, ALSModel

    path = folder / "als"
    pair = spark.createDataFrame([(0, 0, 1.0), (1, 1, 1.0)], "user int, item int, rating float")
    ALS(rank=problem.users.shape[1], maxIter=1).fit(pair).write().overwrite().save(str(path))
    for name, factors in (("userFactors", problem.users), ("itemFactors", problem.movies)):
        shutil.rmtree(path / name)
        (path / name).mkdir()
        pq.write_table(_factors_table(factors), path / name / "part-00000.parquet")
    return ALSModel.load(str(path))


def _factors_table(factors: Floats) -> pa.Table:
    features = pa.FixedSizeListArray.from_arrays(pa.array(factors.ravel()), factors.shape[1])
    ids = pa.array(np.arange(len(factors), dtype=np.int32))
    return pa.table({"id": ids, "features": features.cast(pa.list_(pa.float32()))})


def _recommend(model: Any, spark: "SparkSession", n_users: int, k: int) -> Any:
    users = spark.range(n_users).selectExpr("cast(id as int) as user")
    return model.recommendForUserSubset(users, k)


def _marginal(model: Any, spark: "SparkSession", k: int, n_sampled: int, n_users: int) -> Cost:
    def costs(n: int) -> Cost:
        return weigh(lambda: _recommend(model, spark, n, k).write.format("noop").mode("overwrite").save())

    costs(n_sampled)  # the JVM compiles what is hot
    few, many = costs(n_sampled), costs(3 * n_sampled)
    scale = n_users / (2 * n_sampled)
    return Cost(scale * (many.wall_s - few.wall_s), scale * (many.cpu_s - few.cpu_s), many.peak_bytes, None)
