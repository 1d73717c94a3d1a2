"""What every room shares: the environment, the order, settings in a temporary folder, a Spark session a process."""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from recsys.config import Settings

ROOT = Path(__file__).resolve().parent.parent

# Read by Airflow when it is imported, so set before any test can do that.
_AIRFLOW_HOME = tempfile.mkdtemp(prefix="airflow-")
atexit.register(shutil.rmtree, _AIRFLOW_HOME, ignore_errors=True)
for name in [name for name in os.environ if name.startswith("AIRFLOW__")] + ["AIRFLOW_CONFIG"]:
    os.environ.pop(name, None)
os.environ |= {
    "AIRFLOW_HOME": _AIRFLOW_HOME,
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ada:admin,vera:viewer",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": f"{_AIRFLOW_HOME}/passwords.json",
    "AIRFLOW__API_AUTH__JWT_SECRET": "0" * 128,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_AIRFLOW_HOME}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
# Airflow has everything logged from INFO on to a stream of its import, which py4j outlives.
logging.getLogger("py4j").setLevel(logging.WARNING)
# The main module of a pytest-xdist worker has neither file nor spec: PySpark would take it for a run of its own
# doctests, and exit.
if "PYTEST_XDIST_WORKER" in os.environ:
    sys.modules["__main__"].__spec__ = ModuleSpec("__main__", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The chain under a real scheduler mostly waits: begun first, it passes beside all other files."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose state lives and dies with the test."""
    return Settings(state_dir=tmp_path / "state", spark_master="local[2]")


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """One Spark session for all tests that compute on tables: small ones, where compiling outweighs computing."""
    from recsys.spark.session import spark_session

    with spark_session(
        Settings(state_dir=tmp_path_factory.mktemp("spark"), spark_master="local[2]"),
        "tests",
        n_partitions=2,
        is_brief=True,
    ) as session:
        yield session


@pytest.fixture(scope="session")
def _migrated_mlflow(tmp_path_factory) -> Path:
    """An empty MLflow database, migrated once: doing it anew costs seconds per test."""
    from recsys.tracking.tracking import Tracking

    settings = Settings(state_dir=tmp_path_factory.mktemp("mlflow"))
    Tracking(settings).find_runs("Default", {"none": "none"})
    return settings.state_dir / "mlflow" / "mlflow.db"


@pytest.fixture
def tracked_settings(settings: Settings, _migrated_mlflow: Path) -> Settings:
    """`settings` whose MLflow database is ready for use."""
    target = settings.state_dir / "mlflow" / "mlflow.db"
    target.parent.mkdir(parents=True)
    shutil.copyfile(_migrated_mlflow, target)
    return settings


@pytest.fixture
def workspace(settings: Settings, spark):
    """Of `settings`; its tasks share the Spark session of the tests, which must outlive them."""
    from recsys.workspace import Workspace

    return Workspace(settings, lambda *_, **__: nullcontext(spark))


@pytest.fixture(scope="session")
def _training(spark, tmp_path_factory, _migrated_mlflow):
    from tests.training.tiny import train_tiny

    return train_tiny(tmp_path_factory.mktemp("training"), _migrated_mlflow, spark)


@pytest.fixture
def trained(_training, settings):
    """A training that is over, in the test's own state; returns what each step did, by its name.

    MLflow keeps whole addresses, so what else it is given to keep as artifacts joins those of the first training.
    """
    folder, returned = _training
    shutil.copytree(folder, settings.state_dir, dirs_exist_ok=True)
    return returned


@pytest.fixture
def champion(trained):
    """What the training promoted."""
    return trained["promote"]
