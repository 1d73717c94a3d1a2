"""The documents of a training: what earlier versions wrote is read, and written again it is the same."""

import json
import math
import tarfile
from pathlib import Path

import pytest

from recsys.config import TrainConfig
from recsys.errors import DataError
from recsys.messages import EvaluationResult
from recsys.search.trial import Trial
from recsys.storage.file_store import FileStore
from recsys.training import searching
from recsys.training.training_documents import (
    Evaluation,
    SearchRecord,
    SplitManifest,
    Verdict,
    read_trials,
    write_trial,
)
from tests.training.refused import EVALUATED

RECORDED = Path(__file__).parent.parent / "state" / "recorded.tar.xz"
VERDICT = {"promote": True, "reason": "beats all", "checks": [{"name": "beats a", "passed": True, "reason": "by far"}]}


@pytest.fixture(scope="module")
def recorded():
    """The JSON documents in the state that the version before wrote, by the end of their keys."""
    with tarfile.open(RECORDED) as archive:
        return {
            member.name: json.load(archive.extractfile(member))
            for member in archive
            if member.name.endswith(("search.json", "evaluation.json")) or "/splits/" in member.name
            if member.name.endswith(".json")
        }


@pytest.mark.parametrize(
    ("kind", "name"),
    [(SearchRecord, "/search.json"), (Evaluation, "/evaluation.json"), (SplitManifest, "holdout0.2/manifest.json")],
)
def test_a_document_of_the_version_before_is_read_and_written_again_it_is_the_same(recorded, kind, name):
    found = [document for key, document in recorded.items() if key.endswith(name)]
    assert found
    for document in found:
        assert json.loads(json.dumps(kind.of(document, name).to_json())) == document


def test_a_search_of_the_version_before_gives_its_choice(recorded):
    [document] = [document for key, document in recorded.items() if key.endswith("/search.json")]
    ranking, rating = searching.from_record(SearchRecord.of(document, "search.json"), TrainConfig())
    best = {"rank": 8, "reg_param": 0.1, "alpha": 3.5, "preference": "stars"}
    assert list(ranking.chosen().params.items()) == list(best.items())  # in the order of the space
    assert rating.chosen().mean("rmse") > 0
    assert list(ranking.curve) == [1, 2, 3]


def test_an_evaluation_from_before_intervals_and_run_ids_lacks_nothing():
    old = {**VERDICT, "champion": "models:/m/1", "models": {"challenger": {"ndcg_at_5": 0.5}}, "n_users": 3, "k": 5,
           "confidence": 0.95, "activity": [], "calibration": []}  # fmt: skip
    evaluation = Evaluation.of(old, "evaluation.json")
    assert (evaluation.champion_run_id, evaluation.duel) == (None, None)
    assert (evaluation.intervals, evaluation.comparisons, evaluation.left_out) == ({}, {}, {})
    assert evaluation.to_json() == old


def test_a_document_with_other_fields_is_named_and_nothing_is_guessed():
    with pytest.raises(DataError, match=r"x\.json is no Verdict: outcome: .*Nothing was changed"):
        Verdict.of({**VERDICT, "outcome": 1}, "x.json")


def test_a_trial_that_is_kept_is_the_trial_that_was_finished(tmp_path):
    store = FileStore(tmp_path)
    params = {"alpha": 4.0, "half_life_days": None, "preference": "stars", "rank": 8}
    folds = [{"ndcg_at_5": 0.25, "novelty": math.nan}, {"ndcg_at_5": 0.5, "novelty": 1.0}]
    second = Trial(1, params, folds, 1.5, "rung")
    first = Trial(0, {**params, "rank": 9}, folds[:1], 2.0, "pruned")
    for trial in (second, first, second):
        write_trial(store, "models/r", "ranking", trial)
    write_trial(store, "models/r", "rating", Trial(0, {"rank": 8}, folds, 1.0))
    found = read_trials(store, "models/r", "ranking")
    assert repr(found) == repr([first, second])  # NaN included; whole numbers stay whole
    assert [trial.params["rank"] for trial in read_trials(store, "models/r", "rating")] == [8]
    assert read_trials(store, "models/other", "ranking") == []


def test_a_trial_that_is_judged_on_more_folds_takes_the_place_of_the_shorter_one(tmp_path):
    store, fold = FileStore(tmp_path), {"rmse": 0.9}
    for folds in ([fold], [fold, fold]):
        write_trial(store, "models/r", "rating", Trial(0, {"rank": 8}, folds, 1.0))
    assert [len(trial.fold_metrics) for trial in read_trials(store, "models/r", "rating")] == [2]


def test_what_tasks_give_each_other_is_the_same_after_its_way_through_json():
    evaluated = EVALUATED.model_copy(
        update={"metrics": {"ndcg_at_5": 0.1}, "opponent": "models:/recsys-tiny/1", "is_accepted": True}
    )
    assert EvaluationResult.read(json.loads(json.dumps(evaluated.to_json()))) == evaluated
