"""What the stack's processes are told, and the ports and secrets they are given."""

import json
import socket
import stat
import sys

import pytest
from pydantic import SecretStr

from recsys.config import PROJECT_ROOT, Settings
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
