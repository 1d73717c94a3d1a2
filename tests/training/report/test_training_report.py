"""The page shows every trial in figures and in numbers, and loads nothing."""

import json
import re

import pytest

from recsys.search.cross_validation import Outcome
from recsys.search.space import Choice, LogInteger, LogUniform
from recsys.search.trial import Objective, Trial
from recsys.training.report.search_figures import learning_curve, trial_panels
from recsys.training.report.training_report import Searched, page
from recsys.training.training_documents import Evaluation

SPACE = {"rank": LogInteger(8, 32), "alpha": LogUniform(0.1, 10), "weights": Choice((None, "liked"))}
NDCG = Objective("ndcg_at_10")
TRIALS = [
    Trial(0, {"rank": 32, "alpha": 1.0, "weights": None}, [{"ndcg_at_10": v} for v in (0.2, 0.3)], 1.0),
    Trial(1, {"rank": 8, "alpha": 10.0, "weights": "liked"}, [{"ndcg_at_10": 0.1}], 1.0, "pruned"),
    Trial(2, {"rank": 16, "alpha": 0.1, "weights": "liked"}, [{"ndcg_at_10": v} for v in (0.3, 0.4)], 2.0),
]
SEARCHED = Searched("ranking", NDCG, SPACE, Outcome(TRIALS, 3, False), {1: 0.1, 2: 0.25, 3: 0.3})
STORED = {
    "promote": True,
    "checks": [{"name": "beats popularity", "passed": True, "reason": "beats <popularity>"}],
    "models": {},
    "k": 10,
    "confidence": 0.95,
    "n_users": 4,
    "reason": "beats <popularity>",
    "activity": [
        {"low": 1, "high": 2, "n_users": 2, "challenger": [0.2, 0.1, 0.3], "popularity": [0.1, 0.1, 0.1]},
        {"low": 8, "high": 8, "n_users": 2, "challenger": [0.3, 0.2, 0.4], "popularity": [0.3, 0.1, 0.5]},
    ],
    "calibration": [{"n_ratings": 2, "predicted": 2.0, "actual": 1.5, "low": 1.0, "high": 2.0}],
}
EVALUATION = Evaluation.of(STORED, "evaluation.json")


@pytest.fixture
def html():
    return page("tiny", "tiny-1", "run", [SEARCHED], EVALUATION)


def by_name(panels):
    return {panel.name: panel for panel in panels}


def test_parallel_coordinates_hold_every_trial_on_log_axes():
    panel = by_name(trial_panels("ranking", TRIALS, NDCG))["ranking_parallel"]
    axes = {axis["label"]: axis for axis in panel.spec["data"][0]["dimensions"]}
    assert list(axes) == ["rank", "alpha", "weights", "ndcg_at_10"]
    assert axes["alpha"]["values"] == [0, 1, -1]
    assert axes["weights"]["ticktext"] == ["liked", "none"]
    assert axes["weights"]["values"] == [1, 0, 0]
    assert axes["ndcg_at_10"]["values"] == pytest.approx([0.25, 0.1, 0.35])
    assert [row[0] for row in panel.rows] == ["2", "0", "1"]  # best first
    assert panel.rows[2] == ("1", "8", "10", "liked", "0.1000", "–", "given up early", "1.0")


def test_the_metric_is_drawn_against_each_parameter_and_the_chosen_trial_stands_out():
    panels = by_name(trial_panels("ranking", TRIALS, NDCG))
    assert list(panels) == ["ranking_parallel", "ranking_rank", "ranking_alpha", "ranking_weights"]
    traces = {trace["name"]: trace for trace in panels["ranking_alpha"].spec["data"]}
    assert traces["chosen"]["x"] == [0.1]
    assert traces["all folds"]["x"] == [1.0]
    assert traces["lower rung or given up"]["x"] == [10.0]
    assert traces["chosen"]["error_y"]["array"] == pytest.approx([0.05])  # deviation 0.0707 over two folds
    assert panels["ranking_weights"].spec["layout"]["xaxis"]["type"] == "category"


def test_a_parameter_that_never_varied_has_no_figure_and_a_single_trial_no_parallel_coordinates():
    assert trial_panels("ranking", TRIALS[:1], NDCG) == []


def test_the_learning_curve_says_whether_more_iterations_may_help():
    rising = learning_curve("ranking", {1: 0.1, 2: 0.25, 4: 0.3}, NDCG, TRIALS[2])
    assert rising.caption.endswith("0.3000 after 4 iterations, 0.0500 better than after 2; more may help.")
    falling = learning_curve("ranking", {1: 0.1, 2: 0.4, 4: 0.3}, NDCG, TRIALS[2])
    assert falling.caption.endswith("0.1000 worse than after 2; it is best after 2, so more do not help.")


def test_the_page_has_reasons_figures_and_tables(html):
    assert "Trial 2 of 3 judged (rank=16 alpha=0.1 weights=liked)" in html
    specs = json.loads(re.search(r'id="figures">(.*?)</script>', html, re.DOTALL).group(1))
    assert set(specs) == set(re.findall(r'<figure id="(\w+)"', html)) == set(re.findall(r'data-figure="(\w+)"', html))
    assert {"by_activity", "calibration", "ranking_learning_curve"} <= set(specs)
    assert html.count("<details open>") == len(specs)
    assert "beats &lt;popularity&gt;" in html
    assert "Least ahead of popularity at 8 ratings: +0.0000" in html


def test_the_page_before_the_evaluation_has_no_holdout(html):
    assert 'id="holdout"' in html
    assert 'id="holdout"' not in page("tiny", "tiny-1", "run", [SEARCHED])


def test_the_page_is_small_and_refers_to_nothing_outside(html):
    assert len(html.encode()) < 3_000_000
    assert {link[0] for link in re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", html)} == {"#"}
    assert re.findall(r"""url\(|@import|https?://|<link|<iframe|<img""", html) == []
