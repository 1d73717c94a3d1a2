"""What an ingest with nothing new makes up for: trainings that failed, and champions whose lists were never made."""

import pytest

from recsys import pipeline
from recsys.config import IngestConfig
from recsys.ingest import publishing, unfinished
from recsys.ingest import tasks as ingest_tasks
from recsys.messages import ChampionRef
from recsys.registry import training_runs
from recsys.registry.champions import serving
from recsys.storage import layout, releases
from recsys.storage.opening import open_store
from recsys.tracking.tracking import CHAMPION, Tracking
from recsys.training import runs
from recsys.workspace import Workspace
from tests.storage.versions import lineage

SAMPLE = {"sample_users": 20, "sample_movies": 60, "sample_ratings": 500}
CONFIG = IngestConfig(dataset="sample", **SAMPLE)
NAME = "recsys-sample"


@pytest.fixture
def store(settings):
    return open_store(settings.resolved_store_url)


@pytest.fixture
def tracking(settings):
    return Tracking(settings)


@pytest.fixture
def downloaded(settings):
    """What `download` returns for a source that was published before."""
    found = ingest_tasks.download(CONFIG, "run-1", settings)
    publishing.publish(ingest_tasks.parse(found, settings), settings)
    return ingest_tasks.download(CONFIG, "run-2", settings)


def begin(tracking, downloaded):
    run_id = tracking.start_run(training_runs.EXPERIMENT, "training", tags={"kind": "training"})
    tracking.log(run_id, params={"snapshot_id": downloaded["snapshot_id"]})
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


def test_what_was_trained_and_has_lists_is_unchanged(settings, store, tracking, downloaded):
    run_id = train_to_the_end(tracking, store, downloaded)
    publish_lists(store, "v1", run_id, downloaded["snapshot_id"])
    assert unfinished.next_task(downloaded, CONFIG, settings) == "unchanged"
    train_anyway = CONFIG.model_copy(update={"when_unchanged": "train"})
    assert unfinished.next_task(downloaded, train_anyway, settings) == "publish"


def test_a_new_source_is_parsed(settings):
    assert unfinished.next_task(ingest_tasks.download(CONFIG, "run-1", settings), CONFIG, settings) == "parse"


def test_a_snapshot_that_was_never_trained_is_published_again(settings, downloaded):
    assert unfinished.next_task(downloaded, CONFIG, settings) == "publish"


def test_a_snapshot_whose_training_failed_is_trained_again(settings, store, tracking, downloaded):
    with pytest.raises(MemoryError), runs.failing(tracking, begin(tracking, downloaded)):
        raise MemoryError
    assert unfinished.next_task(downloaded, CONFIG, settings) == "publish"
    begin(tracking, downloaded)  # killed: it says RUNNING for ever
    assert unfinished.next_task(downloaded, CONFIG, settings) == "publish"
    run_id = train_to_the_end(tracking, store, downloaded)
    publish_lists(store, "v1", run_id, downloaded["snapshot_id"])
    assert unfinished.next_task(downloaded, CONFIG, settings) == "unchanged"


def test_a_model_that_the_gate_refused_was_trained_to_the_end(settings, store, tracking, downloaded):
    train_to_the_end(tracking, store, downloaded, promoted=False)
    assert unfinished.next_task(downloaded, CONFIG, settings) == "unchanged"


def test_a_champion_without_lists_is_announced_to_score_users_once_more(settings, store, tracking, downloaded):
    old = train_to_the_end(tracking, store, downloaded)
    publish_lists(store, "v1", old, downloaded["snapshot_id"])
    new = train_to_the_end(tracking, store, downloaded)
    assert unfinished.next_task(downloaded, CONFIG, settings) == "announce_champion"
    announced = unfinished.announce_champion(downloaded, settings)
    champion = serving(Workspace(settings), "sample", downloaded["snapshot_id"])
    assert champion.mlflow_run_id == new
    reason = "the published lists are older than the champion"
    assert ChampionRef.read(announced) == champion.model_copy(update={"reason": reason})
    publish_lists(store, "v2", new, downloaded["snapshot_id"])
    assert unfinished.next_task(downloaded, CONFIG, settings) == "unchanged"


def test_lists_of_an_earlier_snapshot_are_not_those_of_this_one(settings, store, tracking, downloaded):
    run_id = train_to_the_end(tracking, store, downloaded)
    publish_lists(store, "v1", run_id, "sample-earlier")
    assert unfinished.next_task(downloaded, CONFIG, settings) == "announce_champion"


def test_a_rollback_is_not_undone(settings, store, tracking, downloaded):
    old, new = (train_to_the_end(tracking, store, downloaded) for _ in range(2))
    publish_lists(store, "v1", old, downloaded["snapshot_id"])
    publish_lists(store, "v2", new, downloaded["snapshot_id"])
    releases.rollback(store, "v1")
    assert unfinished.next_task(downloaded, CONFIG, settings) == "unchanged"


def test_lists_are_not_made_for_a_snapshot_that_another_one_followed(settings, store, tracking, downloaded):
    run_id = train_to_the_end(tracking, store, downloaded)
    other = ingest_tasks.download(CONFIG.model_copy(update={"sample_seed": 7}), "run-3", settings)
    publishing.publish(ingest_tasks.parse(other, settings), settings)
    publish_lists(store, "v1", run_id, other["snapshot_id"])
    assert unfinished.next_task(downloaded, CONFIG, settings) == "unchanged"


def test_a_release_whose_tables_were_removed_by_hand_does_not_stop_the_ingest(settings, store, tracking, downloaded):
    old, new = (train_to_the_end(tracking, store, downloaded) for _ in range(2))
    publish_lists(store, "v1", old, downloaded["snapshot_id"])
    store.delete(f"{layout.version('v1')}/{layout.MANIFEST}")
    assert unfinished.next_task(downloaded, CONFIG, settings) == "announce_champion"
    publish_lists(store, "v2", new, downloaded["snapshot_id"])
    assert unfinished.next_task(downloaded, CONFIG, settings) == "unchanged"


def test_the_command_line_says_what_is_due(settings, store, tracking, downloaded):
    assert pipeline.ingest_ratings(CONFIG, settings)["due"] == "training"
    run_id = train_to_the_end(tracking, store, downloaded)
    assert pipeline.ingest_ratings(CONFIG, settings)["due"] == "lists"
    publish_lists(store, "v1", run_id, downloaded["snapshot_id"])
    assert pipeline.ingest_ratings(CONFIG, settings)["due"] == "nothing"
