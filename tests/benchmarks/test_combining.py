"""The study of ways to combine: problems end where they say, and every way chooses from the same finalists."""

import numpy as np
import pytest

from benchmarks.combining import WAYS, evaluate, problems


def write_release(path, n_users=40, n_movies=30, n_each=15):
    """A u.data of users who come one after the other and have two tastes; all stars are 3 and more."""
    rng = np.random.default_rng(0)
    lines = []
    for user in range(n_users):
        weights = np.where(np.arange(n_movies) % 2 == user % 2, 4.0, 1.0)
        for movie in rng.choice(n_movies, n_each, replace=False, p=weights / weights.sum()):
            rest = f"{rng.integers(3, 6)}\t{rng.integers(1_000_000)}"
            lines.append(f"{user + 1}\t{movie + 1}\t{rest}")
    path.write_text("\n".join(lines))
    return path


def test_a_problem_is_the_first_part_of_a_release_and_its_test_is_later_than_its_train(tmp_path):
    path = write_release(tmp_path / "u.data")
    (half_name, half), (_, whole) = problems(path, [0.5, 1.0])
    assert half_name == "u, first 50%"
    for evaluator, n_ratings in ((half, 300), (whole, 600)):
        assert evaluator.train.timestamps.max() < evaluator.test.timestamps.min()
        # Movies and users that are new leave the test, nothing else does.
        assert 0.95 * n_ratings < len(evaluator.train.stars) + len(evaluator.test.stars) <= n_ratings
    assert half.test.timestamps.max() < whole.test.timestamps.min()


@pytest.mark.slow
def test_every_way_is_judged_and_all_are_the_same_where_there_is_one_model_to_choose(tmp_path):
    [(_, evaluator)] = problems(write_release(tmp_path / "u.data"), [1.0])
    alone, several = evaluate(evaluator, n_points=1), evaluate(evaluator, n_points=4)
    assert list(alone) == list(several) == list(WAYS)
    assert len(set(alone.values())) == 1  # a sum of the same scores puts movies in the same order
    assert len(set(several.values())) > 1
