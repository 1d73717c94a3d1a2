"""Faults of the network and of S3 servers, done to real requests by a proxy: each write counts once or not at all."""

import pytest
from botocore.exceptions import CredentialRetrievalError, SSLError

from recsys.errors import AlreadyExistsError, ConfigError, TransientError
from recsys.storage.s3_store import S3Store
from tests.storage.faulty import answer_lost, cut, reset, says

CONFLICT = says(409, "ConditionalRequestConflict")


@pytest.fixture
def store(s3_proxy, tmp_path):
    store = S3Store(f"faults-{abs(hash(tmp_path))}", "prefix")
    store.client.create_bucket(Bucket=store.bucket)
    return store


@pytest.fixture
def copy(tmp_path):
    path = tmp_path / "copy"
    path.write_bytes(b"first")
    return path


@pytest.mark.parametrize("n_lost", [1, 6])  # 6: every attempt of botocore
def test_a_create_only_write_whose_answer_was_lost_is_recognised_as_its_own(store, s3_proxy, copy, n_lost):
    s3_proxy.plan(*[("PUT", answer_lost)] * n_lost)
    store.put("k", b"first")
    s3_proxy.plan(*[("PUT", answer_lost)] * n_lost)
    store.put_file("file", copy)
    assert (store.get("k"), store.get("file")) == (b"first", b"first")
    assert s3_proxy.faults == []


def test_its_own_object_is_recognised_however_the_server_spells_the_mark(store, s3_proxy):
    def with_capitals(handler, forward):
        handler.reply(*forward(), spelling=str.title)

    s3_proxy.plan(("PUT", answer_lost), ("HEAD", with_capitals))
    store.put("k", b"first")
    assert s3_proxy.faults == []


def test_another_writers_object_is_not_taken_for_ones_own_when_an_answer_was_lost(store, s3_proxy):
    store.put("k", b"theirs")
    s3_proxy.plan(("PUT", answer_lost))
    with pytest.raises(AlreadyExistsError):
        store.put("k", b"mine")
    store.put("overwritten", b"theirs", overwrite=True)  # an object without a mark
    with pytest.raises(AlreadyExistsError):
        store.put("overwritten", b"mine")
    assert (store.get("k"), store.get("overwritten")) == (b"theirs", b"theirs")


def test_a_conflict_of_two_writes_is_decided_by_asking_again_and_is_no_object(store, s3_proxy):
    s3_proxy.plan(("PUT", CONFLICT), ("PUT", CONFLICT))
    store.put("k", b"mine")
    assert store.get("k") == b"mine"
    s3_proxy.plan(("PUT", CONFLICT))
    with pytest.raises(AlreadyExistsError):
        store.put("k", b"late")
    s3_proxy.plan(*[("PUT", CONFLICT)] * 5)
    with pytest.raises(TransientError, match="at work on another write of other"):
        store.put("other", b"x")
    assert not store.exists("other")


def test_a_lost_answer_and_then_a_conflict_are_still_one_write(store, s3_proxy):
    s3_proxy.plan(("PUT", answer_lost), ("PUT", CONFLICT))
    store.put("k", b"mine")
    assert store.get("k") == b"mine"


def test_a_write_that_never_arrived_is_transient(store, s3_proxy):
    s3_proxy.plan(*[("PUT", reset)] * 6)
    with pytest.raises(TransientError, match="cannot be reached for k"):
        store.put("k", b"x")
    assert not store.exists("k")


def test_a_body_that_is_cut_is_read_again_and_is_never_short(store, s3_proxy, copy):
    store.put("k", b"x" * 1000)
    s3_proxy.plan(("GET", cut), ("GET", cut))
    assert store.get("k") == b"x" * 1000
    s3_proxy.plan(("GET", cut))
    with store.open("k") as file:
        assert file.read() == b"x" * 1000
    s3_proxy.plan(("GET", cut))
    store.get_file("k", copy)
    assert copy.read_bytes() == b"x" * 1000


def test_bodies_that_stay_cut_are_transient_and_leave_the_file_as_it_was(store, s3_proxy, copy):
    store.put("k", b"x" * 1000)
    for read in (store.get, lambda key: store.get_file(key, copy), lambda key: store.open(key).read()):
        s3_proxy.plan(*[("GET", cut)] * 20)
        with pytest.raises(TransientError, match="did not send k whole"):
            read("k")
    assert copy.read_bytes() == b"first"


def test_a_server_that_knows_no_ranges_is_found_out(store, s3_proxy):
    def whole(handler, forward):
        del handler.headers["Range"]
        handler.reply(*forward())

    store.put("k", bytes(range(200)))
    s3_proxy.plan(("GET", whole))
    with store.open("k") as file:
        file.seek(100)
        with pytest.raises(TransientError, match="200 bytes came where 100 from byte 100 on"):
            file.read()


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "DELETE"])
@pytest.mark.parametrize(
    "fault",
    [says(503, "SlowDown"), says(500, "InternalError"), says(429, "TooManyRequests"), reset],
    ids=["slow down", "internal", "too many", "reset"],
)
def test_a_busy_server_is_transient_for_every_verb(store, s3_proxy, copy, method, fault):
    store.put("there", b"x")
    verbs = {
        "PUT": [lambda: store.put("k", b"x"), lambda: store.put_file("k", copy, overwrite=True)],
        "GET": [lambda: store.get("there"), lambda: list(store.list()), lambda: store.get_file("there", copy)],
        "HEAD": [lambda: store.exists("k"), lambda: store.open("k"), lambda: store.modified_at("k")],
        "DELETE": [lambda: store.delete("k")],
    }
    for verb in verbs[method]:
        s3_proxy.plan(*[(method, fault)] * 40)
        with pytest.raises(TransientError):
            verb()


@pytest.mark.parametrize("code", ["RequestTimeout", "IncompleteBody", "BadDigest"])
def test_faults_that_pass_are_known_by_their_code_where_the_status_is_400(store, s3_proxy, code):
    s3_proxy.plan(*[("PUT", says(400, code))] * 10)
    with pytest.raises(TransientError, match=code):
        store.put("k", b"x")


def test_a_list_whose_second_page_fails_is_no_shorter_list(store, s3_proxy, monkeypatch):
    for number in range(5):
        store.put(f"k{number}", b"")
    paginate = store.client.get_paginator

    def by_two(operation):
        paginator = paginate(operation)
        whole = paginator.paginate
        monkeypatch.setattr(paginator, "paginate", lambda **o: whole(**o, PaginationConfig={"PageSize": 2}))
        return paginator

    monkeypatch.setattr(store.client, "get_paginator", by_two)

    def passes(handler, forward):
        handler.reply(*forward())

    s3_proxy.plan(("GET", passes), ("GET", says(503, "SlowDown")))
    assert list(store.list()) == [f"k{number}" for number in range(5)]
    s3_proxy.plan(("GET", passes), *[("GET", says(503, "SlowDown"))] * 6)
    with pytest.raises(TransientError, match="SlowDown"):
        list(store.list())


def test_expired_credentials_are_looked_for_anew_by_the_next_attempt(store, s3_proxy, monkeypatch):
    store.put("k", b"x")
    before = store.client
    s3_proxy.plan(("GET", says(400, "ExpiredToken")))
    with pytest.raises(TransientError, match="credentials have expired"):
        store.get("k")
    assert store.client is not before
    assert store.get("k") == b"x"


def test_a_refused_head_says_which_permission_may_be_missing(store, s3_proxy):
    s3_proxy.plan(("HEAD", says(403, "AccessDenied")))
    with pytest.raises(ConfigError, match="s3:ListBucket"):
        store.exists("k")


def test_certificates_and_credentials_are_told_apart_from_a_network_that_is_away(store):
    certificate = SSLError(endpoint_url="https://s3", error="[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    with pytest.raises(ConfigError, match="AWS_CA_BUNDLE"), store._mapped("k"):
        raise certificate
    with pytest.raises(TransientError), store._mapped("k"):
        raise CredentialRetrievalError(provider="container-role", error_msg="the metadata service is away")


def test_a_file_larger_than_one_write_takes_is_refused_before_it_is_sent(store, s3_proxy, copy):
    with copy.open("r+b") as file:
        file.truncate((5 << 30) + 1)  # sparse: it takes no space
    n_before = len(s3_proxy.requests)
    with pytest.raises(ConfigError, match=r"5,368,709,121 bytes, and S3 takes 5,368,709,120"):
        store.put_file("k", copy)
    assert len(s3_proxy.requests) == n_before
