"""The connection `spark_default` moves the tasks of a real scheduler to a cluster."""

import json
import os
import re
import subprocess
import sys

import pytest

from recsys.config import PROJECT_ROOT
from recsys.stack import launcher
from recsys.stack.places import Places
from tests.cluster.standalone import cluster
from tests.e2e.test_chain import CONF

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SCORING = ("recsys score recommendations", "recsys score similar_movies")
APPLICATIONS = ("validate", "explore", "recsys search", "recsys fit", *SCORING)


def test_the_connection_spark_default_moves_every_spark_task_to_the_cluster(tmp_path):
    state_dir = tmp_path / "state"
    places = Places(state_dir.resolve())
    command = [sys.executable, "-m", "recsys.stack", "run", *(f"{k}={v}" for k, v in CONF.items() if k != "dataset")]
    with cluster(tmp_path) as running:
        host, _, port = running.master.rpartition(":")
        extra = {
            "spark.executor.memory": "1g",
            "spark.executor.cores": "1",
            "spark.pyspark.python": sys.executable,
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        }
        connection = {"conn_type": "spark", "host": host, "port": int(port), "extra": extra}
        env = {name: value for name, value in os.environ.items() if name != "RECSYS_SPARK_MASTER"}
        env |= {
            "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps(connection),
            "RECSYS_SPARK_DRIVER_MEMORY": "1g",
            "RECSYS_STATE_DIR": str(state_dir),
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        try:
            done = subprocess.run(command, env=env, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
        finally:
            launcher.take_down(places)
        log = "".join(path.read_text() for path in tmp_path.glob("master.*.log"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "tasks of 4 DAGs succeeded" in done.stdout
    ran = re.findall(r"Registered app (.*) with ID", log)
    assert [name for name in APPLICATIONS if not any(each.startswith(name) for each in ran)] == [], ran
