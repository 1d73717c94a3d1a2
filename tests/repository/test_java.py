"""Spark fits on each Java of the supported range; where none comes up, the message names the Java in use."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.repository import spark_job

# Where Linux distributions and their packages put them; each once, without the one that other tests use.
DEFAULT = Path(shutil.which("java") or "/usr/bin/java").resolve().parent.parent
OTHERS = sorted({path.resolve().parent.parent for path in Path("/usr/lib/jvm").glob("*/bin/java")} - {DEFAULT})


def version(home):
    answer = subprocess.run([home / "bin/java", "-version"], capture_output=True, text=True, check=True)
    return int(answer.stderr.split('"')[1].split(".")[0])


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("home", [home for home in OTHERS if 17 <= version(home) <= 25], ids=lambda home: home.name)
def test_another_java_of_the_supported_range_fits_twelve_iterations(tmp_path, home):
    # Java 25 needs more than its usual stack for the ten iterations between two checkpoints.
    answer = spark_job.run(tmp_path / "state", JAVA_HOME=str(home))
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert spark_job.result(answer)["java"] == str(version(home))


@pytest.mark.spark
def test_the_stack_size_is_set_for_the_driver_and_for_executors(spark):
    beans = spark.sparkContext._jvm.java.lang.management.ManagementFactory
    assert "-Xss8m" in list(beans.getRuntimeMXBean().getInputArguments())
    assert "-Xss8m" in spark.sparkContext.getConf().get("spark.executor.defaultJavaOptions")


def test_a_wrong_java_home_is_named_by_the_error_of_a_task(tmp_path):
    answer = spark_job.run(tmp_path / "state", JAVA_HOME=str(tmp_path / "no java"))
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("recsys.errors.ConfigError: Spark's Java process ended before it was ready.")
    assert f"JAVA_HOME is {tmp_path}/no java; `{tmp_path}/no java/bin/java -version` says: [Errno 2] No such" in last
