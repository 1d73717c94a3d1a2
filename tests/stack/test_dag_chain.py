"""What a run tells: its outcome, its errors and its progress, from Airflow's own logs and states."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from recsys.config import CHAIN
from recsys.errors import ConfigError, StackError
from recsys.stack import __main__ as stack_main
from recsys.stack import dag_chain as stack_pipeline
from recsys.stack.__main__ import parse_overrides
from recsys.stack.dag_chain import (
    DagRun,
    PipelineRun,
    TaskState,
    check_published,
    error_lines,
    last_words,
    run_pipeline,
)
from recsys.stack.progress import PlainProgress
from tests.training.refused import EVALUATED, VERSION


def task(dag_id="train_model", task_id="search", state="success", log=Path("none.log"), map_index=-1, duration_s=1.0):
    return TaskState(dag_id, task_id, map_index, state, duration_s, 1, log)


def pipeline(*states):
    runs = tuple(
        DagRun(dag, "r", state, 1.0, (task(dag, "t", state),)) for dag, state in zip(CHAIN, states, strict=False)
    )
    return PipelineRun({}, runs, 4.0, "http://127.0.0.1:1", None)


def write_log(path, *entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_a_run_has_succeeded_when_every_task_of_all_four_dags_has():
    assert pipeline("success", "success", "success", "success").has_succeeded
    assert not pipeline("success", "success", "success").has_succeeded  # the last DAG never ran
    assert not pipeline("success", "failed", "success", "success").has_succeeded


def test_a_run_that_found_nothing_new_has_succeeded_without_the_other_dags():
    tasks = (task("ingest_ratings", "unchanged"), task("ingest_ratings", "publish", state="skipped"))
    run = PipelineRun({}, (DagRun("ingest_ratings", "r", "success", 1.0, tasks),), 4.0, "u", None)
    assert run.is_unchanged
    assert run.has_succeeded
    assert not pipeline("success").is_unchanged


def test_lists_made_for_a_champion_that_had_none_are_a_whole_run_without_a_training():
    due = (task("ingest_ratings", "announce_champion"), task("ingest_ratings", "unchanged", state="skipped"))
    runs = [DagRun("ingest_ratings", "r", "success", 1.0, due), DagRun("score_users", "s", "success", 1.0, ())]
    assert not stack_pipeline._is_over(runs)
    runs.append(DagRun("fetch_posters", "p", "success", 1.0, ()))
    assert stack_pipeline._is_over(runs)
    assert PipelineRun({}, tuple(runs), 4.0, "u", None).has_succeeded


def test_a_refused_first_model_ends_the_run_and_is_told_in_words(monkeypatch, capsys, settings):
    """`make run` waits for nothing more, and says what happened without a trace."""
    ingested = DagRun("ingest_ratings", "r", "success", 1.0, (task("ingest_ratings", "publish"),))
    refused = (task("train_model", "register"), task("train_model", "promote", state="skipped"))
    runs = (ingested, DagRun("train_model", "t", "success", 1.0, refused))
    assert stack_pipeline._is_over(list(runs))
    results = {"train_model.evaluate": EVALUATED.to_json(), "train_model.register": VERSION.to_json()}
    result = PipelineRun({}, runs, 4.0, "u", None, results)
    assert result.is_refused
    assert not result.has_succeeded
    monkeypatch.setattr(stack_main, "run_pipeline", lambda *_, **__: result)
    with pytest.raises(SystemExit) as end:
        stack_main.run([])
    said = capsys.readouterr().out
    assert end.value.code == 1
    assert said.startswith("No lists were made. recsys-tiny version 1 does not beat popularity. So the gate refused it")
    assert "failed" not in said


def test_the_failures_are_the_tasks_that_failed_not_those_that_waited_for_them():
    failed, waiting = task(task_id="fit", state="failed"), task(task_id="evaluate", state="upstream_failed")
    run = DagRun("train_model", "r", "failed", 1.0, (task(), failed, waiting))
    assert PipelineRun({}, (run,), 1.0, "u", None).failures == [failed]


def test_a_failed_tasks_exception_is_read_from_its_log(tmp_path):
    log = write_log(
        tmp_path / "attempt=1.log",
        {"level": "info", "event": "fold 1 of 5"},
        {"level": "error", "event": "at java.base/sun.nio", "logger": "task.stderr"},
        {
            "level": "error",
            "event": "Task failed with exception",
            "error_detail": [{"exc_type": "DataError", "exc_value": "ratings: 3 rows are null"}],
        },
    )
    assert error_lines(log) == ["DataError: ratings: 3 rows are null"]
    assert error_lines(tmp_path / "missing.log") == []


def test_why_no_jvm_came_up_is_told_with_the_error_that_python_has_of_it(tmp_path):
    said = [
        "WARNING: Using incubator modules: jdk.incubator.vector",
        "Error: Could not find or load main class clone.state.tmp.spark",
        "Caused by: java.lang.ClassNotFoundException: clone.state.tmp.spark",
    ]
    failure = {"exc_type": "PySparkRuntimeError", "exc_value": "[JAVA_GATEWAY_EXITED] Java gateway process exited"}
    log = write_log(
        tmp_path / "attempt=1.log",
        *({"level": "error", "event": line, "logger": "task.stderr"} for line in said),
        {"level": "error", "event": "Task failed with exception", "error_detail": [failure]},
    )
    assert error_lines(log) == [*said[1:], f"PySparkRuntimeError: {failure['exc_value']}"]


def test_why_a_jvm_died_is_told_with_the_error_that_python_has_of_it(tmp_path):
    said = ["java.lang.StackOverflowError", "\tat java.base/java.io.ObjectInputStream", "java.lang.StackOverflowError"]
    failure = {"exc_type": "ConnectionRefusedError", "exc_value": "[Errno 111] Connection refused"}
    log = write_log(
        tmp_path / "attempt=1.log",
        *({"level": "error", "event": line, "logger": "task.stderr"} for line in said),
        {"level": "error", "event": "Task failed with exception", "error_detail": [failure]},
    )
    assert error_lines(log) == [
        "java.lang.StackOverflowError",
        "ConnectionRefusedError: [Errno 111] Connection refused",
    ]


def test_without_an_exception_the_last_errors_are_shown_not_a_jvms_stack_trace(tmp_path):
    log = write_log(
        tmp_path / "attempt=1.log",
        {"level": "error", "event": "at java.base/sun.nio", "logger": "task.stderr"},
        {"level": "error", "event": "Task was killed", "logger": "task"},
    )
    assert error_lines(log) == ["Task was killed"]


def test_progress_shows_what_the_package_said_last_not_what_its_libraries_said(tmp_path):
    log = write_log(
        tmp_path / "attempt=1.log",
        {"event": "trial 6/18", "logger": "recsys.training.tasks"},
        {"event": "trial 7/18\nrank 16", "logger": "recsys.training.tasks"},
        {"event": "Closing down clientserver connection", "logger": "py4j.clientserver"},
    )
    with log.open("a") as file:
        file.write('{"event": "cut sho')  # the line that is being written just now
    assert last_words(log) == "trial 7/18"


def test_plain_progress_prints_a_line_per_change_and_none_without():
    out = io.StringIO()
    show = PlainProgress(Console(file=out, width=200))
    run = DagRun("train_model", "r", "running", 1.0, (task(state="running"), task(task_id="fit", state="none")))
    show([run])
    show([run])
    show([DagRun("train_model", "r", "running", 2.0, (task(state="success", duration_s=2.0),))])
    lines = [line.split()[1:4] for line in out.getvalue().splitlines()]
    assert lines == [["train_model.search", "running", "1"], ["train_model.search", "success", "2"]]


def test_an_impossible_setting_is_refused_before_anything_starts(settings):
    with pytest.raises(ConfigError, match="n_folds"):
        run_pipeline(settings, {"n_folds": 1})
    with pytest.raises(ConfigError, match="knows no setting folds"):
        run_pipeline(settings, {"folds": 5})
    assert not settings.state_dir.exists()


def test_an_override_without_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"'k' is no NAME=VALUE"):
        parse_overrides(["k"])


def test_another_release_than_the_one_of_this_run_is_not_shown_as_its_result():
    results = {"score_users.publish": {"version_id": "v7"}, "ingest_ratings.publish": {"snapshot_id": "own-1"}}
    run = PipelineRun({}, (), 4.0, "u", None, results)
    check_published(run, "v7", "own-1")
    for version_id, snapshot_id in (("v8", "sample-1"), ("v7", "sample-1"), ("v8", "own-1")):
        with pytest.raises(StackError, match=rf"published v7 of snapshot own-1, but {version_id} of snapshot"):
            check_published(run, version_id, snapshot_id)
