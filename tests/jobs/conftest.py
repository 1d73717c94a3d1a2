"""Fixtures of the jobs: MLflow ready for use, the tests' Spark session, and a training that tests go on from."""

import shutil
from contextlib import nullcontext

import pytest

from recsys.config import Settings
from recsys.jobs import exploration, quality, score, train
from tests.jobs.tiny import CONFIG, STEPS, write_snapshot


@pytest.fixture
def settings(tracked_settings):
    return tracked_settings


def share_session(patch, spark):
    for job in (exploration, quality, score, train):
        patch.setattr(job, "spark_session", lambda *_, **__: nullcontext(spark))


@pytest.fixture
def _share_the_session(spark, monkeypatch):
    """Jobs end the session they start; here all share the one of the tests, which must outlive them."""
    share_session(monkeypatch, spark)


@pytest.fixture(scope="session")
def _training(spark, tmp_path_factory, _migrated_mlflow):
    return train_tiny(tmp_path_factory.mktemp("training"), _migrated_mlflow, spark)


def train_tiny(folder, migrated_mlflow, spark):
    """One training of the small snapshot: a copy of the state after it, and by step what it returned.

    Without Spark, the compiled engine fits what is chosen too.
    """
    settings = Settings(state_dir=folder / "state", spark_master="local[2]")
    (settings.state_dir / "mlflow").mkdir(parents=True)
    shutil.copyfile(migrated_mlflow, settings.state_dir / "mlflow" / "mlflow.db")
    returned = {}
    with pytest.MonkeyPatch.context() as patch:
        share_session(patch, spark)
        state = train.split(write_snapshot(settings), CONFIG, "first", settings)
        for step in STEPS:
            returned[step.__name__] = state = step(state, CONFIG, settings)
    return shutil.copytree(settings.state_dir, folder / "copy"), returned


@pytest.fixture
def trained(_training, settings):
    """A training that is over, in the test's own state; returns what each step did, by its name.

    MLflow keeps whole addresses, so what else it is given to keep as artifacts joins those of the first training.
    """
    folder, returned = _training
    shutil.copytree(folder, settings.state_dir, dirs_exist_ok=True)
    return returned


@pytest.fixture
def champion(trained):
    """What the training promoted."""
    return trained["promote"]
