"""What an ingest with nothing new makes up for: trainings that failed, and champions whose lists were never made."""

import pytest

from recsys import pipeline
from recsys.config import IngestConfig
from recsys.ingest import tasks
from recsys.registry import training_runs
from recsys.registry.champions import serving
from recsys.storage import layout, releases
from recsys.tracking.tracking import CHAMPION
from recsys.training import runs
from recsys.workspace import Workspace
from tests.storage.versions import lineage

SAMPLE = {"sample_users": 20, "sample_movies": 60, "sample_ratings": 500}
CONFIG = IngestConfig(dataset="sample", **SAMPLE)
NAME = "recsys-sample"


@pytest.fixture
def workspace(settings):
    """Without Spark: nothing new is validated."""
    return Workspace(settings)


@pytest.fixture
def store(workspace):
    return workspace.store


@pytest.fixture
def tracking(workspace):
    return workspace.tracking


def ingest(workspace, config, ingest_id):
    archive = tasks.download(workspace, config, ingest_id)
    tasks.parse(workspace, archive)
    tasks.publish(workspace, archive)
    return archive


@pytest.fixture
def downloaded(workspace):
    """What `download` returns for a source that was published before."""
    ingest(workspace, CONFIG, "run-1")
    return tasks.download(workspace, CONFIG, "run-2")


def begin(tracking, downloaded):
    run_id = tracking.start_run(training_runs.EXPERIMENT, "training", tags={"kind": "training"})
    tracking.log(run_id, params={"snapshot_id": downloaded.snapshot_id})
    return run_id


def train_to_the_end(tracking, store, downloaded, *, promoted=True):
    """What a training leaves behind that others look at."""
    run_id = begin(tracking, downloaded)
    store.put(layout.recommender(layout.model(run_id)), b"factors")
    if promoted:
        if not tracking.versions_of(NAME, run_id) and tracking.by_alias(NAME, CHAMPION) is None:
            tracking._client.create_registered_model(NAME)
        version = tracking._client.create_model_version(NAME, f"runs:/{run_id}/model", run_id)
        tracking.set_alias(NAME, CHAMPION, str(version.version))
    tracking.log(run_id, tags={"promoted": promoted, "gate": "because"})
    tracking.end_run(run_id)
    return run_id


def publish_lists(store, version_id, run_id, snapshot_id):
    releases.publish(store, version_id, {}, lineage(run_id=run_id, snapshot_id=snapshot_id))


def test_what_was_trained_and_has_lists_is_unchanged(workspace, store, tracking, downloaded):
    run_id = train_to_the_end(tracking, store, downloaded)
    publish_lists(store, "v1", run_id, downloaded.snapshot_id)
    assert tasks.next_task(workspace, downloaded, CONFIG) == "unchanged"
    train_anyway = CONFIG.model_copy(update={"when_unchanged": "train"})
    assert tasks.next_task(workspace, downloaded, train_anyway) == "publish"


def test_a_new_source_is_parsed(workspace):
    assert tasks.next_task(workspace, tasks.download(workspace, CONFIG, "run-1"), CONFIG) == "parse"


def test_a_snapshot_that_was_never_trained_is_published_again(workspace, downloaded):
    assert tasks.next_task(workspace, downloaded, CONFIG) == "publish"


def test_a_snapshot_whose_training_failed_is_trained_again(workspace, store, tracking, downloaded):
    with pytest.raises(MemoryError), runs.failing(tracking, begin(tracking, downloaded)):
        raise MemoryError
    assert tasks.next_task(workspace, downloaded, CONFIG) == "publish"
    begin(tracking, downloaded)  # killed: it says RUNNING for ever
    assert tasks.next_task(workspace, downloaded, CONFIG) == "publish"
    run_id = train_to_the_end(tracking, store, downloaded)
    publish_lists(store, "v1", run_id, downloaded.snapshot_id)
    assert tasks.next_task(workspace, downloaded, CONFIG) == "unchanged"


def test_a_model_that_the_gate_refused_was_trained_to_the_end(workspace, store, tracking, downloaded):
    train_to_the_end(tracking, store, downloaded, promoted=False)
    assert tasks.next_task(workspace, downloaded, CONFIG) == "unchanged"


def test_a_champion_without_lists_is_announced_to_score_users_once_more(workspace, store, tracking, downloaded):
    old = train_to_the_end(tracking, store, downloaded)
    publish_lists(store, "v1", old, downloaded.snapshot_id)
    new = train_to_the_end(tracking, store, downloaded)
    assert tasks.next_task(workspace, downloaded, CONFIG) == "announce_champion"
    announced = tasks.announce_champion(workspace, downloaded)
    champion = serving(workspace, "sample", downloaded.snapshot_id)
    assert champion.mlflow_run_id == new
    assert announced == champion.model_copy(update={"reason": "the published lists are older than the champion"})
    publish_lists(store, "v2", new, downloaded.snapshot_id)
    assert tasks.next_task(workspace, downloaded, CONFIG) == "unchanged"


def test_lists_of_an_earlier_snapshot_are_not_those_of_this_one(workspace, store, tracking, downloaded):
    run_id = train_to_the_end(tracking, store, downloaded)
    publish_lists(store, "v1", run_id, "sample-earlier")
    assert tasks.next_task(workspace, downloaded, CONFIG) == "announce_champion"


def test_a_rollback_is_not_undone(workspace, store, tracking, downloaded):
    old, new = (train_to_the_end(tracking, store, downloaded) for _ in range(2))
    publish_lists(store, "v1", old, downloaded.snapshot_id)
    publish_lists(store, "v2", new, downloaded.snapshot_id)
    releases.rollback(store, "v1")
    assert tasks.next_task(workspace, downloaded, CONFIG) == "unchanged"


def test_lists_are_not_made_for_a_snapshot_that_another_one_followed(workspace, store, tracking, downloaded):
    run_id = train_to_the_end(tracking, store, downloaded)
    other = ingest(workspace, CONFIG.model_copy(update={"sample_seed": 7}), "run-3")
    publish_lists(store, "v1", run_id, other.snapshot_id)
    assert tasks.next_task(workspace, downloaded, CONFIG) == "unchanged"


def test_a_release_whose_tables_were_removed_by_hand_does_not_stop_the_ingest(workspace, store, tracking, downloaded):
    old, new = (train_to_the_end(tracking, store, downloaded) for _ in range(2))
    publish_lists(store, "v1", old, downloaded.snapshot_id)
    store.delete(f"{layout.version('v1')}/{layout.MANIFEST}")
    assert tasks.next_task(workspace, downloaded, CONFIG) == "announce_champion"
    publish_lists(store, "v2", new, downloaded.snapshot_id)
    assert tasks.next_task(workspace, downloaded, CONFIG) == "unchanged"


def test_the_command_line_says_what_is_due(workspace, store, tracking, downloaded):
    assert pipeline.ingest_ratings(workspace, CONFIG).to_json()["due"] == "training"
    run_id = train_to_the_end(tracking, store, downloaded)
    assert pipeline.ingest_ratings(workspace, CONFIG).to_json()["due"] == "lists"
    publish_lists(store, "v1", run_id, downloaded.snapshot_id)
    assert pipeline.ingest_ratings(workspace, CONFIG).to_json()["due"] == "nothing"
