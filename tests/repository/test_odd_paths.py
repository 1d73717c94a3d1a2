"""Clone and state may lie anywhere: spaces, umlauts, quotes and what else a path may hold hurt no part.

Where a character cannot be allowed, `tests/stack/test_environment.py` holds that it is refused at once.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.config import PROJECT_ROOT, Settings
from recsys.stack import launcher
from recsys.stack.places import Places
from recsys.storage.store import FileStore, open_store
from recsys.tracking import Tracking

# What shells, Java, Spark, patterns, templates and addresses would each read otherwise.
ODD = 'my clone größer & "it\'s" 100%25 $5 #1 [x] {y} (z) *? a\\b `q` c=d;~!<e>|f@g+'
# Everything that a task does with a path: options of the JVM, Python workers, checkpoints, files that Spark reads.
JOB = """
import json
import numpy as np, pyarrow as pa
import pyspark, recsys
from recsys.config import Settings
from recsys.models.als import AlsParams, fit_als, training_frame
from recsys.spark import spark_session
from recsys.storage.store import open_store
from recsys.storage.tables import spark_table, write_table

settings = Settings.load()
store = open_store(settings.resolved_store_url)
users, movies = np.indices((20, 30), np.int32).reshape(2, -1)
table = pa.table({"user_id": users, "movie_id": movies})
write_table(store, "pairs.parquet", table)
with spark_session(settings, "odd", n_partitions=2, is_brief=True) as spark:
    frame = training_frame(spark, users, movies, np.ones(len(users), np.float32), 2)
    factors = fit_als(frame, AlsParams(rank=2, reg_param=0.1, max_iter=12), 2)
    read = spark_table(spark, store, ["pairs.parquet"], table.schema)
    answer = {
        "tmpdir": spark.sparkContext._jvm.java.lang.System.getProperty("java.io.tmpdir"),
        "java": spark.sparkContext._jvm.java.lang.System.getProperty("java.specification.version"),
        "n_rows": read.mapInArrow(lambda batches: batches, read.schema).count(),
        "n_users": len(factors.user_ids),
        "packages": [pyspark.__file__, recsys.__file__],
    }
print(json.dumps(answer))
"""


def run_job(python, clone, state, **variables):
    given = {"PYTHONPATH": clone, "RECSYS_STATE_DIR": state, "RECSYS_SPARK_MASTER": "local[2]", **variables}
    env = {**os.environ, "RECSYS_SPARK_DRIVER_MEMORY": "1g", **{name: str(value) for name, value in given.items()}}
    return subprocess.run(
        [str(python), "-c", JOB], env=env, cwd=state.parent, capture_output=True, text=True, check=False
    )


@pytest.mark.spark
def test_spark_computes_where_clone_environment_and_state_have_odd_names(tmp_path):
    clone = tmp_path / ODD
    shutil.copytree(PROJECT_ROOT / "recsys", clone / "recsys", ignore=shutil.ignore_patterns("__pycache__"))
    (clone / ".venv").symlink_to(sys.prefix)
    # In the C locale Python and Java must still mean the same by an umlaut.
    answer = run_job(clone / ".venv/bin/python", clone, clone / ".state", LC_ALL="C")
    assert answer.returncode == 0, answer.stderr[-3000:]
    told = json.loads(answer.stdout.splitlines()[-1])
    assert told["tmpdir"] == str(clone / ".state/tmp/spark")
    assert (told["n_rows"], told["n_users"]) == (600, 20)
    assert all(path.startswith(str(clone)) for path in told["packages"])
    assert {path.name for path in tmp_path.iterdir()} == {ODD}  # nothing beside it, as by a path that was cut


def test_mlflow_keeps_runs_files_and_models_where_the_state_has_an_odd_name(tmp_path):
    settings = Settings(state_dir=tmp_path / ODD)
    tracking = Tracking(settings)
    report = tmp_path / "größer report #1.html"
    report.write_text("<p>")
    with tracking.run("odd", "run") as run_id:
        tracking.log_file(run_id, report)
        path = tmp_path / "recommender.npz"
        path.write_bytes(b"factors")
        version = tracking.register(run_id, "odd", path, {})
    tracking.set_alias("odd", "champion", version["version"])
    assert tracking.recommender_bytes("models:/odd@champion") == path.read_bytes()
    assert list((settings.state_dir / "mlflow" / "artifacts" / "odd" / run_id).rglob(report.name))
    # MLflow makes an empty folder after the address as it stands, too; what it keeps is all in the right one.
    elsewhere = [file for file in tmp_path.rglob("*") if file.is_file() and settings.state_dir not in file.parents]
    assert {file.name for file in elsewhere} == {report.name, path.name}


def test_airflow_keeps_its_database_and_loads_the_dags_where_the_state_has_an_odd_name(tmp_path):
    settings = Settings(state_dir=tmp_path / ODD / "state")
    launcher.check_dags(settings, places := Places.of(settings))
    with sqlite3.connect(places.database) as connection:
        assert connection.execute("select count(*) from alembic_version").fetchone() == (1,)
    connection.close()
    assert {child.name for child in tmp_path.iterdir()} == {ODD}


@pytest.mark.parametrize("address", [str, Path.as_uri])
def test_a_store_with_an_odd_name_is_found_by_path_and_by_address(tmp_path, address):
    store = open_store(address(tmp_path / ODD))
    assert isinstance(store, FileStore)
    store.put("a/b.json", b"{}")
    assert (tmp_path / ODD / "a" / "b.json").read_bytes() == b"{}"
