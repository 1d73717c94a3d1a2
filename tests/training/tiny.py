"""A small snapshot with a taste that can be learned, and its training in all steps."""

import shutil
from contextlib import nullcontext

import numpy as np
import pyarrow as pa

from recsys import columns
from recsys.config import Settings, TrainConfig
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import write_table
from recsys.training import tasks as training_tasks
from recsys.workspace import Workspace
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


def train(workspace, training_id, snapshot_id="tiny-1", config=CONFIG):
    """One training of a snapshot that is there: what each task returned, by its name."""
    split = training_tasks.split(workspace, snapshot_id, config, training_id)
    search = training_tasks.search(workspace, split, config)
    fit = training_tasks.fit(workspace, search, config)
    evaluate = training_tasks.evaluate(workspace, fit, config)
    register = training_tasks.register(workspace, evaluate, config)
    promote = training_tasks.promote(workspace, evaluate, register, config)
    return {
        "split": split,
        "search": search,
        "fit": fit,
        "evaluate": evaluate,
        "register": register,
        "promote": promote,
    }


def train_once(workspace, training_id, snapshot_id="tiny-1", config=CONFIG):
    """What the last task of a training returned."""
    return train(workspace, training_id, snapshot_id, config)["promote"]


def train_tiny(folder, migrated_mlflow, spark):
    """One training of the small snapshot: a copy of the state after it, and by task what it returned.

    Without Spark, the compiled engine fits what is chosen too.
    """
    settings = Settings(state_dir=folder / "state", spark_master="local[2]")
    (settings.state_dir / "mlflow").mkdir(parents=True)
    shutil.copyfile(migrated_mlflow, settings.state_dir / "mlflow" / "mlflow.db")
    write_snapshot(settings)
    returned = train(Workspace(settings, lambda *_, **__: nullcontext(spark)), "first")
    return shutil.copytree(settings.state_dir, folder / "copy"), returned
