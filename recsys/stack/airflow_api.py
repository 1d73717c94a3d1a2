"""Airflow's REST API, as much of it as the launcher needs."""

import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import httpx

from recsys.errors import StackError
from recsys.stack.places import USER

# On SQLite a request that meets a writer was once seen to wait 9.5 s.
_TIMEOUT_S = 60.0
# A server that closes an idle connection just then resets the next request on it.
_READ_ATTEMPTS = 5


class AirflowApi:
    """A signed-in client; signs in again when its token has run out."""

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self._password = password
        # No proxy stands between this machine and itself.
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def health(self) -> dict[str, Any]:
        """State of each component; an empty dict while the server does not answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
            return dict(answer.json()) if answer.is_success else {}
        except (httpx.HTTPError, ValueError):
            return {}

    def accepts_password(self) -> bool:
        """Whether the server is the one that the password was drawn for."""
        try:
            self._sign_in()
        except (httpx.HTTPError, StackError):
            return False
        return True

    def call(self, method: str, path: str, body: Any = None, *, may_be_missing: bool = False, **query: Any) -> Any:
        """One request; returns the decoded answer, or None for what is missing and may be.

        Raises:
            StackError: the server refused it or did not answer; the message holds its reason.
        """
        answer = self._request(method, path, body, query)
        if may_be_missing and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._decoded(answer)

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """A task in a pool that does not exist waits for ever, so make it."""
        if self.call("GET", f"/pools/{name}", may_be_missing=True) is None:
            pool = {"name": name, "slots": slots, "description": description, "include_deferred": False}
            self.call("POST", "/pools", pool)

    def fail_unfinished_runs(self, dag_ids: Iterable[str]) -> list[str]:
        """End runs a killed stack left behind: with one active run per DAG they would block the next."""
        ended = []
        for dag_id in dag_ids:
            for run_id in self.unfinished_runs(dag_id):
                self.call("PATCH", f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}", {"state": "failed"})
                ended.append(f"{dag_id} {run_id}")
        return ended

    def unfinished_runs(self, dag_id: str) -> list[str]:
        """Ids of the runs that are queued or running; none of a DAG that Airflow does not know yet."""
        query = {"state": ["queued", "running"], "limit": 100}
        answer = self.call("GET", f"/dags/{dag_id}/dagRuns", may_be_missing=True, **query)
        return [str(run["dag_run_id"]) for run in (answer or {"dag_runs": []})["dag_runs"]]

    def forget_queued_events(self, dag_ids: Iterable[str]) -> None:
        """Drop asset events nobody has consumed yet, so that only the new run starts the chain."""
        for dag_id in dag_ids:
            self.call("DELETE", f"/dags/{dag_id}/assets/queuedEvents", may_be_missing=True)

    def unpause(self, dag_ids: Iterable[str]) -> None:
        for dag_id in dag_ids:
            self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False}, update_mask="is_paused")

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run; returns its id."""
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"))

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run, each mapped one for itself."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        return list(self.call("GET", path, limit=1000)["task_instances"])

    def events_of(self, dag_id: str, run_id: str) -> list[dict[str, Any]] | None:
        """Asset events that a run emitted, each with the runs that consumed it (``created_dagruns``).

        None means that there is one whose consumer waits in the queue: Airflow 3.3 fails to describe an event until
        the run it caused has a start date, and answers 500.
        """
        query = {"source_dag_id": dag_id, "source_run_id": run_id, "limit": 100}
        answer = self._request("GET", "/assets/events", query=query)
        if answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
            return None
        return list(self._decoded(answer)["asset_events"])

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned; None where it returned nothing."""
        path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/xcomEntries/return_value"
        entry = self.call("GET", path, may_be_missing=True)
        return entry and entry["value"]

    def _request(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> httpx.Response:
        n_left = _READ_ATTEMPTS if method == "GET" else 1
        has_signed_in = False
        while True:
            try:
                answer = self._http.request(method, f"/api/v2{path}", json=body, params=query)
            except httpx.TransportError as error:
                n_left -= 1
                if not n_left:
                    raise StackError(
                        f"Airflow at {self.url} did not answer {method} {path}: {error!r}. "
                        "What was published stands. `make status` tells what runs; run the same command again."
                    ) from error
                time.sleep(1)
                continue
            if answer.status_code != httpx.codes.UNAUTHORIZED or has_signed_in:
                return answer
            self._sign_in()
            has_signed_in = True

    def _decoded(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            request = answer.request
            raise StackError(
                f"Airflow refused {request.method} {request.url.path} with {answer.status_code}: {_reason(answer)}"
            )
        return answer.json() if answer.content else None

    def _sign_in(self) -> None:
        answer = self._http.post("/auth/token", json={"username": USER, "password": self._password})
        if not answer.is_success:
            raise StackError(f"Airflow at {self.url} refused to sign in {USER}: {_reason(answer)}")
        self._http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"


def _reason(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
    return str(detail.get("reason", detail) if isinstance(detail, dict) else detail)
