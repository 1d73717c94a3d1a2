"""The benchmarks of scoring at toy size: what they print, and that wrong lists stop them before anything is timed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.comparing import compare
from benchmarks.inventing import invent
from benchmarks.measuring import take_turns, weigh
from benchmarks.peers import Peer, check
from recsys.config import PROJECT_ROOT


def run(benchmark, *flags):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", *flags]
    printed = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, check=True, capture_output=True, text=True)
    return json.loads(printed.stdout.splitlines()[-1])


@pytest.mark.slow
def test_scoring_prints_the_costs_of_every_method_and_their_ratios():
    result = run("scoring", "--users", "900", "--movies", "700", "--rank", "8", "--sample", "300", "--repeats", "1")
    assert result["benchmark"] == "scoring"
    assert (result["n_users"], result["n_movies"], result["rank"], result["n_sampled"]) == (900, 700, 8, 300)
    ratios = {"speedup_vs_implicit", "speedup_vs_faiss", "speedup_vs_mllib", "sgemm_ratio", "spark_job_core_s"}
    assert ratios <= result.keys()
    assert {"ours", "our Spark job", "MLlib recommendForAllUsers", "sgemm alone"} <= result["core_s"].keys()
    exact = {name: recall for name, recall in result["recall"].items() if "HNSW" not in name}
    assert set(exact.values()) == {1.0}


def test_similar_prints_the_costs_of_every_method_and_their_ratios():
    result = run("similar", "--movies", "700", "--rank", "8", "--sample", "300", "--repeats", "1")
    assert result["benchmark"] == "similar"
    assert {"speedup_vs_implicit", "speedup_vs_faiss", "sgemm_ratio"} <= result.keys()
    assert set(result["recall"].values()) == {1.0}


def test_every_exact_method_agrees_with_brute_force_and_a_wrong_one_stops_the_benchmark():
    problem = invent(40, 500, 8)

    def second_best(movies, k):
        search = peers.ours(movies, k + 1)
        return lambda problem: search(problem)[:, 1:]

    def repeating(movies, k):
        search = peers.ours(movies, k)
        return lambda problem: search(problem)[:, [0] * k]

    def blind(movies, k):
        return peers.faiss_flat(movies, k)

    compare(problem, {"argpartition": Peer(peers.argpartition)}, 5, 40, 1)
    for wrong, match in (
        (second_best, "40 of 40 lists are not those"),
        (repeating, "names a movie twice"),
        (blind, "lists are not those"),  # of movies that were seen
    ):
        with pytest.raises(ValueError, match=match):
            compare(problem, {wrong.__name__: Peer(wrong)}, 5, 40, 1)


def test_the_recall_of_an_inexact_method_is_the_share_of_the_best_movies_it_finds():
    problem = invent(30, 500, 8)
    found = peers.ours(problem.movies, 4)(problem).copy()
    worst = np.argmin(problem.users @ problem.movies.T, axis=1)
    found[:, 3] = worst  # three of four are right
    assert check("inexact", Peer(None, is_exact=False), found, problem, 4) == 0.75


def test_invented_problems_have_fitted_norms_and_sorted_seen_movies():
    problem = invent(400, 3_000, 16)
    assert np.log(np.linalg.norm(problem.movies, axis=1)).std() == pytest.approx(0.4, abs=0.1)
    assert 60 < len(problem.seen_indices) / 400 < 160
    for user in range(400):
        seen = problem.seen_indices[problem.seen_indptr[user] : problem.seen_indptr[user + 1]]
        assert (np.diff(seen) > 0).all()
    assert problem.first(7).seen().shape == (7, 3_000)


def test_weighing_counts_the_work_of_child_processes_and_turns_give_medians():
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    assert weigh(lambda: subprocess.run([sys.executable, "-c", burn], check=True)).cpu_s >= 0.2
    calls = []
    costs = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 3
    assert set(costs) == {"a", "b"}
