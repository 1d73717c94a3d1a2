"""The page of a training run: what was searched, why one candidate was chosen, and how it did on the holdout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsys.pages.charts import Panel, figures_json, library
from recsys.pages.rendering import render
from recsys.search.cross_validation import Outcome
from recsys.search.space import Space
from recsys.search.trial import Objective, Trial
from recsys.training.report import holdout_figures
from recsys.training.report.reasons import reasons
from recsys.training.report.search_figures import learning_curve, trial_panels
from recsys.training.training_documents import Evaluation

# What an artifact of MLflow with the page is called.
PAGE = "training.html"


@dataclass(frozen=True)
class Searched:
    """The search of one model.

    Attributes:
        model: ``ranking`` or ``rating``.
        objective: what was optimised.
        space: what was searched.
        outcome: what was found.
        curve: the choice's metric on the first fold by number of iterations; may be empty.
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
    name: str,
    snapshot_id: str,
    run_id: str,
    searches: Sequence[Searched],
    evaluation: Evaluation | None = None,
    composition: Sequence[str] = (),
) -> str:
    """The page as HTML; loads nothing, under 3 MB.

    Args:
        name: of the training run.
        snapshot_id: what was trained on.
        run_id: MLflow's.
        searches: one per model.
        composition: sentences on what the models are made of.
        evaluation: on the holdout, once there is one.
    """
    sections = [_search_section(each) for each in searches]
    if composition:
        sections.append(_Section("composition", "What the models are made of", list(composition), []))
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


def _holdout_section(evaluation: Evaluation) -> _Section:
    confidence = evaluation.confidence
    panels = [holdout_figures.models(evaluation)] if evaluation.intervals else []
    if evaluation.activity:
        panels.append(holdout_figures.by_activity(evaluation.activity, f"ndcg_at_{evaluation.k}", confidence))
    if evaluation.calibration:
        panels.append(holdout_figures.calibration(evaluation.calibration, confidence))
    sentences = [f"{evaluation.n_users:,} users were examined. Gate: {evaluation.reason}."]
    ratings = evaluation.models.get("challenger", {})
    if ratings and "rmse" not in ratings:
        sentences.append("These data have no ratings: there is no rating model, and no rating is predicted.")
    if "rmse" in ratings:
        sentences.append(
            f"Predicted ratings: RMSE {ratings['rmse']:.4f}, MAE {ratings['mae']:.4f}, R² {ratings['r2']:.3f}; "
            f"averages alone {evaluation.models['biases']['rmse']:.4f}. {ratings['rating_coverage']:.1%} of the "
            "held-out ratings are of a user and a movie that were both in training; the others are predicted by the "
            "averages."
        )
    sentences += [f"{name} was left out: {why}." for name, why in evaluation.left_out.items()]
    if evaluation.duel and evaluation.duel.n_seen:
        sentences.append(
            f"The champion was trained on {evaluation.duel.n_seen:,} of the held-out ratings, as its split was another "
            "one; it and this run's model were compared without them."
        )
    return _Section("holdout", "On the holdout", sentences, panels)
