"""Ways to the same lists, side by side: each is prepared on the movies once and then asked for many users.

What cannot leave seen movies out by itself is asked without; the tables say so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from implicit.cpu.topk import topk
from numpy.typing import NDArray

from benchmarks.inventing import Floats, Problem
from recsys.topk import blocks, fused
from recsys.topk.exact import MovieFactors, top_k

Ids = NDArray[np.integer]
Search = Callable[[Problem], Ids]

_USER_BLOCK = 512  # of the methods that hold all scores of some users at once


@dataclass(frozen=True)
class Peer:
    """One way: how it is prepared, and what its lists must be like.

    Attributes:
        prepare: movie factors and list length to the search over them; none of what Spark does.
        leaves_out_seen: whether a list holds unseen movies only.
        is_exact: whether the lists must be the best ones; otherwise their recall is reported.
        makes_lists: false for what is measured to compare with only.
    """

    prepare: Callable[[Floats, int], Search] | None
    leaves_out_seen: bool = True
    is_exact: bool = True
    makes_lists: bool = True


def ours(movies: Floats, k: int, path: Any = fused) -> Search:
    prepared = MovieFactors(movies, path)
    _ = prepared.layout
    return lambda problem: top_k(problem.users, prepared, k, problem.seen_indptr, problem.seen_indices)[0]


def our_numpy_path(movies: Floats, k: int) -> Search:
    """The same lists without the compiled kernel."""
    return ours(movies, k, blocks)


def argpartition(movies: Floats, k: int) -> Search:
    """All scores, then NumPy's selection: what a few lines do."""

    def search(problem: Problem) -> Ids:
        parts = []
        for start in range(0, len(problem.users), _USER_BLOCK):
            scores = problem.users[start : start + _USER_BLOCK] @ movies.T
            rows = np.arange(len(scores))
            cuts = problem.seen_indptr[start : start + len(scores) + 1]
            scores[np.repeat(rows, np.diff(cuts)), problem.seen_indices[cuts[0] : cuts[-1]]] = -np.inf
            best = np.argpartition(scores, -k, axis=1)[:, -k:]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
            parts.append(np.take_along_axis(best, order, axis=1))
        return np.concatenate(parts)

    return search


def sgemm(movies: Floats, k: int) -> Search:
    """The bare product by BLAS, nothing selected: what a machine's own library needs for the scores alone."""

    def search(problem: Problem) -> Ids:
        for start in range(0, len(problem.users), _USER_BLOCK):
            problem.users[start : start + _USER_BLOCK] @ movies.T
        return np.empty((0, k), np.int32)

    return search


def implicit_topk(movies: Floats, k: int) -> Search:
    return lambda problem: topk(movies, problem.users, k, filter_query_items=problem.seen(), num_threads=1)[0]


def faiss_flat(movies: Floats, k: int) -> Search:
    index = faiss.IndexFlatIP(movies.shape[1])
    index.add(movies)
    return lambda problem: index.search(problem.users, k)[1]


def faiss_hnsw(ef: int) -> Callable[[Floats, int], Search]:
    """A graph of 32 neighbours a movie; `ef` candidates are kept while it is walked."""

    def prepare(movies: Floats, k: int) -> Search:
        index = faiss.IndexHNSWFlat(movies.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = max(ef, k)
        index.add(movies)
        return lambda problem: index.search(problem.users, k)[1]

    return prepare


def check(name: str, peer: Peer, found: Ids, problem: Problem, k: int) -> float:
    """Compare lists with brute force in double precision; returns their recall.

    Two exact methods may order movies differently whose scores differ by less than float32 rounds, so the scores of
    the movies are compared place by place, not the movies.

    Raises:
        ValueError: a list of an exact method is not the best one, names a movie twice, or one that was seen.
    """
    scores = problem.users.astype(np.float64) @ problem.movies.T.astype(np.float64)
    if peer.leaves_out_seen:
        scores[problem.seen().nonzero()] = -np.inf
    listed = np.take_along_axis(scores, found.astype(np.int64), axis=1)
    best = -np.sort(np.partition(-scores, k - 1, axis=1)[:, :k], axis=1)
    tolerance = 1e-5 * np.linalg.norm(problem.users, axis=1)[:, None] * np.linalg.norm(problem.movies, axis=1).max()
    if any(len(set(row)) < k for row in found.tolist()) or (found < 0).any():
        raise ValueError(f"{name}: a list names a movie twice or is too short. Nothing was measured.")
    if peer.is_exact and not (np.abs(listed - best) <= tolerance).all():
        wrong = int((~(np.abs(listed - best) <= tolerance)).any(axis=1).sum())
        raise ValueError(f"{name}: {wrong} of {len(found)} lists are not those of brute force. Nothing was measured.")
    return float((listed >= best[:, -1:] - tolerance).mean())
