"""A small snapshot with a taste that can be learned, and its training in all steps."""

import shutil
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pytest

from recsys import columns
from recsys.config import Settings, TrainConfig
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import write_table
from recsys.training import tasks as training_tasks
from tests.storage.manifests import write_manifest

CONFIG = TrainConfig(
    relevant_rating=4.0,
    n_folds=2,
    ranking_trials=2,
    rating_trials=1,
    max_iter=3,
    max_rank=8,
    k=5,
    n_members=1,
    preferences=("stars",),
    baselines=("svd",),
)
STEPS = (
    training_tasks.search,
    training_tasks.fit,
    training_tasks.evaluate,
    training_tasks.register,
    training_tasks.promote,
)


def write_snapshot(settings, snapshot_id="tiny-1", *, taste=True):
    """200 users, 60 movies in two camps; with `taste` a user rates the own camp often and well. A rating per minute."""
    rng = np.random.default_rng(0)
    users, movies = (grid.ravel() for grid in np.meshgrid(np.arange(1, 201), np.arange(1, 61), indexing="ij"))
    same = users % 2 == movies % 2
    rated = rng.random(len(users)) < (np.where(same, 0.5, 0.05) if taste else 0.3)
    stars = np.where(same, 4.5, 2.0) if taste else rng.integers(1, 11, len(users)) / 2
    times = 1_600_000_000_000 + 60_000 * rng.permutation(int(rated.sum()))
    table = (
        pa.table([users[rated], movies[rated], stars[rated], times], names=columns.RATINGS.names)
        .cast(pa.schema([*[*columns.RATINGS][:3], pa.field("timestamp", pa.int64())]))
        .cast(columns.RATINGS)
    )
    store = open_store(settings.resolved_store_url)
    write_table(store, layout.snapshot_table(snapshot_id, "ratings"), table)
    write_manifest(store, snapshot_id)
    return snapshot_id


def train_once(settings, training_id, snapshot_id="tiny-1", config=CONFIG):
    state = training_tasks.split(snapshot_id, config, training_id, settings)
    for step in STEPS:
        state = step(state, config, settings)
    return state


def share_session(patch, spark):
    for job in (training_tasks,):
        patch.setattr(job, "spark_session", lambda *_, **__: nullcontext(spark))


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
        state = training_tasks.split(write_snapshot(settings), CONFIG, "first", settings)
        for step in STEPS:
            returned[step.__name__] = state = step(state, CONFIG, settings)
    return shutil.copytree(settings.state_dir, folder / "copy"), returned
