"""The benchmark of the whole pipeline, at a size that shows it works."""

import json
import subprocess
import sys

import pytest

from benchmarks.pipeline import STEPS
from recsys.config import PROJECT_ROOT


@pytest.mark.slow
def test_every_step_of_the_pipeline_is_weighed_at_every_size():
    # As a user starts it: its steps are processes of their own, and Spark looks at the file of the first one.
    command = [sys.executable, "-m", "benchmarks.pipeline", "--ratings", "5000,20000", "--trials", "2"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    document = json.loads(done.stdout.strip().splitlines()[-1])
    assert [each["n_ratings"] for each in document["sizes"]] == [5_000, 20_000]
    for each in document["sizes"]:
        assert tuple(each["wall_s"]) == STEPS
        assert each["max_peak_gb"] > 0
        assert 0 < each["metrics"]["ndcg_at_10"] <= 1
