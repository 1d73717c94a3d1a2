"""Registering and promoting: verdicts that are about an earlier champion, kills at every call, and edits in MLflow."""

import json
from contextlib import nullcontext

import pytest

from recsys.errors import ConfigError, NotFoundError
from recsys.messages import TrainedModel
from recsys.registry import training_runs
from recsys.registry.champions import Champions, serving
from recsys.registry.model_records import read_record
from recsys.storage import layout
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json
from recsys.tracking.tracking import CHALLENGER, CHAMPION, Tracking
from recsys.training import stored, tasks
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
def workspace(settings):
    return Workspace(settings, lambda *_, **__: nullcontext(None))


class Challenger:
    """A training that came to the same model as the first, and goes on from there by one task after the other."""

    def __init__(self, workspace, trained):
        self.workspace, self.trained = workspace, trained
        self.split, self.run_id, self.prefix = trained.search.split, trained.search.mlflow_run_id, trained.model_prefix

    def evaluate(self, config=LENIENT):
        self.evaluated = tasks.evaluate(self.workspace, self.trained, config)
        return self

    def register(self, config=LENIENT):
        self.version = tasks.register(self.workspace, self.evaluated, config)
        return self

    def promote(self, config=LENIENT):
        return tasks.promote(self.workspace, self.evaluated, self.version, config)


@pytest.fixture
def challenger(workspace, store, tracking, trained):
    """Makes a `Challenger` of its own run."""

    def make(name):
        fitted = trained["fit"]
        run_id = tracking.start_run(training_runs.EXPERIMENT, name, tags={"training_id": name, "kind": "training"})
        tracking.log(run_id, params={"snapshot_id": "tiny-1"})
        prefix = layout.model(run_id)
        for key in (layout.recommender, layout.model_record, layout.search):
            store.put(key(prefix), store.get(key(fitted.model_prefix)))
        split = fitted.search.split.model_copy(update={"training_id": name})
        search = fitted.search.model_copy(update={"split": split, "mlflow_run_id": run_id})
        return Challenger(workspace, TrainedModel(search=search, model_prefix=prefix))

    return make


@pytest.fixture
def registered(challenger):
    """Makes a `Challenger` that is evaluated and registered."""

    def make(name, config=LENIENT):
        return challenger(name).evaluate(config).register(config)

    return make


def champion_of(tracking):
    """The number of the champion's version."""
    found = tracking.by_alias(NAME, CHAMPION)
    return found and int(found["version"])


def test_a_verdict_about_an_earlier_champion_is_repeated_beside_the_present_one(store, tracking, registered):
    second, third = registered("second"), registered("third")
    assert third.promote().is_promoted
    assert champion_of(tracking) == third.version.number
    # Both were to be promoted beside version 1; beside the third, which is like it, the second is not.
    assert second.evaluated.is_accepted
    assert second.evaluated.opponent == f"models:/{NAME}/1"
    late = second.promote(STRICT)
    assert (late.is_promoted, late.mlflow_run_id) == (False, third.run_id)
    assert "does not beat champion" in late.reason
    assert champion_of(tracking) == third.version.number
    first_verdict = read_json(store, layout.evaluation(second.prefix))
    repeated = read_json(store, layout.comparison(second.prefix, third.run_id))
    assert (first_verdict["promote"], first_verdict["champion"]) == (True, f"models:/{NAME}/1")
    assert (repeated["promote"], repeated["champion"]) == (False, third.version.uri)
    assert [check["name"] for check in repeated["checks"]] == [
        "beats popularity", "stars no worse than biases", "beats champion", "stars no worse than champion",
    ]  # fmt: skip
    assert tracking.version(NAME, str(second.version.number))["tags"]["gate"] == late.reason


def test_a_cleared_promotion_of_an_old_run_does_not_move_the_champion_back(workspace, tracking, registered, trained):
    second = registered("second")
    second.promote()
    again = tasks.promote(workspace, trained["evaluate"], trained["register"], STRICT)
    assert (again.is_promoted, again.mlflow_run_id) == (False, second.run_id)
    assert champion_of(tracking) == second.version.number
    # Cleared again, it is the present champion's and changes nothing.
    assert second.promote(STRICT).is_promoted
    assert champion_of(tracking) == second.version.number


def test_an_old_run_whose_held_out_ratings_were_removed_is_kept_back(store, tracking, registered):
    second, third = registered("second"), registered("third")
    third.promote()
    store.delete(second.split.holdout_key)
    late = second.promote()
    assert (late.is_promoted, champion_of(tracking)) == (False, third.version.number)
    assert f"cannot be compared with {third.version.uri}" in late.reason


def test_a_refused_challenger_is_compared_anew_when_a_person_took_the_champion_away(store, tracking, registered):
    second = registered("second", STRICT)
    assert not second.evaluated.is_accepted
    tracking._client.delete_registered_model_alias(NAME, CHAMPION)
    assert second.promote(STRICT).is_promoted
    assert champion_of(tracking) == second.version.number
    document = read_json(store, layout.comparison(second.prefix, None))
    assert [check["name"] for check in document["checks"]] == ["beats popularity", "stars no worse than biases"]


def test_an_evaluation_of_the_version_before_names_its_champion_by_address(store, tracking, registered):
    second = registered("second")
    key = layout.evaluation(second.prefix)
    document = read_json(store, key)
    del document["champion_run_id"]
    store.put(key, json.dumps(document).encode(), overwrite=True)
    store.delete(second.split.holdout_key)  # nothing is compared again
    assert second.promote(STRICT).is_promoted
    assert champion_of(tracking) == second.version.number


def test_the_alias_challenger_does_not_go_back_to_an_older_version(tracking, registered):
    second, third = (registered(name, STRICT) for name in ("second", "third"))
    for refused in (second, third, second):
        refused.promote(STRICT)
    assert tracking.by_alias(NAME, CHALLENGER)["version"] == str(third.version.number)


def watched(settings, interruption):
    """A workspace whose calls of the store and of MLflow are watched by an interruption."""
    workspace = Workspace(settings)
    workspace.tracking._client = interruption.watch(workspace.tracking._client)
    vars(workspace)["store"] = interruption.watch(open_store(settings.resolved_store_url))
    return workspace


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_promotion_killed_at_any_call_took_place_or_not_and_goes_on(settings, store, tracking, registered, when):
    second = registered("second")
    old = tracking.by_alias(NAME, CHAMPION)
    n_calls = 0
    for interruption in interruptions(when):
        with interruption:
            tasks.promote(watched(settings, interruption), second.evaluated, second.version, LENIENT)
        n_calls += interruption.has_happened
        assert champion_of(tracking) in {1, second.version.number}
        is_told = "promoted" in tracking.get_run(second.run_id)["tags"]
        assert not is_told or champion_of(tracking) == second.version.number
        promoted = second.promote()
        assert promoted.is_promoted
        assert champion_of(tracking) == second.version.number
        assert promoted.mlflow_run_id == second.run_id
        run = tracking.get_run(second.run_id)
        assert (run["status"], run["tags"]["promoted"]) == ("FINISHED", "True")
        entry = Champions(store, tracking, NAME).last()
        assert (entry.version, entry.opponent) == (str(second.version.number), old["run_id"])
        start_over(store, tracking, second.run_id)
    assert n_calls > 15


def start_over(store, tracking, run_id):
    for key in list(store.list(layout.promotions(NAME))):
        store.delete(key)
    tracking.set_alias(NAME, CHAMPION, "1")
    tracking._client.delete_tag(run_id, "promoted")


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_registration_killed_at_any_call_is_one_version_in_the_end(settings, tracking, challenger, when):
    for interruption in interruptions(when):
        one = challenger(f"{when}-{interruption.at}").evaluate()
        with interruption:
            tasks.register(watched(settings, interruption), one.evaluated, LENIENT)
        assert champion_of(tracking) == 1
        one.register()
        assert tracking.versions_of(NAME, one.run_id) == [{"version": str(one.version.number), "uri": one.version.uri}]
        assert tracking.version(NAME, str(one.version.number))["tags"]["model_prefix"] == one.prefix


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
    workspace, tracking, registered, act, said
):
    act(tracking._client)
    with pytest.raises(NotFoundError) as none:
        serving(workspace, "tiny", "tiny-1")
    assert said in str(none.value)
    assert "or train anew by `recsys tune` or the DAG train_model" in str(none.value)
    champion = registered("anew", STRICT).promote(STRICT)
    assert champion.is_promoted
    assert serving(workspace, "tiny", "tiny-1").mlflow_run_id == champion.mlflow_run_id


def test_a_champion_that_somebody_chose_is_served_and_is_who_the_next_one_must_beat(workspace, tracking, registered):
    kept_back = registered("second", STRICT).promote(STRICT)
    [chosen] = tracking.versions_of(NAME, kept_back.training_run_id)
    tracking.set_alias(NAME, CHAMPION, chosen["version"])
    assert serving(workspace, "tiny", "tiny-1").model.uri == chosen["uri"]
    third = registered("third", STRICT).promote(STRICT)
    assert (third.is_promoted, third.model.uri) == (False, chosen["uri"])
    assert f"{CHAMPION}" in third.reason


def test_edited_tags_and_a_deleted_run_do_not_take_the_champion_out_of_service(workspace, tracking, store, champion):
    tracking._client.delete_model_version_tag(NAME, "1", "model_prefix")
    tracking._client.set_model_version_tag(NAME, "1", "points", "{not json")
    tracking._client.delete_run(champion.mlflow_run_id)
    assert serving(workspace, "tiny", "tiny-1").model_prefix == champion.model_prefix


def test_what_later_trainings_read_of_a_model_does_not_depend_on_what_people_edit_in_mlflow(store, tracking, champion):
    tags = tracking.version(NAME, "1")["tags"]
    before = read_record(store, champion.mlflow_run_id, tags)
    assert before.points["ranking"]["preference"] == "stars"
    assert before.train_key == tags["train"]
    edited = {name: "edited" for name in tags if name != "model_prefix"}
    assert read_record(store, champion.mlflow_run_id, edited) == before


def test_a_model_of_the_version_before_has_its_params_and_ratings_in_tags(workspace, store, tracking, champion, caplog):
    before = read_record(store, champion.mlflow_run_id, tracking.version(NAME, "1")["tags"])
    store.delete(layout.model_record(champion.model_prefix))
    tags = tracking.version(NAME, "1")["tags"]
    from_tags = read_record(store, champion.mlflow_run_id, tags)
    assert from_tags == before.model_copy(update={"composition": None})
    assert len(stored.trained_on(store, from_tags)) == tasks.split(workspace, "tiny-1", CONFIG, "again").n_train
    assert read_record(store, champion.mlflow_run_id, tags | {"points": "{not json"}).points == {}
    assert "was edited in MLflow; it is not used" in caplog.text


def test_a_search_that_goes_on_reads_its_trials_from_the_store_whatever_became_of_their_runs(
    settings, tracking, trained, caplog
):
    """The next attempt fits nothing that was fitted, though somebody edited and deleted the runs of its trials."""
    searched = trained["search"]
    store = open_store(settings.resolved_store_url)
    nested = tracking.find_runs(training_runs.EXPERIMENT, {"mlflow.parentRunId": searched.mlflow_run_id})
    first, second, *_ = (run for run in nested if "model" in run["tags"])
    tracking._client.set_tag(first["run_id"], "model", "edited")
    tracking._client.delete_run(second["run_id"])
    before = read_json(store, layout.search(trained["fit"].model_prefix))
    store.delete(layout.search(trained["fit"].model_prefix))
    caplog.set_level("INFO", "recsys.search.cross_validation")
    assert tasks.search(Workspace(settings), searched.split, CONFIG) == searched
    assert "ranking: 2 trials of an interrupted attempt are used" in caplog.text
    assert "rating: 1 trials of an interrupted attempt are used" in caplog.text
    after = read_json(store, layout.search(trained["fit"].model_prefix))
    for model in ("ranking", "rating"):
        assert after[model]["outcome"] == before[model]["outcome"]  # the seconds too


def test_a_version_deleted_before_its_promotion_is_named_and_registered_anew(tracking, registered):
    second = registered("second")
    deleted = second.version.number
    tracking._client.delete_model_version(NAME, str(deleted))
    with pytest.raises(NotFoundError, match=r"was deleted in MLflow .* Clear the task register"):
        second.promote()
    assert champion_of(tracking) == 1
    assert second.register().promote().is_promoted
    assert champion_of(tracking) == second.version.number != deleted


def test_a_run_deleted_during_its_training_is_named_and_goes_on_when_restored(tracking, challenger):
    second = challenger("second")
    tracking._client.delete_run(second.run_id)
    with pytest.raises(ConfigError, match=rf"run second \({second.run_id}\) was deleted in MLflow.*runs restore"):
        second.evaluate()
    tracking._client.restore_run(second.run_id)
    assert second.evaluate().register().promote().is_promoted


def test_an_experiment_deleted_during_a_training_is_named_and_goes_on_when_restored(workspace, tracking, challenger):
    second = challenger("second")
    experiment = tracking._client.get_experiment_by_name(training_runs.EXPERIMENT)
    tracking._client.delete_experiment(experiment.experiment_id)
    said = rf"The experiment recsys-training \(id {experiment.experiment_id}\) was deleted"
    with pytest.raises(ConfigError, match=said):
        second.evaluate()
    with pytest.raises(ConfigError, match=said):  # a new training says so before it begins
        tasks.search(workspace, second.split.model_copy(update={"training_id": "third"}), CONFIG)
    assert serving(workspace, "tiny", "tiny-1").model.uri == f"models:/{NAME}/1"
    tracking._client.restore_experiment(experiment.experiment_id)
    assert second.evaluate().register().promote().is_promoted


def test_the_input_example_is_on_the_scale_of_the_data(settings, tracking, champion):
    import mlflow

    model = mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    example = model.input_example
    assert example["ratings"].tolist() == [[4.5]]  # the best that anybody gave here
    assert example["seen"][0][0] in range(1, 61)
    assert set(model.predict(example)["source"]) == {"fold_in"}
