"""What must hold of the repository's own files: lock files, images, the compose file, and the mlflow folder."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["bootstrap", "run", "dev", "referee", "deploy", "mlflow"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def pins(name):
    """Package to version, of a lock file."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return dict(re.match(r"([\w.-]+)==([^ ;]+)", line).groups() for line in lines if not line.startswith((" ", "#")))


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_hash_and_no_file_an_address(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    packages = re.split(r"\n(?! )", text.strip())
    assert packages
    assert [package for package in packages if "--hash=sha256:" not in package] == []
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize("name", ["dev", "deploy"])
def test_what_tests_and_images_use_is_what_a_run_uses(name):
    other = pins(name)
    assert {package: version for package, version in pins("run").items() if other.get(package) != version} == {}


def test_what_builds_the_environment_does_not_contradict_it():
    dev = pins("dev")
    assert {p: v for p, v in pins("bootstrap").items() if dev.get(p, v) != v} == {}


def test_no_file_of_a_running_stack_is_tracked():
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip("this is no clone")
    tracked = [ROOT / name for name in answer.stdout.split("\0") if name]
    assert [path for path in tracked if path.exists() and not path.stat().st_size and path.suffix != ".py"] == []
    assert not {path.relative_to(ROOT).parts[0] for path in tracked} & {"airflow", "logs", "stack", "store", "tmp"}


@pytest.mark.parametrize("command", re.findall(r"python3 -c .*", (ROOT / ".env.example").read_text()))
def test_the_commands_that_draw_secrets_work(command):
    answer = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    assert len(answer.stdout.strip()) >= 44


def test_the_mlflow_folder_holds_no_python_so_that_the_library_is_found():
    import mlflow

    assert not list((ROOT / "mlflow").rglob("*.py"))
    assert ROOT / "mlflow" not in Path(mlflow.__file__).parents


@pytest.mark.parametrize("folder", ["dags", "plugins"])
def test_no_file_of_dags_or_plugins_can_shadow_a_library(folder):
    names = {path.stem for path in (ROOT / folder).rglob("*.py")}
    assert not names & {"mlflow", "airflow", "pyspark", "recsys", "__init__"}
    assert (ROOT / folder / ".airflowignore").is_file()


@pytest.mark.parametrize("path", ["Dockerfile", "mlflow/Dockerfile"])
def test_images_install_by_hash_and_do_not_run_as_root(path):
    text = (ROOT / path).read_text()
    assert "--require-hashes" in text
    assert re.findall(r"^USER (.*)$", text, re.M)[-1] == "50000:0"


def test_compose_has_no_default_secret():
    text = (ROOT / "docker-compose.yml").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", text))
    offered = set(re.findall(r"^(\w+)=$", (ROOT / ".env.example").read_text(), re.M))
    assert required == offered
    secret = re.compile(r"PASSWORD|SECRET|KEY|JWT|FERNET")
    defaulted = {name for name in re.findall(r"\$\{(\w+):?-", text) if secret.search(name)}
    assert defaulted == set()


def test_compose_publishes_ports_on_this_machine_only():
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_compose_runs_every_part_of_airflow_with_the_same_keys():
    services = COMPOSE["services"]
    parts = ["airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"]
    environments = [services[part]["environment"] for part in parts]
    assert all(environment == environments[0] for environment in environments)
    assert environments[0]["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://airflow-apiserver:8080/execution/"
    assert all("healthcheck" in services[part] for part in [*parts, "postgres", "objectstore", "mlflow"])
    assert "name" not in COMPOSE


def test_compose_file_resolves(tmp_path):
    if shutil.which("docker-compose") is None and not _has_compose_plugin():
        if os.environ.get("CI") == "true":
            pytest.fail("docker-compose is not installed, and CI must check docker-compose.yml")
        pytest.skip("docker-compose is not installed")
    answer = subprocess.run(["sh", "scripts/check_compose.sh"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def _has_compose_plugin():
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
