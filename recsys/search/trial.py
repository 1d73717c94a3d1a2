"""Trial parameters, results, and how the best trial is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recsys.search.space import Params

Stage = Literal["full", "rung", "pruned"]


@dataclass(frozen=True)
class Candidate:
    """Hyper-parameters to evaluate; on a rung they are judged with fewer iterations first, and cannot win by that."""

    params: Params
    is_rung: bool = False


@dataclass(frozen=True)
class Trial:
    """One candidate, judged.

    Attributes:
        number: place in the order of asking, from 0.
        params: its hyper-parameters.
        fold_metrics: metrics of each fold, in fold order.
        seconds: wall time of all its folds.
        stage: ``full``: judged on every fold and in the running. ``rung``: a first look with fewer iterations.
            ``pruned``: given up before the last fold.
    """

    number: int
    params: Params
    fold_metrics: list[dict[str, float]]
    seconds: float
    stage: Stage = "full"

    def values(self, metric: str) -> list[float]:
        return [fold[metric] for fold in self.fold_metrics]

    def mean(self, metric: str) -> float:
        return float(np.mean(self.values(metric)))

    def standard_error(self, metric: str) -> float:
        return standard_error(self.values(metric))


@dataclass(frozen=True)
class Objective:
    """What is made large or small.

    Attributes:
        metric: its name among the metrics of a fold.
        lower_is_better: as for errors.
    """

    metric: str
    lower_is_better: bool = False

    def ranked(self, trials: Sequence[Trial]) -> list[Trial]:
        """Best first by the mean over folds; ties go to the earlier one, which is the better known.

        >>> a, b = Trial(0, {}, [{"rmse": 0.9}], 1.0), Trial(1, {}, [{"rmse": 0.8}], 1.0)
        >>> [trial.number for trial in Objective("rmse", lower_is_better=True).ranked([a, b])]
        [1, 0]
        """
        sign = 1 if self.lower_is_better else -1
        return sorted(trials, key=lambda trial: (sign * trial.mean(self.metric), trial.number))

    def best(self, trials: Sequence[Trial]) -> Trial:
        """The best of those that were judged in full."""
        return self.ranked([trial for trial in trials if trial.stage == "full"])[0]


def standard_error(values: Sequence[float]) -> float:
    """Of a mean; NaN for fewer than two values.

    >>> round(standard_error([1.0, 1.1, 1.2]), 6)  # deviation 0.1 over 3 values
    0.057735
    """
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
