"""Data in which nobody reaches `relevant_rating`: lists cannot be judged, which is said before anything is trained."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys.config import TrainConfig
from recsys.errors import ConfigError
from recsys.evaluation.evaluator import Evaluator, Ratings
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import read_table, write_table
from recsys.training import tasks
from recsys.training.fits.folds import Folds
from recsys.workspace import Workspace
from tests.training.tiny import CONFIG, write_snapshot


def ratings(*stars):
    n = len(stars)
    times = np.arange(n).astype("datetime64[ms]")
    return Ratings(np.arange(n, dtype=np.int32), np.zeros(n, np.int32), np.array(stars, np.float32), times)


def test_a_snapshot_in_which_nobody_reaches_relevant_rating_is_refused_before_the_search(settings):
    write_snapshot(settings)  # its best rating is 4.5
    config = CONFIG.model_copy(update={"relevant_rating": 5.0})
    with pytest.raises(
        ConfigError, match=r"None of the [\d,]+ ratings .* reaches relevant_rating 5, the highest is 4\.5"
    ):
        tasks.split(Workspace(settings), "tiny-1", config, "t")
    assert tasks.split(Workspace(settings), "tiny-1", CONFIG, "t").n_holdout


def test_a_holdout_in_which_nobody_reaches_relevant_rating_is_refused_though_the_rest_has_some(settings):
    store, key = open_store(settings.resolved_store_url), layout.snapshot_table(write_snapshot(settings), "ratings")
    table = read_table(store, key)
    latest = pc.equal(table["timestamp"], pc.max(table["timestamp"]))
    low = pc.if_else(latest, pa.scalar(2.0, pa.float32()), table["rating"])
    write_table(store, key, table.set_column(2, table.schema.field("rating"), low), overwrite=True)
    config = TrainConfig(split="time", holdout_fraction=0.0001)  # one rating, the latest
    with pytest.raises(ConfigError, match=r"None of the 1 ratings .* the highest is 2\..*hold out more ratings"):
        tasks.split(Workspace(settings), "tiny-1", config, "t")


def test_a_fold_without_a_relevant_rating_says_so_instead_of_a_missing_metric():
    evaluator = Evaluator(ratings(5.0, 5.0), ratings(3.0, 2.0), 10, 4.0)
    with pytest.raises(ConfigError, match=r"None of the 2 ratings .* the highest is 3\. .*fewer n_folds"):
        evaluator.evaluate_ranking(evaluator.popularity)


def test_a_search_over_such_a_fold_ends_with_that_sentence():
    config = TrainConfig(n_folds=2, max_rank=2, max_iter=1, relevant_rating=4.0)
    point = {"rank": 2, "reg_param": 0.1, "alpha": 1.0, "preference": "stars"}
    with pytest.raises(ConfigError, match="Lower relevant_rating"):
        Folds(None, ratings(*[1.0, 3.5] * 20), config).evaluate("ranking", point, 0)
