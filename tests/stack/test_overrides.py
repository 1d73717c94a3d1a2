"""What a person types after `make run`: every setting of every config arrives on the trigger form as it expects it."""

import json
import re
import shlex

import pytest
from shared import params

from recsys.config import CHAIN, form_values
from recsys.errors import ConfigError, StackError
from recsys.stack import __main__ as stack_main
from recsys.stack.__main__ import local_dataset, parse_overrides

FIELDS = [(dag_id, name) for dag_id, config in CHAIN.items() for name in config.model_fields]


def samples(schema):
    """Values that a field allows, chosen by its JSON schema."""
    if "enum" in schema:
        return schema["enum"]
    if schema["type"] == "array":
        return [[each] for each in schema["items"]["enum"]] + [schema["items"]["enum"], schema["default"]]
    if schema["type"] == "object":
        return [{"user_id": "uid"}, {"user_id": "uid", "movie_id": "a film"}]
    if schema["type"] == "string":
        return ["1-5/1", "0.5-10/.5"] if "pattern" in schema else ["2026", "1e3", "true", "null", "[a]", "a=b, c"]
    lowest = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    highest = schema.get("maximum", schema.get("exclusiveMaximum", lowest + 1))
    step = 1 if schema["type"] == "integer" else (highest - lowest) / 1024
    return [schema["default"] or lowest + step, lowest + step]


def texts(value):
    """Ways to type a value."""
    if isinstance(value, dict):
        return [json.dumps(value), ",".join(f"{name}={column}" for name, column in value.items())]
    if isinstance(value, list):
        return [json.dumps(value), ",".join(value), ", ".join(value)]
    return [value if isinstance(value, str) else json.dumps(value)]


@pytest.mark.parametrize(("dag_id", "name"), FIELDS)
def test_a_typed_value_of_any_field_passes_the_form_and_means_the_same(dag_id, name):
    form = params("ingest_ratings")
    schema = CHAIN[dag_id].model_json_schema()["properties"][name]
    for value in samples(schema):
        for text in texts(value):
            conf = form_values("ingest_ratings", parse_overrides([f"{name}={text}"]))
            assert form[name].resolve(conf[name]) == value
            assert json.loads(json.dumps(conf)) == {name: value}
            assert CHAIN[dag_id].parse(conf) == CHAIN[dag_id].parse({name: value})


def test_the_commands_of_the_readme_pass_the_form():
    typed = {
        "columns=user_id=uid,movie_id=film": {"columns": {"user_id": "uid", "movie_id": "film"}},
        "sample_users=20000 sample_ratings=2000000": {"sample_users": 20_000, "sample_ratings": 2_000_000},
        "baselines=svd k=20": {"baselines": ["svd"], "k": 20},
        "append_to=latest": {"append_to": "latest"},
    }
    for text, conf in typed.items():
        assert form_values("ingest_ratings", parse_overrides(shlex.split(text))) == conf


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("baselines=svm", "baselines"),
        ("columns=user_id", "user_id is no NAME=COLUMN"),
        ("columns={user_id}", "columns"),
        ("n_folds=many", "n_folds"),
        ("max_drift=inf", "max_drift"),
        ("min_gain=nan", "min_gain"),
        ("folds=5", "knows no setting folds"),
    ],
)
def test_a_typed_value_that_makes_no_sense_is_refused_by_name(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        form_values("ingest_ratings", parse_overrides([text]))


def test_a_missing_file_is_named_as_it_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for typed in ("weeks/likes.csv", "likes.csv", "./likes"):
        with pytest.raises(
            ConfigError, match=rf"^{re.escape(typed)}: there is no such file or folder in {tmp_path}\. Nothing"
        ):
            local_dataset(typed)
    with pytest.raises(ConfigError, match=r"^/no/likes\.csv: there is no such file or folder\. Nothing"):
        local_dataset("/no/likes.csv")


def test_a_misspelt_release_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="'ml-latets-small' is neither a known release nor an existing file"):
        local_dataset("ml-latets-small")


def test_a_file_or_folder_here_is_given_to_the_tasks_with_its_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my likes.csv").touch()
    for folder in ("week", "sample"):
        (tmp_path / folder).mkdir()
    assert local_dataset("my likes.csv") == str(tmp_path / "my likes.csv")
    assert local_dataset("week") == str(tmp_path / "week")
    assert local_dataset("sample") == "sample"  # a release, whatever folder is called the same


def test_a_missing_file_is_told_before_anything_is_started_and_one_that_is_there_reaches_the_run(tmp_path, monkeypatch):
    started = []

    def start(_, conf, **__):
        started.append(conf["dataset"])
        raise StackError("started")

    monkeypatch.setattr(stack_main, "run_pipeline", start)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATASET", "weeks/likes.csv")
    for overrides, name in (([], "weeks/likes.csv"), (["dataset=likes.csv"], "likes.csv")):
        with pytest.raises(ConfigError, match=f"^{name}: there is no such file or folder in {tmp_path}"):
            stack_main.run(overrides)
    assert started == []
    (tmp_path / "weeks").mkdir()
    (tmp_path / "weeks" / "likes.csv").touch()
    with pytest.raises(StackError, match="started"):
        stack_main.run([])
    assert started == [str(tmp_path / "weeks" / "likes.csv")]
