"""Every command that the README and the pages of docs show is one that works: a test runs each of them.

What is cheap is run as it stands. Of what takes minutes, or needs a network, the call is checked with the program's
own parser, and its work is proven by the test that is named here.
"""

import importlib
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import shared
import typer

from recsys.cli import entry
from recsys.cli.commands import app as recsys_app
from recsys.config import PROJECT_ROOT, environment_dataset, form_values
from recsys.errors import RecsysError
from recsys.stack.__main__ import app as stack_app
from recsys.stack.__main__ import parse_overrides
from recsys.storage.file_store import FileStore
from tests.repository.copies import program, run
from tests.webapp import published

PAGES = [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").rglob("*.md")), PROJECT_ROOT / "mlflow/README.md"]
COMMAND = re.compile(
    r"((?:[A-Z_]+=\S+ )*)(?:\.venv/bin/)?"
    r"((?:make|recsys|python3?|uv|pip|docker|docker-compose|cp|airflow|apt|apt-get|brew|sh|bash|git|curl)(?: .*|$))"
)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
# Fenced text that is no command: what a run prints, and the folders of the package.
LISTINGS = ("Holdout:", "dags/ plugins/", "ratings.csv: read as")
# Spoken of, and not meant to be typed.
MENTIONED = {
    "make": "the program",
    "airflow standalone": "what the launcher replaces",
    "uv pip compile --universal --generate-hashes --no-emit-index-url": "what `make lock` runs; it needs the index",
    "docker compose up --build": "it needs Docker; tests/repository/test_files.py resolves the file",
    "cp .env.example .env": "it needs Docker afterwards; tests/repository/test_files.py compares the names",
}
CHEAP = ("recommend", "similar", "find", "history", "settings", "inspect")
COSTLY = {
    "run": "tests/pipeline/test_pipeline_on_s3.py",
    "ingest": "tests/ingest/test_tasks.py",
    "tune": "tests/training/test_training_tasks.py",
    "score": "tests/scoring/test_scoring_tasks.py",
    "posters": "tests/posters/test_poster_tasks.py",
    "snapshots": "tests/cli/test_cli.py",
    "summary": "tests/pipeline/test_pipeline_on_s3.py",
}


def documented(text):
    """The commands of a page, from fenced blocks without a language and from code within sentences."""
    blocks = [code for language, code in FENCED.findall(text) if language in {"", "sh", "bash", "console"}]
    lines = [line for block in blocks if not block.startswith(LISTINGS) for line in block.splitlines() if line.strip()]
    spans = re.findall(r"`([^`\n]+)`", "\n".join([FENCED.sub("", text), *lines]))
    commands = [re.sub(r"\s+#.*", "", line).strip() for line in lines]
    commands += [span for span in spans if COMMAND.fullmatch(span)]
    return [alternative for command in commands for alternative in alternatives(command)]


def alternatives(command):
    """``recsys a | b`` as the two calls it stands for.

    >>> alternatives("recsys score | posters | --help")
    ['recsys score', 'recsys posters', 'recsys --help']
    """
    first, *others = command.split(" | ")
    return [first, *(f"{first.rpartition(' ')[0]} {other}" for other in others)]


COMMANDS = sorted({command for page in PAGES for command in documented(page.read_text())} - set(MENTIONED))


def test_commands_are_found_where_they_stand():
    text = (
        'Run `make up`, or `DATASET=a.zip make run CONF="k=5"`.\n```\n.venv/bin/recsys find x  # or `make down`\n```\n'
    )
    assert documented(text) == [".venv/bin/recsys find x", "make up", 'DATASET=a.zip make run CONF="k=5"', "make down"]
    assert len(COMMANDS) > 30
    assert "make run" in COMMANDS


def test_all_python_that_is_shown_is_run_by_another_test():
    # The README's blocks by test_readme.py; the call within a sentence by tests/tracking, which loads a served model.
    assert [page.name for page in PAGES if "```python" in page.read_text()] == ["README.md"]
    calls = {span for page in PAGES for span in re.findall(r"`([a-z][\w.]*\.\w+\([^`]*\))`", page.read_text())}
    assert calls == {'mlflow.pyfunc.load_model("models:/recsys-ml-latest-small@champion")'}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_works(command, request):
    check(command, request)


@pytest.mark.parametrize(
    "command",
    [
        "make rnu",
        'make run CONF="folds=5"',
        'make run CONF="columns"',
        "recsys recommend --user 42",
        "recsys ingest --append week-42.csv",
        "recsys fnid",
        "python -m benchmarks.scoring --nothing 1",
        "python -m benchmarks.nothing",
        "curl https://example.org",
    ],
)
def test_a_command_that_does_not_work_or_that_no_test_covers_would_be_found(command, request):
    usage_error = typer.BadParameter.__base__
    with pytest.raises((AssertionError, ImportError, RecsysError, usage_error)):
        check(command, request)


def check(command, request):
    matched = COMMAND.fullmatch(command)
    assert matched, f"{command!r} is no command that this test knows how to check. Teach it, or correct the page."
    variables = dict(pair.split("=", 1) for pair in shlex.split(matched[1]))
    name, *words = shlex.split(matched[2])
    checks = {"make": check_make, "recsys": check_recsys, "python": check_python}
    assert name in checks, f"no test covers {command!r}: add it to {Path(__file__).name}"
    checks[name](request, words, variables)


def check_make(request, words, variables):
    """Make runs the target, and what it calls accepts the words. Python is a program that only notes them."""
    clone, tmp_path = request.getfixturevalue("clone"), request.getfixturevalue("tmp_path")
    for name in ("python3", "ruff", "mypy", "lint-imports", "uv", "sh"):
        program(tmp_path / "bin" / name, "exit 0")
        program(clone / ".venv/bin" / name, "exit 0")
    answer = run(clone, "make", *words, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", **variables)
    assert answer.returncode == 0, answer.stderr
    if words[:1] in (["run"], ["up"], ["down"], ["clean"]):
        _, _, call = (clone / "calls").read_text().partition("-m recsys.stack ")
        check_stack(request, call.split(), variables)


def check_stack(request, words, variables):
    usage(stack_app, words)
    if words[0] == "run":
        monkeypatch = request.getfixturevalue("monkeypatch")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        given = {"dataset": environment_dataset(), **parse_overrides(words[1:])}
        # What Airflow refuses of a form it refuses of a request, too.
        form = shared.params("ingest_ratings")
        for name, value in form_values("ingest_ratings", given).items():
            form[name].resolve(value)


def check_recsys(request, words, _variables):
    if len(words) == 1 and words[0] not in CHEAP:
        words = [words[0], *([] if words[0].startswith("-") else ["--help"])]
    elif words[0] in COSTLY:
        usage(recsys_app, words)
        assert (PROJECT_ROOT / COSTLY[words[0]]).is_file()
        return
    monkeypatch, tmp_path, capsys = map(request.getfixturevalue, ("monkeypatch", "tmp_path", "capsys"))
    store = FileStore(tmp_path / "store")
    published.publish(store)
    published.store_model(store)
    monkeypatch.setenv("RECSYS_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if "--csv" in words:
        Path(words[words.index("--csv") + 1]).write_text("movie_id,rating\n1,5\n3,4.5\n")
    if words[0] == "inspect":
        rows = "".join(f"ann,{movie},{1 + movie % 10},1700000000\n" for movie in range(30))
        Path(words[1]).write_text(f"user,item,rating,timestamp\n{rows}")
    # The ids of the examples become such as the published tables hold.
    here = {"42": "1", "471": "1", "1=5,50=4.5": "1=5,3=4.5", "6fa459ea-ee8a-3ca4-894e-db77e160355e": "1"}
    monkeypatch.setattr(sys, "argv", ["recsys", *(here.get(word, word) for word in words)])
    with pytest.raises(SystemExit) as end:
        entry.main()
    out, err = capsys.readouterr()
    assert (end.value.code or 0, bool(out)) == (0, True), err


def check_python(request, words, _variables):
    """A benchmark: its module is there, and takes the arguments."""
    assert words[0] == "-m", words
    main = importlib.import_module(words[1]).main
    if words[1] == "benchmarks.quality":  # it has a parser of its own, and gets as far as to miss the file
        capsys = request.getfixturevalue("capsys")
        assert main([word.replace("ml-100k.zip", "nowhere/ml-100k.zip") for word in words[2:]]) == 1
        assert "nowhere/ml-100k.zip" in capsys.readouterr().err
        return
    benchmark = typer.Typer()
    benchmark.command()(main)
    usage(benchmark, words[2:])


def usage(app, words):
    """Let a command's own parser read the words, without running it; UsageError for wrong ones."""
    command = typer.main.get_command(app)
    if hasattr(command, "get_command"):  # a group
        command, words = command.get_command(None, words[0]), words[1:]
        assert command is not None
    command.make_context("command", list(words))
