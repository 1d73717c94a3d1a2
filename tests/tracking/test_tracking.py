"""Runs, registry and champion on a real MLflow database; the registered model loads without this package."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from recsys.errors import NotFoundError
from recsys.models.biases import fit_biases
from recsys.models.factors import Factors
from recsys.models.recommender import RatingModel, Recommender
from recsys.tracking import CHAMPION, Tracking, log_report


@pytest.fixture
def settings(tracked_settings):
    return tracked_settings


@pytest.fixture
def tracking(settings):
    return Tracking(settings)


@pytest.fixture
def recommender_file(tmp_path):
    users, movies = np.array([1, 2], np.int32), np.array([10, 20, 30], np.int32)
    factors = Factors(users, np.eye(2, dtype=np.float32), movies, np.array([[3, 1], [2, 2], [1, 3]], np.float32))
    biases = fit_biases(users, movies[:2], np.array([4, 2], np.float32))
    pair = Recommender(
        factors, RatingModel(biases, factors, 0.5, 5.0), movies[::-1].copy(), np.array([3, 2, 1], np.int32)
    )
    path = tmp_path / "recommender.npz"
    path.write_bytes(pair.to_bytes())
    return path


def test_nested_runs_carry_params_metrics_and_the_dataset(tracking):
    parent = tracking.start_run("e", "training", tags={"training_id": "t"})
    with tracking.run("e", "trial", parent=parent, tags={"model": "ranking"}) as child:
        tracking.log(child, params={"rank": 8}, metrics={"ndcg": 0.5})
        tracking.log_dataset(child, "sample", "f" * 64, "store/train.parquet", "training")
    [found] = tracking.find_runs("e", {"mlflow.parentRunId": parent}, status="FINISHED")
    assert found["params"] == {"rank": "8"}
    assert found["metrics"] == {"ndcg": 0.5}
    assert found["tags"]["dataset_fingerprint"] == "f" * 64


def test_a_series_keeps_its_last_value_as_the_metric_and_a_description_is_kept(tracking):
    run_id = tracking.start_run("e", "r")
    tracking.log(run_id, metrics={"mean": 0.5}, series={"fold": [0.4, 0.6]})
    tracking.describe(run_id, "**why**")
    run = tracking.get_run(run_id)
    assert run["metrics"] == {"mean": 0.5, "fold": 0.6}
    assert run["tags"]["mlflow.note.content"] == "**why**"


def test_a_run_whose_block_raises_is_marked_failed(tracking):
    with pytest.raises(ValueError, match="boom"), tracking.run("e", "r", tags={"x": "1"}):
        raise ValueError("boom")
    assert tracking.find_runs("e", {"x": "1"}, status="FINISHED") == []
    assert len(tracking.find_runs("e", {"x": "1"}, status="FAILED")) == 1


def test_only_versions_with_an_alias_are_named_as_alive(tracking, recommender_file):
    assert tracking.aliased_versions() == []
    run_id = tracking.start_run("e", "r")
    for name in ("a", "b"):
        for snapshot_id in ("s-1", "s-2"):
            tracking.register(run_id, name, recommender_file, {"snapshot_id": snapshot_id})
    tracking.set_alias("b", CHAMPION, "1")
    tracking.set_alias("b", "canary", "1")
    assert tracking.aliased_versions() == [
        {"name": "b", "version": "1", "aliases": ["canary", CHAMPION], "tags": {"snapshot_id": "s-1"}}
    ]


def test_there_is_no_champion_before_one_is_named(tracking, recommender_file):
    assert tracking.by_alias("m", CHAMPION) is None
    run_id = tracking.start_run("e", "r")
    registered = tracking.register(run_id, "m", recommender_file, {"dataset": "sample"})
    assert registered == {"version": "1", "uri": "models:/m/1"}
    assert tracking.by_alias("m", CHAMPION) is None
    tracking.set_alias("m", CHAMPION, "1")
    champion = tracking.by_alias("m", CHAMPION)
    assert champion["uri"] == "models:/m/1"
    assert champion["tags"]["dataset"] == "sample"
    assert tracking.versions_of("m", run_id) == [registered]


def test_the_registered_bytes_are_the_bytes_that_were_logged(tracking, recommender_file):
    run_id = tracking.start_run("e", "r")
    registered = tracking.register(run_id, "m", recommender_file, {})
    assert tracking.recommender_bytes(registered["uri"]) == recommender_file.read_bytes()


def test_an_unknown_run_is_an_error_and_not_silence(tracking):
    with pytest.raises(Exception, match="nowhere"):
        tracking.get_run("nowhere")


def test_a_report_is_logged_as_a_run_with_its_numbers(settings, tmp_path):
    page = tmp_path / "eda.html"
    page.write_text("<p>hello</p>")
    run_id = log_report(
        settings, "recsys-eda", "sample", page, {"dataset": "sample"}, {"n_ratings": 3.0}, {"kind": "eda"}
    )
    assert Tracking(settings).get_run(run_id)["metrics"] == {"n_ratings": 3.0}
    assert list(settings.state_dir.rglob("eda.html"))


def test_the_served_model_loads_where_this_package_is_absent(tracking, recommender_file, settings, tmp_path):
    registered = tracking.register(tracking.start_run("e", "r"), "m", recommender_file, {})
    tracking.set_alias("m", CHAMPION, registered["version"])
    script = tmp_path / "consumer.py"
    script.write_text(
        textwrap.dedent("""
        import sys, mlflow, pandas as pd
        sys.path = [p for p in sys.path if p and p != sys.argv[2]]
        sys.modules["recsys"] = None  # any import of it fails
        mlflow.set_tracking_uri(sys.argv[1])
        model = mlflow.pyfunc.load_model("models:/m@champion")
        asked = pd.DataFrame({"user_id": [1, 99], "seen": [[10], []]})
        for row in model.predict(asked).itertuples(index=False):
            print(row.user_id, row.rank, row.movie_id, round(row.score, 3))
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script), tracking.uri, str(settings.state_dir)], capture_output=True, text=True, check=True
    )
    # User 1 = (1, 0) scores movies 3, 2, 1 and has seen the first; user 99 is unknown: popularity 3, 2, 1 of 3.
    assert done.stdout.splitlines() == ["1 1 20 2.0", "1 2 30 1.0", "99 1 30 1.0", "99 2 20 0.667", "99 3 10 0.333"]


def test_a_version_without_the_model_file_says_so(tracking, tmp_path):
    wrong = tmp_path / "something.txt"
    wrong.write_text("no model")
    run_id = tracking.start_run("e", "r")
    registered = tracking.register(run_id, "m", wrong, {})
    with pytest.raises(NotFoundError, match=r"holds no recommender\.npz"):
        tracking.recommender_bytes(registered["uri"])


def test_any_number_of_processes_may_be_the_first_to_open_the_database(tmp_path):
    code = (
        "from recsys.config import Settings\n"
        "from recsys.tracking import Tracking\n"
        "print(len(Tracking(Settings.load()).find_runs('recsys-training', {})))\n"
    )
    env = {**os.environ, "RECSYS_STATE_DIR": str(tmp_path / "state")}
    first = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    answers = [(process.communicate()[0].strip(), process.returncode) for process in first]
    assert answers == [(b"0", 0)] * 3
