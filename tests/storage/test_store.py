"""One contract for both stores: a directory, and a bucket of moto's S3 server."""

import pickle
import threading
from datetime import UTC, datetime, timedelta

import pytest

from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError, TransientError
from recsys.storage.file_store import FileStore
from recsys.storage.opening import open_store
from recsys.storage.s3_store import S3Store
from tests.storage import faulty

FAULTS = {"s3, every first answer lost": faulty.answer_lost, "s3, every first answer cut": faulty.cut}


@pytest.fixture(params=["file", "s3", "s3 without prefix", *FAULTS])
def store(request, tmp_path):
    if request.param == "file":
        return FileStore(tmp_path / "store")
    fault = FAULTS.get(request.param)
    proxy = request.getfixturevalue("s3_proxy") if fault else request.getfixturevalue("s3_environment")
    bucket = f"b-{tmp_path.name.replace('_', '-').lower()[-50:]}".strip("-")
    s3 = S3Store(bucket, "" if "without" in request.param else "some/prefix")
    s3.client.create_bucket(Bucket=bucket)
    if fault:
        proxy.repeated = fault
    return s3


class TestContract:
    """What every store does."""

    def test_an_object_is_read_back_as_it_was_written(self, store):
        for body in (b"", b"hello", bytes(range(256)) * 5_000):
            store.put("a/b.bin", body, overwrite=True)
            assert store.get("a/b.bin") == body
            assert store.size_bytes("a/b.bin") == len(body)

    def test_a_create_only_put_refuses_a_taken_key_and_leaves_the_object(self, store):
        store.put("k", b"first")
        with pytest.raises(AlreadyExistsError, match=r"k exists in .* and is immutable"):
            store.put("k", b"second")
        assert store.get("k") == b"first"

    def test_overwriting_is_possible_when_asked_for(self, store):
        store.put("k", b"first")
        store.put("k", b"second", overwrite=True)
        assert store.get("k") == b"second"

    def test_what_is_not_there_is_not_found(self, store, tmp_path):
        store.put("folder/x", b"")
        for key in ("nothing", "folder", "folder/x/y"):
            assert not store.exists(key)
            with pytest.raises(NotFoundError, match=f"{key}: no such object"):
                store.get(key)
            with pytest.raises(NotFoundError):
                store.size_bytes(key)
            with pytest.raises(NotFoundError):
                store.get_file(key, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    def test_an_object_knows_when_it_was_written(self, store):
        store.put("k", b"x")
        assert abs(datetime.now(UTC) - store.modified_at("k")) < timedelta(minutes=5)
        with pytest.raises(NotFoundError):
            store.modified_at("nothing")

    def test_listing_is_by_prefix_and_in_order(self, store):
        for key in ("b/2", "b/10", "a", "b.txt", "bc/1"):
            store.put(key, b"")
        assert list(store.list()) == ["a", "b.txt", "b/10", "b/2", "bc/1"]
        assert list(store.list("b/")) == ["b/10", "b/2"]
        assert list(store.list("b")) == ["b.txt", "b/10", "b/2", "bc/1"]
        assert list(store.list("b/1")) == ["b/10"]
        assert list(store.list("nothing/")) == []

    def test_deleting_is_idempotent(self, store):
        store.put("k", b"x")
        store.delete("k")
        store.delete("k")
        assert list(store.list()) == []

    def test_deleting_what_is_no_object_deletes_nothing(self, store):
        store.put("folder/x", b"x")
        for key in ("folder", "folder/x/y"):
            store.delete(key)
        assert list(store.list()) == ["folder/x"]

    def test_an_open_object_is_read_in_pieces(self, store):
        store.put("k", bytes(range(256)) * 4_000)
        with store.open("k") as file:
            file.seek(-300_000, 2)
            assert file.read(700_000) == (bytes(range(256)) * 4_000)[-300_000:]
        with pytest.raises(NotFoundError):
            store.open("nothing")

    def test_files_go_in_and_out(self, store, tmp_path):
        source = tmp_path / "source"
        source.write_bytes(b"x" * 3_000_000)
        store.put_file("big", source)
        store.get_file("big", tmp_path / "new folder" / "copy")
        assert (tmp_path / "new folder" / "copy").read_bytes() == source.read_bytes()
        with pytest.raises(AlreadyExistsError):
            store.put_file("big", source)
        store.put_file("big", source, overwrite=True)
        assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["copy"]  # nothing temporary is left

    @pytest.mark.parametrize(
        "key",
        ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "./a", "a\\b", "a\0b", "9" * 300, "ä/" * 400 + "x"],
    )
    def test_keys_that_could_lead_elsewhere_are_refused_by_every_verb(self, store, key, tmp_path):
        verbs = [
            lambda: store.put(key, b"x"),
            lambda: store.get(key),
            lambda: store.exists(key),
            lambda: store.size_bytes(key),
            lambda: store.delete(key),
            lambda: store.uri(key),
            lambda: store.get_file(key, tmp_path / "copy"),
        ]
        for verb in verbs:
            with pytest.raises(ConfigError, match="is no valid key"):
                verb()

    @pytest.mark.parametrize("prefix", ["/etc/", "../", "a/../../"])
    def test_prefixes_that_lead_elsewhere_are_refused(self, store, prefix):
        with pytest.raises(ConfigError, match="is no valid key"):
            list(store.list(prefix))

    def test_the_probe_finds_create_only_writes_and_leaves_nothing(self, store):
        store.probe()
        assert list(store.list()) == []

    def test_it_travels_to_other_processes(self, store):
        store.put("k", b"x")
        assert pickle.loads(pickle.dumps(store)).get("k") == b"x"

    def test_its_url_opens_it_again(self, store):
        store.put("k", b"x")
        assert open_store(store.url).get("k") == b"x"
        assert store.uri("k").endswith("/k")


def race(store, key, n_threads=8):
    """How many of some threads that put one key at once won, and what they left."""
    start, outcomes = threading.Barrier(n_threads), []

    def put(number):
        start.wait()
        try:
            store.put(key, f"{number}".encode() * 1000)
            outcomes.append(number)
        except AlreadyExistsError:
            pass

    threads = [threading.Thread(target=put, args=(number,)) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_of_eight_writers_racing_for_a_key_exactly_one_wins(tmp_path):
    store = FileStore(tmp_path)
    for round_number in range(50):
        key = f"races/{round_number}"
        winners = race(store, key)
        assert len(winners) == 1
        assert store.get(key) == f"{winners[0]}".encode() * 1000


@pytest.mark.usefixtures("s3_environment")
def test_s3_writers_that_lose_are_told_so():
    # moto checks and writes in two steps, so it can let two win; real servers (Ceph, AWS) do not. What is
    # tested here is ours: at least one wins, the others get AlreadyExistsError and nothing else.
    store = S3Store("races")
    store.client.create_bucket(Bucket="races")
    assert 1 <= len(race(store, "k")) <= 8
    with pytest.raises(AlreadyExistsError):
        store.put("k", b"late")


def test_a_store_that_ignores_create_only_writes_is_found_out(tmp_path):
    class Forgetful(FileStore):
        def put(self, key, data, *, overwrite=False):
            super().put(key, data, overwrite=True)

    with pytest.raises(ConfigError, match="accepted a second create-only write"):
        Forgetful(tmp_path).probe()


def test_a_bucket_that_is_not_there_is_a_matter_of_configuration(s3_environment):
    with pytest.raises(ConfigError, match="NoSuchBucket"):
        S3Store("nowhere").put("k", b"x")


def test_an_endpoint_that_is_away_is_transient(s3_environment, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(TransientError, match="cannot be reached"):
        S3Store("b").get("k")


@pytest.mark.parametrize("url", ["", "ftp://x/y", "s3://", "http://bucket"])
def test_addresses_that_are_no_store_are_refused(url):
    with pytest.raises(ConfigError, match="RECSYS_STORE_URL"):
        open_store(url)


def test_a_file_url_is_a_directory(tmp_path):
    assert open_store(f"file://{tmp_path}").url == str(tmp_path)
