"""Peers on one problem: their lists checked, then their times taken turn by turn, and both as a table."""

import time
from collections.abc import Mapping
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.inventing import Problem
from benchmarks.measuring import Cost, take_turns
from benchmarks.peers import Peer, check

COLUMNS = ["method", "core-s", "wall s", "recall", "leaves out seen", "as long as ours"]
OURS, IMPLICIT, FAISS, PRODUCT = "ours", "implicit topk", "faiss IndexFlatIP", "sgemm alone"
_N_CHECKED = 256


def compare(
    problem: Problem, peers: Mapping[str, Peer], k: int, n_sampled: int, repeats: int
) -> tuple[dict[str, float], dict[str, Cost]]:
    """Recall of each peer on some users, and its cost for all users.

    Times are medians over turns with the first `n_sampled` users, one thread each, scaled to all of them; what is
    prepared for the movies is added once.
    """
    sample, checked = problem.first(n_sampled), problem.first(min(n_sampled, _N_CHECKED))
    scale = len(problem.users) / n_sampled
    searches, preparations, recalls = {}, {}, {}
    with threadpool_limits(1):
        for name, peer in peers.items():
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            searches[name] = peer.prepare(problem.movies, k)
            preparations[name] = (time.perf_counter() - wall_s, time.process_time() - cpu_s)
            found = searches[name](checked)
            if peer.makes_lists:
                recalls[name] = check(name, peer, found, checked, k)
        medians = take_turns({name: lambda s=search: s(sample) for name, search in searches.items()}, repeats)
    costs = {
        name: Cost(preparations[name][0] + scale * cost.wall_s, preparations[name][1] + scale * cost.cpu_s, 0, None)
        for name, cost in medians.items()
    }
    return recalls, costs


def table(costs: Mapping[str, Cost], recalls: Mapping[str, float], peers: Mapping[str, Peer]) -> list[list[str]]:
    """Rows of `COLUMNS`, by processor seconds."""
    ours = costs[OURS].cpu_s
    return [
        [
            name,
            f"{cost.cpu_s:.2f}",
            f"{cost.wall_s:.2f}",
            f"{recalls[name]:.4f}" if name in recalls else "",
            "yes" if name in recalls and peers[name].leaves_out_seen else "no",
            f"{cost.cpu_s / ours:.2f} x",
        ]
        for name, cost in sorted(costs.items(), key=lambda item: item[1].cpu_s)
    ]


def document(costs: Mapping[str, Cost], recalls: Mapping[str, float]) -> dict[str, Any]:
    """The same for machines, with the ratios of processor seconds that matter most."""
    ours = costs[OURS].cpu_s
    return {
        "core_s": {name: round(cost.cpu_s, 3) for name, cost in costs.items()},
        "wall_s": {name: round(cost.wall_s, 3) for name, cost in costs.items()},
        "recall": {name: round(recall, 4) for name, recall in recalls.items()},
        "speedup_vs_implicit": round(costs[IMPLICIT].cpu_s / ours, 2),
        "speedup_vs_faiss": round(costs[FAISS].cpu_s / ours, 2),
        "sgemm_ratio": round(ours / costs[PRODUCT].cpu_s, 3),
    }
