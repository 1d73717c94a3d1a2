"""A job in a process of its own: all that a task does with Java, with paths and with Python workers."""

import json
import os
import subprocess
import sys
from pathlib import Path

from recsys.config import PROJECT_ROOT

_CODE = """
import json
import numpy as np, pyarrow as pa
import pyspark, recsys
from recsys.config import Settings
from recsys.models.als import AlsParams, fit_als, training_frame
from recsys.spark.session import spark_session
from recsys.storage.opening import open_store
from recsys.storage.tables import spark_table, write_table

settings = Settings.load()
store = open_store(settings.resolved_store_url)
users, movies = np.indices((20, 30), np.int32).reshape(2, -1)
table = pa.table({"user_id": users, "movie_id": movies})
write_table(store, "pairs.parquet", table)
with spark_session(settings, "odd", n_partitions=2, is_brief=True) as spark:
    java = spark.sparkContext._jvm.java.lang
    frame = training_frame(spark, users, movies, np.ones(len(users), np.float32), 2)
    factors = fit_als(frame, AlsParams(rank=2, reg_param=0.1, max_iter=12), 2)
    read = spark_table(spark, store, ["pairs.parquet"], table.schema)
    result = {
        "java": java.System.getProperty("java.specification.version"),
        "java_arguments": list(java.management.ManagementFactory.getRuntimeMXBean().getInputArguments()),
        "n_rows": read.mapInArrow(lambda batches: batches, read.schema).count(),
        "n_users": len(factors.user_ids),
        "packages": [pyspark.__file__, recsys.__file__],
    }
print(json.dumps(result))
"""


def run(state: Path, *, python: object = sys.executable, clone: Path = PROJECT_ROOT, **variables: str):
    """Fit, and read a table, with state in a folder; 20 users rate 30 movies each."""
    given = {"PYTHONPATH": str(clone), "RECSYS_STATE_DIR": str(state), "RECSYS_SPARK_MASTER": "local[2]"}
    env = {**os.environ, "RECSYS_SPARK_DRIVER_MEMORY": "1g", **given, **variables}
    state.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [str(python), "-c", _CODE], env=env, cwd=state.parent, capture_output=True, text=True, check=False
    )


def result(answer: subprocess.CompletedProcess):
    return json.loads(answer.stdout.splitlines()[-1])
