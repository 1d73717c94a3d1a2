"""The client that archives and posters share: what it refuses, what it calls a fault that may pass, what it tells."""

import ssl

import pytest

from recsys.errors import ConfigError, DataError, PermanentError, TransientError
from recsys.http.http_client import HttpClient
from recsys.http.retrying import BusyError, refuse_busy, retrying
from tests.http.certificates import self_signed
from tests.ingest.servers import reply, serving


def anything(address):
    """A check that refuses nothing."""


def get(address, check=anything, headers=None):
    with HttpClient("test", check, 5.0, 2) as client, client.stream(address, headers) as response:
        refuse_busy(response)
        return b"".join(response.iter_raw())


def test_a_certificate_that_cannot_be_verified_is_no_fault_that_passes(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with serving(lambda handler, _: reply(handler), context) as (address, requests):
        with pytest.raises(PermanentError, match=r"certificate cannot be verified .* never switched off"):
            get(address.replace("http:", "https:"))
    assert requests == []


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x", "http://[::1/x", "http://127.0.0.1:port/", "/nowhere"])
def test_what_is_no_address_to_fetch_from_is_a_fault_of_the_data(address):
    with pytest.raises(DataError, match="is no address to fetch from"):
        get(address)


def test_every_address_is_checked_before_it_is_asked():
    checked = []

    def check(address):
        checked.append(address)
        if address.endswith("/private"):
            raise ConfigError("not there")

    with serving(lambda handler, _: reply(handler, b"", 302, Location="/private")) as (address, requests):
        with pytest.raises(ConfigError, match="not there"):
            get(address, check)
    assert [each.rpartition("/")[2] for each in checked] == ["ml.zip", "private"]
    assert len(requests) == 1


def test_only_what_may_pass_is_tried_again_and_only_as_often_as_said():
    asked = []

    def fail(error):
        asked.append(error)
        raise error

    for error, n_calls in ((BusyError("away"), 3), (TransientError("of another kind"), 1), (DataError("bad"), 1)):
        asked.clear()
        with pytest.raises(type(error), match=str(error)):
            retrying((BusyError,), 3, 0.001, 0.01)(fail, error)
        assert len(asked) == n_calls
