"""What is known of an archive before it comes: sums beside it, what is held already, who may have it."""

import logging

import pytest

from recsys.errors import DataError, PermanentError
from recsys.ingest.download.mirrors import Held, Validator, download
from tests.ingest.servers import CONTENT, FAST, MD5, reply, serving, with_ranges


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_what_one_server_said_of_an_archive_is_not_asked_of_another(tmp_path):
    held = Held("https://elsewhere.example/ml.zip", Validator(etag='"v1"'))
    with serving(lambda handler, _: reply(handler)) as (address, requests):
        assert download([address], tmp_path / "ml.zip", held=held, policy=FAST).size_bytes == 256_000
    assert "If-None-Match" not in requests[0]


@pytest.mark.parametrize(
    "text", [f"MD5 (ml.zip) = {MD5}\n", f"{MD5}  ml.zip\n", f"{'0' * 32}  a\n{MD5} *x/ml.zip\n", MD5]
)
def test_the_sum_beside_an_archive_is_compared_in_either_style(tmp_path, text):
    with serving(lambda handler, _: reply(handler), sidecar=lambda _: text) as (address, _):
        got = download([address], tmp_path / "ml.zip", policy=FAST)
    assert (got.md5, got.verified_by) == (MD5, "the MD5 sum beside it")


def test_an_archive_without_a_sum_beside_it_is_taken_and_that_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for sidecar in (None, lambda _: "<html>no such page</html>"):
        with serving(lambda handler, _: reply(handler), sidecar=sidecar) as (address, _):
            assert download([address], tmp_path / "ml.zip", policy=FAST).verified_by == "nothing"
    assert caplog.text.count("so none is compared") == 2


def test_an_archive_that_is_not_of_the_sum_beside_it_is_an_error_after_the_retries(tmp_path):
    with (
        serving(lambda handler, _: reply(handler), sidecar=lambda _: f"{'0' * 32}  ml.zip") as (address, requests),
        pytest.raises(DataError, match=f"sent bytes with MD5 {MD5}, its sidecar is {'0' * 32}"),
    ):
        download([address], tmp_path / "ml.zip", policy=FAST)
    assert len(requests) == 3
    assert list(tmp_path.iterdir()) == []


def test_an_archive_replaced_between_sum_and_bytes_is_fetched_again(tmp_path):
    def sidecar(number):
        return f"{'0' * 32}  ml.zip" if number == 1 else f"{MD5}  ml.zip"

    with serving(lambda handler, _: reply(handler), sidecar=sidecar) as (address, requests):
        assert download([address], tmp_path / "ml.zip", policy=FAST).md5 == MD5
    assert len(requests) == 2


def test_the_sum_beside_an_archive_tells_that_it_is_held(tmp_path):
    held = Held("https://elsewhere.example/ml.zip", Validator(), MD5)
    with serving(lambda handler, _: reply(handler), sidecar=lambda _: f"{MD5}  ml.zip") as (address, _):
        assert download([address], tmp_path / "ml.zip", held=held, policy=FAST) is None
    assert not (tmp_path / "ml.zip").exists()


def test_a_part_that_another_mirror_corrupted_is_fetched_whole_before_anybody_is_blamed(tmp_path):
    (tmp_path / "ml.zip.part").write_bytes(b"x" * 1_000)
    (tmp_path / "ml.zip.part.json").write_text('{"address": "x", "etag": null, "last_modified": null}')
    with serving(lambda handler, _: with_ranges(handler)) as (address, requests):
        assert download([address], tmp_path / "ml.zip", md5=MD5, policy=FAST).path.read_bytes() == CONTENT
    assert [request.get("Range") for request in requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("status", [401, 403])
def test_an_archive_for_signed_in_people_says_how_to_get_it(tmp_path, status):
    with (
        serving(lambda handler, _: reply(handler, b"", status)) as (address, requests),
        pytest.raises(PermanentError, match=rf"{status} .* with a browser .*DATASET=/path/to/archive\.zip"),
    ):
        download([address], tmp_path / "ml.zip", policy=FAST)
    assert len(requests) == 1


def test_a_redirect_to_a_signed_address_is_followed_and_not_remembered(tmp_path):
    def answer(handler, _):
        if "signature" in handler.path:
            reply(handler)
        else:
            reply(handler, b"", 302, Location="/storage.zip?signature=secret")

    with serving(answer) as (address, _):
        got = download([address], tmp_path / "ml.zip", policy=FAST)
    assert (got.size_bytes, got.source) == (256_000, address)
