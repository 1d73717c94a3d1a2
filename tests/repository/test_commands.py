"""The commands around the package: `make clean` removes what it stopped, and CI does not claim what it left out."""

import os

import pytest

from tests.repository.copies import program, run


def make_state(folder):
    for name in ("airflow/logs", "logs", "mlflow/artifacts", "stack", "store/tables", "tmp/spark", "test"):
        (folder / name).mkdir(parents=True)


def test_clean_removes_the_state_of_the_clone(clone):
    make_state(clone / ".state")
    (clone / ".mypy_cache").mkdir()
    answer = run(clone, "make", "clean")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert not (clone / ".state").exists()
    assert not (clone / ".mypy_cache").exists()
    assert "-m recsys.stack down" in (clone / "calls").read_text()


def test_clean_removes_the_state_folder_that_it_stopped_and_no_other(clone, tmp_path):
    make_state(clone / ".state")
    make_state(other := tmp_path / 'other "state"')
    answer = run(clone, "make", "clean", RECSYS_STATE_DIR=str(other))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert not other.exists()
    assert (clone / ".state/store/tables").exists()
    assert (clone / "calls").read_text().startswith(f"{other} -m recsys.stack down")


def test_clean_leaves_what_the_project_did_not_make(clone, tmp_path):
    make_state(other := tmp_path / "home")
    (other / "thesis.tex").touch()
    answer = run(clone, "make", "clean", RECSYS_STATE_DIR=str(other))
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    assert "did not make what is left in it (thesis.tex)" in answer.stdout


def test_clean_removes_nothing_from_a_folder_that_holds_the_clone_or_is_ones_home(clone, tmp_path):
    make_state(tmp_path)
    for variables in ({"RECSYS_STATE_DIR": str(clone.parent)}, {"RECSYS_STATE_DIR": "~", "HOME": str(tmp_path)}):
        answer = run(clone, "make", "clean", **variables)
        assert answer.returncode != 0
        assert "Nothing was removed" in answer.stderr
        assert (tmp_path / "tmp/spark").exists()
        assert (tmp_path / "store/tables").exists()


@pytest.fixture
def ci(clone, tmp_path):
    """Run CI with a `make` that fails for some targets; returns status and last lines."""

    def run_ci(data="", limit_s=3600, failing="none"):
        for name in ("java", "chromium", "docker"):
            program(tmp_path / "bin" / name, "exit 0")
        program(tmp_path / "bin" / "make", f'[ "$1" != {failing} ]')
        script = clone / ".ci/run"
        script.write_text(script.read_text().replace("LIMIT_S=$((85 * 60))", f"LIMIT_S={limit_s}"))
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        answer = run(clone, ".ci/run", PATH=path, RECSYS_REALDATA=str(data) or str(tmp_path / "nowhere"))
        return answer.returncode, answer.stdout

    return run_ci


def test_ci_says_that_all_passed_only_if_all_ran(ci, tmp_path):
    status, said = ci(data=tmp_path)
    assert (status, "=== all passed" in said, "left out" in said) == (0, True, False)


@pytest.mark.parametrize(
    ("limit_s", "left_out"), [(3600, "test-realdata"), (100, "test-realdata test-slow test-recovery")]
)
def test_ci_names_at_its_end_what_it_left_out(ci, limit_s, left_out):
    status, said = ci(limit_s=limit_s)
    assert status == 0
    assert "all passed" not in said
    assert said.splitlines()[-2] == f"=== left out: {left_out}"


def test_ci_fails_with_the_names_of_what_failed(ci, tmp_path):
    status, said = ci(data=tmp_path, failing="test")
    assert status == 1
    assert said.splitlines()[-1].startswith("=== failed: test (after")
