"""The splits of published comparisons, row for row where their authors fixed them.

Each takes ratings **in the order of the release's file** (shuffles are drawn over that order) and answers with masks
over them: train and test, for every fold of the protocol.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.evaluator import Ratings
from recsys.splitting.split import Split

Mask = NDArray[np.bool_]


class Part(NamedTuple):
    """Two disjoint masks over the ratings. What is in neither plays no part in the protocol."""

    train: Mask
    test: Mask


def item_stratified(ratings: Ratings, ratio: float = 0.75, seed: int = 42) -> list[Part]:
    """recommenders-team/recommenders: ``python_stratified_split(ratio=0.75, filter_by="item", seed=42)``.

    One uniform draw per row from NumPy's legacy generator; of each movie's n ratings, those with the round(ratio * n)
    lowest draws (halves to even) are for training. So of a movie with one rating nothing is tested. Their benchmark
    counts every test rating as relevant, k is 10, and its MAP divides by all relevant.
    Source: recommenders 1.2.1, datasets/python_splitters.py and examples/06_benchmarks/movielens.ipynb.

    >>> ones = np.ones(4)
    >>> item_stratified(Ratings(np.arange(4), ones, ones, ones))[0].test.tolist()  # the highest of .37 .95 .73 .60
    [False, True, False, False]
    """
    # Their draws are reproducible with the legacy generator alone.
    draws = np.random.RandomState(seed).random_sample(len(ratings.movie_ids))
    _, movies, sizes = np.unique(ratings.movie_ids, return_inverse=True, return_counts=True)
    order = np.lexsort((draws, movies))
    places = np.empty(len(draws), np.int64)
    places[order] = np.arange(len(draws)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    train = places < np.round(ratio * sizes[movies])
    return [Part(train, ~train)]


def latest_fifth_of_liked(ratings: Ratings, share: float = 0.2) -> list[Part]:
    """sb-ai-lab/RePlay: ratings of 3 and more, ``TimeSplitter(0.2, drop_cold_items=True, drop_cold_users=True)``.

    With n such ratings in order of time, the test begins at the instant of row int(n * (1 - share)), counted from 0;
    all ratings of that instant are tested. Users and movies without a training rating leave the test. Ratings below
    3 take no part; all others are equally relevant, k is 10. RePlay tunes on the same split of train, and its MAP
    divides by min(k, relevant).
    Source: replay/splitters/time_splitter.py and examples/02_models_comparison.ipynb, which for ML-1M reports train
    669,181 ratings of 5,397 users and 3,569 movies, test 86,542 ratings of 1,139 users and 3,279 movies.

    >>> users, movies, times = np.array([1, 1, 2, 1, 1]), np.array([5, 6, 5, 5, 7]), np.array([1, 2, 3, 4, 4])
    >>> part = latest_fifth_of_liked(Ratings(users, movies, np.array([3, 4, 2, 5, 5]), times), share=0.25)[0]
    >>> part.train.tolist(), part.test.tolist()  # nobody rated movie 7 before
    ([True, True, False, False, False], [False, False, False, True, False])
    """
    liked = ratings.stars >= 3
    instants = np.sort(ratings.timestamps[liked])
    begin = instants[int(len(instants) * (1 - share))]
    train = liked & (ratings.timestamps < begin)
    warm = np.isin(ratings.user_ids, ratings.user_ids[train]) & np.isin(ratings.movie_ids, ratings.movie_ids[train])
    return [Part(train, liked & ~train & warm)]


def shuffled_folds(ratings: Ratings, n_folds: int = 5, seed: int = 0) -> list[Part]:
    """NicolasHug/Surprise: ``KFold(n_splits=5, random_state=0)``.

    The rows are shuffled once by NumPy's legacy generator and cut into consecutive folds; where n does not divide,
    the first folds get one more. Source: surprise/model_selection/split.py and examples/benchmark.py.

    >>> ones = np.ones(5)
    >>> [int(part.test.sum()) for part in shuffled_folds(Ratings(ones, ones, ones, ones), n_folds=2)]
    [3, 2]
    """
    n = len(ratings.user_ids)
    rows = np.arange(n)
    np.random.RandomState(seed).shuffle(rows)
    parts = []
    for fold in np.array_split(rows, n_folds):
        test = np.zeros(n, bool)
        test[fold] = True
        parts.append(Part(~test, test))
    return parts


def random_fifth(ratings: Ratings, share: float = 0.2, seed: int = 42) -> list[Part]:
    """A random 80/20, as in the public notebooks on ml-latest-small.

    They take Spark's randomSplit, whose rows depend on the partitioning; no two machines agree on them. This is our
    own `random` split, which depends on nothing but the pairs and the seed.

    >>> users, ones = np.arange(1000), np.ones(1000)
    >>> 150 < random_fifth(Ratings(users, users, ones, ones))[0].test.sum() < 250
    np.True_
    """
    test = Split("random", share, seed=seed).holdout(ratings.user_ids, ratings.movie_ids, ratings.timestamps)
    return [Part(~test, test)]


PARTS: dict[str, Callable[[Ratings], list[Part]]] = {
    "recommenders-100k": item_stratified,
    "replay-1m": latest_fifth_of_liked,
    "surprise-100k": shuffled_folds,
    "surprise-1m": shuffled_folds,
    "latest-small": random_fifth,
}
