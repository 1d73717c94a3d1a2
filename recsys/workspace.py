"""What a task works with: the settings, the store, MLflow and Spark; made at the entry and passed to every task."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from recsys.config import Settings
from recsys.spark.session import spark_session
from recsys.storage.base import Store
from recsys.storage.opening import open_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.tracking.tracking import Tracking


@dataclass(frozen=True)
class Workspace:
    """Opens each part when it is first used, so a task pays only for what it needs.

    Attributes:
        settings: where things are.
        start_spark: starts a Spark session for a ``with`` block; tests share one.
    """

    settings: Settings
    start_spark: Callable[..., AbstractContextManager["SparkSession"]] = spark_session

    @classmethod
    def open(cls) -> Self:
        """The workspace that the environment describes."""
        return cls(Settings.load())

    @cached_property
    def store(self) -> Store:
        return open_store(self.settings.resolved_store_url)

    @cached_property
    def tracking(self) -> "Tracking":
        from recsys.tracking.tracking import Tracking  # importing MLflow takes 2.6 s

        return Tracking(self.settings)

    def spark(self, app_name: str, **options: Any) -> AbstractContextManager["SparkSession"]:
        """A Spark session for a ``with`` block; `options` as of `recsys.spark.session.spark_session`."""
        return self.start_spark(self.settings, app_name, **options)
