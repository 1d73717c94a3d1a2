"""Bayesian search: Optuna's tree-structured Parzen estimator, with its median pruner after each fold.

Bergstra et al. (2011). Nothing is kept between attempts: the study is rebuilt by asking and telling the same trials
again, which is exact because every question has a random state of its own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from recsys.search.space import Choice, Dimension, LogInteger, Params, Space
from recsys.search.trial import Candidate, Objective, Trial

# Asked at once, whatever the number of cores, so that the trials are the same on every machine.
BATCH = 4
_MAX_REPEATS = 20


class Bayesian:
    """TPE after a start that covers the space.

    Args:
        space: dimension by name.
        candidates: known and evenly spread ones; about a third of the budget, at most 10, is spent on them first.
        n_trials: candidates in all.
        objective: what is optimised.
        seed: same seed and same outcomes, same candidates.
    """

    prunes = True

    def __init__(
        self, space: Space, candidates: Sequence[Params], n_trials: int, objective: Objective, seed: int
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._objective, self._seed = space, objective, seed
        self._distributions = {name: _distribution(dimension) for name, dimension in space.items()}
        n_start = min(len(candidates), 10, max(BATCH, n_trials // 3))
        self._study = optuna.create_study(
            direction="minimize" if objective.lower_is_better else "maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=BATCH),
        )
        for params in candidates[:n_start]:
            self._study.enqueue_trial(params)
        self._asked: list[Params] = []
        self._open: list[tuple[Candidate, Any]] = []
        self.plan = [1.0] * n_trials

    def ask(self) -> list[Candidate]:
        for _ in range(min(BATCH, len(self.plan) - len(self._asked))):
            found = self._next()
            if found is None:
                break
            self._open.append(found)
            self._asked.append(found[0].params)
        return [candidate for candidate, _ in self._open]

    def tell(self, trials: Sequence[Trial]) -> None:
        from optuna.trial import TrialState

        for (_, question), trial in zip(self._open, trials, strict=False):
            if trial.stage == "pruned":
                self._study.tell(question, state=TrialState.PRUNED)
            else:
                self._study.tell(question, trial.mean(self._objective.metric))
        self._open = []

    def is_hopeless(self, candidate: Candidate, values: Sequence[float]) -> bool:
        """Whether the mean so far is worse than the median of the finished trials' after as many folds.

        Trials of the same batch are not finished, whichever comes first: timing decides nothing.
        """
        question = next(question for each, question in self._open if each is candidate)
        question.report(float(np.mean(values)), len(values) - 1)
        return bool(question.should_prune())

    def _next(self) -> tuple[Candidate, Any] | None:
        """A candidate that was not asked before; None when the space seems to be exhausted."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        for _ in range(_MAX_REPEATS):
            n_questions = len(self._study.get_trials(deepcopy=False))
            seed = int(np.random.SeedSequence([self._seed, n_questions]).generate_state(1)[0])
            self._study.sampler = TPESampler(seed=seed, n_startup_trials=1)
            question = self._study.ask(self._distributions)
            params = {name: dimension.nearest(question.params[name]) for name, dimension in self._space.items()}
            if params not in self._asked:
                return Candidate(params), question
            self._study.tell(question, state=TrialState.FAIL)
        return None


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.options)
    if isinstance(dimension, LogInteger):
        return IntDistribution(dimension.low, dimension.high, log=True)
    return FloatDistribution(dimension.low, dimension.high, log=True)
