"""Fixtures of every room: settings that stay inside the test's folder, one Spark session for all tests."""

import pytest

from recsys.config import Settings
from recsys.spark import spark_session


@pytest.fixture
def settings(tmp_path):
    return Settings(state_dir=tmp_path)


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    settings = Settings(state_dir=tmp_path_factory.mktemp("spark"), spark_master="local[2]")
    with spark_session(settings, "tests", n_partitions=2) as session:
        yield session
