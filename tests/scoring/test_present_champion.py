"""Lists are made and published for the model that is champion now, not for the one that an old event names."""

import pytest

from recsys.errors import GateError, NotFoundError
from recsys.registry.champions import serving
from recsys.registry.training_runs import registered_name
from recsys.scoring import tasks as scoring_tasks
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.tracking.tracking import CHAMPION, Tracking
from recsys.workspace import Workspace


@pytest.fixture
def tracking(settings):
    return Tracking(settings)


@pytest.fixture
def add(settings, tracking):
    """Registers another version of the data set's model and makes it champion; returns what was announced of it."""
    name, store = registered_name("tiny"), open_store(settings.resolved_store_url)
    tracking._client.create_registered_model(name)

    def register():
        run_id = tracking.start_run("e", "r")
        prefix = layout.model(run_id)
        store.put(layout.recommender(prefix), b"factors")
        version = tracking._client.create_model_version(name, prefix, run_id, tags={"model_prefix": prefix}).version
        tracking.set_alias(name, CHAMPION, str(version))
        present = serving(Workspace(settings), "tiny", "tiny-1")
        return present.model_copy(update={"training_run_id": run_id, "is_promoted": True, "reason": "better"})

    return register


def test_the_announced_champion_is_used_while_it_is_champion(settings, add):
    announced = add()
    assert scoring_tasks.present_champion(Workspace(settings), announced) == announced
    scoring_tasks.check_is_champion(Workspace(settings), announced)


def test_a_champion_that_was_replaced_after_its_event_is_not_scored(settings, add, caplog):
    announced, newer = add(), add()
    champion = scoring_tasks.present_champion(Workspace(settings), announced)
    model = {name: getattr(newer, name) for name in ("model", "mlflow_run_id", "model_prefix")}
    assert champion == announced.model_copy(update={**model, "announced_uri": announced.model.uri})
    assert f"{announced.model.uri} was announced; {newer.model.uri} is champion now" in caplog.text
    with pytest.raises(GateError, match=r"/1 is no longer champion, .*/2 is\. Nothing was published"):
        scoring_tasks.check_is_champion(Workspace(settings), announced)


def test_a_version_that_was_deleted_after_its_event_is_neither_scored_nor_published(settings, tracking, add, caplog):
    announced = add()
    tracking._client.delete_model_version(announced.model.name, "1")
    assert scoring_tasks.present_champion(Workspace(settings), announced) == announced
    assert "is not champion any more" in caplog.text
    with pytest.raises(NotFoundError, match="has no champion"):
        scoring_tasks.check_is_champion(Workspace(settings), announced)
