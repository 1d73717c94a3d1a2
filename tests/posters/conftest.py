"""MLflow is ready for use in the settings of these tests."""

import pytest


@pytest.fixture
def settings(tracked_settings):
    return tracked_settings
