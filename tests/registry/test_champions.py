"""The log of promotions decides, the alias follows: several at once, killed ones, and what people do in MLflow."""

import itertools

import pytest

from recsys.registry.champions import Champions, RegisteredModel
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json
from recsys.tracking.tracking import CHAMPION, Tracking
from tests.storage.interrupting import interruptions

NAME = "recsys-tiny"


@pytest.fixture
def store(tracked_settings):
    return open_store(tracked_settings.resolved_store_url)


@pytest.fixture
def tracking(tracked_settings):
    return Tracking(tracked_settings)


@pytest.fixture
def models(tracking):
    """Three versions, each of a run of its own, none of them champion."""
    return registered(tracking, 3)


@pytest.fixture
def champions(store, tracking):
    return Champions(store, tracking, NAME)


def registered(tracking, n):
    tracking._client.create_registered_model(NAME)
    made = []
    for _ in range(n):
        run_id = tracking.start_run("e", "r")
        version = tracking._client.create_model_version(NAME, f"runs:/{run_id}/model", run_id)
        made.append(RegisteredModel.of(NAME, tracking.version(NAME, version.version)))
    return made


def champion_of(tracking):
    found = tracking.by_alias(NAME, CHAMPION)
    return found and found["version"]


def start_over(store, tracking, model):
    """One promotion, of this model."""
    for key in list(store.list(layout.promotions(NAME))):
        store.delete(key)
    if tracking.by_alias(NAME, CHAMPION):
        tracking._client.delete_registered_model_alias(NAME, CHAMPION)
    assert Champions(store, tracking, NAME).promote(model, None, "e", "r")


def test_a_promotion_is_an_entry_that_names_the_opponent_and_the_evidence(store, champions, tracking, models):
    one, two, _ = models
    assert champions.present() is None
    assert champions.promote(one, None, "models/a/evaluation.json", "beats popularity")
    first = champions.present()
    assert champions.promote(two, first, "models/b/evaluation.json", "beats champion")
    assert champion_of(tracking) == "2"
    entry = champions.last()
    assert entry.to_json() == read_json(store, layout.promotion(NAME, 2)) == {
        "number": 2, "version": "2", "run_id": two.mlflow_run_id, "opponent": one.mlflow_run_id,
        "evidence": "models/b/evaluation.json", "reason": "beats champion", "promoted_at": entry.promoted_at,
    }  # fmt: skip


def test_who_was_compared_with_another_champion_is_not_promoted(champions, tracking, models):
    one, two, three = models
    champions.promote(one, None, "e", "r")
    first = champions.present()
    assert champions.promote(two, first, "e", "r")
    assert not champions.promote(three, first, "e", "r")
    assert champion_of(tracking) == "2"


@pytest.mark.parametrize("when", ["before", "after"])
def test_of_two_promotions_at_once_exactly_one_takes_place(store, tracking, models, when):
    """The second is begun and ended at each call of the first."""
    one, two, three = models
    Champions(store, tracking, NAME).promote(one, None, "e", "r")
    first = Champions(store, tracking, NAME).present()
    outcomes = []

    def other():
        outcomes.append(Champions(store, tracking, NAME).promote(three, first, "e", "r"))

    n_lost = 0
    for interruption in interruptions(when, other):
        outcomes.clear()
        watched = Champions(interruption.watch(store), interruption.watch(tracking), NAME)
        own = watched.promote(two, first, "e", "r")
        if not interruption.has_happened:
            other()
        assert sorted([own, *outcomes]) == [False, True]
        n_lost += not own
        assert champion_of(tracking) == ("2" if own else "3")
        start_over(store, tracking, one)
    assert n_lost >= 3  # before its entry was written, the other one was faster


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_alias_ends_where_the_log_ends_when_a_later_promotion_overtakes_a_slow_one(store, tracking, models, when):
    one, two, three = models
    start_over(store, tracking, one)

    def overtake():
        others = Champions(store, tracking, NAME)
        assert others.promote(three, others.present(), "e", "r")

    for interruption in interruptions(when, overtake):
        champions = Champions(interruption.watch(store), interruption.watch(tracking), NAME)
        champions.promote(two, RegisteredModel.of(NAME, tracking.by_alias(NAME, CHAMPION)), "e", "r")
        assert champion_of(tracking) == Champions(store, tracking, NAME).last().version
        start_over(store, tracking, one)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_promotion_took_place_or_not_and_is_finished_by_the_next_to_look(store, tracking, models, when):
    one, two, _ = models
    Champions(store, tracking, NAME).promote(one, None, "e", "r")
    first = Champions(store, tracking, NAME).present()
    for interruption in interruptions(when):
        with interruption:
            Champions(interruption.watch(store), interruption.watch(tracking), NAME).promote(two, first, "e", "r")
        assert champion_of(tracking) in {"1", "2"}  # what a reader sees
        is_decided = Champions(store, tracking, NAME).last().version == "2"
        # The next to look sees what the log says; the task, run again, comes to the same.
        assert Champions(store, tracking, NAME).present().model.number == (2 if is_decided else 1)
        if not is_decided:
            assert Champions(store, tracking, NAME).promote(two, first, "e", "r")
        assert champion_of(tracking) == "2"
        start_over(store, tracking, one)


def test_an_alias_moved_by_a_person_holds_and_is_reported(champions, tracking, models, caplog):
    one, two, three = models
    champions.promote(one, None, "e", "r")
    champions.promote(two, champions.present(), "e", "r")
    tracking.set_alias(NAME, CHAMPION, "1")
    assert champions.present().model.number == 1
    assert "promotion of recsys-tiny was version 2, and the alias is on version 1: somebody changed it" in caplog.text
    assert champion_of(tracking) == "1"
    assert champions.promote(three, champions.present(), "e", "r")
    assert champions.last().opponent == one.mlflow_run_id


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.delete_registered_model_alias(NAME, CHAMPION),
        lambda client: client.delete_model_version(NAME, "1"),
        lambda client: client.delete_registered_model(NAME),
        lambda client: client.rename_registered_model(NAME, "elsewhere"),
    ],
    ids=["alias", "version", "model", "renamed"],
)
def test_a_champion_that_was_removed_is_none_and_the_next_promotion_goes_on(champions, tracking, models, act, caplog):
    champions.promote(models[0], None, "e", "r")
    act(tracking._client)
    assert champions.present() is None
    assert "the alias is gone" in caplog.text
    if tracking.version(NAME, "2") is None:
        models = [None, *registered(tracking, 1)]  # numbers begin at 1 again
    assert champions.promote(models[1], None, "e", "r")
    assert champion_of(tracking) == str(models[1].model.number)
    assert champions.last().number == 2


def test_a_killed_promotion_of_a_version_that_was_deleted_holds_up_nobody(store, champions, tracking, models):
    one, two, three = models
    champions.promote(one, None, "e", "r")
    for interruption in itertools.islice(interruptions("before"), 40):
        with interruption:
            Champions(interruption.watch(store), tracking, NAME).promote(two, champions.present(), "e", "r")
        if champions.last().version == "2":
            break
    assert not store.exists(layout.promotion_done(NAME, 2))
    tracking._client.delete_model_version(NAME, "2")
    assert champions.present().model.number == 1
    assert champions.promote(three, champions.present(), "e", "r")
    assert champion_of(tracking) == "3"


def test_a_champion_that_is_older_than_the_log_is_the_champion(champions, tracking, models):
    tracking.set_alias(NAME, CHAMPION, "2")
    assert champions.present().model.number == 2
    assert champions.last() is None
    assert champions.promote(models[2], champions.present(), "e", "r")
    assert champion_of(tracking) == "3"
