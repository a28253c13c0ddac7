"""What somebody waits for: the extension's `LoopWaiter`, or a `Promise` where asyncio does not
wait.

All of it may be done again, for what a handler of a signal may have ended halfway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Waiter(Protocol):
    """A `LoopWaiter`, or a `Promise`. `tell()` has whoever waits go on, once it is done."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, error: BaseException, /) -> None: ...
    def tell(self) -> None: ...


class Promise:
    """Something that will be known, where it is not asyncio that waits for it."""

    __slots__ = ("_done", "_error", "_result", "on_done")

    def __init__(self) -> None:
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self.on_done: Callable[[], object] | None = None

    def done(self) -> bool:
        return self._done

    def set_result(self, result: Any) -> None:
        self._result = result
        self._done = True
        self.tell()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._done = True
        self.tell()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._done = True

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result

    def tell(self) -> None:
        if self.on_done is not None:
            self.on_done()


def settle(waiter: Waiter, result: Any = None) -> None:
    try:
        if waiter.done():
            waiter.tell()
        else:
            waiter.set_result(result)
    except RuntimeError:
        # It is known now, but its loop is closed: nobody is there to be told.
        if not waiter.done():
            raise


def settle_all(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        settle(waiter)
    waiters.clear()


def fail(waiter: Waiter, error: BaseException) -> None:
    try:
        if waiter.done():
            waiter.tell()
        else:
            waiter.set_exception(error)
    except RuntimeError:
        if not waiter.done():
            raise
