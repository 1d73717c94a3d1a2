"""Several asset events in one run: one is worked on, each other one is postponed, superseded or dropped by name."""

import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import events
import pytest
import shared
from airflow.sdk.exceptions import AirflowSkipException

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def announced(minute, dataset, run_id=None, **extra):
    """An event as Airflow hands it to a task."""
    document = {"dataset": dataset, "conf": {}, "snapshot_id": f"{dataset}-{minute}", **extra}
    at = NOON + timedelta(minutes=minute)
    return SimpleNamespace(timestamp=at, source_run_id=run_id or f"run-{minute}", extra=document)


def choose(*given, since=None):
    return events.choose(events.publications(given), since)


def names(events):
    return [event.run_id for event in events]


def test_events_are_ordered_by_their_time_in_whatever_order_they_come():
    three = [announced(1, "sample"), announced(2, "sample"), announced(3, "sample")]
    for seed in range(6):
        choice = choose(*random.Random(seed).sample(three, 3))
        assert choice.event.extra["snapshot_id"] == "sample-3"
        assert names(choice.superseded) == ["run-1", "run-2"]
        assert not choice.postponed


def test_every_data_set_gets_a_run_and_what_was_published_last_comes_last():
    waiting = [announced(1, "sample"), announced(2, "ml"), announced(3, "sample"), announced(4, "own")]
    worked_on = []
    while waiting:
        choice = choose(*waiting)
        worked_on.append(choice.event.run_id)
        # What is postponed is announced again at a later moment, and all of it waits for the next run.
        waiting = [
            SimpleNamespace(timestamp=NOON + timedelta(hours=1), source_run_id="train", extra=event.repeated)
            for event in choice.postponed
        ]
    assert worked_on == ["run-2", "run-3", "run-4"]


def test_a_repeated_event_is_not_newer_than_what_came_after_it_was_first_published():
    (repeated,) = choose(announced(1, "sample"), announced(2, "ml")).postponed
    late = SimpleNamespace(timestamp=NOON + timedelta(minutes=9), source_run_id="train", extra=repeated.repeated)
    choice = choose(late, announced(5, "ml"))
    assert choice.event.run_id == "run-5"
    assert names(choice.superseded) == ["run-2"]


def test_the_same_publication_announced_twice_is_one_event():
    first = announced(1, "ml")
    again = SimpleNamespace(timestamp=NOON, source_run_id="train", extra=choose(first).event.repeated)
    assert choose(first, again) == choose(again, first) == choose(first)


def test_a_run_that_is_cleared_and_publishes_again_makes_another_event():
    choice = choose(announced(1, "ml", run_id="ingest"), announced(4, "ml", run_id="ingest"))
    assert choice.event.extra["snapshot_id"] == "ml-4"
    assert len(set(choice.settled)) == 2


def test_what_came_while_the_run_before_was_busy_is_not_forgotten():
    # Airflow hands over the first queued event only; the others would wait for the next one.
    given = [announced(2, "ml")]
    later = [announced(2, "ml"), announced(3, "own"), announced(8, "sample")]
    waiting = events.pending(given, later, started=NOON + timedelta(minutes=5))
    choice = choose(*waiting)
    assert (choice.event.run_id, names(choice.postponed)) == ("run-2", ["run-3"])


class Published(list):
    """All events of an asset, as a task gets them."""

    def after(self, moment):
        return [event for event in self if event.timestamp >= datetime.fromisoformat(moment)]


class Memory(dict):
    """Airflow's store of an asset's state."""

    set = dict.__setitem__


def test_what_another_run_took_is_not_done_twice_and_a_cleared_run_takes_its_own_again():
    first, late, last = announced(1, "ml"), announced(2, "ml"), announced(9, "own")
    published, memory = {shared.RATINGS: Published([first, late, last])}, Memory()

    def take(run_id, *triggering, started=5):
        run = SimpleNamespace(
            run_id=run_id,
            dag_id="train_model",
            run_type="asset_triggered",
            start_date=NOON + timedelta(minutes=started),
        )
        return shared._choice(run, shared.RATINGS, list(triggering), published, memory)

    choice = take("t1", first)
    assert (choice.event.run_id, names(choice.superseded)) == ("run-2", ["run-1"])
    with pytest.raises(AirflowSkipException, match="Nothing is left to do"):
        take("t2", late)
    assert take("t1", first) == choice
    # Airflow hands the late one over again, with the next.
    choice = take("t3", late, last, started=9)
    assert (choice.event.run_id, choice.postponed, choice.superseded) == ("run-9", (), ())


def test_events_of_runs_that_were_given_up_are_dropped_by_name():
    choice = choose(announced(1, "ml"), announced(3, "sample"), since=NOON + timedelta(minutes=2))
    assert choice.event.run_id == "run-3"
    assert choice.labels["dropped"] == [{"run_id": "run-1", "at": "2026-11-27T12:01:00+00:00", "dataset": "ml"}]


def test_events_that_a_person_makes_by_hand_name_no_data():
    by_hand = SimpleNamespace(timestamp=NOON, source_run_id=None, extra={"from_rest_api": True})
    assert names(events.publications([announced(2, "ml"), by_hand, announced(1, "sample")])) == ["run-1", "run-2"]
    assert choose(by_hand) is None


def test_the_moment_from_which_events_count_is_told_by_the_stack(monkeypatch):
    assert events.since() is None
    monkeypatch.setenv("RECSYS_EVENTS_SINCE", "2026-11-27T12:00:00+00:00")
    assert events.since() == NOON


@pytest.mark.parametrize("kind", ["postponed", "superseded", "dropped"])
def test_no_event_is_lost_without_being_named(kind):
    waiting = [announced(minute, dataset) for minute, dataset in enumerate("ababcca")]
    choice = choose(*waiting, since=NOON + timedelta(minutes=1))
    assert set(choice.settled).isdisjoint(event.name for event in choice.postponed)
    named = [choice.event, *choice.postponed, *choice.superseded, *choice.dropped]
    assert sorted(names(named)) == [f"run-{minute}" for minute in range(7)]
    assert [label["run_id"] for label in choice.labels[kind]] == names(getattr(choice, kind))
