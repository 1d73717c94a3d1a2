"""Users folded in to a model whose one factor lets a reader solve for them by hand."""

import io

import numpy as np
import pytest

from recsys.errors import ConfigError, DataError
from recsys.models.biases import fit_biases
from recsys.models.blend import Blend, Support, blended
from recsys.models.ensemble import weighted_sum
from recsys.models.factors import Factors
from recsys.models.recipe import Member, Recipe
from recsys.models.recommender import RatingModel, Recommender

LIKED = Member(rank=1, reg_param=7.0, alpha=1.0, scheme="liked")
EXPLICIT = Member(rank=1, reg_param=1.0)
IDS, MOVIES = np.array([1], np.int32), np.array([10, 20], np.int32)
# Movies 10 and 20 have the factors 1 and 2; the stars' mean is 3.
FACTORS = Factors(IDS, np.ones((1, 1), np.float32), MOVIES, np.array([[1.0], [2.0]], np.float32))
BIASES = fit_biases(np.array([1, 1], np.int32), MOVIES, np.array([2, 4], np.float32))


def pair(recipe=None, ranking=FACTORS, residuals=FACTORS):
    return Recommender(ranking, RatingModel(BIASES, residuals, 1.0, 5.0), MOVIES, np.array([9, 3], np.int32), recipe)


RECIPE = Recipe(ranking=(LIKED,), rating=(EXPLICIT,))


def folded(model, user_ids, movie_ids, stars, when=None):
    days = None if when is None else np.array(when, "datetime64[ms]")
    return model.fold_in(np.array(user_ids), np.array(movie_ids), np.array(stars, np.float32), days)


def test_a_new_user_is_solved_for_by_hand():
    new = folded(pair(RECIPE), [8], [20], [5.0])
    assert new.user_ids.tolist() == [8]
    # One liked movie y = 2: (1 + alpha) y / (the sum of all y² + alpha y² + reg_param) = 2 * 2 / (5 + 4 + 7)
    assert new.ranking.tolist() == [[0.25]]
    # The bias is rest / (1 + 5); then y * rest / (y² + reg_param)
    rest = 5 - BIASES.predict(np.array([8]), np.array([20]))[0]
    assert new.biases == pytest.approx([rest / 6])
    assert new.residuals[0, 0] == pytest.approx(2 * (rest - rest / 6) / (4 + 1))


def test_users_come_in_any_order_and_those_who_like_nothing_known_are_left_out():
    new = folded(pair(RECIPE), [9, 7, 8, 9, 6], [20, 10, 20, 10, 99], [5.0, 1.0, 5.0, 2.0, 5.0])
    assert new.user_ids.tolist() == [8, 9]  # 7 likes nothing, 6 nothing that the model knows
    # A movie that is not liked is, to this scheme, as if it had not been rated.
    assert new.ranking.tolist() == [[0.25], [0.25]]
    assert new.residuals[0] != new.residuals[1]


def test_no_ratings_fold_nobody_in():
    new = folded(pair(RECIPE), [], [], [])
    assert (len(new.user_ids), new.ranking.shape, new.residuals.shape) == (0, (0, 1), (0, 1))


def test_without_timestamps_ratings_have_not_aged():
    forgetful = Member(rank=1, reg_param=1.0, alpha=1.0, half_life_days=1)
    model = pair(Recipe(ranking=(forgetful,), rating=(EXPLICIT,), newest_ms=86_400_000))  # 2 January 1970
    today, later, old = (
        folded(model, [8], [20], [4.0], when).ranking[0, 0] for when in (None, ["1990-01-01"], ["1970-01-01"])
    )
    # label 4: (1 + 4) * 2 / (5 + 4 * 4 + 1) = 10 / 22; a day old it is 2: (1 + 2) * 2 / (5 + 2 * 4 + 1)
    assert (today, later) == pytest.approx((10 / 22, 10 / 22))  # what is newer than all training has no age
    assert old == pytest.approx(6 / 14)


def test_in_a_mean_of_members_each_contributes_its_share_of_the_score():
    other = Member(rank=1, reg_param=1.0, alpha=3.0)
    both = pair(
        Recipe(ranking=(LIKED, other), rating=(EXPLICIT,)), ranking=weighted_sum([FACTORS, FACTORS], [0.5, 0.5])
    )
    alone = [pair(Recipe(ranking=(member,), rating=(EXPLICIT,))) for member in (LIKED, other)]
    scores = [
        model.with_users(folded(model, [8], [20], [5.0])).ranking.dot(np.array([8, 8]), MOVIES)
        for model in (both, *alone)
    ]
    np.testing.assert_allclose(scores[0], (scores[1] + scores[2]) / 2, rtol=1e-5)


def test_a_blend_gives_a_new_user_what_it_gives_a_trained_one():
    """User 1 was trained on both movies; the members' rows are what folding these ratings in leads to."""
    stars = [2.0, 4.0]
    blend = Blend(np.array([0.5, 0.2]), np.array([0.1, -0.3]), np.array([0.3, -0.1, 0.02, 0.1, 0.01, -0.03]))
    members = []
    for member in (EXPLICIT, LIKED):
        model = pair(Recipe(ranking=(LIKED,), rating=(member,)))
        members.append(Factors(IDS, folded(model, [1, 1], MOVIES, stars).residuals, MOVIES, FACTORS.movie_factors))
    residuals = blended(members, blend, Support.of(np.array([1, 1], np.int32), MOVIES))
    values = [part.tolist() for part in blend]
    model = pair(Recipe(ranking=(LIKED,), rating=(EXPLICIT, LIKED), blend=values), residuals=residuals)
    model = Recommender.from_bytes(model.to_bytes())
    np.testing.assert_allclose(folded(model, [8, 8], MOVIES, stars).residuals, residuals.user_factors, rtol=1e-5)


def test_a_file_of_before_there_were_recipes_loads_and_folds_nobody_in():
    with np.load(io.BytesIO(pair(RECIPE).to_bytes())) as arrays:
        old = {name: arrays[name] for name in arrays if name != "recipe"}
    buffer = io.BytesIO()
    np.savez(buffer, **old)
    model = Recommender.from_bytes(buffer.getvalue())
    with pytest.raises(ConfigError, match="stored without its recipe"):
        folded(model, [8], [20], [5.0])
    assert Recommender.from_bytes(pair(RECIPE).to_bytes()).recipe == RECIPE


def test_a_recipe_that_does_not_fit_the_factors_is_refused():
    with pytest.raises(DataError, match=r"makes \(2, 1\) factors of ranking and rating, the models have \(1, 1\)"):
        pair(Recipe(ranking=(LIKED, LIKED), rating=(EXPLICIT,)))
    with pytest.raises(DataError, match=r"makes \(1, 4\) factors"):
        pair(Recipe(ranking=(LIKED,), rating=(EXPLICIT,), blend=([1], [1], [0] * 6)))


def test_a_recipe_of_a_later_version_is_named():
    with pytest.raises(DataError, match="recipe is not understood: Extra inputs"):
        Recipe.parse('{"ranking": [], "rating": [], "magic": 1}')


def test_without_a_rating_model_new_users_have_the_same_place_in_the_ranking():
    model = pair(RECIPE)
    alone = Recommender.from_bytes(model.without_rating().to_bytes())
    assert alone.rating is None
    assert alone.predict is None
    new = folded(alone, [8, 9], [20, 10], [5.0, 4.0])
    assert new.ranking.tolist() == folded(model, [8, 9], [20, 10], [5.0, 4.0]).ranking.tolist()
    assert (new.residuals.shape, new.biases.tolist()) == ((2, 0), [0.0, 0.0])
    joined = alone.with_users(new)
    assert joined.ranking.user_ids.tolist() == [1, 8, 9]
    assert joined.rating is None
    assert joined.user_rows().between(8, 9).ranking_ids.tolist() == [8, 9]
