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
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys import errors
from recsys.config import PROJECT_ROOT, Settings
from recsys.errors import ConfigError

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
        spark.sparkContext.addArchive(f"{_package(scratch)}#{Path(__file__).parent.name}")
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


def is_local(master: str) -> bool:
    """Whether a Spark master is this process, not a cluster.

    >>> is_local("local[4]"), is_local("spark://master:7077")
    (True, False)
    """
    return master.startswith("local")


def on_cluster(settings: Settings, host: str, port: int | None, extra: Mapping[str, Any]) -> Settings:
    """Settings for the Spark cluster that an Airflow connection of the type Spark names.

    Args:
        settings: all the rest.
        host: ``yarn``, ``local[4]``, ``spark://host``, ``k8s://https://host``, or a bare host, which is Spark's own
            cluster manager.
        port: of the host, if any.
        extra: `queue` (YARN), `namespace` (Kubernetes), and any Spark setting by its full name.

    Raises:
        ConfigError: an entry without a meaning here, such as the deploy mode `cluster`: the driver is the task itself.

    >>> on_cluster(Settings(), "spark-master", 7077, {"spark.executor.memory": "4g"}).spark_master
    'spark://spark-master:7077'
    """
    is_plain = "://" in host or host == "yarn" or host.startswith("local")
    master = (host if is_plain else f"spark://{host}") + (f":{port}" if port else "")
    names = {"queue": "spark.yarn.queue", "namespace": "spark.kubernetes.namespace"}
    conf = {names.get(name, name): str(value) for name, value in extra.items()}
    strange = {name: value for name, value in conf.items() if not name.startswith("spark.")}
    if strange.pop("deploy-mode", "client") != "client" or strange or not host:
        raise ConfigError(
            f"The connection to Spark has host {host!r} and extra {dict(extra)}. Nothing was started. A host is "
            "needed, and as extra queue, namespace and Spark settings by their full names; the deploy mode is client."
        )
    conf.pop("deploy-mode", None)
    return settings.model_copy(update={"spark_master": master, "spark_conf": {**settings.spark_conf, **conf}})


def _package(scratch: Path) -> Path:
    """The code that the driver runs as an archive, which executors unpack into the folder their Python begins with."""
    path = scratch / f"recsys-{uuid.uuid4().hex[:12]}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(Path(__file__).parent.rglob("*.py")):
            archive.write(file, file.relative_to(Path(__file__).parent))
    return path


def as_raised(error: Exception) -> Exception:
    """The error of this package that a Python worker's traceback ends with; the error itself without one."""
    for line in reversed(str(error).splitlines()):
        name, _, message = line.strip().partition(": ")
        kind = getattr(errors, name.removeprefix("recsys.errors."), None) if name.startswith("recsys.errors.") else None
        if isinstance(kind, type) and issubclass(kind, errors.RecsysError):
            return kind(message)
    return error


def heap_mb(n_ratings: int, memory_mb: int) -> int:
    """A heap for the driver: 2 GB and 120 bytes a rating, but no more than a third of the machine, and at least 1 GB.

    MLlib holds each rating twice in its blocks, which are smaller in a smaller heap
    (`recsys.training.fitting.n_blocks`), and caches on disk what does not fit. The other two thirds are for
    Python: the ratings and factors of this process, and the workers.

    >>> heap_mb(100_000, 24_000), heap_mb(25_000_000, 24_000), heap_mb(25_000_000, 8_000)
    (2059, 4909, 2666)
    """
    return max(1024, min(2048 + 120 * n_ratings // 2**20, memory_mb // 3))


def machine_mb() -> int:
    """Memory of this machine, or of the control group (a container, a service) this process is confined to."""
    size_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    groups = Path("/proc/self/cgroup")  # Linux alone has it
    limits = group_limits(groups.read_text(), Path("/sys/fs/cgroup")) if groups.is_file() else []
    return min([size_bytes, *limits]) // 2**20


def group_limits(groups: str, root: Path) -> list[int]:
    """The limits of memory in bytes that hold for a process, of both versions of control groups.

    Args:
        groups: what ``/proc/<pid>/cgroup`` says.
        root: where control groups are mounted. Inside a container a process may find its own group at the root.
    """
    found = []
    for line in groups.splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds in ("", "memory"):
            top, name = (root / kinds, "memory.limit_in_bytes") if kinds else (root, "memory.max")
            files = {folder / name for folder in (top, top / path.lstrip("/"))}
            texts = [file.read_text().strip() for file in files if file.is_file()]
            found += [int(text) for text in texts if text.isdigit()]  # it may say "max"
    return found


def task_bytes(spark: "SparkSession") -> int:
    """Memory for data in the heap that each of the tasks running side by side has: on the smallest machine, if many."""
    context = spark.sparkContext
    sizes = context._jsc.sc().getExecutorMemoryStatus().values().iterator()  # type: ignore[attr-defined]
    found = []
    while sizes.hasNext():
        found.append(int(sizes.next()._1()))
    n_tasks: int = context.defaultParallelism
    if not is_local(context.master):
        # The driver is one of them, and runs no tasks. Executors may still be coming: what one has was perhaps said.
        said = int(context.getConf().get("spark.executor.cores") or 0)
        n_tasks = said or -(-n_tasks // max(1, len(found) - 1))
    return min(found) // n_tasks


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
