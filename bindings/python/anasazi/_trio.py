"""Waiting in trio, and in anyio on trio: whoever waits reads for all, and hands over when done. So
there is no task in the background, and nothing is read while nobody waits."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

from . import _errors
from ._core import Core
from ._waiters import Promise

STALL_S = 5.0
trio: Any = importlib.import_module("trio")


class TrioIo:
    """What waits for a connection that belongs to the running trio."""

    def __init__(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self.core: Core | None = None
        self.fd = -1
        self.is_reading = False
        self.others: list[Any] = []
        self.room: Any = trio.Event()

    def new_waiter(self) -> Promise:
        return Promise()

    def attach(self, core: Core) -> None:
        self.core = core
        self.fd = core.session.fd()
        core.on_room = self.resume

    def detach(self) -> None:
        """Before the descriptor is closed."""
        self.room.set()
        # A forked child shares the parent's epoll descriptor.
        if self.fd >= 0 and self.core is not None and not self.core.session.is_inherited():
            try:
                trio.lowlevel.notify_closing(self.fd)
            except RuntimeError:
                pass  # That trio has ended.
        self.fd = -1

    def check(self) -> None:
        """Raises unless this is the run that the connection was made in."""
        if self.core is not None and self.core.session.is_inherited():
            raise _errors.ForkedError("this connection is the parent process's: connect here, too")
        try:
            if trio.lowlevel.current_trio_token() is self.token:
                return
        except RuntimeError:
            pass
        raise _errors.Busy("this connection belongs to another run of trio: connect in this one")

    check_loop = check

    def resume(self) -> None:
        """There is room again."""
        self.room.set()
        self.room = trio.Event()

    async def wait(self, waiter: Any) -> Any:
        """For what the core settles."""
        if waiter.done():
            await trio.lowlevel.checkpoint()
        try:
            while not waiter.done():
                if self.is_reading:
                    turn = trio.Event()
                    self.others.append(turn)
                    waiter.on_done = turn.set
                    try:
                        await turn.wait()
                    finally:
                        self.others.remove(turn)
                else:
                    await self.read()
        except BaseException:
            waiter.cancel()
            if self.core is not None:
                self.core.sending.forget(waiter)
            raise
        finally:
            if not self.is_reading and self.others:
                self.others[0].set()
        return waiter.result()

    async def read(self) -> None:
        core = self.core
        assert core is not None
        self.is_reading = True
        try:
            if core.told:
                # What an exception of a signal's handler had ended.
                core.read()
            elif core.is_blocked():
                await self.wait_for_room(core)
            else:
                await trio.lowlevel.wait_readable(self.fd)
                core.read()
        except trio.ClosedResourceError:
            pass  # By close(), which has settled everything.
        finally:
            self.is_reading = False

    async def wait_for_room(self, core: Core) -> None:
        progress = core.backlog.taken
        core.wants_room = True
        try:
            with trio.move_on_after(STALL_S):
                await self.room.wait()
        finally:
            core.wants_room = False
        if core.is_blocked() and core.backlog.taken == progress:
            core.stall()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def run_blocking(self, call: Callable[[], Any]) -> Any:
        """In another thread of Python's."""
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True)

    def drop(self, connection: object, close: Callable[[], None]) -> None:
        """Closes what was not closed before it was collected: nobody waits for it."""
        warnings.warn(f"{connection!r} was not closed", ResourceWarning, source=connection)
        self.fd = -1
        close()


async def run_to_the_end(call: Callable[[], Any]) -> None:
    """In another thread of Python's, also when everything here is cancelled."""
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(call)
