"""k-fold cross-validation of a list of candidates, with progress and a running estimate of the time left."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.search.space import Point

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One candidate, judged on every fold.

    Attributes:
        number: place in the list of candidates, from 0.
        point: its hyper-parameters.
        fold_metrics: metrics of each fold, in fold order.
        seconds: wall time of all its folds.
    """

    number: int
    point: Point
    fold_metrics: list[dict[str, float]]
    seconds: float

    def mean(self, metric: str) -> float:
        return float(np.mean([fold[metric] for fold in self.fold_metrics]))

    def standard_error(self, metric: str) -> float:
        values = [fold[metric] for fold in self.fold_metrics]
        return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def cross_validate(
    name: str,
    points: Sequence[Point],
    n_folds: int,
    judge: Callable[[Point, int], dict[str, float]],
    on_trial: Callable[[Trial], None],
    metric: str,
    n_parallel: int = 1,
    done: Mapping[int, Trial] | None = None,
) -> list[Trial]:
    """Judge every point on every fold.

    Args:
        name: for the log.
        points: the candidates.
        n_folds: folds are numbered from 0.
        judge: fits on all folds but one and returns the metrics on that one.
        on_trial: called in this thread once per newly finished trial, in the order of `points`.
        metric: shown in the log.
        n_parallel: trials under way at once.
        done: trials by number that an interrupted search has finished; they are not run again.

    Returns:
        One trial per point, in the order of `points`.
    """
    done = done or {}
    if done:
        log.info("%s: %d trials of an interrupted attempt are used", name, len(done))
    started = time.monotonic()

    def run(number: int) -> Trial:
        if number in done:
            return done[number]
        begun = time.monotonic()
        folds = [judge(points[number], fold) for fold in range(n_folds)]
        return Trial(number, points[number], folds, time.monotonic() - begun)

    trials: list[Trial] = []
    with ThreadPoolExecutor(n_parallel) as pool:
        for trial in pool.map(run, range(len(points))):
            trials.append(trial)
            if trial.number in done:
                continue
            on_trial(trial)
            n_run = sum(each.number not in done for each in trials)
            n_left = sum(number not in done for number in range(len(trials), len(points)))
            left = (time.monotonic() - started) / n_run * n_left
            log.info(
                "%s trial %d/%d: %s -> %s %.4f, about %.0f s left",
                name,
                len(trials),
                len(points),
                _show(trial.point),
                metric,
                trial.mean(metric),
                left,
            )
    return trials


def best(trials: Sequence[Trial], metric: str, *, lower_is_better: bool) -> Trial:
    """The trial with the best mean; ties go to the earlier one, which is the better known.

    >>> a, b = Trial(0, {}, [{"rmse": 0.9}], 1.0), Trial(1, {}, [{"rmse": 0.8}], 1.0)
    >>> best([a, b], "rmse", lower_is_better=True).number
    1
    """
    sign = 1 if lower_is_better else -1
    return min(trials, key=lambda trial: (sign * trial.mean(metric), trial.number))


def _show(point: dict[str, Any]) -> str:
    return " ".join(f"{key}={value:g}" for key, value in point.items())
