"""What the tasks of a training read from the store, and the split that they write there."""

import logging

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.config import TrainConfig
from recsys.evaluation.evaluator import Ratings
from recsys.messages import SplitRef, TrainedModel
from recsys.models.recommender import Recommender
from recsys.registry.model_records import ModelRecord
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.snapshots import read_manifest
from recsys.storage.tables import read_table, write_table
from recsys.training import searching
from recsys.training.fits.engines import split_of
from recsys.training.relevance import on_scale
from recsys.training.report.training_report import Searched
from recsys.training.training_documents import SearchRecord, SplitManifest, SplitParts, StoredPart

log = logging.getLogger(__name__)


def config_on_scale(store: Store, split: SplitRef, config: TrainConfig) -> TrainConfig:
    """The config as the rating scale of the snapshot has it: see `on_scale`."""
    return on_scale(config, read_manifest(store, split.snapshot_id))


def write_split(store: Store, snapshot_id: str, split_id: str, config: TrainConfig) -> None:
    """Write both parts of a snapshot's ratings, and the manifest last."""
    table = read_table(store, layout.snapshot_table(snapshot_id, "ratings"))
    ratings = Ratings.from_table(table)
    held_out = split_of(config).holdout(ratings.user_ids, ratings.movie_ids, ratings.timestamps)
    train, held = (
        StoredPart(**write_table(store, f"{layout.split(split_id)}/{name}.parquet", rows, overwrite=True))
        for name, rows in (("train", table.filter(pa.array(~held_out))), ("holdout", table.filter(pa.array(held_out))))
    )
    manifest = SplitManifest(snapshot_id=snapshot_id, parts=SplitParts(train=train, holdout=held))
    manifest.write(store, layout.split_manifest(split_id), overwrite=True)


def read_ratings(store: Store, key: str) -> Ratings:
    return Ratings.from_table(read_table(store, key))


def read_trained(store: Store, trained: TrainedModel) -> tuple[Ratings, Ratings, Recommender]:
    """The training part, the holdout and the challenger."""
    split = trained.search.split
    recommender = Recommender.from_bytes(store.get(layout.recommender(trained.model_prefix)))
    return read_ratings(store, split.train_key), read_ratings(store, split.holdout_key), recommender


def read_search(store: Store, model_prefix: str, config: TrainConfig) -> list[Searched]:
    return searching.from_record(SearchRecord.load(store, layout.search(model_prefix)), config)


def trained_on(store: Store, record: ModelRecord) -> NDArray[np.int64]:
    """User and movie of each rating that a model was trained on, as far as that is still known."""
    if not record.train_key or not store.exists(record.train_key):
        log.warning("what the champion was trained on is not known any more; it is judged on the whole holdout")
        return np.empty(0, np.int64)
    return read_ratings(store, record.train_key).pairs()
