"""MLflow away, locked or edited by hand: what passes is retried, and what a person did is named with the way back."""

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import mlflow.cli
import pytest
import shared
import sqlalchemy
from airflow.sdk import RetryAction
from click.testing import CliRunner

from recsys.config import Settings
from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError, TransientError
from recsys.tracking.tracking import Tracking

POLICY = shared.DEFAULT_ARGS["retry_policy"]


@pytest.fixture
def settings(tracked_settings):
    return tracked_settings


@pytest.fixture
def tracking(settings):
    return Tracking(settings)


def is_retried(error):
    return POLICY.evaluate(error, try_number=1, max_tries=3).action is RetryAction.RETRY


@pytest.fixture
def _impatient():
    """MLflow waits 20 s for a lock; so long it need not take to see what it says then."""

    def hurry(connection, cursor, statement, parameters, context, executemany):
        return statement.replace("busy_timeout = 20000", "busy_timeout = 20"), parameters

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", hurry, retval=True)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", hurry)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    "act",
    [
        lambda tracking, run_id: tracking.log(run_id, metrics={"x": 1.0}),
        lambda tracking, run_id: tracking.find_runs("e", {"a": "b"}),
        lambda tracking, run_id: tracking.by_alias("m", "champion"),
        lambda tracking, run_id: tracking.start_run("e", "another"),
    ],
    ids=["write", "read", "registry", "new-run"],
)
def test_a_locked_database_is_a_passing_fault_and_retried(settings, tracking, act):
    run_id = tracking.start_run("e", "r")
    with contextlib.closing(sqlite3.connect(settings.state_dir / "mlflow" / "mlflow.db")) as other:
        other.execute("begin exclusive")
        with pytest.raises(
            TransientError, match=r"does not answer, or is busy.*database is locked.*Try again"
        ) as locked:
            act(tracking, run_id)
        other.rollback()
    assert is_retried(locked.value)
    act(tracking, run_id)


def test_what_waiting_does_not_mend_is_not_retried(settings, tracking):
    assert tracking.by_alias("m", "champion") is None
    with contextlib.closing(sqlite3.connect(settings.state_dir / "mlflow" / "mlflow.db")) as other:
        other.execute("alter table registered_models rename to elsewhere")
        other.commit()
        with pytest.raises(ConfigError, match="no such table") as broken:
            tracking.by_alias("m", "champion")
    assert not is_retried(broken.value)


def test_a_deleted_experiment_is_named_with_the_way_back_and_goes_on_when_restored(tracking):
    run_id = tracking.start_run("recsys-training", "r", tags={"a": "b"})
    experiment_id = tracking._client.get_run(run_id).info.experiment_id
    tracking._client.delete_experiment(experiment_id)
    said = (
        rf"experiment recsys-training \(id {experiment_id}\) was deleted in MLflow at sqlite.*"
        rf"`mlflow experiments restore --experiment-id {experiment_id}`.*mlflow gc"
    )
    for act in (
        lambda: tracking.start_run("recsys-training", "next"),
        lambda: tracking.log(run_id, metrics={"x": 1.0}),
        lambda: tracking.end_run(run_id),
    ):
        with pytest.raises(ConfigError, match=said) as deleted:
            act()
        assert not is_retried(deleted.value)
    assert tracking.find_runs("recsys-training", {"a": "b"}) == []
    # The command that the message names does what it promises.
    command = ["experiments", "restore", "--experiment-id", experiment_id]
    restored = CliRunner().invoke(mlflow.cli.cli, command, env={"MLFLOW_TRACKING_URI": tracking.uri})
    assert restored.exit_code == 0, restored.output
    tracking.log(run_id, metrics={"x": 1.0})
    assert [run["run_id"] for run in tracking.find_runs("recsys-training", {"a": "b"})] == [run_id]


def test_a_deleted_run_is_named_with_the_way_back_and_goes_on_when_restored(tracking, tmp_path):
    run_id = tracking.start_run("e", "sample 2026-11-21")
    tracking._client.delete_run(run_id)
    (tmp_path / "recommender.npz").write_bytes(b"")
    said = rf"run sample 2026-11-21 \({run_id}\) was deleted in MLflow.*`mlflow runs restore --run-id {run_id}`"
    with pytest.raises(ConfigError, match=said):
        tracking.log(run_id, metrics={"x": 1.0})
    with pytest.raises(ConfigError, match=said):
        tracking.register(run_id, "m", tmp_path / "recommender.npz", {})
    assert tracking.by_alias("m", "champion") is None
    tracking._client.restore_run(run_id)
    tracking.log(run_id, metrics={"x": 1.0})
    assert tracking.get_run(run_id)["metrics"] == {"x": 1.0}


def test_a_renamed_experiment_keeps_its_runs_and_new_ones_get_one_of_the_old_name(tracking):
    run_id = tracking.start_run("e", "r", tags={"a": "b"})
    tracking._client.rename_experiment(tracking._client.get_run(run_id).info.experiment_id, "archive")
    assert tracking.find_runs("e", {"a": "b"}) == []
    tracking.log(run_id, metrics={"x": 1.0})
    new = tracking.start_run("e", "r", tags={"a": "b"})
    assert [run["run_id"] for run in tracking.find_runs("e", {"a": "b"})] == [new]
    assert [run["run_id"] for run in tracking.find_runs("archive", {"a": "b"})] == [run_id]


def test_a_block_that_fails_is_told_of_and_not_that_its_run_was_deleted(tracking):
    def failing():
        with tracking.run("e", "r") as run_id:
            tracking._client.delete_run(run_id)
            raise ValueError("the fault itself")

    with pytest.raises(ValueError, match="the fault itself"):
        failing()


def test_what_is_missing_or_taken_is_told_apart_from_a_fault(tracking):
    with pytest.raises(NotFoundError, match=r"nowhere.*If somebody deleted or renamed it"):
        tracking.tag_version("nowhere", "1", {"a": "b"})
    tracking._client.create_registered_model("m")
    with pytest.raises(AlreadyExistsError, match="m"):
        tracking._client.create_registered_model("m")
    with pytest.raises(ConfigError, match=r"refused the request \(INVALID_PARAMETER_VALUE\)"):
        tracking.find_runs("Default", {"a": "it's"})


@pytest.mark.parametrize(("status", "is_passing"), [(503, True), (500, True), (429, True), (401, False), (404, False)])
def test_a_servers_answers_are_retried_by_what_they_mean(tmp_path, monkeypatch, status, is_passing):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with answering(status) as address:
        tracking = Tracking(Settings(state_dir=tmp_path, mlflow_tracking_uri=address))
        with pytest.raises((TransientError, ConfigError, NotFoundError)) as refused:
            tracking.start_run("e", "r")
    assert is_retried(refused.value) == is_passing
    assert address in str(refused.value)


@contextlib.contextmanager
def answering(status):
    """A server that has one answer to everything."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_artifacts_in_s3_that_cannot_be_reached_are_a_passing_fault(settings, tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens there
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        tracking = Tracking(settings.model_copy(update={"mlflow_artifact_root": "s3://bucket/artifacts"}))
        run_id = tracking.start_run("e", "r")
        (tmp_path / "page.html").write_text("page")
        with pytest.raises(TransientError, match="does not answer, or is busy") as away:
            tracking.log_file(run_id, tmp_path / "page.html")
    assert is_retried(away.value)


def test_a_server_that_is_stopped_is_waited_for_and_leaves_no_copies_of_models(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    remote = settings.model_copy(update={"mlflow_tracking_uri": f"http://127.0.0.1:{port}"})
    model = tmp_path / "recommender.npz"
    model.write_bytes(b"factors")
    tracking = Tracking(remote)
    with serving(settings, port):
        run_id = tracking.start_run("e", "r")
        version = {"name": "m", "source": f"runs:/{run_id}/model", "run_id": run_id}
        tracking.log_file(run_id, model, "model")
        tracking._client.create_registered_model("m")
        tracking._client.create_model_version(**version)
        monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.setattr("tempfile.tempdir", None)
        assert tracking.recommender_bytes("models:/m/1") == b"factors"
        assert [*remote.tmp_dir.iterdir(), *(tmp_path / "elsewhere").iterdir()] == []
    with pytest.raises(TransientError, match=rf"MLflow at http://127.0.0.1:{port} does not answer") as away:
        tracking.log(run_id, metrics={"x": 1.0})
    assert is_retried(away.value)
    with serving(settings, port):
        tracking.log(run_id, metrics={"x": 1.0})
        assert tracking.get_run(run_id)["metrics"] == {"x": 1.0}


@contextlib.contextmanager
def serving(settings, port):
    """MLflow's own server over the test's database, for the length of a block."""
    folder = settings.state_dir / "mlflow"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "files")),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "default"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not is_open(port):
            assert server.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
