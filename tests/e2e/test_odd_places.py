"""The whole chain under a real scheduler where clone, state and data file have odd names."""

import os
import shutil
import subprocess
import sys

import pytest

from recsys.config import PROJECT_ROOT
from tests.repository.test_odd_paths import ODD

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]

BUDGET = "n_folds=2 ranking_trials=2 rating_trials=1 max_iter=3 max_rank=8 min_gain=-1 max_rmse_loss=1 max_posters=6"


def test_the_readmes_run_on_likes_csv_ends_green_where_everything_has_an_odd_name(tmp_path):
    # MLflow cannot be installed below a percent sign, as set-up says, and makes an empty folder more beside a "?".
    clone = tmp_path / ODD.replace("%25", "").replace("?", "")
    ignored = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(PROJECT_ROOT, clone, ignore=ignored)
    (clone / ".venv").symlink_to(sys.prefix)
    data = tmp_path / f"{ODD}, likes.csv"
    pairs = [(user, movie) for user in range(1, 61) for movie in range(1, 61) if (user + movie) % 2]
    rows = [f"{user},{movie},{4 if movie % 3 else 2},{1_100_000_000 + movie}" for user, movie in pairs]
    data.write_text("\n".join(["uid,film,rating,timestamp", *rows]) + "\n")
    command = [
        str(clone / ".venv/bin/python"),
        "-m",
        "recsys.stack",
        "run",
        "columns=user_id=uid,movie_id=film",
        *BUDGET.split(),
    ]
    unset = {name for name in os.environ if name.startswith("RECSYS_")}
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env |= {"DATASET": str(data), "PYTHONPATH": str(clone), "RECSYS_SPARK_DRIVER_MEMORY": "1g"}
    answer = subprocess.run(command, env=env, cwd=clone, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    assert "tasks of 4 DAGs succeeded" in answer.stdout
    assert (clone / ".state/store/tables/current.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {clone.name, data.name}
