"""Keys tell apart what is not the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import TrainConfig
from recsys.storage import layout
from recsys.storage.base import check_key
from recsys.training.fits.engines import split_name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a 2026.11.27", "a 2026-11-27"),
        ("manual__2026-11-27T00:00:00+01:00", "manual__2026-11-27T00:00:00-01:00"),
        ("Week", "week"),  # some file systems have no case
        ("week_1", "week__1"),
        ("week", " week "),
        ("run", "+"),
        ("é", "è"),
        ("a" * 200 + "1", "a" * 200 + "2"),
    ],
)
def test_different_runs_have_different_keys(one, other):
    assert layout.run_key(one).casefold() != layout.run_key(other).casefold()


@given(st.text())
def test_every_runs_key_is_a_short_plain_name_that_stays_as_it_is(run_id):
    key = layout.run_key(run_id)
    assert check_key(layout.staging_manifest(key))
    assert len(key) <= 100
    # What the ingest calls itself is made safe once more; the buttons in Airflow ask for the key itself.
    assert layout.safe_id(key) == key == layout.run_key(run_id)


def test_reports_of_old_runs_stand_under_their_former_keys():
    assert layout.former_run_key("manual__2025-01-01T00:00:00+00:00") == "manual-2025-01-01T00-00-00-00-00"


@pytest.mark.parametrize("split", ["random", "per_user", "per_movie", "time"])
def test_splits_of_almost_the_same_share_have_different_names(split):
    names = {split_name(TrainConfig(split=split, holdout_fraction=share)) for share in (0.2, 0.2000001)}
    assert len(names) == 2
