"""Registering and promoting: verdicts that are about an earlier champion, kills at every call, and edits in MLflow."""

import json

import pytest

from recsys.errors import ConfigError, NotFoundError
from recsys.registry import training_runs
from recsys.registry.champions import Champions, serving
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json
from recsys.tracking.tracking import CHALLENGER, CHAMPION, Tracking
from recsys.training import runs, tasks
from recsys.workspace import Workspace
from tests.storage.interrupting import interruptions
from tests.training.tiny import CONFIG, train_tiny

pytestmark = pytest.mark.usefixtures("trained")
NAME = "recsys-tiny"
# Models that are all alike: by the first gate any of them is promoted, by the second none beside another.
LENIENT = CONFIG.model_copy(update={"min_gain": -1.0})
STRICT = CONFIG


@pytest.fixture(scope="module")
def _training(tmp_path_factory, _migrated_mlflow):
    return train_tiny(tmp_path_factory.mktemp("training"), _migrated_mlflow, spark=None)


@pytest.fixture
def store(settings):
    return open_store(settings.resolved_store_url)


@pytest.fixture
def tracking(settings):
    return Tracking(settings)


@pytest.fixture
def challenger(settings, store, tracking, trained):
    """Makes a training of its own that came to the same model as the first, as far as a step."""

    def make(name, *steps, config=LENIENT):
        fitted = {**trained["fit"], "training_id": name}
        run_id = tracking.start_run(training_runs.EXPERIMENT, name, tags={"training_id": name, "kind": "training"})
        tracking.log(run_id, params={"snapshot_id": "tiny-1"})
        prefix = layout.model(run_id)
        for key in (layout.recommender, layout.search):
            store.put(key(prefix), store.get(key(fitted["model_prefix"])))
        state = {**fitted, "run_id": run_id, "model_prefix": prefix}
        for step in steps:
            state = step(state, config, settings)
        return state

    return make


def champion_of(tracking):
    found = tracking.by_alias(NAME, CHAMPION)
    return found and found["version"]


def test_a_verdict_about_an_earlier_champion_is_repeated_beside_the_present_one(settings, store, tracking, challenger):
    second, third = (challenger(name, tasks.evaluate, tasks.register) for name in ("second", "third"))
    assert tasks.promote(third, LENIENT, settings)["promoted"]
    assert champion_of(tracking) == third["version"]
    # Both were to be promoted beside version 1; beside the third, which is like it, the second is not.
    assert second["promote"]
    late = tasks.promote(second, STRICT, settings)
    assert (late["promoted"], late["run_id"]) == (False, third["run_id"])
    assert "does not beat champion" in late["reason"]
    assert champion_of(tracking) == third["version"]
    first_verdict = read_json(store, layout.evaluation(second["model_prefix"]))
    repeated = read_json(store, layout.comparison(second["model_prefix"], third["run_id"]))
    assert (first_verdict["promote"], first_verdict["champion"]) == (True, f"models:/{NAME}/1")
    assert (repeated["promote"], repeated["champion"]) == (False, third["uri"])
    assert [check["name"] for check in repeated["checks"]] == [
        "beats popularity", "stars no worse than biases", "beats champion", "stars no worse than champion",
    ]  # fmt: skip
    assert tracking.version(NAME, second["version"])["tags"]["gate"] == late["reason"]


def test_a_cleared_promotion_of_an_old_run_does_not_move_the_champion_back(settings, tracking, challenger, trained):
    second = challenger("second", tasks.evaluate, tasks.register)
    tasks.promote(second, LENIENT, settings)
    again = tasks.promote(trained["register"], STRICT, settings)
    assert (again["promoted"], again["run_id"]) == (False, second["run_id"])
    assert champion_of(tracking) == second["version"]
    # Cleared again, it is the present champion's and changes nothing.
    assert tasks.promote(second, STRICT, settings)["promoted"]
    assert champion_of(tracking) == second["version"]


def test_an_old_run_whose_held_out_ratings_were_removed_is_kept_back(settings, store, tracking, challenger):
    second, third = (challenger(name, tasks.evaluate, tasks.register) for name in ("second", "third"))
    tasks.promote(third, LENIENT, settings)
    store.delete(second["holdout"])
    late = tasks.promote(second, LENIENT, settings)
    assert (late["promoted"], champion_of(tracking)) == (False, third["version"])
    assert f"cannot be compared with {third['uri']}" in late["reason"]


def test_a_refused_challenger_is_compared_anew_when_a_person_took_the_champion_away(
    settings, store, tracking, challenger
):
    second = challenger("second", tasks.evaluate, tasks.register, config=STRICT)
    assert not second["promote"]
    tracking._client.delete_registered_model_alias(NAME, CHAMPION)
    assert tasks.promote(second, STRICT, settings)["promoted"]
    assert champion_of(tracking) == second["version"]
    document = read_json(store, layout.comparison(second["model_prefix"], None))
    assert [check["name"] for check in document["checks"]] == ["beats popularity", "stars no worse than biases"]


def test_an_evaluation_of_the_version_before_names_its_champion_by_address(settings, store, tracking, challenger):
    second = challenger("second", tasks.evaluate, tasks.register)
    key = layout.evaluation(second["model_prefix"])
    document = read_json(store, key)
    del document["champion_run_id"]
    store.put(key, json.dumps(document).encode(), overwrite=True)
    store.delete(second["holdout"])  # nothing is compared again
    assert tasks.promote(second, STRICT, settings)["promoted"]
    assert champion_of(tracking) == second["version"]


def test_the_alias_challenger_does_not_go_back_to_an_older_version(settings, tracking, challenger):
    second, third = (challenger(name, tasks.evaluate, tasks.register, config=STRICT) for name in ("second", "third"))
    for refused in (second, third, second):
        tasks.promote(refused, STRICT, settings)
    assert tracking.by_alias(NAME, CHALLENGER)["version"] == third["version"]


@pytest.fixture
def watched(monkeypatch):
    """Has the calls that a task makes of its store and of MLflow watched by an interruption."""

    def watch(interruption):
        def open_watched(url):
            return interruption.watch(open_store(url))

        class WatchedTracking(Tracking):
            def __init__(self, settings):
                super().__init__(settings)
                self._client = interruption.watch(self._client)

        monkeypatch.setattr(tasks, "open_store", open_watched)
        monkeypatch.setattr(tasks, "Tracking", WatchedTracking)

    return watch


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_promotion_killed_at_any_call_took_place_or_not_and_goes_on(
    settings, store, tracking, challenger, watched, monkeypatch, when
):
    second = challenger("second", tasks.evaluate, tasks.register)
    old = tracking.by_alias(NAME, CHAMPION)
    n_calls = 0
    for interruption in interruptions(when):
        with interruption:
            watched(interruption)
            tasks.promote(second, LENIENT, settings)
        monkeypatch.undo()
        n_calls += interruption.has_happened
        assert champion_of(tracking) in {"1", second["version"]}
        is_told = "promoted" in tracking.get_run(second["run_id"])["tags"]
        assert not is_told or champion_of(tracking) == second["version"]
        promoted = tasks.promote(second, LENIENT, settings)
        assert promoted["promoted"]
        assert champion_of(tracking) == second["version"]
        assert promoted["run_id"] == second["run_id"]
        run = tracking.get_run(second["run_id"])
        assert (run["status"], run["tags"]["promoted"]) == ("FINISHED", "True")
        entry = Champions(store, tracking, NAME).last()
        assert (entry.version, entry.opponent) == (second["version"], old["run_id"])
        start_over(store, tracking, second["run_id"])
    assert n_calls > 15


def start_over(store, tracking, run_id):
    for key in list(store.list(layout.promotions(NAME))):
        store.delete(key)
    tracking.set_alias(NAME, CHAMPION, "1")
    tracking._client.delete_tag(run_id, "promoted")


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_registration_killed_at_any_call_is_one_version_in_the_end(
    settings, tracking, challenger, watched, monkeypatch, when
):
    for interruption in interruptions(when):
        evaluated = challenger(f"{when}-{interruption.at}", tasks.evaluate)
        with interruption:
            watched(interruption)
            tasks.register(evaluated, LENIENT, settings)
        monkeypatch.undo()
        assert champion_of(tracking) == "1"
        registered = tasks.register(evaluated, LENIENT, settings)
        assert tracking.versions_of(NAME, evaluated["run_id"]) == [
            {name: registered[name] for name in ("version", "uri")}
        ]
        assert tracking.version(NAME, registered["version"])["tags"]["model_prefix"] == evaluated["model_prefix"]


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (
            lambda client: client.delete_registered_model_alias(NAME, CHAMPION),
            "version 1 of recsys-tiny was promoted, and has no alias champion any more: somebody removed it",
        ),
        (
            lambda client: client.delete_model_version(NAME, "1"),
            "is not in the registry any more: somebody deleted it. Give another version the alias champion",
        ),
        (lambda client: client.delete_registered_model(NAME), "is not in the registry any more: somebody deleted it"),
        (
            lambda client: client.rename_registered_model(NAME, "films"),
            "is models:/films/1 now: somebody renamed the model. Rename it back to recsys-tiny",
        ),
    ],
    ids=["alias", "version", "model", "renamed"],
)
def test_a_champion_that_somebody_removed_is_told_of_and_the_next_training_makes_one(
    settings, tracking, challenger, act, said
):
    act(tracking._client)
    with pytest.raises(NotFoundError) as none:
        serving(Workspace(settings), "tiny", "tiny-1")
    assert said in str(none.value)
    assert "or train anew by `recsys tune` or the DAG train_model" in str(none.value)
    champion = challenger("anew", tasks.evaluate, tasks.register, tasks.promote, config=STRICT)
    assert champion["promoted"]
    assert serving(Workspace(settings), "tiny", "tiny-1").mlflow_run_id == champion["run_id"]


def test_a_champion_that_somebody_chose_is_served_and_is_who_the_next_one_must_beat(settings, tracking, challenger):
    kept_back = challenger("second", tasks.evaluate, tasks.register, tasks.promote, config=STRICT)
    version = kept_back["training_run_id"]
    [chosen] = tracking.versions_of(NAME, version)
    tracking.set_alias(NAME, CHAMPION, chosen["version"])
    assert serving(Workspace(settings), "tiny", "tiny-1").model.uri == chosen["uri"]
    third = challenger("third", tasks.evaluate, tasks.register, tasks.promote, config=STRICT)
    assert (third["promoted"], third["model_uri"]) == (False, chosen["uri"])
    assert f"{CHAMPION}" in third["reason"]


def test_edited_tags_and_a_deleted_run_do_not_take_the_champion_out_of_service(settings, tracking, store, champion):
    tracking._client.delete_model_version_tag(NAME, "1", "model_prefix")
    tracking._client.set_model_version_tag(NAME, "1", "points", "{not json")
    tracking._client.delete_run(champion["run_id"])
    assert serving(Workspace(settings), "tiny", "tiny-1").model_prefix == champion["model_prefix"]
    assert runs.champion_points(tracking, "tiny") == {}


def test_a_trial_that_was_edited_or_renamed_in_mlflow_does_not_stop_a_resumed_search(tracking, champion):
    before = runs.finished_trials(tracking, champion["run_id"], "ranking")
    first, second = tracking.find_runs(
        training_runs.EXPERIMENT, {"mlflow.parentRunId": champion["run_id"], "model": "ranking"}
    )[::-1]
    tracking._client.set_tag(first["run_id"], "mlflow.runName", "my favourite")
    assert runs.finished_trials(tracking, champion["run_id"], "ranking") == before
    tracking._client.delete_tag(second["run_id"], "point")
    assert [trial.point for trial in runs.finished_trials(tracking, champion["run_id"], "ranking")] == [before[0].point]


def test_a_version_deleted_before_its_promotion_is_named_and_registered_anew(settings, tracking, challenger):
    second = challenger("second", tasks.evaluate, tasks.register)
    tracking._client.delete_model_version(NAME, second["version"])
    with pytest.raises(NotFoundError, match=r"was deleted in MLflow .* Clear the task register"):
        tasks.promote(second, LENIENT, settings)
    assert champion_of(tracking) == "1"
    again = tasks.register(second, LENIENT, settings)
    assert tasks.promote(again, LENIENT, settings)["promoted"]
    assert champion_of(tracking) == again["version"] != second["version"]


def test_a_run_deleted_during_its_training_is_named_and_goes_on_when_restored(settings, tracking, challenger):
    state = challenger("second")
    tracking._client.delete_run(state["run_id"])
    with pytest.raises(ConfigError, match=rf"run second \({state['run_id']}\) was deleted in MLflow.*runs restore"):
        tasks.evaluate(state, LENIENT, settings)
    tracking._client.restore_run(state["run_id"])
    registered = tasks.register(tasks.evaluate(state, LENIENT, settings), LENIENT, settings)
    assert tasks.promote(registered, LENIENT, settings)["promoted"]


def test_an_experiment_deleted_during_a_training_is_named_and_goes_on_when_restored(settings, tracking, challenger):
    state = challenger("second")
    experiment = tracking._client.get_experiment_by_name(training_runs.EXPERIMENT)
    tracking._client.delete_experiment(experiment.experiment_id)
    said = rf"The experiment recsys-training \(id {experiment.experiment_id}\) was deleted"
    with pytest.raises(ConfigError, match=said):
        tasks.evaluate(state, LENIENT, settings)
    with pytest.raises(ConfigError, match=said):  # a new training says so before it begins
        tasks.search({**state, "training_id": "third"}, CONFIG, settings)
    assert serving(Workspace(settings), "tiny", "tiny-1").model.uri == f"models:/{NAME}/1"
    tracking._client.restore_experiment(experiment.experiment_id)
    registered = tasks.register(tasks.evaluate(state, LENIENT, settings), LENIENT, settings)
    assert tasks.promote(registered, LENIENT, settings)["promoted"]


def test_the_input_example_is_on_the_scale_of_the_data(settings, tracking, champion):
    import mlflow

    model = mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    example = model.input_example
    assert example["ratings"].tolist() == [[4.5]]  # the best that anybody gave here
    assert example["seen"][0][0] in range(1, 61)
    assert set(model.predict(example)["source"]) == {"fold_in"}
