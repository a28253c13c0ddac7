"""Connections and groups for asyncio and trio."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Protocol
from weakref import ref

from . import _anasazi, _core, _errors, _settings
from ._arguments import check_most, check_timeout
from ._buffer import Buffer
from ._core import Core
from ._events import Event, Member
from ._handles import SEND_ONLY, ConnectionHandle, GroupHandle, abandon, own_targets
from ._mistakes import AsyncOnly, Promised, check_json, check_name, check_url
from ._service import AGREED
from ._streams import Stream, Target
from ._waiters import Waiter

FIRST_S = 0.3
ASK_AGAIN_S = 0.01
CONNECT_S_MAX = 600.0
TO_BE_AWAITED = (
    "write 'await' or 'async with'; asyncio.ensure_future() in place of create_task()"
)


class Io(Protocol):
    """How to wait: `AsyncioIo` or `TrioIo`."""

    def new_waiter(self) -> Waiter: ...
    def attach(self, core: Core) -> None: ...
    def detach(self) -> None: ...
    def check(self) -> None: ...
    def check_loop(self) -> None: ...
    async def wait(self, waiter: Any) -> Any: ...
    async def sleep(self, seconds: float) -> None: ...
    async def run_blocking(self, call: Callable[[], Any]) -> Any: ...
    def drop(self, connection: object, close: Callable[[], None]) -> None: ...


def running_io() -> Io:
    """For what runs here: trio, or asyncio; `RuntimeError` if neither does."""
    if is_trio():
        from ._trio import TrioIo

        return TrioIo()
    from ._asyncio import AsyncioIo

    return AsyncioIo()


def is_trio() -> bool:
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:
        try:
            return bool(sniffio.current_async_library() == "trio")
        except sniffio.AsyncLibraryNotFoundError:
            pass
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


class Incoming(AsyncOnly, AsyncIterator[Event]):
    """Events in order: `async for`, one at a time, or in batches."""

    _stream: Stream
    _io: Io

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        self._io.check_loop()
        stream = self._stream
        while True:
            if stream.core.wants_room:
                stream.make_room(1)
            # Not next(): see the extension's `queue`.
            for event in stream.queue:
                return event
            if not await self._more():
                raise StopAsyncIteration

    async def recv(self) -> Event:
        """The next event; waits for it.

        Raises `ConnectionClosed` after the last one, and what waiting may raise: `QueueFull`,
        `Busy`, `ForkedError`.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            self._stream.core.check()
            raise _errors.ConnectionClosed("there are no more events: it has ended") from None

    async def recv_many(self, most: int | None = None) -> list[Event]:
        """All events that are there, `most` at most; waits for one. Empty after the last one."""
        self._io.check()
        most = check_most(most)
        stream = self._stream
        while True:
            if stream.core.wants_room:
                stream.make_room(most)
            for taken in stream.queue.batch(most):
                return taken
            if not await self._more():
                return []

    async def batches(self) -> AsyncIterator[list[Event]]:
        """As `async for`, but lists of what is there: for many messages in little time."""
        while events := await self.recv_many():
            yield events

    async def _more(self) -> bool:
        """Waits until there may be some; False: there will be none."""
        if self._stream.is_over:
            self._stream.core.check_end()
            return False
        waiter = self._io.new_waiter()
        self._stream.add_reader(waiter)
        await self._io.wait(waiter)
        return True


class Group(Incoming, GroupHandle):
    """A group that this connection is in: what is sent to it, and its members.

    Iterating gives its events, to `Left` or `Closed`.
    """

    _stream: Target

    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection = connection
        self._io = connection._io
        self._stream = target
        target.owner = ref(self)
        self._targets = (target,)

    @property
    def connection(self) -> Connection:
        """Whose it is."""
        return self._connection

    async def mcast(self, data: Buffer, service: int = AGREED) -> int:
        """Sends, and waits until the message is delivered here: its place in the order.

        All that was ordered before it is to be iterated over then. While there is no room it waits
        for some; sends to one group do not overtake each other. With `NO_SELF` it waits for room
        only, and gives 0.

        Raises `TooLarge`, `InvalidArgument`, `NotMember`, `ViewChanged` (`SAME_VIEW`), `Lost` (its
        fate is not known), `SlowReceiver`, `QueueFull`, `ConnectionClosed`, `Busy`, `ForkedError`,
        and `TypeError` for what has no bytes. If it is cancelled, the message may be sent all the
        same.
        """
        self._io.check()
        waiter = self._stream.core.sending.send(self._targets, service, data)
        place: int = await self._io.wait(waiter)
        return place

    async def leave(self) -> None:
        """Leaves; done when that has its place in the order. Iterating ends there, with `Left`."""
        self._io.check()
        await self._io.wait(self._stream.core.leave(self._stream))

    def __repr__(self) -> str:
        return f"<anasazi.{type(self).__name__} {self.name!r}>"


class Peer(Group):
    """An address of one member. What it sends comes in its connection's own stream, ordered with
    everything else."""

    @property
    def member(self) -> Member:
        """Whose."""
        return self._member

    _member: Member


class Joining(Promised):
    """What `join()` gives: to be awaited, or for `async with`."""

    def __init__(self, connection: Connection, name: str, flags: int) -> None:
        self._connection = connection
        self._name = name
        self._flags = flags
        self._group: Group | None = None

    def __await__(self) -> Generator[Any, None, Group]:
        return self._connection._join(self._name, self._flags).__await__()

    def __repr__(self) -> str:
        return f"<anasazi.Joining {self._name!r}: {TO_BE_AWAITED}>"

    async def __aenter__(self) -> Group:
        self._group = await self
        return self._group

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._group is not None
        target, core = self._group._stream, self._connection._core
        if core.session.is_inherited():
            return
        if error is not None:
            abandon(target)  # Who is in trouble does not wait.
            return
        target.discard()
        if core.failure is not None:
            return
        try:
            await self._group._io.wait(core.leave(target))
        except _errors.QueueFull:
            pass  # Of another group. This one is left, if not at its place in the order.


class Connection(Incoming, ConnectionHandle):
    """A session with an engine. Iterating gives what concerns it as a whole, and messages to it
    alone: `Suspended`, `Resumed`, `Message`, `Closed`."""

    def __init__(
        self, session: _anasazi.Session, io: Io, queue_len: int, queue_bytes: int
    ) -> None:
        self._io = io
        self._core = Core(session, io.new_waiter, queue_len, queue_bytes)
        self._stream: Stream = self._core.own

    def join(self, name: str, *, send_only: bool = False) -> Joining:
        """Joins a group; done at the view that has us, which is the first of its events.

        For `async with`, which leaves again, or to be awaited. `send_only`: an address of the
        group, without messages and views. Raises `InvalidArgument` for a name that is not valid,
        `AlreadyJoined`, `AccessDenied`, `ConnectionClosed`, `QueueFull`, `Busy`, `ForkedError`.
        """
        check_name(name)
        return Joining(self, name, SEND_ONLY if send_only else 0)

    async def _join(self, name: str, flags: int) -> Group:
        self._io.check()
        self._core.check()
        while (old := self._core.find(name)) is not None and old.is_dropped():
            await self._io.wait(self._core.leave(old))
        target = Target(self._core, name, is_address=bool(flags & SEND_ONLY))
        group = Group(self, target)
        waiter = self._io.new_waiter()
        try:
            if not target.is_address:
                target.opened.append(waiter)
            self._core.join(target, flags)
            if not target.is_address:
                await self._io.wait(waiter)
        except BaseException:
            abandon(target)
            raise
        return group

    def peer(self, member: Member) -> Peer:
        """An address of one member; it ends with `leave()`.

        Raises `AlreadyJoined` if there is one already, `InvalidArgument`, `ConnectionClosed`.
        """
        self._core.check()
        peer = Peer(self, self._core.peer(member))
        peer._member = Member(*member)
        return peer

    async def mcast(
        self, groups: Iterable[Group], data: Buffer, service: int = AGREED
    ) -> int:
        """Sends one message to several groups of this connection, ordered across them.

        Who is in more than one of them finds it in the stream of each. As `Group.mcast()` else.
        """
        self._io.check()
        waiter = self._core.sending.send(own_targets(self, groups), service, data)
        place: int = await self._io.wait(waiter)
        return place

    async def query(self, json: str) -> str:
        """Asks the engine; question and answer are JSON.

        Raises `ConnectionClosed`, `Lost`, `QueueFull`, `Busy`, `ForkedError`.
        """
        check_json(json)
        self._io.check()
        self._core.check()
        while True:
            try:
                waiter = self._core.ask(json)
                break
            except _errors.WouldBlock:
                # Nothing tells when there is room for a question.
                await self._io.sleep(ASK_AGAIN_S)
        answer: str = await self._io.wait(waiter)
        return answer

    def close(self) -> None:
        """Ends it: leaves all groups. Whoever waits for something of it gets `ConnectionClosed`;
        iterating ends. Again: nothing."""
        self._io.detach()
        self._core.close()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is not None and core.failure is None:
            io = self._io

            def close() -> None:
                io.detach()
                core.close()

            io.drop(self, close)

    def __repr__(self) -> str:
        return f"<anasazi.Connection {'closed' if self.is_closed else 'open'}>"


class Connecting(Promised):
    """What `connect()` gives: to be awaited, or for `async with`."""

    def __init__(
        self,
        open_session: Callable[[_anasazi.Config], _anasazi.Session],
        config: _settings.Settings,
        timeout: float | None,
        queue_len: int,
        queue_bytes: int,
        is_in_loop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._open = open_session
        self._is_in_loop = is_in_loop
        """Whether the engine answers only when this thread is back in the loop."""
        self._config = config
        self._timeout = timeout
        self._bounds = queue_len, queue_bytes
        self._connection: Connection | None = None

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._connect().__await__()

    def __repr__(self) -> str:
        return f"<anasazi.Connecting: {TO_BE_AWAITED}>"

    async def _connect(self) -> Connection:
        io = running_io()
        session = await self._begin(io)
        connection = Connection(session, io, *self._bounds)
        io.attach(connection._core)
        try:
            if session.member() is None:
                waiter = io.new_waiter()
                connection._core.opened.append(waiter)
                await io.wait(waiter)
            connection._core.is_opening = False
        except BaseException:
            connection.close()
            raise
        return connection

    async def _begin(self, io: Io) -> _anasazi.Session:
        """Who refuses does so at once. Who says nothing for a moment is waited for at the
        descriptor, which ends with whoever waits."""
        timeout = self._timeout
        config = _settings.make(self._config, session_settings(timeout))
        if not self._is_in_loop():
            first = min(FIRST_S, FIRST_S if timeout is None else timeout)
            brief = _settings.make(self._config, session_settings(first))
            try:
                session: _anasazi.Session = await io.run_blocking(lambda: self._open(brief))
                return session
            except _errors.Timeout:
                if timeout is not None and timeout <= FIRST_S:
                    raise
        config.set("connect.async", "true")
        return self._open(config)

    async def __aenter__(self) -> Connection:
        self._connection = await self
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()


def session_settings(timeout: float | None) -> dict[str, Any]:
    if timeout is None:
        return {}
    timeout = min(check_timeout(timeout), CONNECT_S_MAX)
    return {"connect.timeout_ms": max(1, round(timeout * 1000))}


def connect(
    url: str | None = None,
    *,
    config: _settings.Settings = None,
    timeout: float | None = None,
    queue_len: int = _core.QUEUE_LEN,
    queue_bytes: int = _core.QUEUE_BYTES,
) -> Connecting:
    """Connects to an engine: `async with connect() as conn`, or `conn = await connect()`.

    `url`: "inproc:NAME", an engine of this process that all who name it share; "shm:/path",
    "unix:/path", "tcp://host:port", a daemon. None: ANASAZI_URL, else the local daemon, else
    "inproc:default". `config`: settings "connect.*" and "session.*", or a TOML file's path.
    `timeout`: seconds; 5 by default. `queue_len`, `queue_bytes`: so much is received ahead of who
    iterates.

    Raises `ConnectionRefused`, `Timeout`, `AccessDenied`, `VersionMismatch`, `ConfigError`,
    `InvalidArgument`.
    """
    check_url(url)
    return Connecting(
        lambda made: _anasazi.Session.connect(url, made), config, timeout, queue_len, queue_bytes
    )
