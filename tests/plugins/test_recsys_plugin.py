"""The pages inside Airflow, through Airflow's own server: closed to anonymous requests, open to those signed in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import recsys_plugin

from recsys.storage import layout

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    from airflow.api_fastapi.app import create_app
    from airflow.utils.db import initdb
    from fastapi.testclient import TestClient

    state = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSYS_STATE_DIR", str(state))
        Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]).write_text(
            json.dumps({"ada": "secret-a", "vera": "secret-v"})
        )
        initdb()
        with TestClient(create_app()) as client:
            yield client


def token(client, user, password):
    answer = client.post("/auth/token", json={"username": user, "password": password})
    assert answer.status_code == 201, answer.text
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize(
    "path",
    ["/", "/user?user_id=1", "/new?ratings=1=5", "/api/users/1", "/poster?movie_id=1", "/reports/eda/a.html"],
)
def test_anonymous_requests_are_turned_away(client, path):
    assert client.get(f"/recommendations{path}").status_code == 401
    assert client.post("/recommendations/api/lists", json={"ratings": {"1": 5}}).status_code == 401


def test_a_made_up_token_is_turned_away(client):
    answer = client.get("/recommendations/", headers={"authorization": "Bearer made-up"})
    assert answer.status_code in {401, 403}


@pytest.mark.parametrize(("user", "password"), [("ada", "secret-a"), ("vera", "secret-v")])
def test_whoever_is_signed_in_sees_the_pages(client, user, password):
    answer = client.get("/recommendations/", headers=token(client, user, password))
    assert answer.status_code == 200
    assert "Nothing is published yet" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_cookie_of_the_login_page_counts_in_the_frame(client):
    cookie = token(client, "vera", "secret-v")["authorization"].removeprefix("Bearer ")
    assert client.get("/recommendations/", headers={"cookie": f"_token={cookie}"}).status_code == 200


def test_airflow_loads_the_plugin_without_a_fault(client):
    headers = token(client, "ada", "secret-a")
    assert client.get("/api/v2/plugins/importErrors", headers=headers).json()["import_errors"] == []
    plugins = {plugin["name"]: plugin for plugin in client.get("/api/v2/plugins", headers=headers).json()["plugins"]}
    views = plugins["recsys"]["external_views"]
    assert {"Recommendations": "/recommendations/"}.items() <= {view["name"]: view["href"] for view in views}.items()


@pytest.fixture
def store(client):
    from recsys.config import Settings
    from recsys.storage.opening import open_store

    return open_store(Settings.load().resolved_store_url)


def links(run_id, task_id, dag_id="ingest_ratings"):
    """Buttons of a task instance by name, those that Airflow would hide left out."""
    from airflow.models.taskinstancekey import TaskInstanceKey

    key = TaskInstanceKey(dag_id, task_id, run_id, 1, -1)
    found = {
        link.name: link.get_link(None, ti_key=key) for link in recsys_plugin.RecsysPlugin.global_operator_extra_links
    }
    return {name: address for name, address in found.items() if address}


def test_a_validation_has_its_buttons_as_soon_as_its_reports_are_there(client, store):
    run_id = "manual__2026-01-01T04:00:00+00:00"
    ingest_id = layout.run_key(run_id)
    assert links(run_id, "validate") == {}
    store.put(layout.validation_report(ingest_id), b"<html>rules</html>")
    store.put(f"{layout.data_docs(ingest_id)}/index.html", b"<html>docs</html>")
    found = links(run_id, "validate")
    assert found == {
        "Validation report": f"/recommendations/reports/validation/{ingest_id}.html",
        "Data Docs": f"/recommendations/reports/data-docs/{ingest_id}/index.html",
    }
    headers = token(client, "vera", "secret-v")
    assert [client.get(address, headers=headers).text for address in found.values()] == [
        "<html>rules</html>",
        "<html>docs</html>",
    ]
    assert {client.get(address).status_code for address in found.values()} == {401}
    assert links(run_id, "publish") == links(run_id, "validate", "train_model") == {}


def test_a_run_of_before_keys_had_a_digest_keeps_its_buttons(client, store):
    run_id = "scheduled__2026-01-05T04:00:00+00:00"
    old = layout.validation_report("scheduled-2026-01-05T04-00-00-00-00")
    store.put(old, b"<html>old</html>")
    assert links(run_id, "validate") == {"Validation report": f"/recommendations/{old}"}
    new = layout.validation_report(layout.run_key(run_id))
    store.put(new, b"<html>validated again</html>")
    assert links(run_id, "validate") == {"Validation report": f"/recommendations/{new}"}


def test_the_exploration_of_a_run_that_published_nothing_has_no_button(client):
    assert links("manual__none", "explore") == {}


def test_a_store_that_cannot_be_asked_hides_the_buttons_instead_of_breaking_the_page(client, monkeypatch, caplog):
    from recsys.errors import TransientError

    def refuse():
        raise TransientError("the store is away")

    monkeypatch.setattr(recsys_plugin, "_store", refuse)
    assert links("manual__1", "validate") == {}
    assert "the store is away" in caplog.text


def test_mlflow_is_linked_where_its_address_is_known(monkeypatch):
    monkeypatch.delenv("RECSYS_MLFLOW_UI_URL", raising=False)
    assert [view["name"] for view in recsys_plugin.views()] == ["Recommendations"]
    monkeypatch.setenv("RECSYS_MLFLOW_UI_URL", "http://127.0.0.1:5000")
    link = recsys_plugin.views()[1]
    assert (link["href"], "url_route" in link) == ("http://127.0.0.1:5000", False)  # a plain link, not a frame


def test_loading_the_plugin_builds_nothing_every_process_would_pay_for():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'plugins')!r}); import recsys_plugin\n"
        "print(sorted({'fastapi', 'pyarrow', 'recsys.webapp.app'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
