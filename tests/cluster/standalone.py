"""A Spark standalone cluster of processes on this machine, on loopback: a master and workers that can be killed."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pyspark

_CLASSES = "org.apache.spark.deploy"


class Cluster:
    """A master and its workers; each worker has one core."""

    def __init__(self, folder: Path, n_workers: int) -> None:
        self.folder, self._processes = folder, []
        self.master = ""
        log = self._start("master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        self.master = self._wait(log, r"Starting Spark master at (spark://\S+)")
        for number in range(n_workers):
            options = ["--cores", "1", "--memory", "1500m", "--host", "127.0.0.1", "--webui-port", "0"]
            work = ["--work-dir", str(self.work_dir(number))]
            self._wait(
                self._start("worker.Worker", *options, *work, self.master), r"(Successfully registered with master)"
            )

    def work_dir(self, number: int) -> Path:
        """Where a worker's executors run, one folder each, and leave their logs."""
        return self.folder / f"work-{number}"

    def kill_worker(self, number: int) -> None:
        """End a worker and its executor at once, as a lost machine does."""
        worker = psutil.Process(self._processes[1 + number].pid)
        for process in [*worker.children(recursive=True), worker]:
            process.send_signal(signal.SIGKILL)

    def n_python_workers(self) -> int:
        """Python processes below the executors: there are some while a task runs Python."""
        commands = []
        for worker in self._processes[1:]:
            for process in psutil.Process(worker.pid).children(recursive=True):
                with suppress(psutil.Error):  # it may end while it is looked at
                    commands.append(" ".join(process.cmdline()))
        return sum("pyspark.daemon" in command for command in commands)

    def stop(self) -> None:
        for process in self._processes:
            tree = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.kill()
            process.wait()
            for child in tree:
                if child.is_running():
                    child.kill()

    def _start(self, name: str, *arguments: str) -> Path:
        log = self.folder / f"{name}-{len(self._processes)}.log"
        command = [str(Path(pyspark.__file__).parent / "bin" / "spark-class"), f"{_CLASSES}.{name}", *arguments]
        environment = {
            # As on other machines, the package is not on the executors' path: it must come from the driver.
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "PYSPARK_PYTHON": sys.executable,
        }
        with log.open("w") as out:
            self._processes.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment))
        return log

    def _wait(self, log: Path, pattern: str, timeout_s: float = 60) -> str:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := re.search(pattern, log.read_text()):
                return found[1]
            if self._processes[-1].poll() is not None:
                break
            time.sleep(0.2)
        raise RuntimeError(f"{log.name} never said {pattern!r}:\n{log.read_text()[-2000:]}")


@contextmanager
def cluster(folder: Path, n_workers: int = 2):
    """A cluster for the length of a block."""
    started = Cluster.__new__(Cluster)
    try:
        started.__init__(folder, n_workers)
        yield started
    finally:
        started.stop()
