"""What a file system can do to every verb of the store of files: full, forbidden, failing, in the way."""

import errno
import os

import pytest

from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError, PermanentError, TransientError
from recsys.storage.file_store import FileStore

FULL = [errno.ENOSPC, errno.EDQUOT]
PASSING = [errno.EIO, errno.ESTALE, errno.EMFILE]
DENIED = [errno.EACCES, errno.EROFS]


@pytest.fixture
def store(tmp_path):
    store = FileStore(tmp_path / "store")
    store.put("a/k", b"x" * 100)
    return store


@pytest.fixture
def verbs(store, tmp_path):
    """Every verb, with the calls of the system that it may fail in."""
    source = tmp_path / "source"
    source.write_bytes(b"new")
    return {
        "put": (lambda: store.put("b/new", b"new"), ["mkdir", "fsync", "link"]),
        "put, overwriting": (lambda: store.put("a/k", b"new", overwrite=True), ["fsync", "replace"]),
        "put_file": (lambda: store.put_file("c/new", source), ["mkdir", "fsync", "link"]),
        "get": (lambda: store.get("a/k"), ["open"]),
        "get_file": (lambda: store.get_file("a/k", tmp_path / "copy"), ["stat", "replace"]),
        "exists": (lambda: store.exists("a/k"), ["stat"]),
        "size_bytes": (lambda: store.size_bytes("a/k"), ["stat"]),
        "modified_at": (lambda: store.modified_at("a/k"), ["stat"]),
        "list": (lambda: list(store.list("a/")), ["scandir"]),
        "delete": (lambda: store.delete("a/k"), ["unlink"]),
        "open": (lambda: store.open("a/k"), ["open"]),
    }


def failing(monkeypatch, call, number):
    """Let one call of the system fail as the kernel would say it; opening goes past `os`, so `io` is changed there."""

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"{'io' if call == 'open' else 'os'}.{call}", fail)


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        *((number, ConfigError, "the disk or the quota is full") for number in FULL),
        *((number, TransientError, "the file system failed") for number in PASSING),
        *((number, ConfigError, "access is refused") for number in DENIED),
        (errno.EXDEV, PermanentError, "Nothing was changed"),
    ],
    ids=lambda value: errno.errorcode.get(value) if isinstance(value, int) else None,
)
def test_every_verb_maps_what_the_file_system_says(store, verbs, monkeypatch, number, kind, text):
    for name, (verb, calls) in verbs.items():
        for call in calls:
            with monkeypatch.context() as patch:
                failing(patch, call, number)
                with pytest.raises(kind, match=text) as caught:
                    verb()
            assert isinstance(caught.value.__cause__, OSError), (name, call)
    assert store.get("a/k") == b"x" * 100
    assert list(store.list()) == ["a/k"]
    assert list((store.root / ".tmp").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_no_empty_folder(store):
    (store.root / "a").chmod(0)
    try:
        with pytest.raises(ConfigError, match="access is refused"):
            list(store.list())
    finally:
        (store.root / "a").chmod(0o700)


def test_a_file_system_without_hard_links_is_named_as_the_reason(store, monkeypatch):
    failing(monkeypatch, "link", errno.EPERM)
    with pytest.raises(ConfigError, match="has no hard links"):
        store.put("new", b"x")


def test_nothing_can_stand_below_an_object_or_in_place_of_a_folder(store):
    with pytest.raises(ConfigError, match="a folder of its path is an object"):
        store.put("a/k/below", b"x")
    with pytest.raises(AlreadyExistsError):
        store.put("a", b"x")
    with pytest.raises(PermanentError):
        store.put("a", b"x", overwrite=True)
    with pytest.raises(NotFoundError):
        store.open("a")
    assert list(store.list()) == ["a/k"]
