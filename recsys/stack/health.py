"""Look after a stack that works: its processes live, its scheduler's heart beats, its disks have room.

A scheduler whose loop has ended, on a full disk say, can live on as a process and do nothing. Only its heartbeat tells.
"""

import contextlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.config import Settings
from recsys.errors import StackError
from recsys.stack.airflow_api import AirflowApi
from recsys.storage.opening import local_folder

if TYPE_CHECKING:
    from recsys.stack.launcher import Stack

# A run of the sample writes 150 MB; on a full disk Airflow's database, Spark and MLflow fail in misleading ways.
TO_START_MB = 1_000
TO_GO_ON_MB = 200
# Airflow calls a scheduler unhealthy after 30 s. A machine that is very busy delays it by more.
SILENT_FOR_S = 120.0
# A machine that has just woken up shows old heartbeats.
ANSWERS_WITHIN_S = 15.0


class Guard:
    """Raises as soon as a stack cannot bring a run to its end any more."""

    def __init__(self, stack: "Stack", settings: Settings) -> None:
        self._stack = stack
        self._folders = folders(settings)
        self._heartbeat = ""
        self._heard_at = time.monotonic()

    def check(self, health: dict[str, Any]) -> None:
        """Look once.

        Args:
            health: what `AirflowApi.health` answered; empty where Airflow did not answer.

        Raises:
            StackError: a process died, the scheduler has been silent for too long, or a disk is almost full.
        """
        self._stack.check()
        check_space(self._folders, TO_GO_ON_MB, f"Free some space. {self._stack.remedy}")
        heartbeat = (health.get("scheduler") or {}).get("latest_scheduler_heartbeat") or ""
        now = time.monotonic()  # it stands still while the machine sleeps
        if heartbeat not in ("", self._heartbeat):
            self._heartbeat, self._heard_at = heartbeat, now
        if now - self._heard_at > SILENT_FOR_S:
            raise StackError(
                f"Airflow's scheduler runs, but has given no sign of life for {SILENT_FOR_S:.0f} s. "
                f"{self._stack.remedy} The reason is in {self._stack.places.logs / 'scheduler.log'}."
            )


def find_silent(stack: "Stack") -> list[str]:
    """Names of the processes that live, but give no sign of life: what they do stands still."""
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    with contextlib.closing(AirflowApi(stack.airflow_url, "")) as api:
        while (silent := _silent(stack, api.health())) and time.monotonic() < deadline:
            time.sleep(1)
    return silent


def check_signs_of_life(stack: "Stack") -> None:
    """Raise `StackError` if one of the processes has died, or hangs."""
    stack.check()
    if silent := find_silent(stack):
        raise StackError(f"No sign of life from {', '.join(silent)}. {stack.remedy}")


def folders(settings: Settings) -> list[Path]:
    """The local folders a run writes to."""
    store = local_folder(settings.resolved_store_url)
    return [settings.state_dir, *([store] if store else [])]


def check_space(paths: Iterable[Path], least_mb: int, advice: str) -> None:
    """Raise `StackError` where a disk has less free space than that; `advice` says how things are and what to do."""
    for path in paths:
        free_mb = shutil.disk_usage(_existing(path.expanduser().absolute())).free / 1e6
        if free_mb < least_mb:
            raise StackError(
                f"The disk of {path} has {free_mb:,.0f} MB left, and at least {least_mb:,} MB are needed. {advice}"
            )


def _silent(stack: "Stack", health: dict[str, Any]) -> list[str]:
    living = [process.name for process in stack.processes if process.is_alive]
    if not health:
        return [name for name in living if name == "api-server"]
    return [name for name in living if (health.get(name.replace("-", "_")) or {}).get("status") == "unhealthy"]


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())
