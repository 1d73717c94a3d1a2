"""Every model, ours or a baseline, under the same questions: one exam per split, whole lists over all unseen movies."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.protocols import Columns, Mask
from recsys.baselines.scorers import LowRank, Scorer, rating_matrix
from recsys.evaluation import beyond_accuracy, metrics
from recsys.ids import positions
from recsys.models.factors import Factors
from recsys.models.recommender import RatingModel
from recsys.topk.exact import select_top

K = 10
_USER_BLOCK = 1_024
Scores = NDArray[np.float32]


def rows(ratings: Columns, mask: Mask) -> Columns:
    """The ratings under a mask, in their order."""
    return Columns(*(column[mask] for column in ratings))


class Exam:
    """Training ratings, and what is asked of a model fitted on them.

    Users without a training rating are not examined. Movies without one cannot be listed, yet count as missed.

    Args:
        train: what models are fitted on; its movies are the catalogue lists are drawn from.
        test: held-out ratings.
        relevant_rating: stars from which a held-out movie is relevant.
        is_map_of_all: MAP divides by all relevant movies, not by at most k.
    """

    def __init__(self, train: Columns, test: Columns, relevant_rating: float, *, is_map_of_all: bool = False) -> None:
        self.train, self.test = train, test
        self.matrix = rating_matrix(train.user_ids, train.movie_ids, train.stars)
        self.counts = np.bincount(self.matrix.stars.indices, minlength=len(self.matrix.movie_ids))
        asked = (test.stars >= relevant_rating) & np.isin(test.user_ids, self.matrix.user_ids)
        users, movies = test.user_ids[asked], test.movie_ids[asked]
        self.user_rows = positions(self.matrix.user_ids, np.unique(users))
        cold = np.setdiff1d(movies, self.matrix.movie_ids)
        self._n_codes = len(self.matrix.movie_ids) + len(cold)
        at = positions(self.matrix.movie_ids, movies)
        at[at < 0] = len(self.matrix.movie_ids) + np.searchsorted(cold, movies[at < 0])
        owners = positions(np.unique(users), users)
        self._relevant = np.unique(owners * self._n_codes + at)
        self._n_relevant = np.bincount(self._relevant // self._n_codes, minlength=len(self.user_rows))
        self._of_ranking = dict(metrics.RANKING_METRICS)
        if is_map_of_all:
            self._of_ranking["map"] = metrics.average_precision_of_all_at_k

    def scorer(self, factors: Factors) -> LowRank:
        """A factor model in the rows and columns of this exam's training matrix; what it does not know scores 0."""
        users, movies = (
            np.where((at >= 0)[:, None], vectors[at], np.float32(0))
            for at, vectors in (
                (positions(factors.user_ids, self.matrix.user_ids), factors.user_factors),
                (positions(factors.movie_ids, self.matrix.movie_ids), factors.movie_factors),
            )
        )
        return LowRank(users, movies)

    def scores(self, model: Factors | Scorer) -> Scores:
        """Scores of the whole catalogue for every examined user; shape (n_users, n_movies)."""
        return (self.scorer(model) if isinstance(model, Factors) else model).scores(self.user_rows)

    def ndcg(self, scores: Scores) -> float:
        """Mean nDCG of the lists that `scores` make."""
        return float(np.mean(metrics.ndcg_at_k(self._hits(self.lists(scores)), self._n_relevant)))

    def lists(self, scores: Scores) -> NDArray[np.int32]:
        """The best k columns of each examined user that are not in training; shape (n_users, k)."""
        parts = []
        for start in range(0, len(scores), _USER_BLOCK):
            block = slice(start, start + _USER_BLOCK)
            seen = self.matrix.stars[self.user_rows[block]].tocoo()
            open_scores = scores[block].copy()
            open_scores[seen.row, seen.col] = -np.inf
            parts.append(select_top(open_scores, K)[0])
        return np.concatenate(parts)

    def judge_lists(self, scores: Scores) -> dict[str, float]:
        """All ranking metrics and what the lists are like, as means over users."""
        lists = self.lists(scores)
        hit = self._hits(lists)
        result = {
            name if name in ("mrr", "hit_rate") else f"{name}_at_{K}": float(np.mean(f(hit, self._n_relevant)))
            for name, f in self._of_ranking.items()
        }
        return result | {
            "coverage": beyond_accuracy.catalogue_coverage(lists, len(self.counts)),
            "gini": beyond_accuracy.exposure_gini(lists, len(self.counts)),
            "novelty": float(np.nanmean(beyond_accuracy.novelty(lists, self.counts))),
        }

    def judge_stars(self, model: RatingModel) -> dict[str, float]:
        """RMSE and MAE over all held-out ratings, cold users and movies included."""
        predicted = model.predict(self.test.user_ids, self.test.movie_ids)
        return {"rmse": metrics.rmse(predicted, self.test.stars), "mae": metrics.mae(predicted, self.test.stars)}

    def _hits(self, lists: NDArray[np.int32]) -> NDArray[np.bool_]:
        return metrics.hits(lists, self._relevant, self._n_codes)


def mean_of_folds(results: list[Mapping[str, float]]) -> dict[str, float]:
    """Each metric's mean over folds.

    >>> mean_of_folds([{"rmse": 1.0}, {"rmse": 3.0}])
    {'rmse': 2.0}
    """
    return {name: float(np.mean([fold[name] for fold in results])) for name in results[0]}
