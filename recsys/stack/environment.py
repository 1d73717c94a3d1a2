"""The environment every process of the stack runs in.

It alone configures Airflow: the airflow.cfg that Airflow writes for itself holds nothing but defaults.
"""

import json
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from recsys.config import PROJECT_ROOT, Settings, sqlite_url
from recsys.redaction import link
from recsys.stack.places import USER, Places
from recsys.stack.ports import Ports

MARKER = "RECSYS_STACK_ID"
PARALLELISM = 4  # a stop waits for every worker, and 4 tasks at once are plenty beside one Spark session


def stack_environment(settings: Settings, places: Places, ports: Ports, *, has_mlflow: bool) -> dict[str, str]:
    """The caller's environment, without its own Airflow's, plus everything the stack decides.

    Args:
        settings: where things are; passed on as RECSYS_* so that tasks resolve the same places.
        places: the stack's own files.
        ports: where its servers listen.
        has_mlflow: whether an MLflow server belongs to this stack; its address is then shown in Airflow.
    """
    env = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    env |= _airflow(places, ports)
    path = [str(PROJECT_ROOT), str(places.dags), *filter(None, [os.environ.get("PYTHONPATH")])]
    loopback = ["127.0.0.1", "localhost", *filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy")])]
    env |= (
        {
            MARKER: places.stack_id,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "SPARK_LAUNCHER_OPTS": "-XX:-UsePerfData",  # else it leaves files in /tmp
            "TMPDIR": str(places.state_dir / "tmp"),
            "NO_PROXY": ",".join(loopback),
            "no_proxy": ",".join(loopback),
            "GX_ANALYTICS_ENABLED": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it costs 1.6 GB, and nothing here uses it
        }
        | _settings(settings)
        | {"RECSYS_STATE_DIR": str(places.state_dir)}
    )
    if has_mlflow:
        env["RECSYS_MLFLOW_UI_URL"] = f"http://127.0.0.1:{ports.mlflow}"
    elif settings.mlflow_tracking_uri.startswith("http"):
        env.setdefault("RECSYS_MLFLOW_UI_URL", link(settings.mlflow_tracking_uri))
    return env


def _settings(settings: Settings) -> dict[str, str]:
    """Settings as the variables they are read from, those alone that were given: texts plain, all else as JSON."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    plain = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in given.items()}
    return {
        f"RECSYS_{name.upper()}": str(value) if isinstance(value, str | Path) else json.dumps(value)
        for name, value in plain.items()
        if value is not None
    }


def _airflow(places: Places, ports: Ports) -> dict[str, str]:
    base = f"http://127.0.0.1:{ports.airflow}"
    keys = places.keys()
    options = {
        "CORE__DAGS_FOLDER": places.dags,
        "CORE__PLUGINS_FOLDER": places.plugins,
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": PARALLELISM,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        # These three together, or every task fails to reach the server: the last one does not follow the first.
        "API__PORT": ports.airflow,
        "API__BASE_URL": base,
        "CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
        "API__HOST": "127.0.0.1",
        "API__WORKERS": 1,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": places.passwords,
        # The keys Airflow draws for itself are too short for the signature it uses, and it warns each time.
        "API_AUTH__JWT_SECRET": keys["jwt"],
        "API__SECRET_KEY": keys["session"],
        "CORE__FERNET_KEY": keys["fernet"],
        "DATABASE__SQL_ALCHEMY_CONN": sqlite_url(places.database),
        "LOGGING__BASE_LOG_FOLDER": places.airflow / "logs",
        "DAG_PROCESSOR__REFRESH_INTERVAL": 15,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 15,
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": 10,
        # Tasks of a scheduler that was killed start again after a minute, not after five.
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 30,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {"AIRFLOW_HOME": str(places.airflow)} | {f"AIRFLOW__{key}": str(value) for key, value in options.items()}


def _is_foreign(name: str) -> bool:
    """Settings of another Airflow, our own as they were, and what keeps byte code from being written (30 s more)."""
    return (
        name.startswith("AIRFLOW__")
        or name in {"AIRFLOW_HOME", "AIRFLOW_CONFIG", "PYTHONDONTWRITEBYTECODE"}
        or name.upper() in {f"RECSYS_{field.upper()}" for field in Settings.model_fields}
    )
