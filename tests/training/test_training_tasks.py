"""The training jobs on a small snapshot, with real Spark and a real MLflow database."""

import numpy as np
import pytest

from recsys.errors import RefusedError
from recsys.registry import training_runs
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, read_table
from recsys.tracking.tracking import CHAMPION, Tracking
from recsys.training import runs, searching, tasks
from recsys.training.training_documents import read_trials
from tests.training.tiny import CONFIG, train_once, write_snapshot

pytestmark = pytest.mark.spark


def test_the_split_is_disjoint_and_written_once(settings, workspace):
    snapshot_id = write_snapshot(settings)
    split = tasks.split(workspace, snapshot_id, CONFIG, "a")
    store = workspace.store
    train_part, holdout = (read_table(store, key) for key in (split.train_key, split.holdout_key))
    pairs = [set(zip(t["user_id"].to_pylist(), t["movie_id"].to_pylist(), strict=True)) for t in (train_part, holdout)]
    assert not pairs[0] & pairs[1]
    snapshot = read_table(store, layout.snapshot_table(snapshot_id, "ratings"))
    assert len(pairs[0]) + len(pairs[1]) == snapshot.num_rows
    assert tasks.split(workspace, snapshot_id, CONFIG, "a") == split


def test_a_first_model_that_beats_popularity_becomes_champion(settings, champion):
    assert champion.is_promoted
    assert champion.model.label == "recsys-tiny-v1"
    tracking = Tracking(settings)
    assert tracking.by_alias("recsys-tiny", CHAMPION)["run_id"] == champion.mlflow_run_id
    judged = read_json(open_store(settings.resolved_store_url), layout.evaluation(champion.model_prefix))["models"]
    # Popularity mixes both camps, so about half of its places are lost.
    assert judged["challenger"]["ndcg_at_5"] > 1.5 * judged["popularity"]["ndcg_at_5"]
    logged = tracking.get_run(champion.mlflow_run_id)["metrics"]
    assert logged["holdout_ndcg_at_5"] == pytest.approx(judged["challenger"]["ndcg_at_5"])
    nested = tracking.find_runs(
        training_runs.EXPERIMENT, {"mlflow.parentRunId": champion.mlflow_run_id}, status="FINISHED"
    )
    kinds = sorted(r["tags"].get("model") or r["tags"]["peer"] for r in nested)
    assert kinds == ["biases", "popularity", "ranking", "ranking", "rating", "svd"]
    assert {r["tags"]["dataset_fingerprint"] for r in nested} == {"f" * 64}
    trials = read_trials(open_store(settings.resolved_store_url), champion.model_prefix, "ranking")
    shown = [r for r in nested if r["tags"].get("model") == "ranking"]
    shown.sort(key=lambda run: run["tags"]["mlflow.runName"])  # which says its number
    assert len(trials) == len(shown) == CONFIG.ranking_trials
    for trial, run in zip(trials, shown, strict=True):
        assert run["params"].items() >= {name: str(value) for name, value in trial.params.items()}.items()
        by_fold = trial.values("ndcg_at_5")
        assert len(by_fold) == CONFIG.n_folds
        assert run["metrics"]["cv_ndcg_at_5"] == pytest.approx(np.mean(by_fold))
        assert run["metrics"]["fold_ndcg_at_5"] == by_fold[-1]  # the last step of the series


def test_the_training_run_carries_its_pictures_and_says_why_the_points_were_chosen(settings, champion):
    run = Tracking(settings).get_run(champion.mlflow_run_id)
    assert "Ranking model" in run["tags"]["mlflow.note.content"]
    assert "2 of 2 planned trials were judged" in run["tags"]["mlflow.note.content"]
    assert run["tags"]["ranking_out_of_time"] == "False"
    [page] = settings.state_dir.rglob("artifacts/training.html")
    html = page.read_text()
    for panel in ("ranking_parallel", "ranking_alpha", "ranking_learning_curve", "rating_learning_curve"):
        assert f'<figure id="{panel}"' in html
    assert '<figure id="by_activity"' in html
    assert '<figure id="calibration"' in html
    record = read_json(open_store(settings.resolved_store_url), layout.search(champion.model_prefix))
    assert list(record["ranking"]["curve"]) == ["1", "2", "3"]
    document = read_json(open_store(settings.resolved_store_url), layout.evaluation(champion.model_prefix))
    n_users = [row["n_users"] for row in document["activity"]]
    assert sum(n_users) == document["n_users"]
    # The mean over groups, weighted by their users, is the mean over users.
    weighted = np.average([row["challenger"][0] for row in document["activity"]], weights=n_users)
    assert weighted == pytest.approx(document["models"]["challenger"]["ndcg_at_5"])


@pytest.mark.parametrize("strategy", ["bayesian", "halving"])
def test_strategies_that_learn_from_trials_do_so_on_real_fits(settings, workspace, strategy):
    write_snapshot(settings)
    config = CONFIG.model_copy(update={"strategy": strategy, "max_iter": 6, "ranking_trials": 3})
    found = tasks.search(workspace, tasks.split(workspace, "tiny-1", config, strategy), config)
    assert found.params["ranking"]["rank"] <= CONFIG.max_rank
    nested = workspace.tracking.find_runs(training_runs.EXPERIMENT, {"mlflow.parentRunId": found.mlflow_run_id})
    iterations = sorted(run["params"]["max_iter"] for run in nested if run["tags"]["model"] == "ranking")
    # Halving looks at two drawn points with three iterations; the known-good one and the better of them get all six.
    assert iterations == (["3", "3", "6", "6"] if strategy == "halving" else ["6"] * len(iterations))
    assert tasks.search(workspace, tasks.split(workspace, "tiny-1", config, strategy), config) == found


def test_a_search_out_of_time_has_tried_the_known_good_points_and_says_so(settings, workspace, caplog):
    write_snapshot(settings)
    config = CONFIG.model_copy(update={"search_minutes": 1e-6})
    with caplog.at_level("INFO", "recsys.search.cross_validation"):
        found = tasks.search(workspace, tasks.split(workspace, "tiny-1", config, "brief"), config)
    assert "ranking: time is up after 1 of 2 trials" in caplog.text
    known = searching.strategy("ranking", config).ask()[0].params
    assert found.params["ranking"] == known == {"rank": 8, "reg_param": 0.1, "alpha": 3.5, "preference": "stars"}
    run = Tracking(settings).get_run(found.mlflow_run_id)
    assert run["tags"]["ranking_out_of_time"] == "True"
    assert "Time was up: 1 of 2 planned trials were judged" in run["tags"]["mlflow.note.content"]


def test_an_equal_challenger_is_registered_but_the_champion_stays(workspace, champion):
    second = train_once(workspace, "second")
    assert not second.is_promoted
    assert second.model == champion.model
    assert second.training_run_id != champion.mlflow_run_id
    assert "does not beat champion" in second.reason


def test_without_taste_there_is_nothing_to_promote_and_the_training_says_so(settings, workspace):
    write_snapshot(settings, taste=False)
    with pytest.raises(RefusedError, match=r"does not beat popularity.*no champion"):
        train_once(workspace, "noise")
    assert Tracking(settings).by_alias("recsys-tiny", CHAMPION) is None


def test_a_killed_search_goes_on_where_it_stopped(settings, workspace, monkeypatch):
    write_snapshot(settings)
    split = tasks.split(workspace, "tiny-1", CONFIG, "killed")
    real, calls = runs.log_trial, []

    def dying(*args):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(args)
        real(*args)

    monkeypatch.setattr(runs, "log_trial", dying)
    with pytest.raises(KeyboardInterrupt):
        tasks.search(workspace, split, CONFIG)
    monkeypatch.setattr(runs, "log_trial", real)
    searched = tasks.search(workspace, split, CONFIG)
    tracking = workspace.tracking
    nested = tracking.find_runs(
        training_runs.EXPERIMENT, {"mlflow.parentRunId": searched.mlflow_run_id}, status="FINISHED"
    )
    assert len(nested) == 3  # two ranking trials and one rating trial, each once
    assert len(tracking.find_runs(training_runs.EXPERIMENT, {"training_id": "killed", "kind": "training"})) == 1


def test_the_holdout_is_looked_at_once_per_training(workspace, trained):
    fitted, evaluated = trained["fit"], trained["evaluate"]
    store = workspace.store
    store.delete(fitted.search.split.holdout_key)  # a second look would fail
    assert tasks.evaluate(workspace, fitted, CONFIG) == evaluated
    checks = read_json(store, layout.evaluation(fitted.model_prefix))["checks"]
    assert [check["name"] for check in checks] == ["beats popularity", "stars no worse than biases"]


def test_a_wiped_store_gets_the_champion_back_from_the_registry(workspace, champion):
    store = workspace.store
    key = layout.recommender(champion.model_prefix)
    kept = store.get(key)
    store.delete(key)
    train_once(workspace, "second")
    assert store.get(key) == kept
