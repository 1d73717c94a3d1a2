"""What must hold of every split and of its folds, on random ratings; and what each strategy takes, by hand."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recsys.errors import ConfigError, DataError
from recsys.splitting.random_split import is_holdout
from recsys.splitting.split import Split

AT_RANDOM, BY_TIME = ["random", "per_user", "per_movie"], ["time", "last_n"]
CASES = settings(max_examples=60, deadline=None)


@st.composite
def ratings(draw, min_size=12):
    """Distinct pairs of few users and movies, at few enough instants that many coincide."""
    pairs = st.tuples(st.integers(1, 6), st.integers(1, 30))
    drawn = draw(st.lists(pairs, min_size=min_size, max_size=80, unique=True))
    instants = draw(st.lists(st.integers(0, 25), min_size=len(drawn), max_size=len(drawn)))
    users, movies = (np.array(ids, np.int32) for ids in zip(*drawn, strict=True))
    return users, movies, np.array(instants, "datetime64[D]").astype("datetime64[ms]")


splits = st.builds(
    Split, st.sampled_from(AT_RANDOM + BY_TIME), st.floats(0.05, 0.6), st.integers(1, 3), st.integers(0, 9)
)
temporal = st.builds(Split, st.sampled_from(BY_TIME), st.floats(0.05, 0.6), st.integers(1, 3))


def parted(split, columns, n_folds=3):
    """The holdout, and the folds of the rest as masks over all ratings; unsuitable draws are passed over."""
    try:
        held = split.holdout(*columns)
        folds = split.folds(n_folds, *(column[~held] for column in columns))
    except DataError:
        assume(False)
    rest = np.flatnonzero(~held)
    whole = []
    for fold in folds:
        masks = np.zeros((2, len(held)), bool)
        masks[0, rest[fold.train]] = masks[1, rest[fold.validation]] = True
        whole.append(masks)
    return held, whole


@CASES
@given(split=splits, columns=ratings())
def test_train_validation_and_holdout_are_disjoint_and_complete(split, columns):
    held, folds = parted(split, columns)
    for train, validation in folds:
        assert not (train & validation).any()
        assert not ((train | validation) & held).any()
        assert train.any()
    covered = np.any([validation for _, validation in folds], axis=0)
    if split.strategy in AT_RANDOM:
        assert (sum(validation.astype(int) for _, validation in folds) == ~held).all()  # each rating once
        assert all(((train | validation) == ~held).all() for train, validation in folds)
    else:
        train, validation = folds[-1]
        assert ((train | validation) == ~held).all()  # the last fold uses everything
        assert (covered | folds[0][0] | held).all()


@CASES
@given(split=temporal, columns=ratings())
def test_no_users_future_is_in_training(split, columns):
    users, _, times = columns
    held, folds = parted(split, columns)
    for train, question in [(~held, held), *folds]:
        for user in np.unique(users[question]):
            known = times[train & (users == user)]
            assert (known <= times[question & (users == user)].min()).all()


@CASES
@given(fraction=st.floats(0.05, 0.6), columns=ratings())
def test_a_split_by_time_parts_everybody_at_one_instant(fraction, columns):
    times = columns[2]
    held, folds = parted(Split("time", fraction), columns)
    for train, question in [(~held, held), *folds]:
        assert times[train].max() < times[question].min()


@CASES
@given(split=splits, columns=ratings(), order=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(split, columns, order):
    held, folds = parted(split, columns)
    rows = list(range(len(held)))
    order.shuffle(rows)
    held_2, folds_2 = parted(split, [column[rows] for column in columns])
    np.testing.assert_array_equal(held_2, held[rows])
    np.testing.assert_array_equal(folds_2, [masks[:, rows] for masks in folds])


@CASES
@given(strategy=st.sampled_from(["per_user", "per_movie"]), fraction=st.floats(0.05, 0.9), columns=ratings())
def test_every_group_gives_its_share_to_the_nearest_rating_and_keeps_one(strategy, fraction, columns):
    groups = columns[0 if strategy == "per_user" else 1]
    held = Split(strategy, fraction).holdout(*columns)
    for group in np.unique(groups):
        n, n_held = (groups == group).sum(), held[groups == group].sum()
        assert n_held < n
        assert abs(n_held - fraction * n) <= 0.5 + 1e-9 or n_held == n - 1


@CASES
@given(strategy=st.sampled_from(["per_user", "per_movie"]), n_folds=st.integers(2, 5), columns=ratings())
def test_every_group_is_spread_evenly_over_the_folds(strategy, n_folds, columns):
    groups = columns[0 if strategy == "per_user" else 1]
    folds = Split(strategy).folds(n_folds, *columns)
    for group in np.unique(groups):
        sizes = [fold.validation[groups == group].sum() for fold in folds]
        assert max(sizes) - min(sizes) <= 1


@CASES
@given(n_last=st.integers(1, 4), columns=ratings(min_size=1))
def test_last_n_takes_n_of_each_user_and_leaves_at_least_one(n_last, columns):
    users = columns[0]
    held = Split("last_n", n_last=n_last).holdout(*columns)
    for user in np.unique(users):
        n = (users == user).sum()
        assert held[users == user].sum() == min(n_last, n - 1)


def test_random_is_the_split_that_champions_are_compared_on():
    users, movies = np.repeat(np.arange(50), 20), np.tile(np.arange(20), 50)
    held = Split("random", 0.3, seed=5).holdout(users, movies, np.zeros(1000))
    np.testing.assert_array_equal(held, is_holdout(users, movies, 0.3, seed=5))


@pytest.mark.parametrize("strategy", AT_RANDOM)
def test_the_overall_share_is_the_one_asked_for_and_seeds_differ(strategy):
    users, movies = np.repeat(np.arange(100), 100), np.tile(np.arange(100), 100)
    first, second = (Split(strategy, 0.25, seed=seed).holdout(users, movies, users) for seed in (1, 2))
    assert abs(first.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 10_000)  # four standard errors
    assert 0.3 < (first != second).mean() < 0.45  # independent: 2 * 0.25 * 0.75 = 0.375


def test_groups_of_one_rating_do_not_meet_in_one_fold():
    users = np.arange(1_000)
    sizes = [fold.validation.sum() for fold in Split("per_user").folds(5, users, np.zeros(1_000, int), users)]
    assert min(sizes) > 150


@pytest.mark.parametrize(
    ("times", "fraction", "expected"),
    [
        ([1, 2, 3, 4, 5], 0.4, [0, 0, 0, 1, 1]),
        ([1, 4, 4, 4, 5], 0.4, [0, 0, 0, 0, 1]),  # 1 is nearer to 2 than 4 is
        ([1, 2, 4, 4, 5], 0.4, [0, 0, 1, 1, 1]),  # 1 and 3 are as near: the larger
        ([4, 4, 4, 4, 5], 0.9, [0, 0, 0, 0, 1]),  # never everything
        ([1, 4, 4, 4, 4], 0.1, [0, 1, 1, 1, 1]),  # never nothing
    ],
)
def test_the_latest_share_never_parts_an_instant(times, fraction, expected):
    held = Split("time", fraction).holdout(np.ones(5, int), np.arange(5), np.array(times))
    assert held.astype(int).tolist() == expected


def test_folds_by_time_expand_over_the_later_half():
    times = np.arange(12)
    folds = Split("time").folds(3, times, times, times)
    assert [np.flatnonzero(fold.validation).tolist() for fold in folds] == [[6, 7], [8, 9], [10, 11]]
    assert [fold.train.sum() for fold in folds] == [6, 8, 10]


def test_folds_of_the_last_two_are_earlier_blocks_of_two():
    users, times = np.array([1] * 6 + [2] * 2), np.array([1, 2, 3, 4, 5, 6, 8, 9])
    early, late = Split("last_n", n_last=2).folds(2, users, np.arange(8), times)
    assert np.flatnonzero(late.validation).tolist() == [4, 5, 7]  # user 2 keeps the first of two
    assert np.flatnonzero(early.validation).tolist() == [2, 3]
    assert np.flatnonzero(early.train).tolist() == [0, 1, 6]


@pytest.mark.parametrize("split", [Split("time"), Split("last_n")])
def test_too_few_instants_or_ratings_are_refused_with_a_sentence(split):
    same = np.ones(4, int)
    with pytest.raises(DataError, match="Nothing was split"):
        split.folds(5, np.arange(4), same, same)


def test_one_instant_and_missing_timestamps_are_refused():
    with pytest.raises(DataError, match="one timestamp"):
        Split("time").holdout(np.arange(3), np.arange(3), np.ones(3, int))
    with pytest.raises(DataError, match="1 of 2 ratings have no timestamp"):
        Split("last_n").holdout(np.arange(2), np.arange(2), np.array(["2001-01-01", "NaT"], "datetime64[ms]"))


@pytest.mark.parametrize("values", [{"strategy": "leave_one_out"}, {"fraction": 1.0}, {"n_last": 0}])
def test_values_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match="Nothing was split"):
        Split(**values)
    with pytest.raises(ConfigError, match="at least 2"):
        Split().folds(1, np.arange(3), np.arange(3), np.arange(3))
