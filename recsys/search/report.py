"""The page of a training run: what was searched and why one point was chosen, and how it did on the holdout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys.pages import render
from recsys.pages.charts import Panel, figures_json, library
from recsys.search import holdout_figures
from recsys.search.cross_validation import Outcome
from recsys.search.figures import learning_curve, trial_panels
from recsys.search.reasons import reasons
from recsys.search.space import Space
from recsys.search.trial import Objective, Trial


@dataclass(frozen=True)
class Searched:
    """The search of one model.

    Attributes:
        model: ``ranking`` or ``rating``.
        objective: what was optimised.
        space: what was searched.
        outcome: what was found.
        curve: the chosen point's metric on the first fold by number of iterations; may be empty.
    """

    model: str
    objective: Objective
    space: Space
    outcome: Outcome
    curve: Mapping[int, float]

    def chosen(self) -> Trial:
        return self.objective.best(self.outcome.trials)

    def reasons(self) -> list[str]:
        return reasons(self.outcome, self.objective, self.space)


@dataclass(frozen=True)
class _Section:
    anchor: str
    title: str
    sentences: list[str]
    panels: list[Panel]


def page(
    name: str, snapshot_id: str, run_id: str, searches: Sequence[Searched], evaluation: Mapping[str, Any] | None = None
) -> str:
    """The page as HTML; loads nothing, under 3 MB.

    Args:
        name: of the training run.
        snapshot_id: what was trained on.
        run_id: MLflow's.
        searches: one per model.
        evaluation: the outcome of the holdout exam, once there is one; `activity`, `calibration`, `reason`, `n_users`,
            `k` and `confidence` are shown.
    """
    sections = [_search_section(each) for each in searches]
    if evaluation is not None:
        sections.append(_holdout_section(evaluation))
    return render(
        "training.html",
        title=f"{name}: training run",
        name=name,
        snapshot_id=snapshot_id,
        run_id=run_id,
        sections=sections,
        figures_json=figures_json([panel for section in sections for panel in section.panels]),
        library=library(),
    )


def _search_section(searched: Searched) -> _Section:
    trials, objective = searched.outcome.trials, searched.objective
    panels = trial_panels(searched.model, trials, objective)
    if searched.curve:
        panels.append(learning_curve(searched.model, searched.curve, objective, searched.chosen()))
    title = f"{searched.model.capitalize()} model: the search"
    return _Section(searched.model, title, searched.reasons(), panels)


def _holdout_section(evaluation: Mapping[str, Any]) -> _Section:
    confidence = evaluation["confidence"]
    panels = []
    if evaluation["activity"]:
        panels.append(holdout_figures.by_activity(evaluation["activity"], f"ndcg_at_{evaluation['k']}", confidence))
    if evaluation["calibration"]:
        panels.append(holdout_figures.calibration(evaluation["calibration"], confidence))
    sentences = [f"{evaluation['n_users']:,} users were examined. Gate: {evaluation['reason']}."]
    return _Section("holdout", "On the holdout", sentences, panels)
