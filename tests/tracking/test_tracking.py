"""Runs, registry and champion on a real MLflow database; the registered model loads without this package."""

import importlib
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.errors import NotFoundError
from recsys.models.biases import fit_biases
from recsys.models.factors import Factors
from recsys.models.recipe import Member, Recipe
from recsys.models.recommender import RatingModel, Recommender
from recsys.tracking.tracking import CHAMPION, Tracking, log_report


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
        factors,
        RatingModel(biases, factors, 0.5, 5.0),
        movies[::-1].copy(),
        np.array([3, 2, 1], np.int32),
        Recipe(ranking=(Member(rank=2, reg_param=1.0, alpha=1.0),), rating=(Member(rank=2, reg_param=1.0),)),
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
        {
            "name": "b",
            "version": "1",
            "run_id": run_id,
            "aliases": ["canary", CHAMPION],
            "tags": {"snapshot_id": "s-1"},
        }
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
        asked = [pd.DataFrame({"user_id": [1, 99], "seen": [[10], []]}),
                 pd.DataFrame({"user_id": [98], "seen": [[30]], "ratings": [[4.0]]})]
        for row in pd.concat(map(model.predict, asked)).itertuples(index=False):
            print(row.user_id, row.rank, row.movie_id, round(row.score, 3), row.source)
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script), tracking.uri, str(settings.state_dir)], capture_output=True, text=True, check=True
    )
    # User 1 = (1, 0) scores movies 3, 2, 1 and has seen the first; user 99 is unknown: popularity 3, 2, 1 of 3.
    # User 98 is too, but gave movie 30, y = (1, 3), 4 stars. The sum of all yyᵀ is (14 10; 10 14); with 4 yyᵀ and the
    # ridge 1 it is (19 22; 22 51), and x = that⁻¹ (1 + 4) y = (-75, 175) / 485. Movies (3, 1) and (2, 2) get:
    assert done.stdout.splitlines() == [
        "1 1 20 2.0 als",
        "1 2 30 1.0 als",
        "99 1 30 1.0 popular",
        "99 2 20 0.667 popular",
        "99 3 10 0.333 popular",
        "98 1 20 0.412 fold_in",
        "98 2 10 -0.103 fold_in",
    ]


def test_the_served_model_folds_in_whom_it_does_not_know_as_this_package_does(tracking, recommender_file):
    import mlflow

    registered = tracking.register(tracking.start_run("e", "r"), "m", recommender_file, {})
    served = mlflow.pyfunc.load_model(registered["uri"])
    # The model's copy of the package goes by another name: this one stays whole.
    assert served.unwrap_python_model().model.__class__.__module__ != Recommender.__module__
    importlib.import_module("recsys.columns")
    asked = pd.DataFrame({
        "user_id": [7, 7, 7, 1],
        "seen": [[10, 20], [10, 30], [10], [30]],
        "ratings": [[5.0, 1.0], [np.nan, 4.5], None, [5.0]],
    })  # fmt: skip
    found = served.predict(asked, params={"k": 1})
    assert found.source.tolist() == ["fold_in", "fold_in", "popular", "als"]
    here = Recommender.from_bytes(recommender_file.read_bytes())
    vectors = here.fold_in(np.array([0, 0, 1]), np.array([10, 20, 30]), np.array([5.0, 1.0, 4.5])).ranking
    assert found.movie_id.tolist() == [30, 20, 30, 10]
    expected = [*(vectors @ [[1, 2], [3, 2]]).diagonal(), 1.0, 3.0]
    np.testing.assert_allclose(found.score, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("seen", "ratings", "fault"),
    [([10, 20], [5.0], "row 0: 1 ratings of 2 seen movies"), ([10], [9.0], "scale of 0.5 to 5 stars")],
)
def test_the_served_model_refuses_ratings_that_cannot_be(tracking, recommender_file, seen, ratings, fault):
    import mlflow

    served = mlflow.pyfunc.load_model(tracking.register(tracking.start_run("e", "r"), "m", recommender_file, {})["uri"])
    with pytest.raises(mlflow.MlflowException, match=fault):
        served.predict(pd.DataFrame({"user_id": [7], "seen": [seen], "ratings": [ratings]}))


def test_a_model_stored_without_its_recipe_serves_popular_movies_to_new_users(tracking, recommender_file):
    import mlflow

    old = replace(Recommender.from_bytes(recommender_file.read_bytes()), recipe=None)
    recommender_file.write_bytes(old.to_bytes())
    served = mlflow.pyfunc.load_model(tracking.register(tracking.start_run("e", "r"), "m", recommender_file, {})["uri"])
    asked = pd.DataFrame({"user_id": [7], "seen": [[10]], "ratings": [[5.0]]})
    assert served.predict(asked).source.tolist() == ["popular", "popular"]


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
        "from recsys.tracking.tracking import Tracking\n"
        "print(len(Tracking(Settings.load()).find_runs('recsys-training', {})))\n"
    )
    env = {**os.environ, "RECSYS_STATE_DIR": str(tmp_path / "state")}
    first = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    answers = [(process.communicate()[0].strip(), process.returncode) for process in first]
    assert answers == [(b"0", 0)] * 3
