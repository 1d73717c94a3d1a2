"""The reads that the README shows work as they stand there, on published tables."""

import ast
import re

import pytest

from recsys.config import PROJECT_ROOT
from recsys.storage.file_store import FileStore
from tests.webapp import published

README = (PROJECT_ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder like a clone after a run: published tables of two users and four movies below .state/store."""
    published.publish(FileStore(tmp_path / ".state" / "store"))
    monkeypatch.chdir(tmp_path)


def run(snippet, **names):
    """Run the pointer's lines and a read; the ids of the README's examples become one that the tables hold."""
    exec(SNIPPETS[0], names)
    *before, last = ast.parse(re.sub(r"\b(42|471)\b", "1", snippet)).body
    exec(compile(ast.Module(before, []), "README.md", "exec"), names)
    return eval(compile(ast.Expression(last.value), "README.md", "eval"), names)


def test_the_readme_shows_a_read_for_each_tool_and_nothing_that_no_test_runs():
    assert [name in code for name, code in zip(("duckdb", "pandas", "spark"), SNIPPETS[1:], strict=True)] == [True] * 3


def test_duckdb_joins_a_users_list_with_the_titles(clone, capfd):
    run(SNIPPETS[1])
    shown = capfd.readouterr().out
    assert "Story of O, The (1975)" in shown
    assert "<script>alert(1)</script>" in shown


def test_pandas_reads_one_users_list(clone):
    assert run(SNIPPETS[2]).sort_values("rank")["movie_id"].tolist() == [4, 2]


@pytest.mark.spark
def test_plain_spark_reads_a_movies_neighbours(clone, spark, capsys):
    run(SNIPPETS[3], spark=spark)
    cells = [[cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert [row[cells[0].index("similar_movie_id")] for row in cells[1:]] == ["3", "4"]
