"""Every metric equals that of an independent library on random inputs; where definitions differ, by how much.

The referee is recommenders 1.2 (recommenders-team/recommenders), `evaluation.python_evaluation`. It has neither MRR
nor hit rate: those meet a second, naive implementation.
"""

import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys.evaluation import beyond_accuracy, metrics

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from recommenders.evaluation import python_evaluation as referee

N_MOVIES = 14
CASES = settings(max_examples=40, deadline=None)


@contextmanager
def its_own_warnings():
    """The referee assigns to slices as pandas 2 tolerates and pandas 3 will not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Drawn:
    """Random training ratings, lists of unseen movies (some short) and held-out movies of up to eight users.

    One user more has rated everything, so that no movie is without a rating, and gets no list.
    """

    def __init__(self, seed, k):
        rng = np.random.default_rng(seed)
        n_users = rng.integers(1, 9)
        rated = np.vstack([rng.permuted(np.arange(N_MOVIES) < rng.integers(1, 9)) for _ in range(n_users)])
        rated = np.vstack([rated, np.ones(N_MOVIES, bool)])
        self.matrix, self.counts, self.k = csr_array(rated.astype(np.float64)), rated.sum(axis=0), k
        self.ranked = np.full((n_users + 1, k), -1)
        for row in range(n_users):
            length = rng.integers(1, k + 1)
            self.ranked[row, :length] = rng.permutation(np.flatnonzero(~rated[row]))[:length]
        self.relevant = [rng.choice(N_MOVIES, rng.integers(1, N_MOVIES), replace=False) for _ in range(n_users + 1)]
        codes = np.sort(np.concatenate([u * N_MOVIES + movies for u, movies in enumerate(self.relevant)]))
        self.hit = metrics.hits(self.ranked, codes, N_MOVIES)
        self.n_relevant = np.array([len(movies) for movies in self.relevant])

    def their_lists(self):
        rows, places = np.nonzero(self.ranked >= 0)
        return pd.DataFrame({"userID": rows, "itemID": self.ranked[rows, places], "prediction": 100.0 - places})

    def their_truth(self):
        users = np.repeat(np.arange(len(self.relevant)), self.n_relevant)
        return pd.DataFrame({"userID": users, "itemID": np.concatenate(self.relevant), "rating": 1.0})

    def their_training(self):
        rows, movies = self.matrix.nonzero()
        return pd.DataFrame({"userID": rows.astype(np.int64), "itemID": movies.astype(np.int64)})


drawn = st.builds(Drawn, st.integers(0, 2**32 - 1), st.integers(1, 6))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metrics.precision_at_k, referee.precision_at_k),
        (metrics.recall_at_k, referee.recall_at_k),
        (metrics.average_precision_at_k, referee.map_at_k),
        (metrics.average_precision_of_all_at_k, referee.map),
    ],
)
@CASES
@given(case=drawn)
def test_ranking_metrics_equal_the_referees(ours, theirs, case):
    # The referee leaves out users without a list; we hold it against the model that it gave them none.
    mean = ours(case.hit, case.n_relevant)[:-1].mean()
    with its_own_warnings():
        assert mean == pytest.approx(theirs(case.their_truth(), case.their_lists(), k=case.k))


@CASES
@given(case=drawn)
def test_ndcg_equals_the_referees(case):
    # Here the referee counts users without a list as 0, as we do.
    with its_own_warnings():
        theirs = referee.ndcg_at_k(case.their_truth(), case.their_lists(), k=case.k)
    assert metrics.ndcg_at_k(case.hit, case.n_relevant).mean() == pytest.approx(theirs)


@CASES
@given(case=drawn)
def test_reciprocal_rank_and_hit_rate_equal_a_loop(case):
    for user, movies in enumerate(case.relevant):
        places = [place for place, movie in enumerate(case.ranked[user], start=1) if movie in movies]
        assert metrics.reciprocal_rank(case.hit, case.n_relevant)[user] == (1 / places[0] if places else 0)
        assert metrics.hit_rate_at_k(case.hit, case.n_relevant)[user] == (1 if places else 0)


@CASES
@given(st.lists(st.tuples(st.sampled_from([0.5, 1, 2.5, 4, 5]), st.floats(0, 6)), min_size=2, max_size=30))
def test_rating_metrics_equal_the_referees(pairs):
    actual, predicted = (np.array(column, float) for column in zip(*pairs, strict=True))
    ids = {"userID": np.zeros(len(pairs), int), "itemID": np.arange(len(pairs))}
    truth, guess = pd.DataFrame({**ids, "rating": actual}), pd.DataFrame({**ids, "prediction": predicted})
    assert metrics.rmse(predicted, actual) == pytest.approx(referee.rmse(truth, guess))
    assert metrics.mae(predicted, actual) == pytest.approx(referee.mae(truth, guess))
    if np.ptp(actual):  # without spread R² is undefined; the referee answers 0 or 1
        assert metrics.rsquared(predicted, actual) == pytest.approx(referee.rsquared(truth, guess))
    else:
        assert np.isnan(metrics.rsquared(predicted, actual))


@CASES
@given(case=drawn)
def test_coverage_equals_the_referees(case):
    theirs = referee.catalog_coverage(case.their_training(), case.their_lists())
    assert beyond_accuracy.catalogue_coverage(case.ranked, N_MOVIES) == pytest.approx(theirs)


@CASES
@given(case=drawn)
def test_novelty_weighted_by_list_length_equals_the_referees(case):
    # The referee averages over places, we average over users: the same wherever all lists are full.
    n_listed = (case.ranked >= 0).sum(axis=1)
    per_user = np.nan_to_num(beyond_accuracy.novelty(case.ranked, case.counts))
    with its_own_warnings():
        theirs = referee.novelty(case.their_training(), case.their_lists())
    assert per_user @ n_listed / n_listed.sum() == pytest.approx(theirs)


@CASES
@given(case=drawn)
def test_diversity_by_common_raters_equals_the_referees(case):
    ours = beyond_accuracy.intra_list_diversity(case.ranked, case.matrix.T)
    if np.isnan(ours).all():
        return
    with its_own_warnings():
        theirs = referee.diversity(case.their_training(), case.their_lists())
    assert np.nanmean(ours) == pytest.approx(theirs)
