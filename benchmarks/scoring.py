"""What top-k lists for all users cost: ``python -m benchmarks.scoring [--users 162541 --movies 59047 --rank 64]``.

Our kernel, our whole Spark job, and other ways to the same lists, on the same invented factors (`benchmarks.inventing`
says how). Every method's lists are compared with brute force before its time counts. What runs in this process scores a
sample of the users with one thread, turn by turn with the others; medians are scaled to all users. MLlib is scaled from
a sample too; our Spark job scores all users.
"""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import peers, spark_scoring
from benchmarks.comparing import COLUMNS, FAISS, IMPLICIT, OURS, PRODUCT, compare, document, table
from benchmarks.inventing import invent
from benchmarks.measuring import report
from benchmarks.peers import Peer

PEERS = {
    OURS: Peer(peers.ours),
    "ours without numba": Peer(peers.our_numpy_path),
    IMPLICIT: Peer(peers.implicit_topk),
    FAISS: Peer(peers.faiss_flat, leaves_out_seen=False),
    "faiss HNSW, ef 64": Peer(peers.faiss_hnsw(64), leaves_out_seen=False, is_exact=False),
    "faiss HNSW, ef 512": Peer(peers.faiss_hnsw(512), leaves_out_seen=False, is_exact=False),
    "NumPy argpartition": Peer(peers.argpartition),
    PRODUCT: Peer(peers.sgemm, leaves_out_seen=False, makes_lists=False),
}


def main(
    users: Annotated[int, typer.Option(help="Users to invent; costs are for all of them.")] = 162_541,
    movies: Annotated[int, typer.Option(help="Movies to invent.")] = 59_047,
    rank: Annotated[int, typer.Option(help="Length of the factors.")] = 64,
    k: Annotated[int, typer.Option(help="Length of the lists.")] = 10,
    sample: Annotated[int, typer.Option(help="Users that are scored in this process.")] = 2_048,
    repeats: Annotated[int, typer.Option(help="Turns of which the median counts.")] = 5,
    spark: Annotated[bool, typer.Option(help="Measure MLlib and the Spark job as well.")] = True,
) -> None:
    """Measure every way to the lists."""
    problem = invent(users, movies, rank)
    recalls, costs = compare(problem, PEERS, k, sample, repeats)
    ratios = {}
    if spark:
        with tempfile.TemporaryDirectory() as folder:
            more_recalls, more_costs = spark_scoring.run(problem, k, sample, Path(folder))
        recalls, costs = recalls | more_recalls, costs | more_costs
        ratios["speedup_vs_mllib"] = round(costs[spark_scoring.MLLIB].cpu_s / costs[OURS].cpu_s, 2)
        ratios["spark_job_core_s"] = round(costs[spark_scoring.JOB].cpu_s, 2)
    sizes = {"n_users": users, "n_movies": movies, "rank": rank, "k": k, "n_sampled": sample}
    print(f"invented factors; {len(problem.seen_indices) / users:.0f} seen movies a user; scaled from {sample:,} users")
    title = f"top {k} of {movies:,} movies for {users:,} users, rank {rank}"
    rows = table(costs, recalls, PEERS | spark_scoring.PEERS)
    report(title, COLUMNS, rows, {"benchmark": "scoring", **sizes, **document(costs, recalls), **ratios})


if __name__ == "__main__":
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", "-XX:-UsePerfData")
    typer.run(main)
