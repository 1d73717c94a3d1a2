"""Why a trial was chosen, in sentences: how good, how sure, how far ahead, and whether the space was wide enough."""

import numpy as np

from recsys.search.cross_validation import Outcome
from recsys.search.space import Space, edges, show
from recsys.search.trial import Objective, Trial, standard_error


def reasons(outcome: Outcome, objective: Objective, space: Space) -> list[str]:
    """Sentences about the best trial of a search.

    Two trials are told apart by their difference on the same folds, not by their means: folds differ in difficulty, and
    that is the same for both. A difference below two of its standard errors is within the spread. (Folds share training
    data, so the standard error is somewhat too small: Bengio & Grandvalet, 2004.)

    Args:
        outcome: the search.
        objective: what was optimised.
        space: what was searched.

    >>> a = Trial(0, {"x": 1.0}, [{"rmse": 0.9}, {"rmse": 0.8}], 1.0)
    >>> reasons(Outcome([a], 1, False), Objective("rmse", True), {})[0]
    'Trial 0 of 1 judged (x=1): rmse 0.8500 over 2 folds, from 0.8000 to 0.9000, standard error 0.0500.'
    """
    ranked = objective.ranked([trial for trial in outcome.trials if trial.stage == "full"])
    chosen, metric = ranked[0], objective.metric
    values = chosen.values(metric)
    spread = f", standard error {chosen.standard_error(metric):.4f}" if len(values) > 1 else ""
    found = [
        f"Trial {chosen.number} of {len(outcome.trials)} judged ({show(chosen.params)}): {metric} "
        f"{chosen.mean(metric):.4f} over {len(values)} folds, from {min(values):.4f} to {max(values):.4f}{spread}."
    ]
    found.append(_lead(chosen, ranked[1], objective) if len(ranked) > 1 else "No other trial was judged in full.")
    found.append(_position(chosen, space))
    found.append(_end(outcome))
    return found


def _lead(chosen: Trial, second: Trial, objective: Objective) -> str:
    """How far the second best is behind, and whether that means anything."""
    sign = -1 if objective.lower_is_better else 1
    ahead = sign * (np.array(chosen.values(objective.metric)) - np.array(second.values(objective.metric)))
    error = standard_error(ahead.tolist())
    sentence = (
        f"The second best is trial {second.number} ({show(second.params)}) with {second.mean(objective.metric):.4f}, "
        f"{ahead.mean():.4f} behind; on the same folds the difference has a standard error of {error:.4f}"
    )
    if ahead.mean() < 2 * error:
        return f"{sentence}: within the spread, so the two cannot be told apart."
    return f"{sentence}: more than the spread of the folds explains."


def _position(chosen: Trial, space: Space) -> str:
    at = edges(space, chosen.params)
    if not at:
        return "It lies inside the space that was searched, on no edge of it."
    ends = " and ".join(f"the {end} end of {name}" for name, end in at.items())
    return f"It lies at {ends}: a wider space may hold a better point."


def _end(outcome: Outcome) -> str:
    counts = {stage: sum(trial.stage == stage for trial in outcome.trials) for stage in ("full", "rung", "pruned")}
    parts = [f"{counts['full']} in full"]
    parts += [f"{counts['rung']} on a lower rung"] if counts["rung"] else []
    parts += [f"{counts['pruned']} given up early"] if counts["pruned"] else []
    of = f"{len(outcome.trials)} of {outcome.n_planned} planned trials were judged: {', '.join(parts)}."
    return f"Time was up: {of}" if outcome.is_out_of_time else of
