"""The Spark session: one per job, with the settings that keep MLlib's ALS alive.

Measured reasons (Spark 4.3, 2 cores): without a checkpoint directory ALS dies of StackOverflowError at
20 iterations, and on Java 25 at 10 with the usual stack of 1 MB (2 MB will do); 200 shuffle partitions
cost more than the work on fewer than a million ratings; Python workers use the system's interpreter
unless told otherwise.
"""

import contextlib
import locale
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.config import PROJECT_ROOT, Settings
from recsys.errors import ConfigError
from recsys.spark import shipping
from recsys.spark.masters import is_local
from recsys.spark.memory import heap_mb, machine_mb

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

# Four times what the ten iterations between two checkpoints need on Java 25; a thread takes only what it uses.
_STACK = "-Xss8m"


@contextlib.contextmanager
def spark_session(
    settings: Settings,
    app_name: str,
    *,
    n_ratings: int = 0,
    n_partitions: int | None = None,
    is_brief: bool = False,
) -> Iterator["SparkSession"]:
    """A session for the length of a ``with`` block; the JVM behind it ends with this process.

    Args:
        settings: where Spark runs and keeps its scratch files.
        app_name: shown in Spark's UI and history.
        n_ratings: how many ratings will be worked on; sizes the heap where the settings leave it open.
        n_partitions: shuffle partitions; by default twice the cores of the machine.
        is_brief: many small queries over little data, where compiling outweighs computing. The JVM then stops at its
            first compiler: checking ml-latest-small takes 18 instead of 30 core-seconds. Not for fits or large scans.
    """
    from pyspark.sql import SparkSession

    _set_environment()
    # Workers are separate processes and must find this package whether or not it is installed.
    paths = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    heap = settings.spark_driver_memory or f"{heap_mb(n_ratings, machine_mb())}m"
    scratch = settings.tmp_dir / "spark"
    scratch.mkdir(parents=True, exist_ok=True)
    java_options = f"{_STACK} -XX:+UseParallelGC -XX:-UsePerfData -Djava.io.tmpdir={shlex.quote(str(scratch))}"
    if is_brief:
        java_options += " -XX:TieredStopAtLevel=1"
    builder = (
        SparkSession.builder.appName(app_name)
        .master(settings.spark_master)
        .config("spark.driver.memory", heap)
        # Spark puts them before the extraJavaOptions that somebody else may set.
        .config("spark.driver.defaultJavaOptions", java_options)
        .config("spark.executor.defaultJavaOptions", _STACK)
        .config("spark.local.dir", str(scratch))
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.sql.shuffle.partitions", n_partitions or 2 * (os.cpu_count() or 1))
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        # Larger tables stay Arrow batches: as rows of a plan they take five times the heap while the plan lives.
        .config("spark.sql.execution.arrow.localRelationThreshold", "1m")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.executorEnv.OPENBLAS_NUM_THREADS", "1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
    )
    if is_local(settings.spark_master):
        builder = builder.config("spark.executorEnv.PYTHONPATH", os.pathsep.join(dict.fromkeys(paths)))
        # Otherwise the driver listens on the machine's public address.
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    for name, value in settings.spark_conf.items():
        builder = builder.config(name, value)
    spark = _start(builder)
    if not is_local(settings.spark_master):
        # Unpacked on every executor: from within an archive numba could not keep compiled code.
        spark.sparkContext.addArchive(f"{shipping.package(scratch)}#{shipping.PACKAGE.name}")
    checkpoints = settings.spark_checkpoint_dir or str(scratch / "checkpoints")
    spark.sparkContext.setCheckpointDir(checkpoints)
    log.info("Spark %s on %s, heap %s", spark.version, settings.spark_master, heap)
    try:
        yield spark
    finally:
        spark.stop()


def _set_environment() -> None:
    """What Spark's processes inherit from this one, where nobody has set it."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    # One BLAS thread per task: Spark's own parallelism already fills the cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # In the C locale Python takes file names for UTF-8 all the same, and Java does not find one with an umlaut.
    if sys.getfilesystemencoding() == "utf-8" and locale.nl_langinfo(locale.CODESET) != "UTF-8":
        os.environ["LC_ALL"] = "C.UTF-8"


def _start(builder: Any) -> "SparkSession":
    """The session of a builder; `ConfigError` with the Java in use where no JVM comes up."""
    from pyspark.errors import PySparkRuntimeError

    try:
        session: SparkSession = builder.getOrCreate()
    except PySparkRuntimeError as error:
        if error.getCondition() != "JAVA_GATEWAY_EXITED":
            raise
        raise ConfigError(
            f"Spark's Java process ended before it was ready. {_java_in_use()}. Nothing was computed. What the process "
            "said is in the log, before this error. Spark 4.3 needs Java 17 to 25; set JAVA_HOME to one, and run again."
        ) from error
    return session


def _java_in_use() -> str:
    """Which Java Spark starts, where that was set, and what it says of itself."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)
        said = (answer.stderr + answer.stdout).partition("\n")[0] or f"nothing, with status {answer.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    return f"JAVA_HOME is {home or 'not set'}; `{java} -version` says: {said}"


def blas_in_use(spark: "SparkSession") -> str:
    """The class that multiplies MLlib's matrices: `JNIBLAS` where the system has a BLAS, else one in Java.

    A native one halves the cost of a fit; Debian's package is called libopenblas0.
    """
    from py4j.protocol import Py4JJavaError

    netlib = spark.sparkContext._jvm.dev.ludovic.netlib.blas  # type: ignore[union-attr]
    try:
        return str(netlib.NativeBLAS.getInstance().getClass().getSimpleName())
    except Py4JJavaError:  # there is none
        return str(netlib.JavaBLAS.getInstance().getClass().getSimpleName())
