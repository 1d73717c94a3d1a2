"""Downloads against a real HTTP server on this machine: whole, broken and resumed, refused, mirrored."""

import errno
import gzip
import hashlib
import logging
import os
import ssl
import tracemalloc
from contextlib import contextmanager

import pytest

from recsys.errors import DataError, PermanentError, TransientError
from recsys.ingest.download.mirrors import Held, Policy, Validator, download
from tests.http.certificates import self_signed
from tests.ingest.servers import CONTENT, FAST, MD5, reply, serving, with_ranges


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_an_archive_arrives_whole_with_its_digest_and_identity(tmp_path):
    with serving(lambda handler, _: with_ranges(handler)) as (address, requests):
        got = download([address], tmp_path / "ml.zip", md5=MD5, policy=FAST)
    assert got.path.read_bytes() == CONTENT
    assert got.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (got.size_bytes, got.source, got.validator) == (256_000, address, Validator(etag='"v1"'))
    assert len(requests) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ml.zip"]


def test_progress_says_percent_and_speed(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with serving(lambda handler, _: with_ranges(handler)) as (address, _):
        download([address], tmp_path / "ml.zip", policy=FAST)
    assert any("100 % of 0.3 MB, at" in line and line.endswith("MB/s") for line in caplog.messages)


@pytest.mark.parametrize("md5", [MD5, None])
def test_a_broken_transfer_is_resumed_where_it_broke(tmp_path, md5):
    def answer(handler, number):
        with_ranges(handler, break_at=100_000 if number == 1 else None)

    with serving(answer) as (address, requests):
        got = download([address], tmp_path / "ml.zip", md5=md5, policy=FAST)
    assert got.path.read_bytes() == CONTENT
    assert [request.get("Range") for request in requests] == [None, "bytes=100000-"]
    # Without a pinned digest only the server can say that the rest belongs to the part.
    assert requests[1].get("If-Range") == (None if md5 else '"v1"')


def test_a_later_run_resumes_what_an_earlier_one_left(tmp_path):
    with (
        serving(lambda handler, _: with_ranges(handler, break_at=100_000)) as (address, _),
        pytest.raises(TransientError),
    ):
        download([address], tmp_path / "ml.zip", md5=MD5, policy=Policy(n_attempts=1))
    assert (tmp_path / "ml.zip.part").stat().st_size == 100_000
    with serving(lambda handler, _: with_ranges(handler)) as (address, requests):
        assert download([address], tmp_path / "ml.zip", md5=MD5, policy=FAST).path.read_bytes() == CONTENT
    assert requests[0]["Range"] == "bytes=100000-"


def test_an_archive_that_changed_meanwhile_is_fetched_anew(tmp_path):
    newer = CONTENT[::-1]

    def answer(handler, number):
        if number == 1:
            with_ranges(handler, break_at=100_000)
        else:
            with_ranges(handler, newer, etag='"v2"')

    with serving(answer) as (address, _):
        assert download([address], tmp_path / "ml.zip", policy=FAST).path.read_bytes() == newer


def test_a_server_without_ranges_starts_over(tmp_path):
    def answer(handler, number):
        reply(handler, CONTENT[:1000] if number == 1 else CONTENT, declared=len(CONTENT))
        handler.close_connection = True

    with serving(answer) as (address, _):
        assert download([address], tmp_path / "ml.zip", md5=MD5, policy=FAST).path.read_bytes() == CONTENT


def test_a_part_longer_than_the_archive_is_dropped(tmp_path):
    (tmp_path / "ml.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "ml.zip.part.json").write_text('{"address": "x", "etag": null, "last_modified": null}')

    def answer(handler, number):
        if number == 1:
            reply(handler, b"", 416)
        else:
            reply(handler)

    with serving(answer) as (address, _):
        assert download([address], tmp_path / "ml.zip", md5=MD5, policy=FAST).path.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(tmp_path, status):
    with serving(lambda handler, n: reply(handler, b"", status) if n < 3 else reply(handler)) as (address, requests):
        assert download([address], tmp_path / "ml.zip", policy=FAST).size_bytes == 256_000
    assert len(requests) == 3


def test_a_server_that_asks_for_a_longer_pause_than_is_waited_gives_way_to_the_next_mirror(tmp_path):
    def busy(handler, _):
        reply(handler, b"", 503, Retry_After="3600")

    with serving(busy) as (address, requests), serving(lambda handler, _: reply(handler)) as (mirror, _):
        assert download([address, mirror], tmp_path / "ml.zip", policy=FAST).source == mirror
    assert len(requests) == 1


def test_a_server_that_stays_busy_is_a_transient_error(tmp_path):
    with (
        serving(lambda handler, _: reply(handler, b"", 503)) as (address, requests),
        pytest.raises(TransientError, match=r"answered 503 .* DATASET=/path/to/archive\.zip"),
    ):
        download([address], tmp_path / "ml.zip", policy=FAST)
    assert len(requests) == 3


def test_a_missing_page_is_permanent_and_not_asked_for_again(tmp_path):
    with (
        serving(lambda handler, _: reply(handler, b"gone", 404)) as (address, requests),
        pytest.raises(PermanentError, match="answered 404 Not Found"),
    ):
        download([address], tmp_path / "ml.zip", policy=FAST)
    assert len(requests) == 1


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/zip"])
def test_a_web_page_with_status_200_is_refused(tmp_path, content_type):
    page = b"\n<!DOCTYPE html><html>Please sign in</html>"
    with (
        serving(lambda handler, _: reply(handler, page, Content_Type=content_type)) as (address, _),
        pytest.raises(DataError, match="a web page in place of the archive"),
    ):
        download([address], tmp_path / "ml.zip", policy=FAST)
    assert not (tmp_path / "ml.zip").exists()


def test_other_bytes_than_pinned_are_refused_and_forgotten(tmp_path):
    with (
        serving(lambda handler, _: reply(handler, b"PK other bytes")) as (address, _),
        pytest.raises(DataError, match=f"pinned is {MD5}"),
    ):
        download([address], tmp_path / "ml.zip", md5=MD5, policy=FAST)
    assert list(tmp_path.iterdir()) == []


def test_the_next_mirror_helps_out(tmp_path):
    with (
        serving(lambda handler, _: reply(handler, b"", 404)) as (first, _),
        serving(lambda handler, _: reply(handler, b"PK wrong")) as (second, _),
        serving(lambda handler, _: reply(handler)) as (third, _),
    ):
        assert download([first, second, third], tmp_path / "ml.zip", md5=MD5, policy=FAST).source == third


def test_one_unreachable_address_among_refusals_leaves_hope(tmp_path):
    with serving(lambda handler, _: reply(handler, b"", 404)) as (address, _):
        pass  # nobody listens there any more
    with (
        serving(lambda handler, _: reply(handler, b"", 404)) as (other, _),
        pytest.raises(TransientError, match=r"none of 2 addresses .* ConnectError.* answered 404"),
    ):
        download([address, other], tmp_path / "ml.zip", policy=FAST)


def test_an_unchanged_archive_is_not_fetched_again(tmp_path):
    def answer(handler, _):
        reply(handler, b"", 304 if handler.headers.get("If-None-Match") == '"v1"' else 500)

    with serving(answer) as (address, _):
        held = Held(address, Validator(etag='"v1"'))
        assert download([address], tmp_path / "ml.zip", held=held, policy=FAST) is None
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_allowed_are_refused(tmp_path):
    with (
        serving(lambda handler, _: reply(handler)) as (address, _),
        pytest.raises(DataError, match="sends more than 1,000 bytes"),
    ):
        download([address], tmp_path / "ml.zip", policy=Policy(max_bytes=1_000))
    assert list(tmp_path.iterdir()) == []


def test_unencrypted_transfers_are_refused_even_by_redirect(tmp_path):
    def answer(handler, _):
        reply(handler, b"", 302, Location="http://example.invalid/ml.zip")

    with serving(answer) as (address, _), pytest.raises(PermanentError, match="is not https"):
        download([address], tmp_path / "ml.zip", policy=FAST)
    with pytest.raises(PermanentError, match="is not https"):
        download(["http://example.invalid/ml.zip"], tmp_path / "ml.zip", policy=FAST)


def test_a_certificate_that_cannot_be_verified_is_refused(tmp_path):
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(lambda handler, _: reply(handler), context) as (address, requests):
        with pytest.raises(PermanentError, match=r"certificate cannot be verified .* never switched off"):
            download([address.replace("http:", "https:")], tmp_path / "ml.zip", policy=FAST)
        assert requests == []


BOMB = gzip.compress(gzip.compress(bytes(32 << 20)))  # a few hundred bytes


@contextmanager
def little_memory():
    """What is in here may not take the 32 MiB that the compressed bodies of these tests decode to."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip, gzip", BOMB), ("GZIP", gzip.compress(CONTENT)), ("identity, br", CONTENT),
     ("zstd", CONTENT), ("deflate", CONTENT)],
    ids=["twice", "once", "br", "zstd", "deflate"],
)  # fmt: skip
def test_a_compressed_body_is_refused_before_it_is_decoded(tmp_path, encoding, body):
    with serving(lambda handler, _: reply(handler, body, Content_Encoding=encoding)) as (address, requests):
        with little_memory(), pytest.raises(DataError, match=f"Content-Encoding '{encoding}'"):
            download([address], tmp_path / "ml.zip", policy=FAST)
    assert len(requests) == 1
    assert requests[0]["Accept-Encoding"] == "identity"
    assert list(tmp_path.iterdir()) == []


def test_a_compressed_body_without_a_length_is_refused_too(tmp_path):
    def answer(handler, _):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip, gzip")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(f"{len(BOMB):x}\r\n".encode() + BOMB + b"\r\n0\r\n\r\n")

    with serving(answer) as (address, _), little_memory(), pytest.raises(DataError, match="Content-Encoding"):
        download([address], tmp_path / "ml.zip", policy=FAST)


def test_a_compressed_sum_beside_the_archive_is_refused_before_it_is_decoded(tmp_path):
    bomb = {"sidecar": lambda _: BOMB, "sidecar_encoding": "gzip, gzip"}
    with serving(lambda handler, _: reply(handler), **bomb) as (address, _):
        with little_memory(), pytest.raises(DataError, match=r"ml\.zip\.md5 answered with Content-Encoding"):
            download([address], tmp_path / "ml.zip", policy=FAST)


def test_the_body_of_a_redirect_is_not_read(tmp_path):
    def answer(handler, number):
        if number == 1:
            reply(handler, BOMB, 302, Location="/elsewhere/ml.zip", Content_Encoding="gzip, gzip")
        else:
            reply(handler)

    with serving(answer) as (address, _), little_memory():
        assert download([address], tmp_path / "ml.zip", md5=MD5, policy=FAST).path.read_bytes() == CONTENT


def test_a_range_is_asked_of_the_host_that_a_redirect_names(tmp_path):
    def answer(handler, number):
        if number == 2:
            reply(handler, b"", 302, Location="/elsewhere/ml.zip")
        else:
            with_ranges(handler, break_at=100_000 if number == 1 else None)

    with serving(answer) as (address, requests):
        assert download([address], tmp_path / "ml.zip", md5=MD5, policy=FAST).path.read_bytes() == CONTENT
    assert [request.get("Range") for request in requests] == [None, "bytes=100000-", "bytes=100000-"]


def test_endless_redirects_end(tmp_path):
    with serving(lambda handler, _: reply(handler, b"", 302, Location="/ml.zip")) as (address, requests):
        with pytest.raises(PermanentError, match="redirects more than 10 times"):
            download([address], tmp_path / "ml.zip", policy=FAST)
    assert len(requests) == 11


@pytest.mark.parametrize(
    ("call", "number", "kind", "n_requests"),
    [
        ("mkdir", errno.EROFS, PermanentError, 0),
        ("replace", errno.EDQUOT, PermanentError, 1),
        ("replace", errno.EIO, TransientError, 3),
    ],
)
def test_a_folder_that_takes_no_archive_is_named_and_passing_faults_are_tried_again(
    tmp_path, monkeypatch, call, number, kind, n_requests
):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    with serving(lambda handler, _: reply(handler)) as (address, requests):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(kind, match=r"ml\.zip\.part: "):
                download([address], tmp_path / "new" / "ml.zip", md5=MD5, policy=FAST)
    assert len(requests) == n_requests
