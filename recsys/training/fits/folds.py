"""The folds a search evaluates its candidates on, each prepared once: what does not depend on a candidate is shared."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from recsys.compiled.compiled_als import States
from recsys.config import TrainConfig
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.models.factors import Factors
from recsys.search.space import Params
from recsys.training.fits import engines
from recsys.training.fits.engines import Fitter, fitter_of, split_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

StatesOf = Callable[[int], States]


class FoldEvaluator(Protocol):
    """Fit candidates on a fold's training part, and evaluate them on the rest of the fold; called from threads.

    Attributes:
        n_parallel: calls that are worked on side by side.
    """

    n_parallel: int

    def evaluate(self, model: str, params: Params, fold: int) -> dict[str, float]:
        """Fit with hyper-parameters from the search of `model` and return the metrics."""
        ...

    def fit(self, model: str, params: Params, fold: int) -> Factors:
        """Only fit it."""
        ...

    def fold(self, number: int) -> "Fold":
        """A fold, ready in this process."""
        ...


@dataclass(frozen=True)
class Fold:
    """Fits on the training part of a fold, and their evaluation on the rest of it."""

    fitter: Fitter
    evaluator: Evaluator

    def evaluate(self, model: str, params: Params) -> dict[str, float]:
        if model == "ranking":
            return self.evaluator.evaluate_ranking(self.fitter.ranking(params))[0]
        return self.evaluator.evaluate_rating(self.fitter.rating(params))


class Folds:
    """Folds of this process, prepared when they are first asked about.

    Args:
        spark: fits by MLlib; without it, the compiled engine fits in the threads that ask.
        ratings: all of them.
        config: how many folds, of which split.
        n_kept: folds that are kept ready; beyond it the one not used for longest goes first. By default all.
        states_of: where the compiled engine keeps the states of its fits on a fold, by its number.
    """

    def __init__(
        self,
        spark: "SparkSession | None",
        ratings: Ratings,
        config: TrainConfig,
        n_kept: int | None = None,
        states_of: StatesOf | None = None,
    ) -> None:
        self._spark, self._ratings, self._config, self._states_of = spark, ratings, config, states_of
        self._n_kept = n_kept or config.n_folds
        self._lock = threading.Lock()
        self._ready: OrderedDict[int, Fold] = OrderedDict()
        self.n_parallel = engines.n_parallel(spark)

    def evaluate(self, model: str, params: Params, fold: int) -> dict[str, float]:
        return self.fold(fold).evaluate(model, params)

    def fit(self, model: str, params: Params, fold: int) -> Factors:
        return self.fold(fold).fitter.fit(model, params)

    def fold(self, number: int) -> Fold:
        with self._lock:
            if number not in self._ready:
                self._ready[number] = self._prepare(number)
            self._ready.move_to_end(number)
            while len(self._ready) > self._n_kept:
                self._ready.popitem(last=False)
            return self._ready[number]

    def _prepare(self, number: int) -> Fold:
        ratings, config = self._ratings, self._config
        # All folds' masks take ten bytes a rating: made anew for each, not kept.
        part = split_of(config).folds(config.n_folds, ratings.user_ids, ratings.movie_ids, ratings.timestamps)[number]
        train, validation = ratings.where(part.train), ratings.where(part.validation)
        states = self._states_of(number) if self._states_of else None
        fold = Fold(
            fitter_of(self._spark, train, config, states),
            Evaluator(train, validation, config.k, config.relevant_rating),
        )
        _ = fold.evaluator.popularity, fold.evaluator.matrix  # before threads share it
        return fold
