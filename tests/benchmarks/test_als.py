"""The benchmark of ALS at toy size: every engine has its row, and engines that disagree are not timed."""

import json
import subprocess
import sys

import pytest

from benchmarks.als import check, iteration
from recsys.config import PROJECT_ROOT

ENGINES = {
    "mllib_native_explicit", "mllib_native_implicit", "mllib_vector_explicit", "ours_explicit", "ours_implicit",
    "implicit_cholesky", "implicit_cg",
}  # fmt: skip


@pytest.mark.slow
def test_every_engine_is_measured_and_agrees():
    options = ["--ratings", "12000", "--movies", "300", "--rank", "8", "--iterations", "2", "--repeats", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.als", *options],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["cpu_s"]) == set(found["wall_s"]) == set(found["peak_gb"]) == ENGINES
    assert {name for name in found if name.startswith("speedup_vs_")} == {
        "speedup_vs_mllib_native",
        "speedup_vs_mllib_vector",
        "speedup_vs_mllib_native_implicit",
        "speedup_vs_implicit_cholesky",
        "speedup_vs_implicit_cg",
    }
    assert set(found["apart"]) == set(found["blas"]) == {name for name in ENGINES if name.startswith("mllib")}
    assert "JNI" not in found["blas"]["mllib_vector_explicit"]


@pytest.mark.parametrize("apart", [{"rmse": 0.0021}, {"ndcg_at_10": 0.0051}, {"rmse": float("nan")}])
def test_engines_that_disagree_are_not_timed(apart):
    check({"rmse": 0.0019, "ndcg_at_10": 0.0049})
    with pytest.raises(RuntimeError, match=r"apart, 0\.00\d+ allowed\. Nothing was timed"):
        check(apart)


def test_an_iteration_is_what_the_longer_fit_costs_more():
    """Fits of n iterations that burn nothing but the clock: 1 and 4 of them, twice."""
    asked = []
    found = iteration(asked.append, 4, repeats=2)
    assert asked == [4, 1, 4, 1]
    assert set(found) == {"cpu_s", "wall_s"}
