"""The split is disjoint, stable across snapshots and row orders, and about the size asked for."""

import numpy as np
import pytest

from recsys.splitting.random_split import fold_of, is_holdout

USERS, MOVIES = np.repeat(np.arange(1, 301, dtype=np.int32), 50), np.tile(np.arange(1, 51, dtype=np.int32), 300)


def test_train_validation_and_holdout_are_disjoint_and_lose_nothing():
    pairs = set(zip(USERS.tolist(), MOVIES.tolist(), strict=True))
    held = is_holdout(USERS, MOVIES, 0.2, seed=1)
    folds = fold_of(USERS[~held], MOVIES[~held], 5, seed=1)
    parts = [set(zip(USERS[held].tolist(), MOVIES[held].tolist(), strict=True))]
    for fold in range(5):
        rows = np.flatnonzero(~held)[folds == fold]
        parts.append(set(zip(USERS[rows].tolist(), MOVIES[rows].tolist(), strict=True)))
    assert set().union(*parts) == pairs
    assert sum(map(len, parts)) == len(pairs)  # no pair is in two parts


def test_a_rating_stays_on_its_side_when_rows_are_shuffled_and_others_are_added():
    held = is_holdout(USERS, MOVIES, 0.2, seed=1)
    order = np.random.default_rng(0).permutation(len(USERS))[:5_000]
    assert (is_holdout(USERS[order], MOVIES[order], 0.2, seed=1) == held[order]).all()


def test_another_seed_gives_another_split():
    first, second = is_holdout(USERS, MOVIES, 0.2, seed=1), is_holdout(USERS, MOVIES, 0.2, seed=2)
    assert 0.25 < (first != second).mean() < 0.4  # independent: 2 * 0.2 * 0.8 = 0.32


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_the_share_held_out_is_the_one_asked_for(fraction):
    held = is_holdout(USERS, MOVIES, fraction, seed=3).mean()
    assert abs(held - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / len(USERS))  # four standard errors


def test_folds_are_even_and_independent_of_the_holdout():
    held = is_holdout(USERS, MOVIES, 0.2, seed=1)
    folds = fold_of(USERS, MOVIES, 5, seed=1)
    shares = np.bincount(folds) / len(folds)
    assert np.abs(shares - 0.2).max() < 0.02
    assert abs(held[folds == 0].mean() - 0.2) < 0.03
