"""The strategies of a search behind one interface: a fixed list (grid, random) and successive halving.

A strategy is asked for a batch of candidates and told their trials, in the order it asked, before it is asked again.
What it asks depends on its arguments and on what it was told, never on time or on how many trials run at once: a search
that was killed is resumed by asking again and answering from the trials that are already known.
"""

from collections.abc import Sequence
from typing import Protocol

from recsys.search.space import Params, Space, different, grid, halton
from recsys.search.trial import Candidate, Objective, Trial


class Strategy(Protocol):
    """Asks and is told.

    Attributes:
        plan: the cost of each judgement it means to ask for, in order, in fits of full length; it may ask for fewer.
        prunes: whether `is_hopeless` may be true; where it never is, all folds of a candidate may be fitted at once.
    """

    plan: list[float]
    prunes: bool

    def ask(self) -> list[Candidate]:
        """The next batch; empty when there is nothing left to try."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """The outcome of the last batch, in its order."""

    def is_hopeless(self, candidate: Candidate, values: Sequence[float]) -> bool:
        """Whether its further folds are not worth fitting, given its metric on the first ones; called from threads."""


class Listed:
    """Points that are known beforehand, every one judged in full: grid and random search."""

    prunes = False

    def __init__(self, candidates: Sequence[Params]) -> None:
        self._batches = [[Candidate(params) for params in candidates]]
        self.plan = [1.0] * len(candidates)

    def ask(self) -> list[Candidate]:
        return self._batches.pop() if self._batches else []

    def tell(self, trials: Sequence[Trial]) -> None:
        pass

    def is_hopeless(self, candidate: Candidate, values: Sequence[float]) -> bool:
        return False


class Halving:
    """Successive halving over ALS iterations (Jamieson & Talwalkar, 2016), eta 2.

    Each rung fits twice the iterations of the one below, and the better half of its candidates goes on to the next.
    Where every rung starts anew, as MLlib must, `n` candidates over `m` rungs cost about ``n * m / 2 ** (m - 1)`` full
    fits: a fifth less than all in full with `max_iter` 10, half with 24, nothing below 5. Fits that go on from
    the rung below pays for the new iterations alone, about ``n * (m + 1) / 2 ** m``: with 24, five sixteenths.
    What is asked is the same for both.
    Points known to do well skip the rungs, so that there is a full trial whenever time runs out.

    Args:
        candidates: the first `n_known` of them are judged in full at once.
        n_known: how many of them.
        objective: who is better.
        max_iter: iterations of the last rung.
        first_rung: the fewest iterations worth looking at; below 3 the order says little about the final one.
        is_resumed: fits go on from the candidate's rung below; for the plan's costs alone.
    """

    prunes = False

    def __init__(
        self,
        candidates: Sequence[Params],
        n_known: int,
        objective: Objective,
        max_iter: int,
        first_rung: int = 3,
        *,
        is_resumed: bool = False,
    ) -> None:
        self._objective = objective
        self._rungs = rungs(max_iter, first_rung)
        self._known = [Candidate({**params, "max_iter": max_iter}) for params in candidates[:n_known]]
        self._waiting = list(candidates[n_known:])
        self._n_asked = 0
        self.plan = [1.0] * len(self._known)
        n, n_done = len(self._waiting), 0
        for n_iterations in self._rungs:
            self.plan += [(n_iterations - n_done) / max_iter] * n
            n, n_done = (n + 1) // 2, n_iterations if is_resumed else 0

    def ask(self) -> list[Candidate]:
        known, self._known = self._known, []
        if self._n_asked == len(self._rungs) or not self._waiting:
            return known
        n_iterations = self._rungs[self._n_asked]
        self._n_asked += 1
        is_rung = self._n_asked < len(self._rungs)
        return [*known, *(Candidate({**params, "max_iter": n_iterations}, is_rung) for params in self._waiting)]

    def tell(self, trials: Sequence[Trial]) -> None:
        ranked = self._objective.ranked([trial for trial in trials if trial.stage == "rung"])
        self._waiting = [trial.params for trial in ranked[: (len(ranked) + 1) // 2]]

    def is_hopeless(self, candidate: Candidate, values: Sequence[float]) -> bool:
        return False


def rungs(max_iter: int, first_rung: int) -> list[int]:
    """Iterations of each rung, halved from the top as long as `first_rung` allows.

    >>> rungs(24, 3), rungs(10, 3), rungs(4, 3)
    ([3, 6, 12, 24], [3, 5, 10], [4])
    """
    found = [max_iter]
    while (n_iterations := -(-found[0] // 2)) >= max(first_rung, 1) and n_iterations < found[0]:
        found.insert(0, n_iterations)
    return found


def make(
    name: str,
    space: Space,
    n_trials: int,
    objective: Objective,
    seed: int,
    first: Sequence[Params],
    max_iter: int,
    first_rung: int = 3,
    *,
    is_resumed: bool = False,
) -> Strategy:
    """A strategy by its name.

    Args:
        name: ``grid``: the largest even grid of at most `n_trials`, after the first ones. ``random``: a Halton
            sequence. ``bayesian``: Optuna's TPE with pruning. ``halving``: a Halton sequence, thinned out by rungs.
        space: dimension by name; without ``max_iter`` for halving, which decides it.
        n_trials: candidates, those of `first` among them (except for the grid).
        objective: what is optimised.
        seed: same seed, same candidates.
        first: candidates worth trying before any other, such as the present champion's; at least one.
        max_iter: iterations of a full fit.
        first_rung: iterations of the first rung, for halving.
        is_resumed: whether fits go on from the rung below, for halving.
    """
    first = different(first, n_trials)
    if name == "grid":
        candidates = [*first, *grid(space, n_trials)]
        return Listed(different(candidates, len(candidates)))
    # Twice as many as needed: whole numbers and choices may repeat.
    candidates = different([*first, *halton(space, seed, 2 * n_trials)], n_trials)
    if name == "random":
        return Listed(candidates)
    if name == "halving":
        return Halving(candidates, len(first), objective, max_iter, first_rung, is_resumed=is_resumed)
    from recsys.search.bayesian import Bayesian

    return Bayesian(space, candidates, n_trials, objective, seed)
