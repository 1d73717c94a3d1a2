"""Spark MLlib's ALS, explicit and implicit, in and out of NumPy.

Hu, Koren & Volinsky (2008) for the implicit objective; MLlib scales `reg_param` by the number of ratings
of each user and movie (Zhou et al., 2008).
"""

import gc
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from recsys.models.factors import Factors

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class AlsParams(BaseModel):
    """Hyper-parameters of one fit, under Spark's own names in snake case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int
    reg_param: float
    max_iter: int
    alpha: float | None = None  # set: the implicit objective with confidence 1 + alpha * rating
    seed: int = 42


def training_frame(
    spark: "SparkSession",
    user_ids: NDArray[np.int32],
    movie_ids: NDArray[np.int32],
    labels: NDArray[np.float32],
    n_partitions: int,
) -> "DataFrame":
    """The cached input of any number of fits; the caller unpersists it."""
    table = pa.table({"user_id": user_ids, "movie_id": movie_ids, "label": labels})
    frame = spark.createDataFrame(table).repartition(n_partitions, "user_id").cache()
    frame.count()
    return frame


def fit_als(frame: "DataFrame", params: AlsParams, n_blocks: int) -> Factors:
    """Fit MLlib's ALS on a `training_frame`.

    Args:
        frame: columns user_id, movie_id, label.
        params: `alpha` set means implicit feedback, labels are then preference strengths.
        n_blocks: user and movie blocks; about the number of cores.

    Returns:
        Factors of every user and movie of the frame, as float32 and by ascending id.
    """
    from pyspark.ml.recommendation import ALS

    als = ALS(
        userCol="user_id",
        itemCol="movie_id",
        ratingCol="label",
        rank=params.rank,
        regParam=params.reg_param,
        maxIter=params.max_iter,
        implicitPrefs=params.alpha is not None,
        alpha=1.0 if params.alpha is None else params.alpha,
        numUserBlocks=n_blocks,
        numItemBlocks=n_blocks,
        seed=params.seed,
        checkpointInterval=10,
        coldStartStrategy="nan",
    )
    model = als.fit(frame)
    users, user_factors = _to_numpy(model.userFactors, params.rank)
    movies, movie_factors = _to_numpy(model.itemFactors, params.rank)
    del model
    gc.collect()  # only then does py4j let go of the JVM's copy, with all the lineage behind it
    return Factors(users, user_factors, movies, movie_factors)


def _to_numpy(factors: "DataFrame", rank: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    table = factors.toArrow().combine_chunks()
    _release(factors)
    ids = table.column("id").to_numpy().astype(np.int32)
    flat = table.column("features").combine_chunks().flatten().to_numpy()
    order = np.argsort(ids)
    return ids[order], np.ascontiguousarray(flat.reshape(len(ids), rank)[order], dtype=np.float32)


def _release(factors: "DataFrame") -> None:
    """Unpersist what MLlib cached for a model: it never does so itself, and a search makes hundreds of models."""
    plan = factors._jdf.queryExecution().analyzed()
    while plan.children().size():
        plan = plan.children().head()
    plan.rdd().unpersist(False)
