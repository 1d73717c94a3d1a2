"""The pages inside Airflow, through Airflow's own server: closed to anonymous requests, open to those signed in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import recsys_plugin

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


@pytest.mark.parametrize("path", ["/", "/user?user_id=1", "/api/users/1", "/poster?movie_id=1", "/report?kind=eda"])
def test_anonymous_requests_are_turned_away(client, path):
    assert client.get(f"/recommendations{path}").status_code == 401


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


def test_mlflow_is_linked_where_its_address_is_known(monkeypatch):
    monkeypatch.delenv("RECSYS_MLFLOW_UI_URL", raising=False)
    assert [view["name"] for view in recsys_plugin.views()] == ["Recommendations"]
    monkeypatch.setenv("RECSYS_MLFLOW_UI_URL", "http://127.0.0.1:5000")
    link = recsys_plugin.views()[1]
    assert (link["href"], "url_route" in link) == ("http://127.0.0.1:5000", False)  # a plain link, not a frame


def test_loading_the_plugin_builds_nothing_every_process_would_pay_for():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'plugins')!r}); import recsys_plugin\n"
        "print(sorted({'fastapi', 'pyarrow', 'recsys.explorer.app'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
