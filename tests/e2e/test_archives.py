"""The whole chain on each of the real archives, as `make run` goes through it; without them these tests skip."""

import os
from pathlib import Path

import pytest

from recsys.config import PROJECT_ROOT, Settings
from recsys.stack import launcher
from recsys.stack.dag_chain import error_lines, run_pipeline
from recsys.stack.places import Places
from recsys.storage import layout, releases
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json

FOLDER = Path(os.environ.get("RECSYS_REALDATA", PROJECT_ROOT.parent / "shared" / "data"))
# What is learned is not the subject: a search as short as it can be, and a gate that lets every model pass.
BUDGET = {"n_folds": 2, "ranking_trials": 1, "rating_trials": 1, "n_members": 1, "max_rank": 8, "max_iter": 3}
BUDGET |= {"baselines": [], "min_gain": -1.0, "max_rmse_loss": 1.0, "max_posters": 20, "when_unchanged": "train"}

pytestmark = [pytest.mark.e2e, pytest.mark.realdata, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings of a stack that runs for all archives, one after the other."""
    settings = Settings(state_dir=tmp_path_factory.mktemp("archives") / "state")
    places = Places.of(settings)
    with launcher.sole_launcher(places):
        launcher.start(settings, places, "up", print)
    yield settings
    launcher.take_down(places)


@pytest.mark.parametrize(
    ("file", "dataset", "n_ratings"),
    [
        ("ml-latest-small.zip", "ml-latest-small", 100_836),
        ("ml-100k.zip", "ml-100k", 100_000),  # has no links, so no movie has an IMDb id
        ("ml-1m-reconstructed.zip", "ml-1m-reconstructed", 1_000_209),
        ("the-movies-dataset-partial.zip", "the-movies-dataset-partial", 99_810),
    ],
)
def test_the_chain_ends_green_and_publishes_the_archive_with_a_picture_for_every_wanted_movie(
    settings, file, dataset, n_ratings
):
    if not (FOLDER / file).is_file():
        pytest.skip(f"{file} is not in {FOLDER}")

    result = run_pipeline(settings, {"dataset": str(FOLDER / file), **BUDGET})

    assert result.has_succeeded, [(task.name, error_lines(task.log)) for task in result.failures]
    store = open_store(settings.resolved_store_url)
    lineage = releases.read_manifest(store, releases.current(store).version_id).lineage
    snapshot = read_json(store, layout.snapshot_manifest(lineage.snapshot_id))
    assert (lineage.dataset, snapshot["counts"]["n_ratings"]) == (dataset, n_ratings)
    posters = read_json(store, layout.POSTER_MANIFEST)["posters"]
    listed = [row for row in posters if row["status"] == "stored"]
    assert len(listed) >= 20
    assert all(row["is_drawn"] for row in listed)  # nobody was asked for one, so all of them are title cards
