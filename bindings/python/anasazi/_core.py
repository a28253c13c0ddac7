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
from collections.abc import Callable
from operator import length_hint
from weakref import WeakSet

from . import _anasazi, _errors
from ._arguments import check_bound
from ._events import Closed, Event, Left, Message, Resumed, Suspended, View
from ._sending import Sending
from ._streams import OwnStream, Stream, Target
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
        self.queue_len_max = queue_len
        self.queue_bytes_max = queue_bytes
        self.queued_len = 0
        self.queued_bytes = 0
        self.taken = 0
        self.on_room: Callable[[], object] = lambda: None
        self.own = OwnStream(self)
        self.ended: WeakSet[Stream] = WeakSet()
        self.targets: dict[int, Target] = {}
        self.replies: dict[int, tuple[list[bytes], Waiter]] = {}
        self.opened: list[Waiter] = []
        self.sending = Sending(self)
        self.failure: _errors.AnasaziError | None = None
        self.is_suspended = False
        self.observers: list[Callable[[str | None, Event], object]] = []
        self.received: list[_anasazi._Received] = []
        self.is_sorting = False
        self.is_opening = True
        self.is_end_told = False

    # Reading.

    def is_full(self) -> bool:
        return self.queued_len >= self.queue_len_max or self.queued_bytes >= self.queue_bytes_max

    def is_blocked(self) -> bool:
        """Whether it is full even without what nobody can take."""
        if self.is_full():
            for target in list(self.targets.values()):
                if target.is_dropped():
                    target.discard()
        return self.is_full()

    def count(self, count: int, size: int) -> None:
        was_full = self.is_full()
        self.queued_len += count
        self.queued_bytes += size
        if was_full and not self.is_full():
            self.on_room()

    def progress(self) -> int:
        """Grows with every event that is taken."""
        streams = [self.own, *self.targets.values(), *self.ended]
        return self.taken - sum(length_hint(stream.current) for stream in streams)

    def read(self) -> int:
        """Receives once; how many events there were."""
        if self.failure is not None:
            return 0
        if self.is_sorting:
            self.end(_errors.ConnectionClosed(
                "an exception, for instance KeyboardInterrupt, came while received events were "
                "sorted, and some are lost, so that the connection has ended: connect again",
                retryable=True,
            ))  # fmt: skip
            return 0
        self.is_sorting = True
        try:
            self.session.receive(self.received)
            count, runs, settled, writable, replies = self.received.pop()
        except _errors.AnasaziError as error:
            self.is_sorting = False
            self.end(error)
            return 0
        for key, size, is_plain, events in runs:
            self.sort(key, size, is_plain, events)
        for tag, status, seq in settled:
            waiter = self.sending.pending.pop(tag, None)
            if waiter is not None:
                if status:
                    fail(waiter, _errors.of_status(status, "a message"))
                else:
                    settle(waiter, seq)
        for tag, part, has_more in replies:
            self.reply(tag, part, has_more)
        for key in writable:
            target = self.targets.get(key)
            if target is not None:
                self.sending.flush(target)
        self.is_sorting = False
        return count

    def sort(self, key: int, size: int, is_plain: bool, events: list[Event]) -> None:
        stream = self.targets.get(key) if key else self.own
        if stream is None:
            return  # It has ended here already.
        if is_plain:
            stream.push(events, size)
            return
        # What concerns the whole connection is told at its place in every stream.
        if stream is self.own and not all(isinstance(event, Message) for event in events):
            for event in events:
                self.note_own(event)
            return
        stream.push(events, size)
        for place, event in enumerate(events, stream.pushed - len(events) + 1):
            self.note(stream, event, place)

    def note_own(self, event: Event) -> None:
        if isinstance(event, Resumed) and self.is_opening:
            self.is_opening = False
            settle_all(self.opened)
            return
        if isinstance(event, Suspended | Resumed):
            self.own.push_life(event)
        else:
            self.own.push([event], len(event) if isinstance(event, Message) else 0)
        if isinstance(event, Suspended | Resumed | Closed):
            for target in list(self.targets.values()):
                if not target.is_address:
                    target.push([event], 0)
            self.observe(None, event)
        if isinstance(event, Suspended):
            self.is_suspended = True
        elif isinstance(event, Resumed):
            self.is_suspended = False
            for target in list(self.targets.values()):
                self.sending.flush(target)
        elif isinstance(event, Closed):
            self.is_end_told = True
            self.end(event.error or _errors.ConnectionClosed("the connection has ended"))

    def note(self, stream: Stream, event: Event, place: int) -> None:
        if not isinstance(stream, Target) or isinstance(event, Message):
            return
        if isinstance(event, View):
            stream.view, stream.view_end = event, place
            settle_all(stream.opened)
        elif isinstance(event, Left):
            self.end_target(stream, event)
        self.observe(stream.name, event)

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

    def observe(self, name: str | None, event: Event) -> None:
        for observer in list(self.observers):
            try:
                observer(name, event)
            except Exception as error:
                sys.excepthook(type(error), error, error.__traceback__)

    def reply(self, tag: int, part: bytes, has_more: bool) -> None:
        parts, waiter = self.replies.get(tag, (None, None))
        if parts is None or waiter is None:
            return
        parts.append(part)
        if not has_more:
            del self.replies[tag]
            settle(waiter, b"".join(parts).decode(errors="replace"))


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
            old = self.find(f"{member[0]}/{member[1]}")
            if old is None or old.is_leaving or not old.is_dropped():
                raise
            old.begin_again()
            return old
        target.name = f"{member[0]}/{member[1]}"
        return target

    def find(self, name: str) -> Target | None:
        return next((target for target in self.targets.values() if target.name == name), None)

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
        waiters = [*self.sending.pending.values()]
        waiters += [waiter for _, waiter in self.replies.values()]
        self.sending.pending.clear()
        self.replies.clear()
        waiters += self.sending.drop_unsent()
        for target in list(self.targets.values()):
            waiters += [*target.opened, *target.ended]
            target.opened, target.ended = [], []
            waiters += target.readers
            target.readers = []
        waiters += self.own.readers
        self.own.readers = []
        for waiter in waiters:
            fail(waiter, error)

    def full_error(self) -> _errors.QueueFull:
        streams = {target.name: target for target in self.targets.values()}
        counts = {name: sum(len(run) for run, _ in s.runs) for name, s in streams.items()}
        counts["the connection"] = sum(len(run) for run, _ in self.own.runs)
        name = max(counts, key=lambda name: counts[name])
        return _errors.QueueFull(
            f"{self.queued_len} events ({self.queued_bytes} bytes) wait to be taken, most of them "
            f"({counts[name]}) of {name}, and no more are read: iterate over it, or raise "
            "queue_len or queue_bytes of connect(). What was sent is on its way", retryable=True,
        )  # fmt: skip

    def end_target(self, target: Target, left: Left) -> None:
        target.end = left
        if target.handle is not None:
            self.targets.pop(target.handle.key, None)
        target.finish()
        others: dict[Target, None] = {}
        for send in list(target.unsent):
            fail(send.waiter, target.error())
            self.sending.unlink(send)
            others.update(dict.fromkeys(send.targets))
        for waiter in target.opened:
            fail(waiter, target.error())
        target.opened = []
        settle_all(target.ended)
        # What was for several groups kept back what is behind it in the others.
        self.sending.flush_all(others)

    def close(self) -> None:
        """Ends it, as the application wants."""
        self.is_end_told = True
        try:
            self.end(_errors.ConnectionClosed("the connection was closed"))
        finally:
            self.session.close()

    def end(self, failure: _errors.AnasaziError) -> None:
        """The connection has ended, for this reason."""
        if self.failure is not None:
            return
        # From here on `Sending.attempt()` sees it: another thread may be there, when it is that
        # thread's.
        self.failure = failure
        targets = list(self.targets.values())
        waiters = [*list(self.sending.pending.values()), *self.opened, *self.sending.drop_unsent()]
        waiters += [waiter for _, waiter in list(self.replies.values())]
        for target in targets:
            waiters += target.opened
            target.finish()
            settle_all(target.ended)
        self.targets.clear()
        self.own.finish()
        self.opened = []
        self.sending.pending.clear()
        self.replies.clear()
        for waiter in waiters:
            fail(waiter, _errors.make(failure.code, failure.message, failure.retryable))
