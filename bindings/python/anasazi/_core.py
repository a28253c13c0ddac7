"""A connection, but for the waiting: what is received is sorted into streams, and settles what
somebody waits for. `_asyncio`, `_trio` and `sync` wait, each in its own way.

The order in which things are told is the point of it: what is received goes into the streams first,
and only then are those woken who wait for a message of theirs. So after `await group.mcast()` all
that was ordered before it is in the stream.

What nobody takes is bounded: with `queue_len` events, or `queue_bytes`, in its streams a connection
reads no more. The engine then keeps what comes, and has its own rules for who is slow
(`session.slow_policy`). Who waits for something that had to be read first waits as long as somebody
takes events, and else gets `QueueFull`. What is left of a group that has ended does not count: no
more comes, and it goes with the group's object. What a group has whose object is gone nobody can
take, and is dropped when there is no room.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from . import _anasazi, _errors
from ._arguments import SIZE_MAX, check_bound
from ._events import Closed, Event, Left, Resumed, Suspended, View
from ._sending import Sending
from ._streams import Stream, Target
from ._waiters import Waiter, fail, settle, settle_all

QUEUE_LEN = 16384
QUEUE_BYTES = 64 << 20


class Core:
    """See above."""

    def __init__(
        self,
        session: _anasazi.Session,
        new_waiter: Callable[[], Waiter],
        queue_len: int,
        queue_bytes: int,
    ) -> None:
        check_bound("queue_len", queue_len)
        check_bound("queue_bytes", queue_bytes)
        self.session = session
        self.new_waiter = new_waiter
        self.backlog = _anasazi.Backlog(min(queue_len, SIZE_MAX), min(queue_bytes, SIZE_MAX))
        self.wants_room = False
        self.on_room: Callable[[], object] = lambda: None
        """To be called when there is room to read more, if that is wanted."""
        self.own = Stream(self)
        self.targets: dict[int, Target] = {}
        self.replies: dict[int, tuple[list[tuple[int, bytes, bool]], Waiter]] = {}
        self.opened: list[Waiter] = []
        self.sending = Sending(self)
        self.failure: _errors.AnasaziError | None = None
        self.is_suspended = False
        self.observers: list[Callable[[str | None, Event], object]] = []
        self.told: list[_anasazi._Told] = []
        """What is to be told of what was received last: empty, but while it is told, or after an
        exception has ended that."""
        self.is_opening = True
        self.is_end_told = False
        self.is_ended = False

    # Reading.

    def is_blocked(self) -> bool:
        """Whether there is no room, even without what nobody can take."""
        if self.backlog.is_full():
            for target in list(self.targets.values()):
                if target.is_dropped():
                    target.discard()
        return self.backlog.is_full()

    def look_for_room(self) -> None:
        if self.wants_room and not self.backlog.is_full():
            self.on_room()

    def read(self) -> int:
        """Receives once; how many events there were.

        Where an exception of a signal's handler ends this, calling it again goes on there: what was
        received is in the streams, and what is to be told of it is removed once it is.
        """
        if self.failure is not None:
            self.end(self.failure)
            return 0
        is_begun = bool(self.told)
        if not is_begun:
            try:
                self.session.receive(self.own, self.targets, self.is_opening, self.told)
            except _errors.AnasaziError as error:
                self.end(error)
                return 0
        count, touched, notes, settled, replies, writable = self.told[0]
        while touched:
            touched[-1].wake()
            touched.pop()
        while notes:
            self.note(notes[-1])
            notes.pop()
        while settled:
            self.settle(*settled[-1])
            settled.pop()
        while replies:
            self.reply(replies[-1])
            replies.pop()
        while writable:
            self.sending.flush_all([self.targets.get(writable[-1])])
            writable.pop()
        if is_begun:
            # Whose turn it was is not known any more.
            self.sending.flush_all(list(self.targets.values()))
        self.told.clear()
        return count

    def settle(self, tag: int, status: int, seq: int) -> None:
        """Whoever waits for this message of ours is told."""
        waiter = self.sending.pending.get(tag)
        if waiter is None:
            return
        if status:
            fail(waiter, _errors.of_status(status, "a message"))
        else:
            settle(waiter, seq)
        self.sending.pending.pop(tag, None)

    def note(self, note: _anasazi._Note) -> None:
        stream, event, place, _ = note
        if stream is self.own:
            self.note_own(note, event)
            return
        assert isinstance(stream, Target)
        if isinstance(event, View):
            stream.view, stream.view_end = event, place
            settle_all(stream.opened)
        elif isinstance(event, Left):
            self.end_target(stream, event)
        self.observe(note, stream.name, event)

    def note_own(self, note: _anasazi._Note, event: Event) -> None:
        if isinstance(event, Resumed) and self.is_opening:
            settle_all(self.opened)
            self.is_opening = False
            return
        self.observe(note, None, event)
        if isinstance(event, Suspended):
            self.is_suspended = True
        elif isinstance(event, Resumed):
            self.is_suspended = False
            self.sending.flush_all(list(self.targets.values()))
        elif isinstance(event, Closed):
            self.is_end_told = True
            self.end(event.error or _errors.ConnectionClosed("the connection has ended"))

    def add_observer(
        self, observer: Callable[[str | None, Event], object]
    ) -> Callable[[], None]:
        if not callable(observer):
            raise TypeError(f"an observer is a function of a name and an event, not {observer!r}")
        self.observers.append(observer)

        def undo() -> None:
            if observer in self.observers:
                self.observers.remove(observer)

        return undo

    def observe(self, note: _anasazi._Note, name: str | None, event: Event) -> None:
        """Calls each observer once, also if an exception that is none of its own ends this."""
        rest: Iterator[Callable[[str | None, Event], object]] | None = note[3]
        if rest is None:
            note[3] = rest = iter(list(self.observers))
        for observer in rest:
            try:
                observer(name, event)
            except Exception as error:
                sys.excepthook(type(error), error, error.__traceback__)

    def reply(self, reply: tuple[int, bytes, bool]) -> None:
        tag, _, has_more = reply
        parts, waiter = self.replies.get(tag, (None, None))
        if parts is None or waiter is None:
            return
        if not parts or parts[-1] is not reply:
            parts.append(reply)
        if not has_more:
            answer = b"".join(part for _, part, _ in parts)
            settle(waiter, answer.decode(errors="replace"))
            self.replies.pop(tag, None)

    # Groups and questions.

    def join(self, target: Target, flags: int) -> None:
        """Asks to join. Nothing comes between that and the target's being known by its handle, not
        even KeyboardInterrupt: else nobody would leave."""
        self.session.join(target.name, flags, target, self.targets)

    def peer(self, member: tuple[int, int]) -> Target:
        """The address of a member; that of before if its object is gone."""
        target = Target(self, "a member", is_address=True)
        try:
            self.session.peer(member, target, self.targets)
        except _errors.AlreadyJoined:
            targets = list(self.targets.values())
            old = next((one for one in targets if one.member == tuple(member)), None)
            if old is None or old.is_leaving or not old.is_dropped():
                raise
            old.begin_again()
            return old
        node, session = member
        target.member = node, session
        target.name = f"{node}/{session}"
        return target

    def find(self, name: str) -> Target | None:
        """A group of this name."""
        groups = [target for target in list(self.targets.values()) if target.member is None]
        return next((target for target in groups if target.name == name), None)

    def leave(self, target: Target) -> Waiter:
        """Asks to leave; known at `Left`."""
        waiter = self.new_waiter()
        if target.is_over or target.handle is None:
            settle(waiter)
            return waiter
        if not target.is_leaving:
            target.handle.leave()
            target.is_leaving = True
        target.ended.append(waiter)
        return waiter

    def ask(self, json: str) -> Waiter:
        waiter = self.new_waiter()
        tag = self.sending.tag()
        self.session.query(json, tag)
        self.replies[tag] = [], waiter
        return waiter

    # Ends.

    def check(self) -> None:
        """Raises if the connection has ended."""
        if self.failure is not None:
            raise _errors.make(self.failure.code, self.failure.message, self.failure.retryable)

    def check_end(self) -> None:
        """Raises if a stream ended for a reason that no event has told."""
        if not self.is_end_told:
            self.check()

    def stall(self) -> None:
        """Nobody takes events: whoever waits for some that are not read is told."""
        error = self.full_error()
        streams = [self.own, *self.targets.values()]
        for waiter in [*self.waiters(), *(reader for s in streams for reader in s.readers)]:
            fail(waiter, error)
        self.sending.pending.clear()
        self.replies.clear()
        self.sending.drop_unsent()
        for stream in streams:
            stream.readers.clear()
            if isinstance(stream, Target):
                stream.opened.clear()
                stream.ended.clear()

    def waiters(self) -> list[Waiter]:
        """Whoever waits for more than events."""
        waiters = [*list(self.sending.pending.values())]
        waiters += [send.waiter for send in list(self.sending.unsent.values())]
        waiters += [waiter for _, waiter in list(self.replies.values())]
        for target in list(self.targets.values()):
            waiters += [*target.opened, *target.ended]
        return waiters

    def full_error(self) -> _errors.QueueFull:
        counts = {target.name: len(target.queue) for target in self.targets.values()}
        counts["the connection"] = len(self.own.queue)
        name = max(counts, key=lambda name: counts[name])
        return _errors.QueueFull(
            f"{self.backlog.len} events ({self.backlog.bytes} bytes) wait to be taken, most of "
            f"them ({counts[name]}) of {name}, and no more are read: iterate over it, or raise "
            "queue_len or queue_bytes of connect(). What was sent is on its way", retryable=True,
        )  # fmt: skip

    def end_target(self, target: Target, left: Left) -> None:
        target.end = left
        if target.handle is not None:
            self.targets.pop(target.handle.key, None)
        target.finish()
        for send in list(target.unsent):
            fail(send.waiter, target.error())
        for waiter in target.opened:
            fail(waiter, target.error())
        target.opened.clear()
        settle_all(target.ended)
        # What was for several groups kept back what is behind it in the others.
        self.sending.flush(target)

    def close(self) -> None:
        """Ends it, as the application wants."""
        self.is_end_told = True
        closed = _errors.ConnectionClosed("the connection was closed")
        try:
            self.end(closed)
        finally:
            try:
                self.end(closed)  # If an exception came in the middle of it.
            finally:
                self.session.close()

    def end(self, failure: _errors.AnasaziError) -> None:
        """The connection has ended, for this reason. Again: the rest of it, if there is any."""
        if self.is_ended:
            return
        # From here on `Sending.attempt()` sees it: another thread may be there, when it is that
        # thread's.
        self.failure = failure = self.failure or failure
        for target in list(self.targets.values()):
            target.finish()
            settle_all(target.ended)
        self.own.finish()
        for waiter in [*self.waiters(), *self.opened]:
            fail(waiter, _errors.make(failure.code, failure.message, failure.retryable))
        for target in list(self.targets.values()):
            target.opened.clear()
        self.targets.clear()
        self.opened.clear()
        self.sending.pending.clear()
        self.replies.clear()
        self.sending.drop_unsent()
        self.is_ended = True
