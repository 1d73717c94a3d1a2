"""A store, or any other object, whose n-th call is interrupted before or after it takes effect.

::

    for interruption in interruptions("after"):      # of the first call, then of the second, …
        store = FileStore(fresh folder)
        with interruption:
            task(interruption.watch(store))
        …                                            # old state or new state
        task(store)                                  # the next run repairs
        …                                            # new state

One interruption can watch several objects, such as a store and a registry; their calls are counted together.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, Self

When = Literal["before", "after"]


class Killed(BaseException):
    """The process ends here: no `except Exception` of the code under test may go on."""


class Interruption:
    """What happens at the n-th call of the watched objects: by default, the caller is killed.

    Attributes:
        at: the call, from 1.
        when: before or after it takes effect.
        act: what happens; another publisher may act between two calls, for instance.
        calls: names and first arguments of the calls so far.
        has_happened: whether there was such a call.
    """

    def __init__(self, at: int, when: When, act: Callable[[], None] | None = None) -> None:
        self.at, self.when = at, when
        self.calls: list[str] = []
        self.has_happened = False
        self.act = act or self._kill

    def watch(self, target: Any) -> Any:
        """The object, with its calls counted."""
        return _Watched(target, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> bool:
        return kind is Killed  # anything else is the test's business

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls.append(name)
        is_now = len(self.calls) == self.at
        if is_now and self.when == "before":
            self._happen()
        result = call()
        if is_now and self.when == "after":
            self._happen()
        return result

    def _happen(self) -> None:
        self.has_happened = True
        self.act()

    def _kill(self) -> None:
        raise Killed(f"{self.when} call {self.at}, {self.calls[-1]}")


class _Watched:
    """Passes everything on to an object; what the object calls on itself is not counted."""

    def __init__(self, target: Any, interruption: Interruption) -> None:
        self._target, self._interruption = target, interruption

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            named = f"{name} {args[0]}" if args else name
            return self._interruption.around(named, lambda: found(*args, **kwargs))

        return call


def interruptions(when: When, act: Callable[[], None] | None = None) -> Iterator[Interruption]:
    """An interruption of the first call, of the second and so on, until one comes too late to happen."""
    at = 1
    while True:
        interruption = Interruption(at, when, act)
        yield interruption
        assert interruption.calls, "nothing was watched"
        if not interruption.has_happened:
            return
        at += 1
