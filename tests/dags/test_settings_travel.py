"""Settings given to one DAG are the defaults of the DAGs after it; unknown and impossible ones are refused at once."""

import json

import pytest
import shared

from recsys.config import PosterConfig, Settings, TrainConfig
from recsys.errors import ConfigError
from recsys.spark.masters import on_cluster


def test_without_conf_a_dag_uses_the_defaults_of_its_config():
    plan = shared.plan("train_model", {}, {"snapshot_id": "sample-1"})
    assert plan["config"] == TrainConfig().model_dump(mode="json")
    assert (plan["conf"], plan["source"]) == ({}, {"snapshot_id": "sample-1"})


def test_what_the_entry_form_was_given_reaches_the_last_dag():
    ingest = shared.plan("ingest_ratings", {"dataset": "ml-latest-small", "k": 20, "max_posters": 7}, {})
    train = shared.plan("train_model", {}, {"snapshot_id": "s", "conf": ingest["conf"]})
    score = shared.plan("score_users", {}, {"model_version": 1, "conf": train["conf"]})
    posters = shared.plan("fetch_posters", {}, {"version_id": "v", "conf": score["conf"]})
    # One k for both: the length of the lists is the cutoff they are judged at.
    assert (train["config"]["k"], score["config"]["k"]) == (20, 20)
    assert posters["config"] == PosterConfig(max_posters=7).model_dump(mode="json")


def test_a_dags_own_conf_wins_over_what_travelled_and_travels_on():
    train = shared.plan("train_model", {"k": 5}, {"snapshot_id": "s", "conf": {"k": 20, "n_similar": 3}})
    assert train["config"]["k"] == 5
    assert train["conf"] == {"k": 5, "n_similar": 3}


def test_an_unknown_setting_is_refused_by_name_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"knows no setting n_fold\. Nothing was started\..*n_folds"):
        shared.plan("ingest_ratings", {"n_fold": 3}, {})


def test_a_setting_of_an_earlier_dag_is_unknown_to_a_later_one():
    with pytest.raises(ConfigError, match="knows no setting dataset"):
        shared.plan("train_model", {"dataset": "sample"}, {"snapshot_id": "s"})


def test_an_impossible_value_for_a_later_dag_is_refused_at_the_entry():
    with pytest.raises(ConfigError, match="max_posters"):
        shared.plan("ingest_ratings", {"max_posters": -1}, {})


def test_what_is_meant_for_one_run_does_not_travel_to_those_that_repeat_it():
    ingest = shared.plan("ingest_ratings", {"when_unchanged": "train", "k": 5}, {})
    assert ingest["config"]["when_unchanged"] == "train"
    assert ingest["conf"] == {"k": 5}


def test_the_connection_spark_default_names_the_cluster(monkeypatch):
    connection = {"conn_type": "spark", "host": "spark-master", "port": 7077, "extra": {"spark.executor.memory": "4g"}}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", json.dumps(connection))
    found = shared.settings()
    assert found.spark_master == "spark://spark-master:7077"
    assert found.spark_conf == {"spark.executor.memory": "4g"}
    monkeypatch.setenv("RECSYS_SPARK_MASTER", "local[1]")
    assert shared.settings().spark_master == "local[1]"


@pytest.mark.parametrize(
    ("host", "extra", "master"),
    [
        ("yarn", {"queue": "nightly"}, "yarn"),
        ("k8s://https://cluster", {"namespace": "ml", "deploy-mode": "client"}, "k8s://https://cluster"),
        ("local[2]", {}, "local[2]"),
    ],
)
def test_clusters_of_every_kind_are_named_as_spark_names_them(host, extra, master):
    found = on_cluster(Settings(), host, None, extra)
    assert found.spark_master == master
    wanted = {"queue": "spark.yarn.queue", "namespace": "spark.kubernetes.namespace"}
    assert found.spark_conf == {wanted[name]: value for name, value in extra.items() if name in wanted}


@pytest.mark.parametrize(
    ("host", "extra"), [("", {}), ("yarn", {"deploy-mode": "cluster"}), ("yarn", {"colour": "red"})]
)
def test_a_connection_that_makes_no_sense_is_refused(host, extra):
    with pytest.raises(ConfigError, match=r"Nothing was started\. A host is needed"):
        on_cluster(Settings(), host, None, extra)
