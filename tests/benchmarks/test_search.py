"""The benchmark of the strategies at toy size."""

import json
import subprocess
import sys

import pytest

from benchmarks.search import STRATEGIES
from recsys.config import PROJECT_ROOT


@pytest.mark.slow
def test_every_strategy_searches_both_models_and_resuming_chooses_the_same():
    options = ["--ratings", "6000", "--movies", "200", "--trials", "4", "--iterations", "6", "--folds", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.search", *options],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    searches = json.loads(done.stdout.splitlines()[-1])["searches"]
    assert [(each["model"], each["strategy"]) for each in searches] == [
        (model, name) for model in ("ranking", "rating") for name in STRATEGIES
    ]
    by_name = {(each["model"], each["strategy"]): each for each in searches}
    for model in ("ranking", "rating"):
        resumed, anew = by_name[model, "halving"], by_name[model, "halving_anew"]
        assert resumed["point"] == anew["point"]
        assert resumed["test"] == pytest.approx(anew["test"])
    n = len(STRATEGIES)
    assert all(0 < each["test"] < 1 for each in searches[:n])  # nDCG
    assert all(0.3 < each["test"] < 2 for each in searches[n:])  # stars
