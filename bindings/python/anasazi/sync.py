"""Connections and groups for plain programs: the same as in `anasazi`, with calls that wait.

    with anasazi.sync.connect("inproc:hello") as conn:
        with conn.join("room") as group:
            group.mcast(b"hello")
            for event in group: ...

While one waits other threads run, and Ctrl-C ends it. A connection is for one thread at a time: a
second one that would wait, or take events, gets `Busy`. `try_mcast()` and `close()` are for any
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from weakref import ref

from . import _anasazi, _core, _errors, _settings
from ._arguments import check_most, check_timeout
from ._buffer import Buffer
from ._connection import ASK_AGAIN_S, FIRST_S, session_settings
from ._core import Core
from ._events import Event, Member
from ._handles import SEND_ONLY, ConnectionHandle, GroupHandle, abandon, own_targets
from ._mistakes import PlainOnly, check_json, check_name, check_url
from ._service import AGREED
from ._streams import Stream, Target
from ._waiters import Promise, settle

__all__ = ["Connection", "Group", "Peer", "connect"]


class Incoming(PlainOnly, Iterator[Event]):
    """Events in order: `for`, one at a time, or in batches."""

    _stream: Stream
    _connection: Connection

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        while True:
            # Not next(): see the extension's `queue`. Who has no turn gets `Busy` there.
            for event in self._stream.queue:
                return event
            if not self._more(None):
                raise StopIteration

    def recv(self, timeout: float | None = None) -> Event:
        """The next event; waits for it, at most so many seconds.

        Raises `Timeout`, `ConnectionClosed` after the last one, `QueueFull`, `Busy`, `ForkedError`.
        """
        over = deadline(timeout)
        while True:
            for event in self._stream.queue:
                return event
            if not self._more(over):
                self._stream.core.check()
                raise _errors.ConnectionClosed("there are no more events: it has ended")

    def recv_many(self, most: int | None = None, timeout: float | None = None) -> list[Event]:
        """All events that are there, `most` at most; waits for one. Empty after the last one.

        Raises as `recv()`.
        """
        most = check_most(most)
        over = deadline(timeout)
        while True:
            for taken in self._stream.queue.batch(most):
                return taken
            if not self._more(over):
                return []

    def batches(self) -> Iterator[list[Event]]:
        """As `for`, but lists of what is there: for many messages in little time."""
        while events := self.recv_many():
            yield events

    def _more(self, over: float | None) -> bool:
        """Waits until there may be some, in a turn; False: there will be none."""
        stream = self._stream
        with stream.core.session.turn():
            if len(stream.queue) > 0:
                return True  # Another thread has received them just now.
            if stream.is_over:
                stream.core.check_end()
                return False
            waiter = Promise()
            stream.add_reader(waiter)
            if stream.is_over:
                settle(waiter)  # Another thread has closed it just now.
            try:
                self._connection._wait(waiter, over, "an event")
            except _errors.ConnectionClosed:
                stream.core.check_end()
                return len(stream.queue) > 0
            return True


class Group(Incoming, GroupHandle):
    """A group that this connection is in: what is sent to it, and its members."""

    _stream: Target

    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection = connection
        self._stream = target
        target.owner = ref(self)
        self._targets = (target,)

    @property
    def connection(self) -> Connection:
        """Whose it is."""
        return self._connection

    def mcast(self, data: Buffer, service: int = AGREED, timeout: float | None = None) -> int:
        """Sends, and waits until the message is delivered here: its place in the order.

        See `anasazi.Group.mcast()`. Raises `Timeout` beside what that does; the message may be sent
        all the same.
        """
        return self._connection._send(self._targets, data, service, timeout)

    def leave(self, timeout: float | None = None) -> None:
        """Leaves; done when that has its place in the order. Iterating ends there, with `Left`."""
        core, target = self._stream.core, self._stream
        self._connection._call(
            lambda: core.leave(target), deadline(timeout), f"leaving {self.name}"
        )

    def __enter__(self) -> Group:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        core = self._stream.core
        if core.session.is_inherited():
            return
        if kind is not None:
            abandon(self._stream)
        elif core.failure is None:
            self._stream.discard()
            try:
                self.leave()
            except _errors.QueueFull:
                pass  # Of another group. This one is left, if not at its place in the order.

    def __repr__(self) -> str:
        return f"<anasazi.sync.{type(self).__name__} {self.name!r}>"


class Peer(Group):
    """An address of one member."""

    _member: Member

    @property
    def member(self) -> Member:
        """Whose."""
        return self._member


class Connection(Incoming, ConnectionHandle):
    """A session with an engine, for one thread at a time."""

    def __init__(self, session: _anasazi.Session, queue_len: int, queue_bytes: int) -> None:
        self._core = Core(session, Promise, queue_len, queue_bytes)
        self._core.is_opening = False
        self._stream: Stream = self._core.own
        self._connection = self

    def join(
        self, name: str, *, send_only: bool = False, timeout: float | None = None
    ) -> Group:
        """Joins a group; done at the view that has us. In a `with` it is left again.

        See `anasazi.Connection.join()`; `Timeout` beside what that raises.
        """
        check_name(name)
        over = deadline(timeout)
        self._core.check()
        with self._core.session.turn():
            while (old := self._core.find(name)) is not None and old.is_dropped():
                self._wait(self._core.leave(old), over, f"leaving {name}")
            target = Target(self._core, name, is_address=send_only)
            group = Group(self, target)
            try:
                waiter = Promise()
                if not send_only:
                    target.opened.append(waiter)
                self._core.join(target, SEND_ONLY if send_only else 0)
                if not send_only:
                    self._wait(waiter, over, f"joining {name}")
            except BaseException:
                abandon(target)
                raise
        return group

    def peer(self, member: Member) -> Peer:
        """An address of one member; see `anasazi.Connection.peer()`."""
        self._core.check()
        with self._core.session.turn():
            peer = Peer(self, self._core.peer(member))
        peer._member = Member(*member)
        return peer

    def mcast(
        self,
        groups: Iterable[Group],
        data: Buffer,
        service: int = AGREED,
        timeout: float | None = None,
    ) -> int:
        """Sends one message to several groups of this connection, ordered across them."""
        return self._send(own_targets(self, groups), data, service, timeout)

    def query(self, json: str, timeout: float | None = None) -> str:
        """Asks the engine; question and answer are JSON."""
        check_json(json)
        self._core.check()
        over = deadline(timeout)
        while True:
            try:
                answer: str = self._call(lambda: self._core.ask(json), over, "an answer")
                return answer
            except _errors.WouldBlock:
                if over is not None and time.monotonic() >= over:
                    raise
                # Nothing tells when there is room for a question.
                time.sleep(ASK_AGAIN_S)

    def close(self) -> None:
        """Ends it: leaves all groups; a thread that waits for something of it gets
        `ConnectionClosed`, or its loop ends. Again: nothing."""
        if self._core.failure is None and not self._core.session.is_inherited():
            self._core.session.wake()
        self._core.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<anasazi.sync.Connection {'closed' if self.is_closed else 'open'}>"

    def _send(
        self, targets: tuple[Target, ...], data: Buffer, service: int, timeout: float | None
    ) -> int:
        place: int = self._call(
            lambda: self._core.sending.send(targets, service, data),
            deadline(timeout),
            "a message to be delivered",
        )
        return place

    def _call(self, begin: Callable[[], Any], over: float | None, what: str) -> Any:
        """Begins something and waits for it, in one turn: who gets `Busy` has begun nothing."""
        with self._core.session.turn():
            return self._wait(begin(), over, what)

    def _wait(self, waiter: Any, over: float | None, what: str) -> Any:
        """In one's turn."""
        core = self._core
        try:
            while not waiter.done():
                self._read(over, what)
                if waiter.done():
                    break
                core.check()
                if over is not None and time.monotonic() >= over:
                    raise _errors.Timeout(f"waited too long for {what}", retryable=True)
        except BaseException:
            waiter.cancel()
            core.sending.forget(waiter)
            raise
        return waiter.result()

    def _read(self, over: float | None, what: str) -> None:
        """Waits, and receives once."""
        core = self._core
        if core.told:
            core.read()  # What an exception of a signal's handler had ended.
            return
        if core.is_blocked():
            raise core.full_error()
        left = None if over is None else over - time.monotonic()
        try:
            if not core.session.wait(left if left is None else max(left, 0.0)):
                raise _errors.Timeout(f"waited too long for {what}", retryable=True)
        except _errors.ConnectionClosed:
            pass  # Another thread closed it, and has settled everything.
        core.read()


def deadline(timeout: float | None) -> float | None:
    """In seconds of `time.monotonic()`."""
    return None if timeout is None else time.monotonic() + check_timeout(timeout)


def connect(
    url: str | None = None,
    *,
    config: _settings.Settings = None,
    timeout: float | None = None,
    queue_len: int = _core.QUEUE_LEN,
    queue_bytes: int = _core.QUEUE_BYTES,
) -> Connection:
    """Connects to an engine, and waits for it; in a `with` it is closed again.

    See `anasazi.connect()`.
    """
    check_url(url)
    return open_connection(
        lambda made: _anasazi.Session.connect(url, made), config, timeout, queue_len, queue_bytes
    )


def open_connection(
    open_session: Callable[[_anasazi.Config], _anasazi.Session],
    config: _settings.Settings,
    timeout: float | None,
    queue_len: int,
    queue_bytes: int,
) -> Connection:
    """Who refuses does so at once. Who says nothing for a moment is waited for in a way that Ctrl-C
    ends, which the library's own waiting is not."""
    made = _settings.make(config, session_settings(timeout))
    first_s = FIRST_S if timeout is None else min(FIRST_S, timeout)
    first = _settings.make(config, session_settings(first_s))
    try:
        session = open_session(first)
    except _errors.Timeout:
        if timeout is not None and timeout <= FIRST_S:
            raise
        made.set("connect.async", "true")
        session = open_session(made)
    connection = Connection(session, queue_len, queue_bytes)
    try:
        if session.member() is None:
            connection._core.is_opening = True
            waiter = Promise()
            connection._core.opened.append(waiter)
            connection._call(lambda: waiter, None, "the engine")
    except BaseException:
        connection.close()
        raise
    return connection
