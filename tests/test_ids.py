"""Distinct ids and their places, against NumPy's own answers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys.ids import distinct, positions

DENSE = arrays(np.int32, st.integers(0, 60), elements=st.integers(-20, 20))
SPARSE = arrays(np.int32, st.integers(0, 60), elements=st.integers(-(2**31), 2**31 - 1))
LONG = arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 2**62))


@given(DENSE | SPARSE | LONG)
def test_distinct_ids_are_those_of_numpy(ids):
    found = distinct(ids)
    np.testing.assert_array_equal(found, np.unique(ids))
    assert found.dtype == ids.dtype


@given(DENSE | SPARSE | LONG, DENSE | SPARSE | LONG)
def test_every_id_is_found_where_it_stands_and_no_other(ids, wanted):
    ids = distinct(ids)
    found = positions(ids, wanted)
    np.testing.assert_array_equal(found >= 0, np.isin(wanted, ids))
    np.testing.assert_array_equal(ids[found[found >= 0]], wanted[found >= 0])


def test_ids_over_the_whole_range_of_32_bits_do_not_overflow():
    ids = np.array([2**31 - 1, -(2**31), 0, 0], np.int32)
    assert distinct(ids).tolist() == [-(2**31), 0, 2**31 - 1]
    # So many that a table would be made of them.
    many = np.arange(-(2**20), 2**20, dtype=np.int32)
    assert distinct(many[::-1]).tolist() == many.tolist()
