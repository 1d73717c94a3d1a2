"""Users of a snapshot who came after the training, and are folded into the model from their ratings."""

import logging

import numpy as np
from numpy.typing import NDArray

from recsys import columns
from recsys.models.recommender import Recommender
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.snapshots import seen_key
from recsys.storage.tables import read_rows, read_table

log = logging.getLogger(__name__)


def with_new_users(recommender: Recommender, store: Store, snapshot_id: str) -> tuple[Recommender, NDArray[np.int32]]:
    """The model with the users of a snapshot whom it does not know folded in, and who they are.

    Whoever has rated nothing the model knows, or likes none of it, stays unknown and gets popular movies.
    """
    key = layout.snapshot_table(snapshot_id, "ratings")
    users = read_table(store, seen_key(store, snapshot_id), [columns.USER_ID]).column(columns.USER_ID).to_numpy()
    unknown = np.setdiff1d(users, recommender.ranking.user_ids)
    if not len(unknown) or recommender.recipe is None:
        return recommender, unknown[:0]
    ratings = read_rows(store, key, columns.USER_ID, unknown)
    new = recommender.fold_in(*(ratings.column(name).to_numpy() for name in columns.RATINGS.names))
    log.info("%d users came after the training, %d of them were folded in", len(unknown), len(new.user_ids))
    return recommender.with_users(new), new.user_ids
