"""Adds to Airflow: the recommendations as pages inside it, buttons on tasks for their reports, and a link to MLflow.

The pages are the package's (`recsys.webapp`); this file mounts them and lets only people in who are signed in to
Airflow. Plugins are loaded by every Airflow process, so the application is built at the first request for it.
"""

import logging
import os
from functools import cache
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

log = logging.getLogger(__name__)

PREFIX = "/recommendations"


class LazyApp:
    """An ASGI application that is built when it is first asked for: only the API server ever pays for it."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            self._app = build()
        await self._app(scope, receive, send)


def build() -> Any:
    """The explorer, closed to anonymous requests: Airflow does not protect what a plugin mounts."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends

    from recsys.webapp.app import create_app
    from recsys.webapp.new_user_lists import recommend

    return create_app(_store(), [Depends(get_user)], recommend)


def views() -> list[dict[str, str]]:
    """Entries of the navigation: pages inside Airflow, and a plain link where an MLflow server is known."""
    entries = [
        {
            "name": "Recommendations",
            "href": f"{PREFIX}/",
            "url_route": "recommendations",
            "destination": "nav",
            "category": "browse",
        }
    ]
    if address := os.environ.get("RECSYS_MLFLOW_UI_URL"):
        entries.append({"name": "MLflow", "href": address, "destination": "nav", "category": "browse"})
    return entries


class ReportLink(BaseOperatorLink):
    """A button on the page of a task instance that opens a report, as soon as the report is there.

    Airflow asks for it in the API server, where the address is derived from the id of the run. It does not hang on
    anything the task returned, so a validation that failed has its buttons too.
    """

    def __init__(self, name: str, task_id: str) -> None:
        self._name = name
        self._task_id = task_id

    @property
    def name(self) -> str:
        return self._name

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The report's address; empty, which hides the button, where there is none."""
        if (ti_key.dag_id, ti_key.task_id) != ("ingest_ratings", self._task_id):
            return ""
        from recsys.errors import RecsysError

        try:
            key = report_keys(ti_key.run_id, self._task_id).get(self._name)
        except RecsysError:
            log.exception("The store could not be asked for the %s of run %s", self._name, ti_key.run_id)
            return ""
        return f"{PREFIX}/{key}" if key else ""


def report_keys(run_id: str, task_id: str) -> dict[str, str]:
    """Keys of the reports a task of an ingest has written, by their names."""
    from recsys.storage import layout
    from recsys.webapp import reports

    if task_id == "validate":
        ingest_ids = layout.run_key(run_id), layout.former_run_key(run_id)
        found = (reports.existing(_store(), reports.of_ingest(ingest_id)) for ingest_id in ingest_ids)
        return next(filter(None, found), {})
    snapshot_id = _published_snapshot(run_id)
    return reports.existing(_store(), reports.of_snapshot(snapshot_id)) if snapshot_id else {}


def _published_snapshot(run_id: str) -> str | None:
    """The snapshot a run of the ingest published, or found unchanged: the same source gives the same one."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    query = XComModel.get_many(key="return_value", run_id=run_id, dag_ids="ingest_ratings", task_ids="publish", limit=1)
    with create_session() as session:
        found = session.execute(query.with_only_columns(XComModel.value)).first()
    published = XComModel.deserialize_value(found) if found else None
    return published.get("snapshot_id") if isinstance(published, dict) else None


@cache
def _store() -> Any:
    from recsys.config import Settings
    from recsys.storage.opening import open_store

    return open_store(Settings.load().resolved_store_url)


class RecsysPlugin(AirflowPlugin):
    """What Airflow looks for."""

    name = "recsys"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        {"app": LazyApp(), "url_prefix": PREFIX, "name": "Recommendations"},
    ]
    external_views: ClassVar[list[dict[str, str]]] = views()
    global_operator_extra_links: ClassVar[list[Any]] = [
        ReportLink("Validation report", "validate"),
        ReportLink("Data Docs", "validate"),
        ReportLink("Exploratory report", "explore"),
    ]
