"""What the stack's processes are told, and the ports and secrets they are given."""

import json
import os
import socket
import stat
import sys
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from recsys.config import PROJECT_ROOT, Settings
from recsys.errors import ConfigError
from recsys.stack import ports as ports_module
from recsys.stack.environment import MARKER, stack_environment
from recsys.stack.places import Places
from recsys.stack.ports import Ports, free_port

PORTS = Ports(airflow=18080, mlflow=15000, posters=18090)


@pytest.fixture
def places(settings):
    places = Places.of(settings)
    places.make()
    return places


@pytest.fixture
def env(settings, places):
    return stack_environment(settings, places, PORTS, has_mlflow=True)


def test_the_three_addresses_of_the_api_server_are_set_together(env):
    # With the port alone every task fails after 15 s: the execution API would still be sought at 8080.
    assert env["AIRFLOW__API__PORT"] == "18080"
    assert env["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:18080"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"


def test_nothing_listens_beyond_this_machine(env):
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_state_and_scratch_files_stay_in_the_state_folder(env, settings):
    for name in ("AIRFLOW_HOME", "TMPDIR", "RECSYS_STATE_DIR", "AIRFLOW__LOGGING__BASE_LOG_FOLDER"):
        assert env[name].startswith(str(settings.state_dir.resolve())), name
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{settings.state_dir.resolve()}/airflow/airflow.db"


def test_another_airflows_settings_do_not_leak_in(monkeypatch, settings, places):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "somebody.Elses")
    monkeypatch.setenv("AIRFLOW_CONFIG", "/etc/airflow.cfg")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "sqlite://")
    env = stack_environment(settings, places, PORTS, has_mlflow=False)
    assert env["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW__CORE__AUTH_MANAGER" not in env
    assert "AIRFLOW_CONFIG" not in env
    assert env["AIRFLOW_CONN_WAREHOUSE"] == "sqlite://"  # connections are the user's own


def test_tasks_run_this_python_and_find_this_package(env):
    assert env["PYSPARK_PYTHON"] == sys.executable
    assert env["PYTHONPATH"].split(":")[:2] == [str(PROJECT_ROOT), str(PROJECT_ROOT / "dags")]


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch, settings, places):
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    env = stack_environment(settings, places, PORTS, has_mlflow=False)
    assert env["NO_PROXY"] == env["no_proxy"] == "127.0.0.1,localhost,intranet.example"


def test_the_mlflow_server_does_without_its_job_runner(env):
    assert env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"  # 560 MB instead of 2.2 GB


def test_telemetry_is_off(env):
    assert env["GX_ANALYTICS_ENABLED"] == "false"
    assert env["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert env["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"


def test_airflow_links_to_the_mlflow_server_of_the_stack_or_to_the_configured_one(settings, places):
    own = stack_environment(settings, places, PORTS, has_mlflow=True)
    assert own["RECSYS_MLFLOW_UI_URL"] == "http://127.0.0.1:15000"
    remote = Settings(state_dir=settings.state_dir, mlflow_tracking_uri="https://mlflow.example")
    assert (
        stack_environment(remote, places, PORTS, has_mlflow=False)["RECSYS_MLFLOW_UI_URL"] == "https://mlflow.example"
    )
    assert "RECSYS_MLFLOW_UI_URL" not in stack_environment(settings, places, PORTS, has_mlflow=False)


def test_a_stack_is_marked_by_its_state_folder(env, places, tmp_path):
    assert env[MARKER] == places.stack_id != Places(tmp_path / "elsewhere").stack_id


def test_passwords_and_keys_are_drawn_once_into_files_only_their_owner_reads(places):
    password, keys = places.password(), places.keys()
    assert (places.password(), places.keys()) == (password, keys)
    assert json.loads(places.passwords.read_text()) == {"admin": password}
    assert len(password) >= 20
    assert len(keys["jwt"]) >= 64  # what HMAC-SHA512 asks for
    for path in (places.passwords, places.airflow / "keys.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(places.airflow.stat().st_mode) == 0o700


def test_a_key_file_that_was_cut_short_is_drawn_again(places):
    places.passwords.write_text('{"adm')
    assert len(places.password()) >= 20


def test_a_free_preferred_port_is_taken():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    assert free_port(free) == free


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_preferred_port_somebody_listens_on_is_avoided(address):
    with socket.socket() as other:
        other.bind((address, 0))
        other.listen()
        taken = other.getsockname()[1]
        assert ports_module.is_taken(taken)
        assert free_port(taken) != taken


def test_ports_that_another_program_took_meanwhile_are_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert Ports(1, taken, 3).taken() == [taken]


def test_settings_reach_the_tasks_as_they_were_given(settings, places):
    given = settings.model_copy(update={"store_url": "s3://movies", "tmdb_token": SecretStr("t0ken")})
    env = stack_environment(given, places, PORTS, has_mlflow=False)
    names = ("RECSYS_STORE_URL", "RECSYS_SPARK_MASTER", "RECSYS_TMDB_TOKEN", "RECSYS_STATE_DIR")
    assert [env[name] for name in names] == ["s3://movies", "local[2]", "t0ken", str(places.state_dir)]
    assert "RECSYS_POSTER_SITE_URL" not in env


# What an environment variable can hold; the texts of this package's own settings are among them.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
WORD = st.text(st.characters(categories=["L", "N"], include_characters=" '\"%#?&$!()[]{}\\"), min_size=1)
PATH = WORD.map(lambda name: Path("/nowhere", name, "state"))
SETTINGS = {
    "state_dir": PATH,
    "store_url": PATH.map(str) | st.just("s3://bucket/prefix"),
    "mlflow_tracking_uri": TEXT,
    "mlflow_artifact_root": TEXT,
    "mirrors": st.dictionaries(TEXT, st.lists(WORD.map(lambda name: f"https://mirror.example/{name}")).map(tuple)),
    "spark_master": TEXT.filter(bool),
    "spark_driver_memory": TEXT,
    "spark_conf": st.dictionaries(TEXT, TEXT),
    "spark_checkpoint_dir": TEXT,
    "poster_site_url": TEXT,
    "tmdb_token": st.none() | TEXT.filter(bool).map(SecretStr),
}


def test_every_setting_has_a_strategy():
    assert set(SETTINGS) == set(Settings.model_fields)


@given(values=st.fixed_dictionaries({}, optional=SETTINGS))
def test_all_settings_of_all_types_survive_the_way_to_the_tasks(tmp_path_factory, values):
    keys = Places(tmp_path_factory.getbasetemp())
    keys.make()
    # The caller's variables are those that `values` replace: none of them may show through.
    caller = {f"recsys_{name}": "{}" for name in ("spark_conf", "mirrors", "tmdb_token")}
    with mock.patch.dict(os.environ, {}, clear=True):
        try:
            settings = Settings(**values)
        except ValueError:  # a state folder with the name of a variable in it
            return
    with mock.patch.dict(os.environ, caller, clear=True):
        env = stack_environment(settings, keys, PORTS, has_mlflow=False)
    with mock.patch.dict(os.environ, env, clear=True):
        found = Settings.load()
    assert found == settings.model_copy(update={"state_dir": keys.state_dir})


@pytest.mark.parametrize("name", ["a,b", "a:b", "a\nb", "$HOME", "${HOME}"])
def test_a_state_folder_that_spark_or_airflow_would_read_otherwise_is_refused_at_once(monkeypatch, tmp_path, name):
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path / name))
    with pytest.raises(
        ConfigError, match=r"(?s)state_dir: .* cannot hold the state; name another folder.*Nothing was started"
    ):
        Settings.load()


def test_an_empty_variable_is_as_good_as_none_and_no_stack_stands_in_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSYS_STATE_DIR", "")
    monkeypatch.setenv("RECSYS_SPARK_CONF", "")
    settings = Settings.load()
    assert settings.state_dir == PROJECT_ROOT / ".state"
    assert settings.spark_conf == {}


def test_relative_paths_mean_the_same_to_the_tasks_which_work_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSYS_STATE_DIR", "my state")
    monkeypatch.setenv("RECSYS_STORE_URL", "./my store")
    settings = Settings.load()
    assert settings.state_dir == tmp_path / "my state"
    assert settings.store_url == str(tmp_path / "my store")
    assert settings.resolved_artifact_root == (tmp_path / "my state" / "mlflow" / "artifacts").as_uri()


@pytest.mark.parametrize("is_new", [True, False])
def test_the_state_is_its_owners_alone(tmp_path, is_new):
    places = Places(tmp_path / "state")
    if not is_new:  # made by an older version; the folder itself may be shared on purpose
        for folder in (places.state_dir, places.airflow, places.logs):
            folder.mkdir(mode=0o755)
    places.make()
    folders = [places.airflow, places.logs, places.record.parent, places.state_dir / "tmp", places.state_dir / "mlflow"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert stat.S_IMODE(places.state_dir.stat().st_mode) == (0o700 if is_new else 0o755)


def test_an_existing_default_state_folder_is_closed_to_others(monkeypatch, tmp_path):
    monkeypatch.setattr("recsys.stack.places.PROJECT_ROOT", tmp_path)
    (tmp_path / ".state").mkdir(mode=0o755)
    Places(tmp_path / ".state").make()
    assert stat.S_IMODE((tmp_path / ".state").stat().st_mode) == 0o700
