"""No credential is shown or stored: in messages, in logs, in documents, behind links."""

import json
import logging
import pickle
import traceback

import pytest

from recsys import redaction
from recsys.config import Settings
from recsys.errors import TransientError
from recsys.ingest.download.mirrors import Held, download
from recsys.redaction import RedactingFormatter, link, redact, secrets_of
from recsys.stack.ports import free_port
from recsys.storage.file_store import FileStore
from recsys.storage.s3_store import S3Store
from recsys.storage.tables import read_json, write_json
from tests.ingest.servers import FAST, reply, serving, with_ranges


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(redaction, "_remembered", set())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:pw@h:5000/a", "http://***@h:5000/a"),
        ("http://ann:p@s/s#w@h:5000/a", "http://***@h:5000/a"),  # not escaped, as people paste it
        ("postgresql+psycopg://ann:pw@db/mlflow?sslmode=require", "postgresql+psycopg://***@db/mlflow?sslmode=require"),
        ("https://ghp_0123456789abcdef@h/a", "https://***@h/a"),
        ("https://h/a?X-Amz-Signature=0af1&size=2", "https://h/a?X-Amz-Signature=***&size=2"),
        ("https://h/a?k=0123456789abcdef", "https://h/a?k=***"),  # as long as a key, whatever it is called
        ("'https://ann:pw@h/a': refused; https://bob:pw@h/b", "'https://***@h/a': refused; https://***@h/b"),
        ("https://h/a?size=2 and mail ann@example.org", "https://h/a?size=2 and mail ann@example.org"),
    ],
)
def test_addresses_lose_user_password_and_secret_values_and_nothing_else(text, shown):
    assert redact(text) == shown


def test_a_secret_of_the_settings_is_hidden_without_its_address_too():
    Settings(mlflow_tracking_uri="http://ann:correct-horse@h", tmdb_token="battery-staple")

    assert redact("user ann with correct-horse and battery-staple") == "user ann with *** and ***"


def test_an_escaped_secret_is_hidden_as_it_is_written_and_as_it_is_meant():
    assert set(secrets_of("http://ann:p%40ssw@h")) == {"p%40ssw", "p@ssw"}


def test_a_short_password_does_not_make_texts_unreadable():
    Settings(mlflow_tracking_uri="http://ann:a@h")

    assert redact("all tasks ran") == "all tasks ran"


def test_a_traceback_shows_no_credentials_of_what_caused_an_error_of_ours(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://ann:pw@127.0.0.1:{free_port(9000)}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(TransientError) as raised:
        S3Store("movies").exists("a")

    shown = "".join(traceback.format_exception(raised.value))
    assert "http://***@127.0.0.1" in shown
    assert "pw@" not in shown


def test_addresses_of_the_environment_count_too(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://ann:correct-horse@h")

    assert "correct-horse" in Settings().secrets()


def test_secret_settings_of_spark_count_and_others_do_not():
    conf = {"spark.hadoop.fs.s3a.secret.key": "correct-horse", "spark.sql.session.timeZone": "Europe/Berlin"}

    assert Settings(spark_conf=conf).secrets() >= {"correct-horse"}
    assert "Europe/Berlin" not in Settings(spark_conf=conf).secrets()


def test_errors_show_no_credentials_and_survive_a_border_between_processes():
    error = pickle.loads(pickle.dumps(TransientError("http://ann:pw@h/a did not answer.")))

    assert str(error) == "http://***@h/a did not answer."


def test_logs_show_no_credentials_in_messages_and_tracebacks():
    try:
        int("http://ann:pw@h")
    except ValueError as error:
        details = (type(error), error, error.__traceback__)
    record = logging.LogRecord("recsys", logging.INFO, "f.py", 1, "asked %s", ("https://ann:pw@h/b",), details)

    text = RedactingFormatter("%(message)s").format(record)

    assert "asked https://***@h/b" in text
    assert "http://***@h" in text
    assert "pw" not in text


def test_documents_are_stored_without_credentials_but_their_keys_stay(tmp_path):
    Settings(mlflow_tracking_uri="http://ann:tables@h")
    store = FileStore(tmp_path)

    write_json(store, "a.json", {"source": "https://ann:pw@h/a.zip?token=t", "key": "tables/a", "n": [1, None]})

    assert read_json(store, "a.json") == {"source": "https://***@h/a.zip?token=***", "key": "tables/a", "n": [1, None]}
    assert json.loads((tmp_path / "a.json").read_bytes())


def test_a_link_leads_to_the_same_place_without_user_and_query():
    assert link("http://ann:pw@127.0.0.1:5000/ui?token=abc#/x") == "http://127.0.0.1:5000/ui"


def test_the_source_of_a_download_is_noted_without_credentials_and_still_recognised(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with serving(with_ranges_and_no_sum) as (address, requests):
        mirror = address.replace("http://", "http://ann:pw@") + "?token=abc"
        got = download([mirror], tmp_path / "ml.zip", policy=FAST)
        held = Held(got.source, got.validator, got.md5)
        again = download([mirror], tmp_path / "ml.zip", held=held, policy=FAST)

    assert got.source == address.replace("http://", "http://***@") + "?token=***"
    assert again is None
    assert requests[0]["Authorization"].startswith("Basic ")
    assert requests[-1]["If-None-Match"] == '"v1"'  # asked on condition, so it was known to be the same address
    assert "pw" not in caplog.text


def with_ranges_and_no_sum(handler, _number):
    if handler.headers.get("If-None-Match") == '"v1"':
        reply(handler, b"", 304, declared=0, ETag='"v1"')
    else:
        with_ranges(handler)
