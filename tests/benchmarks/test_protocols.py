"""The splits of published comparisons are those of their authors, on random ratings and on the real ones."""

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.protocols import PARTS, item_stratified, latest_fifth_of_liked, random_fifth, shuffled_folds
from recsys.evaluation.evaluator import Ratings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from recommenders.datasets.python_splitters import python_stratified_split

PROJECT_ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("RECSYS_REALDATA", PROJECT_ROOT.parent / "shared" / "data"))


def drawn_ratings(seed, n):
    rng = np.random.default_rng(seed)
    movies = (rng.random(n) ** 3 * 40).astype(int)  # few movies with many ratings, many with few
    return Ratings(rng.integers(0, 15, n), movies, rng.integers(1, 6, n).astype(float), rng.integers(0, n, n))


def their_stratified_test(ratings):
    frame = pd.DataFrame({"userID": ratings.user_ids, "itemID": ratings.movie_ids, "row": np.arange(len(ratings))})
    train, test = python_stratified_split(frame, ratio=0.75, filter_by="item", seed=42)
    return set(train["row"]), set(test["row"])


def read(archive, member, separator):
    with zipfile.ZipFile(FOLDER / archive) as file:
        table = pd.read_csv(
            file.open(member), sep=separator, header=None, engine="c" if separator == "\t" else "python"
        )
    return Ratings(*(table[i].to_numpy() for i in range(4)))


real = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is not there")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_the_item_stratified_split_is_the_librarys_own(seed, n):
    ratings = drawn_ratings(seed, n)
    [part] = item_stratified(ratings)
    assert (set(np.flatnonzero(part.train)), set(np.flatnonzero(part.test))) == their_stratified_test(ratings)


@pytest.mark.parametrize("protocol", PARTS)
def test_train_and_test_never_meet(protocol):
    for part in PARTS[protocol](drawn_ratings(1, 500)):
        assert not (part.train & part.test).any()
        assert part.train.any()
        assert part.test.any()


def test_the_time_split_tests_later_liked_ratings_of_known_users_and_movies():
    ratings = drawn_ratings(2, 400)
    [part] = latest_fifth_of_liked(ratings)
    assert ratings.stars[part.train | part.test].min() == 3
    assert ratings.timestamps[part.train].max() < ratings.timestamps[part.test].min()
    assert np.isin(ratings.user_ids[part.test], ratings.user_ids[part.train]).all()
    assert np.isin(ratings.movie_ids[part.test], ratings.movie_ids[part.train]).all()


def test_folds_are_those_of_a_loop_over_a_legacy_shuffle():
    indices = np.arange(23)
    np.random.RandomState(0).shuffle(indices)
    expected, stop = [], 0
    for fold in range(5):
        start, stop = stop, stop + 23 // 5 + (fold < 23 % 5)
        expected.append(sorted(indices[start:stop]))
    got = [np.flatnonzero(part.test).tolist() for part in shuffled_folds(drawn_ratings(3, 23))]
    assert got == expected


def test_the_random_fifth_does_not_depend_on_the_order_of_the_rows():
    ratings = Ratings(np.repeat(np.arange(30), 10), np.tile(np.arange(10), 30), np.ones(300), np.arange(300))
    order = np.random.default_rng(0).permutation(300)
    [part], [shuffled] = random_fifth(ratings), random_fifth(ratings.where(order))
    np.testing.assert_array_equal(shuffled.test, part.test[order])


@real
@pytest.mark.realdata
def test_on_ml_100k_the_item_stratified_split_is_the_librarys_own():
    ratings = read("ml-100k.zip", "ml-100k/u.data", "\t")
    [part] = item_stratified(ratings)
    assert (set(np.flatnonzero(part.train)), set(np.flatnonzero(part.test))) == their_stratified_test(ratings)


@real
@pytest.mark.realdata
def test_on_ml_1m_the_time_split_has_the_sizes_its_authors_report():
    ratings = read("ml-1m-reconstructed.zip", "ml-1m/ratings.dat", "::")
    [part] = latest_fifth_of_liked(ratings)
    sizes = [(m.sum(), len(np.unique(ratings.user_ids[m])), len(np.unique(ratings.movie_ids[m]))) for m in part]
    assert sizes == [(669_181, 5_397, 3_569), (86_542, 1_139, 3_279)]
    [within] = latest_fifth_of_liked(ratings.where(part.train))
    assert (within.train.sum(), within.test.sum()) == (535_343, 24_241)
