"""Adds to Airflow's navigation: the recommendations as pages inside it, and a link to MLflow.

The pages are the package's (`recsys.explorer`); this file mounts them and lets only people in who are signed in to
Airflow. Plugins are loaded by every Airflow process, so the application is built at the first request for it.
"""

import os
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

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

    from recsys.explorer.app import create_app

    return create_app(dependencies=[Depends(get_user)])


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


class RecsysPlugin(AirflowPlugin):
    """What Airflow looks for."""

    name = "recsys"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        {"app": LazyApp(), "url_prefix": PREFIX, "name": "Recommendations"},
    ]
    external_views: ClassVar[list[dict[str, str]]] = views()
