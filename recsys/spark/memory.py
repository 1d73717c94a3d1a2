"""Memory: of this machine, of the driver's heap, and of each task.

What a control group allows counts before what the machine has.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.spark.masters import is_local

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def heap_mb(n_ratings: int, memory_mb: int) -> int:
    """A heap for the driver: 2 GB and 120 bytes a rating, but no more than a third of the machine, and at least 1 GB.

    MLlib holds each rating twice in its blocks, which are smaller in a smaller heap
    (`recsys.training.fits.engines.n_blocks`), and caches on disk what does not fit. The other two thirds are for
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
