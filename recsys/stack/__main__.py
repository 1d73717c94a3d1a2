"""``python -m recsys.stack run|up|down|status|check-dags``: the commands behind `make`."""

import logging
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from recsys.config import Settings, environment_dataset
from recsys.errors import ConfigError, RecsysError
from recsys.ingest.formats import known_releases
from recsys.messages import ChampionRef, EvaluationResult, ModelVersion, UnchangedSource
from recsys.pages.summary_page import print_steps, print_summary
from recsys.stack import launcher
from recsys.stack.dag_chain import PipelineRun, check_published, error_lines, run_pipeline
from recsys.stack.health import find_silent
from recsys.stack.launcher import Stack
from recsys.stack.places import USER, Places
from recsys.stack.progress import progress
from recsys.training.runs import refusal
from recsys.webapp.summary import summary
from recsys.workspace import Workspace

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
console = Console(width=None if sys.stdout.isatty() else 120)
errors = Console(stderr=True)
INTERRUPTED = 130


@app.command()
def run(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings as NAME=VALUE, as on the trigger form.")
    ] = None,
) -> None:
    """Run the whole pipeline once; DATASET in the environment picks the data."""
    # Who runs the whole pipeline by hand means all of it, also on data that were there before.
    conf = {"dataset": environment_dataset(), "when_unchanged": "train"} | parse_overrides(overrides or [])
    conf["dataset"] = local_dataset(conf["dataset"])
    settings = Settings.load()
    with progress(console) as show:
        result = run_pipeline(settings, conf, say=say, watch=show)
    report_failures(result)
    if result.is_refused:
        evaluated, version = (result.results[f"train_model.{task}"] for task in ("evaluate", "register"))
        say(f"No lists were made. {refusal(EvaluationResult.read(evaluated), ModelVersion.read(version))}")
        raise SystemExit(1)
    if not result.has_succeeded:
        raise SystemExit(1)
    if result.is_unchanged:
        snapshot = UnchangedSource.read(result.results["ingest_ratings.unchanged"]).snapshot
        say(f"The source is unchanged: snapshot {snapshot.snapshot_id} stands, and nothing was trained.")
        return
    shown = summary(Workspace(settings))
    check_published(result, shown.version_id, shown.snapshot_id)
    print_summary(shown, console)
    ran = [task for task in result.tasks if task.state != "skipped"]
    print_steps([(task.name, task.duration_s) for task in ran], console)
    if promoted := result.results.get("train_model.promote"):
        champion = ChampionRef.read(promoted)
        if not champion.is_promoted:
            say(f"The champion was kept: {champion.reason}.")
    say(f"All {len(ran)} tasks of {len(result.runs)} DAGs succeeded in {result.duration_s:.0f} s.")


@app.command()
def up() -> None:
    """Start Airflow and MLflow with their pages and leave them running."""
    settings = Settings.load()
    places = Places.of(settings)
    with launcher.sole_launcher(places):
        stack = launcher.find(places)
        if stack is None or stack.mode != "up" or stack.dead or find_silent(stack):
            if launcher.stop(places, stack):
                say("Processes of an earlier stack were ended.")
            say("Starting Airflow and MLflow (about a minute) ...")
            stack = launcher.start(settings, places, "up", say)
        describe(stack)


@app.command()
def down() -> None:
    """End the stack of this clone, a run under way and all leftovers included."""
    n_ended = launcher.take_down(Places.of(Settings.load()))
    say(f"Stopped; {n_ended} processes ended." if n_ended else "Nothing was running.")


@app.command()
def status() -> None:
    """Tell what runs, and where."""
    stack = launcher.find(Places.of(Settings.load()))
    if stack is None or stack.is_gone:
        say("Nothing is running. `make up` starts Airflow and MLflow; `make run` runs the pipeline.")
        return
    silent = find_silent(stack)
    for process in stack.processes:
        state = "died" if not process.is_alive else "hangs" if process.name in silent else "runs"
        say(f"{process.name:<14} process {process.pid:<8} {state:<5}   log {process.log}")
    if stack.dead or silent:
        say(stack.remedy)
        return
    describe(stack)


@app.command("check-dags")
def check_dags() -> None:
    """Load every DAG file as Airflow does; exit 1 with the tracebacks if one is broken."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=Path(folder))
        launcher.check_dags(settings, Places.of(settings))
    say("Every DAG file loads.")


def describe(stack: Stack) -> None:
    """Addresses, and how to sign in."""
    places = stack.places
    say(f"Airflow   {stack.airflow_url}")
    if stack.mlflow_url:
        say(f"MLflow    {stack.mlflow_url}")
    if stack.posters_url:
        say(f"Posters   {stack.posters_url}  (the invented site that the sample's posters come from)")
    # A password belongs on the screen of the person who asked, not in the log of a job.
    secret = f"password {places.password()}" if console.is_terminal else f"the password is in {places.passwords}"
    say(f"Sign in to Airflow as {USER}, {secret}")
    say("`make down` stops everything.")


def report_failures(result: PipelineRun) -> None:
    """Say of each failed task why, and where the rest of its log is."""
    for task in result.failures:
        errors.print(f"[red]{task.name} failed[/red] at attempt {task.try_number}. Its log: {task.log}", soft_wrap=True)
        for line in error_lines(task.log)[-8:]:
            errors.print(f"    {escape(line)}", highlight=False, soft_wrap=True)


def parse_overrides(pairs: list[str]) -> dict[str, str]:
    """Settings from the command line, as texts.

    >>> parse_overrides(["k=20", "columns=user_id=uid"])
    {'k': '20', 'columns': 'user_id=uid'}
    """
    conf: dict[str, str] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise ConfigError(f"{pair!r} is no NAME=VALUE. Nothing was started. Write it like k=20.")
        conf[name] = text
    return conf


def local_dataset(name: str) -> str:
    """The name of a release, or the full path of a file or folder here: tasks work in another folder.

    Raises:
        ConfigError: it is neither; the message repeats what was typed.

    >>> local_dataset("ml-latest-small")
    'ml-latest-small'
    """
    if name in known_releases.RELEASES or not name:
        return name
    path = Path(name).expanduser()
    if path.exists():
        return str(path.resolve())
    if path.suffix or "/" in name:
        raise ConfigError(
            f"{name}: there is no such file or folder{'' if path.is_absolute() else f' in {Path.cwd()}'}. "
            "Nothing was started. Correct DATASET and run again."
        )
    return known_releases.find_release(name).name  # raises, and lists the known ones


def say(sentence: str) -> None:
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Run a command; one sentence and a status of its own for each way it can end."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # Typer's status for a KeyboardInterrupt
            what = "The processes that this command started have been stopped; the same command starts afresh."
            errors.print(f"Interrupted. {what}", soft_wrap=True)
        raise
    except RecsysError as error:
        errors.print(f"[red]Error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(1) from None


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
