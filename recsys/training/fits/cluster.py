"""A search by the compiled engine on a cluster: one candidate on one fold is one Spark task.

The ratings go to each executor once, by broadcast: executors pass them on among themselves, need no access to the
store for them, and see the rows in the driver's order. A Python worker prepares a fold when it is first asked about it.
States that successive halving goes on from lie in the store, as the next task may run elsewhere; they are removed with
the end of the search, and those of a search that was killed by retention.
"""

import hashlib
import io
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.compiled.compiled_als import State, States, StatesInMemory
from recsys.config import TrainConfig
from recsys.errors import NotFoundError, PermanentError
from recsys.evaluation.evaluator import Ratings
from recsys.models.als import AlsParams
from recsys.models.factors import Factors
from recsys.search.space import Params
from recsys.spark.masters import is_local
from recsys.spark.memory import machine_mb
from recsys.spark.session import blas_in_use
from recsys.spark.shipping import as_raised
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.training.fits.folds import Fold, FoldEvaluator, Folds

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

# By all ratings: a fold and its labels, 64 as measured at 2 million, and 8 that the matrix of its evaluator must take.
_BYTES_PER_RATING = 72
_SETTLED_S = 2.0
# Of a Python worker: the folds of the search it worked for last.
_FOLDS: dict[str, Folds] = {}


@contextmanager
def fold_evaluator(
    spark: "SparkSession | None", ratings: Ratings, config: TrainConfig, store: Store | None = None
) -> Iterator[FoldEvaluator]:
    """Where candidates are fitted: without Spark in threads of compiled code, on Spark by MLlib or in such tasks.

    Args:
        spark: open for the length of the block.
        ratings: what is cut into folds.
        config: whose `search_engine` decides between the two on Spark.
        store: seen by all executors; without it, tasks fit every candidate from its start.
    """
    here = Folds(spark if config.search_engine == "mllib" else None, ratings, config)
    if spark is None or config.search_engine == "mllib":
        by = f"MLlib, matrices multiplied by {blas_in_use(spark)}" if spark else "compiled code"
        log.info("%d fits at a time by %s", here.n_parallel, by)
        yield here
        return
    search_id, shared = uuid.uuid4().hex, spark.sparkContext.broadcast(ratings)
    try:
        tasks = Tasks(spark, Work(search_id, config, store if config.strategy == "halving" else None, shared), here)
        log.info("%d fits at a time by compiled code in tasks on %s", tasks.n_parallel, spark.sparkContext.master)
        yield tasks
    finally:
        shared.destroy()
        if store is not None:
            for key in list(store.list(f"{layout.scratch(search_id)}/")):
                store.delete(key)


@dataclass(frozen=True)
class Work:
    """What every task of a search is told."""

    search_id: str
    config: TrainConfig
    store: Store | None
    ratings: "Broadcast[Ratings]"

    def folds(self) -> Folds:
        """The folds of this Python worker, which runs one task at a time."""
        if self.search_id not in _FOLDS:
            _FOLDS.clear()
            ratings = self.ratings.value
            n_kept = n_folds_kept(len(ratings), machine_mb(), os.cpu_count() or 1)
            _FOLDS[self.search_id] = Folds(None, ratings, self.config, n_kept, self._states)
        return _FOLDS[self.search_id]

    def _states(self, fold: int) -> States:
        if self.store is None:  # no strategy but halving asks for a candidate again
            return StatesInMemory(0)
        return StatesInStore(self.store, f"{layout.scratch(self.search_id)}/fold-{fold}", self.config.max_iter)


class Tasks:
    """Candidates fitted by the executors; each call is one task, which Spark repeats elsewhere if its worker is lost.

    Args:
        spark: whose executors work.
        work: what their tasks are told.
        here: the folds as the driver itself may look at them.
    """

    def __init__(self, spark: "SparkSession", work: Work, here: Folds) -> None:
        self._context, self._work, self._here = spark.sparkContext, work, here
        self.n_parallel = n_slots(spark)

    def evaluate(self, model: str, params: Params, fold: int) -> dict[str, float]:
        metrics: dict[str, float] = self._run("evaluate", model, params, fold)
        return metrics

    def fit(self, model: str, params: Params, fold: int) -> Factors:
        factors: Factors = self._run("fit", model, params, fold)
        return factors

    def fold(self, number: int) -> Fold:
        return self._here.fold(number)

    def _run(self, verb: str, *question: Any) -> Any:
        from pyspark.errors import PythonException

        work = self._work

        def answer(_: int) -> Any:
            try:
                return getattr(work.folds(), verb)(*question)
            except PermanentError as error:  # not worth the further attempts that an exception here would get
                return error

        try:
            [answered] = self._context.parallelize([0], 1).map(answer).collect()
        except PythonException as error:
            raise as_raised(error) from error
        if isinstance(answered, PermanentError):
            raise answered
        return answered


class StatesInStore:
    """States of fits on one fold, as objects that all executors see.

    Args:
        store: where they lie.
        prefix: of their keys.
        max_iter: iterations of a full fit, which nothing goes on from.
    """

    def __init__(self, store: Store, prefix: str, max_iter: int) -> None:
        self._store, self._prefix, self._max_iter = store, prefix, max_iter

    def get(self, scheme: str, params: AlsParams) -> State | None:
        try:
            data = self._store.get(self._key(scheme, params))
        except NotFoundError:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return State(arrays["user_factors"], arrays["movie_factors"], int(arrays["n_iterations"]))

    def put(self, scheme: str, params: AlsParams, state: State) -> None:
        if state.n_iterations < self._max_iter:
            buffer = io.BytesIO()
            np.savez(buffer, **vars(state))
            self._store.put(self._key(scheme, params), buffer.getvalue(), overwrite=True)

    def _key(self, scheme: str, params: AlsParams) -> str:
        digest = hashlib.sha256(f"{scheme}\0{params.model_dump_json()}".encode()).hexdigest()[:32]
        return f"{self._prefix}/{digest}.npz"


def n_folds_kept(n_ratings: int, memory_mb: int, n_cores: int) -> int:
    """Folds that a Python worker keeps ready: every core has a worker, and all have a third of the machine for it.

    Another fold is prepared anew, which costs 30 to 70 % of a fit of ten iterations.

    >>> n_folds_kept(1_000_000, 24_000, 2), n_folds_kept(25_000_000, 24_000, 2), n_folds_kept(25_000_000, 64_000, 16)
    (58, 2, 1)
    """
    return max(1, memory_mb * 2**20 // (3 * n_cores * _BYTES_PER_RATING * max(1, n_ratings)))


def n_slots(spark: "SparkSession") -> int:
    """Tasks that run side by side. On a cluster, when there is an executor and no further ones come.

    Spark's setting ``spark.default.parallelism`` says it where executors come as they are needed.
    """
    context = spark.sparkContext
    if not is_local(context.master):
        context.parallelize([0], 1).count()  # waits for the first executor
        n_before = 0
        while n_before != (n_before := context.defaultParallelism):
            time.sleep(_SETTLED_S)
    cores_per_task = int(context.getConf().get("spark.task.cpus") or 1)
    n_tasks: int = context.defaultParallelism // cores_per_task
    return max(1, n_tasks)
