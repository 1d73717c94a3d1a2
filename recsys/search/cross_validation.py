"""k-fold cross-validation of what a strategy asks for, with progress, a limit of time, and answers already known."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial

from recsys.search.space import Params, show
from recsys.search.strategies import Strategy
from recsys.search.trial import Candidate, Objective, Stage, Trial

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The trials of a search, in the order of asking, and how it came to its end.

    Attributes:
        trials: at least one of them judged in full.
        n_planned: judgements the strategy meant to ask for.
        is_out_of_time: the limit of time, not the strategy, ended it.
    """

    trials: list[Trial]
    n_planned: int
    is_out_of_time: bool


def cross_validate(
    name: str,
    strategy: Strategy,
    n_folds: int,
    evaluate: Callable[[Params, int], dict[str, float]],
    on_trial: Callable[[Trial], None],
    objective: Objective,
    *,
    n_parallel: int = 1,
    known: Sequence[Trial] = (),
    limit_s: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Judge what the strategy asks for until it has no more questions or time is up.

    Args:
        name: for the log.
        strategy: its very first candidate is judged whatever the limit; it must be one to be judged in full.
        n_folds: folds are numbered from 0.
        evaluate: fits on all folds but one and returns the metrics on that one; called from `n_parallel` threads, for
            the folds of a candidate at once unless the strategy prunes.
        on_trial: called in this thread once per newly finished trial, as soon as it is finished.
        objective: shown in the log, and what the strategy may prune by.
        n_parallel: trials under way at once, and fits; does not change what is asked.
        known: trials of an interrupted search; they answer instead of `evaluate`.
        limit_s: no trial is begun later than this; what runs is finished.
        clock: seconds.
    """
    trials: list[Trial] = []
    with ThreadPoolExecutor(n_parallel) as fits, ThreadPoolExecutor(n_parallel) as pool:
        search = _Search(name, strategy, n_folds, evaluate, fits, objective, known, limit_s, clock)
        while batch := strategy.ask():
            judged = search.run(pool, batch, len(trials), on_trial)
            trials += [trial for trial in judged if trial is not None]
            if None in judged or search.is_out_of_time():
                break
            strategy.tell([trial for trial in judged if trial is not None])
        else:
            return Outcome(trials, len(strategy.plan), is_out_of_time=False)
    is_complete = len(trials) == len(strategy.plan)
    if not is_complete:
        log.info("%s: time is up after %d of %d trials", name, len(trials), len(strategy.plan))
    return Outcome(trials, len(strategy.plan), is_out_of_time=not is_complete)


@dataclass(frozen=True)
class _Answer:
    """A trial, whether it is news, and when it was finished by the clock."""

    trial: Trial
    is_new: bool
    at_s: float


@dataclass
class _Search:
    """A search under way: its clock, what is known already, and how far it is."""

    name: str
    strategy: Strategy
    n_folds: int
    evaluate: Callable[[Params, int], dict[str, float]]
    fits: ThreadPoolExecutor
    objective: Objective
    known: Sequence[Trial]
    limit_s: float
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self._started = self.clock()
        self._finished: set[int] = set()
        self._n_new_fits = 0.0
        self._has_failed = threading.Event()
        if self.known:
            log.info("%s: %d trials of an interrupted attempt are used", self.name, len(self.known))

    def is_out_of_time(self) -> bool:
        return self.clock() - self._started >= self.limit_s

    def run(
        self, pool: ThreadPoolExecutor, batch: Sequence[Candidate], n_before: int, on_trial: Callable[[Trial], None]
    ) -> list[Trial | None]:
        """The trials of a batch, in its order; None where time was up before one began."""
        futures = [pool.submit(self._begin, n_before + at, candidate) for at, candidate in enumerate(batch)]
        places = {future: at for at, future in enumerate(futures)}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=places.__getitem__):
                    answer = future.result()
                    if answer and answer.is_new:
                        on_trial(answer.trial)
                    if answer:
                        self._report(answer)
        finally:
            for future in waiting:
                future.cancel()  # there are such only when a trial failed
        answers = [future.result() for future in futures]
        return [None if answer is None else answer.trial for answer in answers]

    def _begin(self, number: int, candidate: Candidate) -> "_Answer | None":
        """`_answer` in a thread of the pool, and nothing where another one has failed."""
        if self._has_failed.is_set():
            return None
        try:
            return self._answer(number, candidate)
        except BaseException:
            self._has_failed.set()
            raise

    def _answer(self, number: int, candidate: Candidate) -> "_Answer | None":
        """The candidate's trial; None where time is up."""
        known = next((trial for trial in self.known if trial.params == candidate.params), None)
        if known is None and number > 0 and self.is_out_of_time():
            return None
        started = self.clock()
        before = known.fold_metrics[: self.n_folds] if known else []
        if self.strategy.prunes:
            folds, is_pruned = self._evaluated_in_turn(candidate, before)
        else:
            missing = range(len(before), self.n_folds)
            folds, is_pruned = [*before, *self.fits.map(partial(self.evaluate, candidate.params), missing)], False
        stage: Stage = "pruned" if is_pruned else "rung" if candidate.is_rung else "full"
        if known is not None and len(folds) <= len(known.fold_metrics):
            return _Answer(
                replace(known, number=number, params=candidate.params, stage=stage), is_new=False, at_s=started
            )
        ended = self.clock()
        return _Answer(Trial(number, candidate.params, folds, ended - started, stage), is_new=True, at_s=ended)

    def _evaluated_in_turn(
        self, candidate: Candidate, before: Sequence[dict[str, float]]
    ) -> tuple[list[dict[str, float]], bool]:
        """Metrics fold by fold until the strategy gives the candidate up, and whether it did.

        A known trial goes the same way again, so that the strategy hears of every fold as it did before.
        """
        folds: list[dict[str, float]] = []
        for fold in range(self.n_folds):
            folds.append(before[fold] if fold < len(before) else self.evaluate(candidate.params, fold))
            values = [metrics[self.objective.metric] for metrics in folds]
            if fold + 1 < self.n_folds and self.strategy.is_hopeless(candidate, values):
                return folds, True
        return folds, False

    def _report(self, answer: "_Answer") -> None:
        """Say how a trial went and how long the rest may take, at the pace of this attempt."""
        plan, trial = self.strategy.plan, answer.trial
        self._finished.add(trial.number)
        if not answer.is_new:
            return
        self._n_new_fits += plan[trial.number]
        pace_s = (answer.at_s - self._started) / self._n_new_fits
        left_s = pace_s * sum(cost for number, cost in enumerate(plan) if number not in self._finished)
        log.info(
            "%s trial %d/%d%s: %s -> %s %.4f, about %.0f s left",
            self.name,
            len(self._finished),
            len(plan),
            "" if trial.stage == "full" else f" ({trial.stage})",
            show(trial.params),
            self.objective.metric,
            trial.mean(self.objective.metric),
            max(0.0, min(left_s, self._started + self.limit_s - answer.at_s)),
        )
