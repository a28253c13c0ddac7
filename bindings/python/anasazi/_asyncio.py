"""Waiting in asyncio: the loop watches the session's descriptor."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable
from typing import Any

from . import _anasazi, _errors
from ._core import Core

STALL_S = 5.0
"""Who waits for what is not read, since streams are full, waits so long for somebody who takes."""


class AsyncioIo:
    """What waits for a connection that belongs to the running loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.core: Core | None = None
        self.fd = -1
        self.is_stalled = False
        self.progress = 0
        self.again = _anasazi.Again(self.look_again)
        self.timer: asyncio.TimerHandle | None = None

    def new_waiter(self) -> _anasazi.LoopWaiter:
        return _anasazi.LoopWaiter(self.loop)

    def attach(self, core: Core) -> None:
        self.core = core
        self.fd = core.session.fd()
        core.on_room = self.resume
        self.loop.add_reader(self.fd, self.on_readable)

    def detach(self) -> None:
        """Before the descriptor is closed."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.fd >= 0 and self.is_mine():
            self.loop.remove_reader(self.fd)
        self.fd = -1

    def is_mine(self) -> bool:
        """Whether the loop may be told what to watch: a forked child shares the parent's epoll
        descriptor, and what it no longer watches the parent does not either."""
        if self.loop.is_closed() or self.core is None:
            return False
        return not self.core.session.is_inherited()

    def check(self) -> None:
        """Raises unless this is the loop that the connection was made in."""
        if self.core is not None and self.core.session.is_inherited():
            raise _errors.ForkedError("this connection is the parent process's: connect here, too")
        if asyncio._get_running_loop() is not self.loop:
            raise _errors.Busy(
                "this connection belongs to another event loop, or to one that has ended: use it "
                "there, or connect in this one"
            )

    def check_loop(self) -> None:
        """The same, before each event; of forks the queue of events knows. Which loop runs here is
        not asked for, since up to Python 3.11 that takes a system call."""
        if threading.get_ident() != self.thread or not self.loop.is_running():
            self.check()

    def on_readable(self) -> None:
        core = self.core
        if core is None:
            return
        # What was received shows no more at the descriptor.
        with self.again:
            if not core.wants_room:
                core.read()
            if core.failure is not None:
                self.detach()
            elif core.is_blocked() and self.is_mine():
                self.pause(core)
            elif core.wants_room:
                self.resume()

    def look_again(self) -> None:
        """After an exception of a signal's handler. What it had ended is done by the next call."""
        if not self.loop.is_closed():
            self.loop.call_soon(self.on_readable)

    def pause(self, core: Core) -> None:
        core.wants_room = True
        self.loop.remove_reader(self.fd)
        if self.timer is None:
            self.watch_progress(core)

    def watch_progress(self, core: Core) -> None:
        self.progress = core.backlog.taken
        self.timer = self.loop.call_later(STALL_S, self.look_for_progress)

    def look_for_progress(self) -> None:
        core, self.timer = self.core, None
        # Of what nobody can take is room made, which may end the pause.
        if core is None or not core.is_blocked() or not core.wants_room:
            return
        try:
            if core.backlog.taken == self.progress:
                self.is_stalled = True
                core.stall()
        finally:
            self.watch_progress(core)

    def resume(self) -> None:
        """There is room again."""
        core = self.core
        if core is None or not core.wants_room or self.fd < 0:
            return
        if self.is_mine():
            self.loop.add_reader(self.fd, self.on_readable)
        self.is_stalled = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        core.wants_room = False

    async def wait(self, waiter: Any) -> Any:
        """For what the core settles; a waiter that is cancelled is let go."""
        if self.is_stalled and not waiter.done() and self.core is not None:
            waiter.cancel()
            self.core.sending.forget(waiter)
            raise self.core.full_error()
        try:
            return await waiter
        except BaseException:
            if self.core is not None:
                self.core.sending.forget(waiter)
            raise

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def run_blocking(self, call: Callable[[], Any]) -> Any:
        """In a thread of its own, for which nothing waits once nobody waits for the result: not the
        end of the loop, nor who needs the loop's executor."""
        result = self.loop.create_future()

        def tell(settle: Callable[[Any], None], what: Any) -> None:
            if not result.done():
                settle(what)

        def work() -> None:
            told: tuple[Callable[[Any], None], Any]
            try:
                told = result.set_result, call()
            except BaseException as error:
                told = result.set_exception, error
            try:
                self.loop.call_soon_threadsafe(tell, *told)
            except RuntimeError:
                pass  # The loop is closed.

        threading.Thread(target=work, name="anasazi-call", daemon=True).start()
        return await result

    def drop(self, connection: object, close: Callable[[], None]) -> None:
        """Closes what was not closed before it was collected, in whichever thread that was."""
        warnings.warn(f"{connection!r} was not closed", ResourceWarning, source=connection)
        if self.core is None or self.core.session.is_inherited() or self.loop.is_closed():
            close()
            return
        try:
            self.loop.call_soon_threadsafe(close)
        except RuntimeError:
            close()  # It was closed just now.
