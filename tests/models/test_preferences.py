"""Labels by every scheme, with the arithmetic beside them."""

import numpy as np
import pytest

from recsys.errors import ConfigError, DataError
from recsys.models.preferences import preference

USERS = np.array([1, 1, 1, 2])
STARS = np.array([5.0, 4.0, 1.0, 2.0], np.float32)  # mean 3
DAYS = np.array(["2020-01-11", "2020-01-01", "2019-12-22", "2020-01-11"], "datetime64[ms]")  # 0, 10, 20, 0 days old


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"scheme": "stars"}, [5, 4, 1, 2]),
        ({"scheme": "stars", "power": 2}, [25, 16, 1, 4]),
        ({"scheme": "stars", "half_life_days": 10}, [5, 4 / 2, 1 / 4, 2]),
        # damped means: user 1 (10 + 2*3) / (3 + 2) = 3.2, user 2 (2 + 2*3) / (1 + 2) = 8/3
        ({"scheme": "centred", "damping": 2}, [1.8, 0.8, -2.2, -2 / 3]),
        ({"scheme": "centred", "damping": 2, "power": 2}, [3.24, 0.64, -4.84, -4 / 9]),
        ({"scheme": "centred", "damping": 0}, [5 - 10 / 3, 4 - 10 / 3, 1 - 10 / 3, 0]),
        ({"scheme": "liked"}, [1, 1, 0, 0]),
        ({"scheme": "liked", "threshold": 4.5, "half_life_days": 20}, [1, 0, 0, 0]),
        ({"scheme": "all"}, [1, 1, 1, 1]),
        ({"scheme": "all", "half_life_days": 20}, [1, 0.5**0.5, 0.5, 1]),
    ],
)
def test_labels_of_four_ratings(values, expected):
    labels = preference(STARS, USERS, DAYS, **values)
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels, expected, rtol=1e-6, atol=1e-7)


def test_age_is_counted_from_the_newest_rating_of_all():
    later = preference(STARS, USERS, DAYS + np.timedelta64(365, "D"), "all", half_life_days=7)
    np.testing.assert_array_equal(later, preference(STARS, USERS, DAYS, "all", half_life_days=7))


@pytest.mark.parametrize("values", [{"scheme": "loved"}, {"power": 0}, {"half_life_days": 0}])
def test_values_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match="Nothing was fitted"):
        preference(STARS, USERS, DAYS, **values)


def test_decay_asks_for_timestamps():
    with pytest.raises(DataError, match="1 of 4 ratings have no timestamp"):
        preference(STARS, USERS, np.array([*DAYS[:3], np.datetime64("NaT")], "datetime64[ms]"), half_life_days=1)
