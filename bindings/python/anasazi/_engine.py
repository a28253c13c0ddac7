"""Engines in this process."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _anasazi, _core, _errors, _settings, sync
from ._connection import Connecting, is_trio

if TYPE_CHECKING:
    import asyncio

LEAVE_S_MAX = 5.0


class Engine:
    """An engine of its own: what a daemon is made of, for `connect()` of this object.

    Settings come from `config`, a mapping or the path of a TOML file, and from keywords that are
    tables: `Engine(cluster="here", transport={"multicast": "239.192.7.7:7799"})`.

    `async with`: it runs in the loop of asyncio (in trio: in a thread); `with`: in a thread of the
    library, which never runs Python. Without either: `start_thread()`, `attach()`, or call
    `process()` whenever `fileno()` is readable.

    Raises `ConfigError`, which names the key and what is allowed, and `AnasaziError` for sockets
    and files that cannot be had.
    """

    def __init__(self, config: _settings.Settings = None, **settings: Any) -> None:
        self._engine = _anasazi.Engine(_settings.make(config, settings))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1
        self._is_driven = False
        self._is_processed = False
        self._gone: asyncio.Future[None] | None = None

    def fileno(self) -> int:
        """The descriptor that is readable when `process()` is to be called."""
        return self._engine.fd()

    def process(self, budget: int = 0) -> bool:
        """Drives it a bounded while, without waiting; whether there is more to do.

        `ConnectionClosed` once it was stopped and has left, `Busy` while another thread drives it.
        """
        self._is_processed = True
        return self._engine.process(budget)

    def start_thread(self) -> None:
        """Drives it in a thread of the library. `WrongState` if it is driven already."""
        self._drive_once()
        self._engine.start_thread()

    def attach(self) -> None:
        """Drives it in the running loop of asyncio. `WrongState` if it is driven already."""
        import asyncio  # Slow to import, and not for everybody.

        loop = asyncio.get_running_loop()
        self._drive_once()
        self._fd = self._engine.fd()
        loop.add_reader(self._fd, self._drive)
        self._loop = loop
        self._gone = loop.create_future()

    def stop(self) -> None:
        """Asks for a clean leave; nothing waits for it."""
        self._engine.stop()

    def close(self) -> None:
        """Stops it, and gives everything back; waits a second or two. Its connections end."""
        self._detach()
        self._engine.free()

    def connect(
        self,
        *,
        config: _settings.Settings = None,
        timeout: float | None = None,
        queue_len: int = _core.QUEUE_LEN,
        queue_bytes: int = _core.QUEUE_BYTES,
    ) -> Connecting:
        """As `anasazi.connect()`, to this engine."""
        return Connecting(
            self._open, config, timeout, queue_len, queue_bytes, lambda: self._loop is not None
        )

    def _open(self, config: _anasazi.Config) -> _anasazi.Session:
        if not self._is_driven and not self._is_processed:
            self._engine.fd()  # Raises if it has ended.
            raise _errors.WrongState(
                "nothing drives this engine, so that it would never answer: use it in 'with' or "
                "'async with', or call start_thread() or attach(), or process() again and again"
            )
        return self._engine.connect(config)

    def connect_sync(
        self,
        *,
        config: _settings.Settings = None,
        timeout: float | None = None,
        queue_len: int = _core.QUEUE_LEN,
        queue_bytes: int = _core.QUEUE_BYTES,
    ) -> sync.Connection:
        """As `anasazi.sync.connect()`, to this engine, which a thread drives."""
        if self._loop is not None:
            import asyncio

            try:
                is_here = asyncio.get_running_loop() is self._loop
            except RuntimeError:
                is_here = False
            if is_here:
                raise _errors.WrongState(
                    "this engine runs in this loop, in which nothing may wait for it: use connect()"
                )
        return sync.open_connection(self._open, config, timeout, queue_len, queue_bytes)

    def __enter__(self) -> Engine:
        self.start_thread()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Engine:
        if is_trio():
            self.start_thread()
        else:
            self.attach()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_inherited():
            self.close()
            return
        if self._gone is None:
            from ._trio import run_to_the_end

            await run_to_the_end(self.close)
            return
        import asyncio

        try:
            self.stop()
            async with asyncio.timeout(LEAVE_S_MAX):
                await self._gone
        except TimeoutError:
            pass  # Then without saying good-bye.
        finally:
            self.close()

    def _drive_once(self) -> None:
        if self._is_driven:
            raise _errors.WrongState("this engine is in a loop or a thread already")
        self._engine.fd()  # Raises if it has ended.
        self._is_driven = True

    def _drive(self) -> None:
        if self._loop is None:
            return
        try:
            if self._engine.process(0):
                self._loop.call_soon(self._drive)
        except _errors.ConnectionClosed:
            self._end(None)
        except _errors.AnasaziError as error:
            self._end(error)

    def _end(self, error: _errors.AnasaziError | None) -> None:
        gone, loop = self._gone, self._loop
        self._detach()
        if gone is not None and not gone.done():
            gone.set_result(None)
        if error is not None and loop is not None:
            context = {"message": "an engine has failed", "exception": error}
            loop.call_exception_handler(context)

    def _detach(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed() and not self._is_inherited():
            loop.remove_reader(self._fd)

    def _is_inherited(self) -> bool:
        """Whether this is a forked child, whose loop shares the parent's epoll descriptor."""
        try:
            self._engine.fd()
        except _errors.ForkedError:
            return True
        except _errors.AnasaziError:
            pass  # It has ended.
        return False
