"""The launcher follows its own data through a queue of others, and says so when another run takes their place."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from recsys.errors import StackError
from recsys.stack.airflow_api import AirflowApi
from recsys.stack.following import Follower

INGEST = ("ingest_ratings", "manual")


def event(*consumers, task="publish", repeats=None):
    extra = {"dataset": "own", "conf": {}} | ({"repeats": {"run_id": repeats}} if repeats else {})
    runs = [{"dag_id": dag_id, "run_id": run_id} for dag_id, run_id in consumers]
    return {"source_task_id": task, "extra": extra, "created_dagruns": runs}


def choice(works_on, **passed_over):
    kinds = ("postponed", "superseded", "dropped")
    others = {kind: [{"run_id": run_id} for run_id in passed_over.get(kind, ())] for kind in kinds}
    return {"event": {"run_id": works_on}, **others}


@contextlib.contextmanager
def airflow(events, choices, states=()):
    """A server that answers as Airflow's API does: events by run, what `configure` returned by run, states by run."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            query, path = parse_qs(parts.query), unquote(parts.path)
            if path.endswith("/assets/events"):
                found = events.get(query["source_run_id"][0], [])
                self.answer(500 if found is None else 200, {"asset_events": found})
                return
            run_id = path.split("/dagRuns/")[1].split("/")[0]
            if path.endswith("/return_value"):
                self.answer(200 if run_id in choices else 404, {"value": choices.get(run_id)})
            else:
                self.answer(200, {"state": dict(states).get(run_id, "running")})

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.answer(401, {"detail": "Invalid credentials"})

        def answer(self, status, document):
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        api = AirflowApi(f"http://127.0.0.1:{server.server_port}", "")
        try:
            yield Follower(api, INGEST, "train_model")
        finally:
            api.close()
            server.shutdown()
            thread.join()


def test_the_run_that_works_on_what_was_published_follows():
    with airflow({"manual": [event(("theirs", "x"), ("train_model", "t1"))]}, {"t1": choice("manual")}) as follower:
        assert follower.successor() == ("train_model", "t1")
        assert follower.others == []


def test_a_run_that_takes_another_data_set_first_is_waited_for():
    events = {
        "manual": [event(("train_model", "t1"))],
        "t1": [event(task="promote"), event(("train_model", "t9"), task="configure", repeats="elsewhere"),
               event(("train_model", "t2"), task="configure", repeats="manual")],
    }  # fmt: skip
    choices = {"t1": choice("sample", postponed=["elsewhere", "manual"]), "t2": choice("manual")}
    with airflow(events, choices) as follower:
        assert follower.successor() == ("train_model", "t2")
        assert follower.others == [("train_model", "t1")]


@pytest.mark.parametrize("kind", ["superseded", "dropped"])
def test_data_that_are_passed_over_are_not_passed_off_as_trained(kind):
    choices = {"t1": choice("newer", **{kind: ["manual"]})}
    with (
        airflow({"manual": [event(("train_model", "t1"))]}, choices) as follower,
        pytest.raises(StackError, match=r"t1 works on what newer published, and not on what this run did \(manual\)"),
    ):
        follower.successor()


def test_a_run_that_has_not_said_yet_what_it_works_on_is_waited_for():
    with airflow({"manual": [event(("train_model", "t1"))]}, {}) as follower:
        assert (follower.successor(), follower.is_waiting) == (None, True)
    with airflow({"manual": None}, {}) as follower:  # Airflow 3.3 while the run has not started
        assert (follower.successor(), follower.is_waiting) == (None, True)
    with airflow({"manual": [event()]}, {}) as follower:  # nothing was started yet
        assert (follower.successor(), follower.is_waiting) == (None, False)


def test_a_run_that_found_everything_taken_is_passed_by():
    events = {"manual": [event(("train_model", "t0"), ("train_model", "t1"))]}
    with airflow(events, {"t1": choice("manual")}, {"t0": "success"}.items()) as follower:
        assert follower.successor() == ("train_model", "t1")


def test_a_run_that_failed_before_it_said_anything_is_shown_as_ours():
    with airflow({"manual": [event(("train_model", "t1"))]}, {}, {"t1": "failed"}.items()) as follower:
        assert follower.successor() == ("train_model", "t1")


def test_the_server_of_another_stack_at_our_port_is_not_taken_for_ours():
    with airflow({}, {}) as follower:
        assert not follower.api.accepts_password()
    with contextlib.closing(AirflowApi(follower.api.url, "")) as api:
        assert not api.accepts_password()  # nothing listens there any more
