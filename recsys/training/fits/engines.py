"""How hyper-parameters become a model: what a rating says to it, and which engine fits it."""

import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from recsys.compiled.compiled_als import Fits, States, StatesInMemory
from recsys.compiled.interactions import Interactions, Labels
from recsys.config import TrainConfig
from recsys.evaluation.evaluator import Ratings
from recsys.models.als import AlsParams, fit_als, training_frame
from recsys.models.biases import fit_biases
from recsys.models.factors import Biases, Factors
from recsys.models.preferences import preference
from recsys.models.recipe import Member
from recsys.models.recommender import RatingModel
from recsys.search.space import Params
from recsys.spark.memory import task_bytes
from recsys.splitting.split import Split

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# What a rating may say to the ranking model, by the name it has among the hyper-parameters: arguments of `preference`.
PREFERENCES: dict[str, dict[str, Any]] = {
    "stars": {"scheme": "stars"},
    "root": {"scheme": "stars", "power": 0.5},
    "squared": {"scheme": "stars", "power": 2.0},
    "centred": {"scheme": "centred"},
    "liked": {"scheme": "liked"},
    "all": {"scheme": "all"},
}
_RATINGS_PER_BLOCK = 500_000
# Of a task's memory: at 67 bytes a rating MLlib could not build a block, at 200 it could (20 million ratings in 8 GB).
_BLOCK_BYTES_PER_RATING = 180
# Labels of that many ratings are kept between fits of one set of ratings, and states of that size.
_CACHED_RATINGS = 20_000_000
_STATES_BYTES = 256 * 2**20
MakeLabels = Callable[[], NDArray[np.float32]]


def split_of(config: TrainConfig) -> Split:
    """How ratings are parted, into training and holdout as into folds."""
    return Split(config.split, config.holdout_fraction, config.n_last, config.seed)


def split_name(config: TrainConfig) -> str:
    """What decides a split, as a name; two trainings of one snapshot with the same name have the same holdout.

    >>> split_name(TrainConfig()), split_name(TrainConfig(split="last_n", n_last=2))
    ('seed42-holdout0.2', 'last2')
    """
    if config.split == "last_n":
        return f"last{config.n_last}"
    if config.split == "time":
        return f"time-holdout{config.holdout_fraction}"
    name = f"seed{config.seed}-holdout{config.holdout_fraction}"
    return name if config.split == "random" else f"{config.split}-{name}"


class Engine(Protocol):
    """Fits ALS on one set of ratings; what depends on the ratings or the labels alone is prepared once."""

    def fit(self, scheme: str, make_labels: MakeLabels, params: AlsParams) -> Factors:
        """A fit to the labels of a scheme, which are made when it is new."""
        ...


class Frames(LRUCache[str, "DataFrame"]):
    """Frames in Spark's memory, by scheme; the least recently used leaves it first."""

    def popitem(self) -> tuple[str, "DataFrame"]:
        scheme, frame = super().popitem()
        frame.unpersist()  # a fit that still reads it makes it again
        return scheme, frame


class Mllib:
    """Spark's own ALS on cached frames, as many as fit."""

    def __init__(self, spark: "SparkSession", train: Ratings) -> None:
        self._spark, self._train = spark, train
        self._lock = threading.Lock()
        self._frames = Frames(_n_kept(len(train)))
        self._n_blocks = n_blocks(len(train), spark.sparkContext.defaultParallelism, task_bytes(spark))

    def fit(self, scheme: str, make_labels: MakeLabels, params: AlsParams) -> Factors:
        return fit_als(self._frame(scheme, make_labels), params, self._n_blocks)

    def _frame(self, scheme: str, make_labels: MakeLabels) -> "DataFrame":
        train = self._train
        with self._lock:
            if scheme not in self._frames:
                labels = make_labels()
                self._frames[scheme] = training_frame(
                    self._spark, train.user_ids, train.movie_ids, labels, self._n_blocks
                )
            return self._frames[scheme]


def n_blocks(n_ratings: int, n_slots: int, memory_bytes: int) -> int:
    """Blocks that MLlib parts users, and movies, into: one a task, and more where a task could not hold its block.

    Small fits run side by side, one per core: more blocks only add shuffles (3.9 core-s against 3.2 a fit on
    ml-latest-small). A large block is built in arrays that double as they grow, beside the ratings that go into it: 10
    million ratings do not fit into 700 MB.

    Args:
        n_ratings: to fit.
        n_slots: tasks at once.
        memory_bytes: what each of them has, as of `task_bytes`.

    >>> n_blocks(100_000, 2, 10**9), n_blocks(20_000_000, 2, 2_300 * 10**6), n_blocks(20_000_000, 2, 700 * 10**6)
    (1, 2, 6)
    """
    few = min(n_slots, 1 + n_ratings // _RATINGS_PER_BLOCK)
    rounds = -(-n_ratings * _BLOCK_BYTES_PER_RATING // (n_slots * memory_bytes))
    return n_slots * rounds if rounds > 1 else few


class Compiled:
    """The same mathematics in compiled code (`recsys.compiled.compiled_als`), which goes on from a shorter fit."""

    def __init__(self, train: Ratings, states: States | None = None) -> None:
        self._train, self._states = train, states or StatesInMemory(_STATES_BYTES)
        self._lock = threading.Lock()
        self._labels: LRUCache[str, Labels] = LRUCache(_n_kept(len(train)))

    @cached_property
    def _data(self) -> Interactions:
        return Interactions.of(self._train.user_ids, self._train.movie_ids)

    @cached_property
    def _fits(self) -> Fits:
        return Fits(self._data, self._states)

    def fit(self, scheme: str, make_labels: MakeLabels, params: AlsParams) -> Factors:
        with self._lock:
            fits = self._fits
            if scheme not in self._labels:
                self._labels[scheme] = self._data.arranged(make_labels())
            labels = self._labels[scheme]
        return fits.fit(scheme, labels, params)


def _n_kept(n_ratings: int) -> int:
    """How many sets of labels are kept between fits."""
    return max(1, _CACHED_RATINGS // max(1, n_ratings))


class Fitter:
    """Fits of both models on one set of training ratings.

    Hyper-parameters are ``rank``, ``reg_param`` and, for the ranking model, ``preference``, ``alpha`` and perhaps
    ``half_life_days``; `max_iter` holds where they do not say otherwise. `alpha` is the confidence that the average
    rating adds, whatever the unit of its preference: ratings and ones are the same to it. A movie is
    `liked` from `relevant_rating` on.
    """

    def __init__(self, engine: Engine, train: Ratings, seed: int, max_iter: int, relevant_rating: float = 4.0) -> None:
        self.train, self._seed, self._max_iter, self._liked = train, seed, max_iter, relevant_rating
        self._engine = engine
        self._sizes: dict[str, float] = {}  # mean sizes of labels, by preference
        self.biases: Biases = fit_biases(train.user_ids, train.movie_ids, train.ratings)

    def ranking(self, params: Params, seed: int | None = None) -> Factors:
        """Implicit ALS on what the ratings say about wanting a movie."""
        scheme = f"{params['preference']} {params.get('half_life_days')}"
        als_params = self._als_params({**params, "alpha": self.alpha(params)}, seed)
        return self._engine.fit(scheme, lambda: self._preference(params), als_params)

    def residuals(self, params: Params, seed: int | None = None) -> Factors:
        """Explicit ALS on the residuals of the biases."""
        return self._engine.fit("residuals", self._residuals, self._als_params(params, seed))

    def fit(self, model: str, params: Params, seed: int | None = None) -> Factors:
        """A fit with hyper-parameters from the search of `model`: ``ranking`` (implicit) or ``rating`` (explicit)."""
        return (self.ranking if model == "ranking" else self.residuals)(params, seed)

    def rating(self, params: Params) -> RatingModel:
        return self.with_biases(self.residuals(params))

    def with_biases(self, residuals: Factors) -> RatingModel:
        """Factors of the residuals, with the biases."""
        return RatingModel(self.biases, residuals, float(self.train.ratings.min()), float(self.train.ratings.max()))

    def member(self, params: Params) -> Member:
        """What folding users in later needs to know of a fit."""
        als_params = self._als_params(params, None)
        if "preference" not in params:
            return Member(rank=als_params.rank, reg_param=als_params.reg_param)
        return Member(
            rank=als_params.rank,
            reg_param=als_params.reg_param,
            alpha=self.alpha(params),
            threshold=self._liked,
            half_life_days=params.get("half_life_days"),
            **PREFERENCES[params["preference"]],
        )

    def alpha(self, params: Params) -> float:
        """The alpha that MLlib is given: that of the hyper-parameters, by the average size of a label."""
        name = params["preference"]
        if name not in self._sizes:
            labels = self._preference({"preference": name})
            some = labels[labels != 0]
            self._sizes[name] = float(np.abs(some).mean() if len(some) else 1.0)
        return float(f"{params['alpha'] / self._sizes[name]:.6g}")

    def _preference(self, params: Params) -> NDArray[np.float32]:
        train = self.train
        return preference(
            train.ratings,
            train.user_ids,
            train.timestamps,
            **PREFERENCES[params["preference"]],
            threshold=self._liked,
            half_life_days=params.get("half_life_days"),
        )

    def _residuals(self) -> NDArray[np.float32]:
        residuals: NDArray[np.float32] = self.train.ratings - self.biases.predict(
            self.train.user_ids, self.train.movie_ids
        )
        return residuals

    def _als_params(self, params: Params, seed: int | None) -> AlsParams:
        given = {name: value for name, value in params.items() if name in AlsParams.model_fields}
        return AlsParams(**{"max_iter": self._max_iter, **given}, seed=self._seed if seed is None else seed)


def fitter_of(
    spark: "SparkSession | None", train: Ratings, config: TrainConfig, states: States | None = None
) -> Fitter:
    """Fits by MLlib on Spark, or without Spark by the compiled engine, which keeps its states in `states`."""
    engine = Compiled(train, states) if spark is None else Mllib(spark, train)
    return Fitter(engine, train, config.seed, config.max_iter, config.relevant_rating)


def n_parallel(spark: "SparkSession | None") -> int:
    """Fits that run side by side: one a core."""
    return spark.sparkContext.defaultParallelism if spark else os.cpu_count() or 1
