"""The four DAG files: they load, cost little to parse, are linked by assets, and say what to do when they fail."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import shared
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Asset, RetryAction
from airflow.sdk.exceptions import AirflowSkipException
from airflow.serialization.serialized_objects import DagSerialization

from recsys.config import CHAIN
from recsys.errors import ConfigError, DataError, RefusedError, TransientError
from recsys.training import tasks as training_tasks
from tests.training.refused import EVALUATED, VERSION

DAGS = Path(__file__).resolve().parents[2] / "dags"
SPARK_TASKS = {
    "ingest_ratings": {"validate", "explore"},
    "train_model": {"search", "fit"},
    "score_users": {"score_lists", "score_similar"},
    "fetch_posters": set(),
}


@pytest.fixture(scope="module")
def bag():
    return DagBag(str(DAGS))


@pytest.fixture(scope="module")
def tasks(bag):
    return {(dag.dag_id, task.task_id): task for dag in bag.dags.values() for task in dag.tasks}


def test_every_file_loads_and_holds_one_dag_of_its_own_name(bag):
    assert bag.import_errors == {}
    assert {Path(dag.fileloc).stem: dag_id for dag_id, dag in bag.dags.items()} == {name: name for name in CHAIN}


def test_parsing_a_dag_file_loads_none_of_the_heavy_libraries():
    # mlflow costs 2.6 s, great_expectations 5 s; the files are parsed every few seconds and at the start of each task.
    code = (
        "import sys, importlib\n"
        f"sys.path.insert(0, {str(DAGS)!r})\n"
        f"[importlib.import_module(name) for name in {list(CHAIN)!r}]\n"
        "heavy = {'pyspark', 'great_expectations', 'mlflow', 'pandas', 'plotly', 'pyarrow', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)), len([m for m in sys.modules if m.startswith('recsys')]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[] 6"  # recsys and its config, errors, messages, private_files, redaction


@pytest.mark.parametrize("name", list(CHAIN))
def test_a_dag_file_stays_a_table_of_contents(name):
    assert len((DAGS / f"{name}.py").read_text().splitlines()) <= 110


@pytest.mark.parametrize("dag_id", list(CHAIN))
def test_a_dag_says_what_it_does_when_it_runs_and_what_to_do_when_it_fails(bag, dag_id):
    dag = bag.dags[dag_id]
    assert "**Steps.**" in dag.doc_md
    assert "**When.**" in dag.doc_md
    assert "What can go wrong, and what to do then" in dag.doc_md
    assert "recsys" in dag.tags
    assert (dag.max_active_runs, dag.catchup, dag.dagrun_timeout) == (1, False, timedelta(hours=24))


def test_every_task_has_docs_a_time_limit_and_retries_with_back_off(tasks):
    assert len(tasks) == 10 + 7 + 4 + 4
    for name, task in tasks.items():
        assert task.doc_md, name
        assert task.execution_timeout, name
        assert task.retries == 2, name
        assert task.retry_exponential_backoff == 2.0, name


def test_only_what_is_transient_is_retried(tasks):
    policy = tasks["ingest_ratings", "download"].retry_policy

    def action(error):
        return policy.evaluate(error, try_number=1, max_tries=3).action

    assert action(TransientError("503")) is RetryAction.RETRY
    assert action(ConnectionResetError("peer")) is RetryAction.RETRY
    assert action(DataError("3 rows are null")) is RetryAction.FAIL
    assert action(KeyError("a mistake in the code")) is RetryAction.FAIL


def test_what_tracking_raises_is_known_to_the_retries(tasks):
    """The errors of MLflow itself match nothing here: `recsys.tracking` maps them."""
    policy = tasks["train_model", "promote"].retry_policy
    assert policy.evaluate(TransientError("locked"), try_number=1, max_tries=3).action is RetryAction.RETRY
    assert policy.evaluate(ConfigError("deleted"), try_number=1, max_tries=3).action is RetryAction.FAIL
    assert not [name for name in shared.TRANSIENT if name.startswith(("mlflow", "sqlalchemy"))]


def test_compare_goes_to_a_task_that_is_there(tasks):
    compare = tasks["ingest_ratings", "compare"]
    assert compare.downstream_task_ids == {"parse", "publish", "unchanged", "announce_champion"}
    assert [asset.name for asset in tasks["ingest_ratings", "announce_champion"].outlets] == ["champion"]


def test_a_refused_first_model_is_skipped_not_failed_so_that_it_does_not_look_like_a_crash(tasks, monkeypatch):
    def refused(*_):
        raise RefusedError("version 1 does not beat popularity")

    monkeypatch.setattr(training_tasks, "promote", refused)
    monkeypatch.setattr(shared, "config", lambda plan: None)
    with pytest.raises(AirflowSkipException, match="version 1 does not beat popularity"):
        tasks["train_model", "promote"].python_callable(EVALUATED.to_json(), VERSION.to_json(), {}, outlet_events={})


def test_what_starts_spark_waits_for_the_one_slot_of_its_pool(tasks):
    in_pool = {name: {task for (dag, task), t in tasks.items() if dag == name and t.pool == "spark"} for name in CHAIN}
    assert in_pool == SPARK_TASKS


def test_assets_link_the_four_dags_in_order(bag, tasks):
    produced = {
        name: {each.name for t in bag.dags[name].tasks for each in t.outlets if isinstance(each, Asset)}
        for name in CHAIN
    }
    assert produced == {
        "ingest_ratings": {"ratings", "champion"},
        "train_model": {"champion"},
        "score_users": {"recommendations"},
        "fetch_posters": {"posters"},
    }
    consumed = {name: bag.dags[name].timetable.asset_condition.objects[0].name for name in list(CHAIN)[1:]}
    assert consumed == {"train_model": "ratings", "score_users": "champion", "fetch_posters": "recommendations"}
    # The event fires at task success, so nothing may be emitted before validation.
    assert "validate" in tasks["ingest_ratings", "publish"].upstream_task_ids


def test_the_weekly_ingest_does_not_run_at_once_when_it_is_first_seen(bag):
    dag = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags["ingest_ratings"]))
    now = datetime.now(UTC)
    first = dag.next_dagrun_info(last_automated_run_info=None).run_after
    assert now < first <= now + timedelta(days=7, minutes=1)
    assert (first.weekday(), first.hour) == (0, 4)


@pytest.mark.parametrize("dag_id", list(CHAIN))
def test_a_dag_survives_serialization(bag, dag_id):
    serialized = DagSerialization.to_dict(bag.dags[dag_id])
    again = DagSerialization.from_dict(serialized)
    assert {task.task_id for task in again.tasks} == set(bag.dags[dag_id].task_ids)
    assert {name: again.params[name] for name in again.params} == {
        name: bag.dags[dag_id].params[name] for name in bag.dags[dag_id].params
    }


@pytest.mark.parametrize("dag_id", list(CHAIN))
def test_the_form_offers_the_fields_of_the_configs_with_their_limits(bag, dag_id):
    form = bag.dags[dag_id].params
    following = list(CHAIN)[list(CHAIN).index(dag_id) :]
    assert set(form) == {name for owner in following for name in CHAIN[owner].model_fields}
    for name, schema in CHAIN[dag_id].model_json_schema()["properties"].items():
        param = form.get_param(name)
        assert param.value == schema["default"]
        assert param.description == schema["description"]
        assert param.schema["section"] == dag_id
        for rule in ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "minLength"):
            assert param.schema.get(rule) == schema.get(rule), (name, rule)


def test_a_form_refuses_what_its_config_refuses(bag):
    form = bag.dags["ingest_ratings"].params
    with pytest.raises(Exception, match="is less than the minimum of 2"):
        form.get_param("n_folds").resolve(1)
    with pytest.raises(ConfigError, match="n_folds"):
        CHAIN["train_model"].parse({"n_folds": 1})
