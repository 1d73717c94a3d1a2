"""Scales, and what a snapshot before looked like."""

import numpy as np
import pyarrow as pa
import pytest

from recsys.errors import ConfigError
from recsys.ingest.validation.limits import Baseline
from recsys.rating_scales import HALF_STARS, parse_scale


def test_the_scale_of_half_stars_is_the_usual_one():
    assert parse_scale("0.5-5/0.5") == HALF_STARS


def test_steps_that_are_no_binary_fractions_equal_what_is_stored():
    stored = np.arange(0, 101, dtype=np.float64) / 10
    assert set(stored.astype(np.float32).tolist()) == set(parse_scale("0-10/0.1"))


@pytest.mark.parametrize("text", ["5-1/1", "1-5/0", "1-5/3", "1-5", "one-five/1", "0-100000/0.5"])
def test_what_is_no_scale_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"such as (1-5/1|0\.5-5/0\.5)"):
        parse_scale(text)


def test_a_baseline_counts_in_pieces():
    pieces = [pa.array([4.0, 4.0, 0.5], pa.float32()), pa.array([], pa.float32()), pa.array([4.0], pa.float32())]
    before = Baseline.of("s-1", pieces)
    assert before.stars == {0.5: 1, 4.0: 3}
    assert before.mean == (0.5 + 12) / 4
    assert sum(before.shares(HALF_STARS).values()) == pytest.approx(1)
