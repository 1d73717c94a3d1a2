"""The interruptions themselves: each call once, before or after it takes effect, and no call left out."""

import pytest

from recsys.storage.file_store import FileStore
from tests.storage.interrupting import Killed, interruptions


def write_two(store):
    store.put("a", b"1")
    if store.exists("a"):
        store.put("b", b"2")


@pytest.mark.parametrize(
    ("when", "left"),
    [("before", [[], ["a"], ["a"], ["a", "b"]]), ("after", [["a"], ["a"], ["a", "b"], ["a", "b"]])],
)
def test_each_call_is_interrupted_once(tmp_path, when, left):
    found = []
    for interruption in interruptions(when):
        store = FileStore(tmp_path / str(interruption.at))
        with interruption:
            write_two(interruption.watch(store))
        found.append([*store.list()])
    assert found == left
    assert interruption.calls == ["put a", "exists a", "put b"]


def test_a_kill_says_where_it_was_and_is_no_exception_that_code_may_catch(tmp_path):
    interruption = next(interruptions("after"))
    with pytest.raises(Killed, match="after call 1, put a"):
        write_two(interruption.watch(FileStore(tmp_path)))
    assert not issubclass(Killed, Exception)


def test_something_else_may_happen_between_two_calls(tmp_path):
    store = FileStore(tmp_path)
    interruption = next(interruptions("before", act=lambda: store.put("c", b"3")))
    write_two(interruption.watch(store))
    assert [*store.list()] == ["a", "b", "c"]
