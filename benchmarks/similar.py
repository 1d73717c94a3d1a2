"""What the nearest movies of every movie cost, by cosine: ``python -m benchmarks.similar [--movies 59047 --rank 64]``.

Measured as in `benchmarks.scoring`, on invented factors of length 1: each movie is asked for, and is itself what its
list leaves out. Of equal norms none can be left out, so the kernel multiplies all of them.
"""

from typing import Annotated

import numpy as np
import typer

from benchmarks import peers
from benchmarks.comparing import COLUMNS, FAISS, IMPLICIT, OURS, PRODUCT, compare, document, table
from benchmarks.inventing import Problem, invent
from benchmarks.measuring import report
from benchmarks.peers import Peer

PEERS = {
    OURS: Peer(peers.ours),
    "ours without numba": Peer(peers.our_numpy_path),
    IMPLICIT: Peer(peers.implicit_topk),
    FAISS: Peer(peers.faiss_flat, leaves_out_seen=False),
    "NumPy argpartition": Peer(peers.argpartition),
    PRODUCT: Peer(peers.sgemm, leaves_out_seen=False, makes_lists=False),
}


def main(
    movies: Annotated[int, typer.Option(help="Movies to invent; costs are for all of them.")] = 59_047,
    rank: Annotated[int, typer.Option(help="Length of the factors.")] = 64,
    k: Annotated[int, typer.Option(help="Neighbours of a movie.")] = 10,
    sample: Annotated[int, typer.Option(help="Movies whose neighbours are searched.")] = 2_048,
    repeats: Annotated[int, typer.Option(help="Turns of which the median counts.")] = 5,
) -> None:
    """Measure every way to the neighbours."""
    factors = invent(0, movies, rank).movies
    directions = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    # In no order, so that a sample of the first is a sample of all.
    problem = Problem(directions, directions, np.arange(movies + 1), np.arange(movies, dtype=np.int32))
    recalls, costs = compare(problem, PEERS, k, sample, repeats)
    sizes = {"n_movies": movies, "rank": rank, "k": k, "n_sampled": sample}
    print(f"invented factors of length 1; scaled from {sample:,} movies")
    title = f"{k} nearest of {movies:,} movies for each, rank {rank}"
    report(title, COLUMNS, table(costs, recalls, PEERS), {"benchmark": "similar", **sizes, **document(costs, recalls)})


if __name__ == "__main__":
    typer.run(main)
