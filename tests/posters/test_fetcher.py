"""The client against servers that lie, stall, flood and send it elsewhere; all on this machine."""

import gzip
import time
import tracemalloc

import pytest

from recsys.errors import ConfigError, DataError, NotFoundError, PermanentError, TransientError
from recsys.http.retrying import BusyError
from recsys.posters.fetcher import USER_AGENT, Fetcher
from tests.posters.servers import answer, server


def in_turn(*routes):
    left = list(routes)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def fetch(base, path="/", max_bytes=1000, **options):
    with Fetcher([base], **{"timeout_s": 2.0, "max_wait_s": 1.0, **options}) as fetcher:
        return fetcher.get(f"{base}{path}", max_bytes)


def test_it_says_who_it_is_and_returns_body_and_type():
    with server({"/": answer(content_type="Image/JPEG; charset=x")}) as (base, requests):
        got = fetch(base)
    assert (got.body, got.content_type, got.url) == (b"hello", "image/jpeg", f"{base}/")
    assert requests[0][1]["User-Agent"] == USER_AGENT


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_fault_that_passes_is_tried_again(status):
    with server({"/": in_turn(answer(status), answer())}) as (base, requests):
        assert fetch(base).body == b"hello"
    assert len(requests) == 2


def test_it_waits_as_long_as_the_server_asks():
    with server({"/": in_turn(answer(503, Retry_After="1"), answer())}) as (base, _):
        began = time.monotonic()
        fetch(base)
    assert time.monotonic() - began >= 1.0


def test_it_does_not_wait_for_an_hour_but_leaves_it_to_another_day():
    with server({"/": answer(429, Retry_After="3600")}) as (base, requests):
        with pytest.raises(TransientError, match="answered 429 and asked to wait 3600 s"):
            fetch(base)
    assert len(requests) == 1


def test_it_gives_up_after_its_attempts():
    with server({"/": answer(500)}) as (base, requests), pytest.raises(BusyError, match="answered 500"):
        fetch(base, n_attempts=3)
    assert len(requests) == 3


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotFoundError), (410, NotFoundError), (401, ConfigError), (403, ConfigError), (418, PermanentError)],
)
def test_a_clear_no_is_not_asked_twice(status, error):
    with server({"/": answer(status)}) as (base, requests), pytest.raises(error, match=f"answered {status}"):
        fetch(base)
    assert len(requests) == 1


def test_a_body_that_is_announced_too_large_is_not_read():
    with server({"/": answer(body=b"", Content_Length="5000000")}) as (base, _):
        with pytest.raises(DataError, match="announces 5,000,000 bytes, 1,000 allowed"):
            fetch(base)


def test_a_body_that_turns_out_too_large_is_cut_off():
    sent = []

    def flood(handler):
        answer(body=b"")(handler)
        for _ in range(100_000):
            handler.wfile.write(b"x" * 65_536)
            sent.append(65_536)

    with server({"/": flood}) as (base, _):
        with pytest.raises(DataError, match="sends more than the 1,000 bytes allowed"):
            fetch(base)
    assert sum(sent) < 50_000_000  # of 6.5 GB


BOMB = gzip.compress(gzip.compress(bytes(32 << 20)))  # a few hundred bytes


def chunked(handler):
    handler.protocol_version = "HTTP/1.1"
    body = f"{len(BOMB):x}\r\n".encode() + BOMB + b"\r\n0\r\n\r\n"
    answer(body=body, Content_Encoding="gzip, gzip", Transfer_Encoding="chunked")(handler)


@pytest.mark.parametrize(
    "route",
    [
        *(answer(body=BOMB, Content_Encoding=encoding) for encoding in ("gzip, gzip", "identity, gzip")),
        *(answer(body=b"hello", Content_Encoding=encoding) for encoding in ("br", "zstd", "deflate", "unheard-of")),
        chunked,
    ],
    ids=["twice", "once", "br", "zstd", "deflate", "unknown", "chunked"],
)
def test_a_compressed_body_is_refused_before_it_is_decoded(route):
    with server({"/": route}) as (base, requests):
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match=r"Content-Encoding .*, and only bodies that are not"):
                fetch(base)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20  # of 32 MiB
        finally:
            tracemalloc.stop()
    assert requests[0][1]["Accept-Encoding"] == "identity"


def test_a_server_that_does_not_answer_is_a_transient_fault():
    with server({"/": lambda _: time.sleep(1.5)}) as (base, _):
        with pytest.raises(TransientError, match="cannot be read"):
            fetch(base, timeout_s=0.2, n_attempts=2)


def test_a_server_that_drips_is_given_up_even_though_each_byte_comes_in_time():
    def drip(handler):
        answer(body=b"")(handler)
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    with server({"/": drip}) as (base, _), pytest.raises(TransientError, match="too slowly"):
        fetch(base, timeout_s=0.5, n_attempts=1)  # 6 * 0.5 s for 100 * 0.05 s


def test_nobody_listening_is_a_transient_fault():
    with server({}) as (base, _):
        pass
    with pytest.raises(TransientError, match="cannot be read"):
        fetch(base, n_attempts=2)


def test_redirects_are_followed_on_the_same_host_only():
    with server({"/secret": answer()}) as (other, others):
        routes = {
            "/": answer(302, Location="/there"),
            "/there": answer(),
            "/away": answer(302, Location=f"{other}/secret"),
        }
        with server(routes) as (base, _):
            assert fetch(base).url == f"{base}/there"
            with pytest.raises(ConfigError, match=r"is not fetched: only http://127\.0\.0\.1"):
                fetch(base, "/away")
    assert others == []


def test_endless_redirects_end():
    with server({"/": answer(302, Location="/")}) as (base, requests):
        with pytest.raises(PermanentError, match="redirects more than 5 times"):
            fetch(base)
    assert len(requests) == 6


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://169.254.169.254/", "http://127.0.0.1:1/"]
)
def test_other_schemes_hosts_and_ports_are_not_asked(url):
    with Fetcher(["http://127.0.0.1:2"], timeout_s=1.0) as fetcher, pytest.raises(ConfigError, match="is not fetched"):
        fetcher.get(url, 1000)


def test_credentials_go_to_their_own_host_only():
    with server({"/image": answer()}) as (images, at_images):
        with server({"/": answer(302, Location=f"{images}/image")}) as (api, at_api):
            with Fetcher([api, images], timeout_s=2.0) as fetcher:
                fetcher.get(f"{api}/", 1000, {"Authorization": "Bearer secret"})
    assert at_api[0][1]["Authorization"] == "Bearer secret"
    assert "Authorization" not in at_images[0][1]
