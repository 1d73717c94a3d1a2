"""Candidates stay inside their space and repeat with their seed; a grid holds every combination of its levels."""

import itertools

import pytest

from recsys.search.space import Choice, LogInteger, LogUniform, different, edges, fit_into, grid, halton

SPACE = {"rank": LogInteger(8, 64), "reg_param": LogUniform(0.01, 1.0), "alpha": LogUniform(0.1, 40.0)}
MIXED = {"weights": Choice(("stars", "liked")), "half_life": Choice((None, 30.0, 365.0)), "reg": LogUniform(0.01, 1)}


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_a_halton_sequence_stays_inside_the_space(n):
    points = list(halton(SPACE, seed=0, n=n))
    assert len(points) == n
    for point in points:
        assert point["rank"] in range(8, 65)
        assert 0.01 <= point["reg_param"] <= 1.0
        assert 0.1 <= point["alpha"] <= 40.0


def test_the_same_seed_draws_the_same_points_and_another_seed_others():
    assert list(halton(SPACE, 1, 12)) == list(halton(SPACE, 1, 12))
    assert list(halton(SPACE, 1, 12)) != list(halton(SPACE, 2, 12))
    assert list(halton(SPACE, 1, 5)) == list(halton(SPACE, 1, 12))[:5]


def test_a_halton_sequence_covers_choices_evenly():
    points = list(halton(MIXED, 0, 60))
    assert 25 <= sum(point["weights"] == "liked" for point in points) <= 35
    assert 15 <= sum(point["half_life"] is None for point in points) <= 25


def test_an_even_grid_holds_every_combination_of_its_levels_once():
    points = grid(SPACE, 27)  # 3 x 3 x 3
    # The middle of 8 to 64 is 22.6, of 0.1 to 40 it is 2.
    expected = itertools.product([8, 23, 64], [0.01, 0.1, 1.0], [0.1, 2.0, 40.0])
    assert [tuple(point.values()) for point in points] == list(expected)


@pytest.mark.parametrize(("n", "size"), [(1, 1), (2, 2), (5, 4), (11, 8), (12, 12), (18, 18), (26, 24), (27, 27)])
def test_a_grid_is_the_largest_even_one_within_the_budget(n, size):
    assert len(grid(SPACE, n)) == size


def test_a_grid_takes_choices_for_levels_and_none_for_a_choice():
    points = grid(MIXED, 12)  # 2 x 3 x 2
    expected = itertools.product(["stars", "liked"], [None, 30.0, 365.0], [0.01, 1.0])
    assert [tuple(point.values()) for point in points] == list(expected)


def test_a_grid_does_not_repeat_the_only_value_of_a_dimension():
    assert [p["rank"] for p in grid({"rank": LogInteger(8, 8), "x": LogUniform(1, 2)}, 10)] == [8] * 10


def test_a_point_from_elsewhere_is_made_one_of_the_space():
    old = {"rank": 128, "reg_param": 0.1, "weights": "unheard of", "gone": 3}
    space = {"rank": LogInteger(8, 32), "reg_param": LogUniform(0.2, 1), "weights": Choice(("stars", "liked"))}
    assert fit_into(space, old, {}) == {"rank": 32, "reg_param": 0.2, "weights": "stars"}


def test_edges_are_told_by_the_log_scale_and_choices_have_none():
    # On the log scale from 0.01 to 1, a twentieth is a factor of 100 ** 0.05 = 1.26.
    assert edges(MIXED, {"weights": "stars", "half_life": None, "reg": 0.0125}) == {"reg": "low"}
    assert edges(MIXED, {"weights": "stars", "half_life": None, "reg": 0.0128}) == {}


def test_different_points_keep_their_order():
    assert different([{"x": 2}, {"x": 1}, {"x": 2}], 5) == [{"x": 2}, {"x": 1}]
