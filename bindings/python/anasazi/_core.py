"""A connection, but for the waiting: what is received is sorted into streams, and settles what
somebody waits for. `_asyncio`, `_trio` and `sync` wait, each in its own way.

The order in which things are told is the point of it: what is received goes into the streams first,
and only then are those woken who wait for a message of theirs. So after `await group.mcast()` all
that was ordered before it is in the stream.

What nobody takes is bounded: with `queue_len` events, or `queue_bytes`, in its streams a connection
reads no more. The engine then keeps what comes, and has its own rules for who is slow
(`session.slow_policy`). Who waits for something that had to be read first waits as long as somebody
takes events, and else gets `QueueFull`. What is left of a group that has ended does not count: no more
comes, and it goes with the group's object. What a group has whose object is gone nobody can take, and
is dropped when there is no room.

What waits for room to be sent is bounded too.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from operator import length_hint
from typing import Any, Protocol
from weakref import WeakSet, ref

from . import _anasazi, _errors
from ._events import Closed, Event, Left, Message, Resumed, Suspended, View

QUEUE_LEN = 16384
QUEUE_BYTES = 64 << 20
UNSENT_LEN_MAX = 65536
UNSENT_BYTES_MAX = 64 << 20
LIFE_LEN_MAX = 16
"""So many `Suspended` and `Resumed` are kept for who never iterates over the connection."""
TIMEOUT_S_MAX = 1e6
NO_SELF = 0x100


class Waiter(Protocol):
    """An `asyncio.Future`, or a `Promise`."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, error: BaseException, /) -> None: ...


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
        self._settle()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._settle()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._done = True

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result

    def _settle(self) -> None:
        self._done = True
        if self.on_done is not None:
            self.on_done()


class Send:
    """A message that waits for room."""

    __slots__ = ("data", "len", "service", "tag", "targets", "waiter")

    def __init__(
        self, targets: tuple[Target, ...], service: int, data: Any, tag: int, waiter: Waiter
    ) -> None:
        self.targets = targets
        self.service = service
        self.data = data
        self.len = 0
        self.tag = tag
        self.waiter = waiter


class Stream:
    """Events that nobody has taken yet."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.runs: deque[tuple[list[Event], int]] = deque()
        self.current: Iterator[Event] = iter(())
        self.readers: list[Waiter] = []
        self.is_over = False
        self.is_discarded = False
        self.queued_len = 0
        self.queued_bytes = 0

    def push(self, events: list[Event], size: int) -> None:
        if self.is_over or self.is_discarded:
            return
        self.runs.append((events, size))
        self.count(len(events), size)
        self.wake()

    def count(self, count: int, size: int) -> None:
        self.queued_len += count
        self.queued_bytes += size
        self.core.count(count, size)

    def add_reader(self, reader: Waiter) -> None:
        """Woken by the next event, or the end."""
        if len(self.readers) >= 16:
            # Of those who were cancelled, over and over.
            self.readers = [other for other in self.readers if not other.done()]
        self.readers.append(reader)

    def wake(self) -> None:
        readers, self.readers = self.readers, []
        for reader in readers:
            settle(reader)

    def take(self) -> list[Event] | None:
        """The next events in succession."""
        rest = list(self.current)
        if rest:
            return rest
        if not self.runs:
            return None
        events, size = self.runs.popleft()
        self.core.taken += len(events)
        if not self.is_over:
            self.count(-len(events), -size)
        return events

    def take_one(self) -> Event | None:
        """The next event."""
        for event in self.current:
            return event
        events = self.take()
        if events is None:
            return None
        self.current = iter(events)
        return next(self.current)

    def take_up_to(self, most: int | None) -> list[Event]:
        """All there is, at most so many."""
        taken: list[Event] = []
        while most is None or len(taken) < most:
            events = self.take()
            if events is None:
                break
            taken += events
        if most is not None and len(taken) > most:
            self.current = iter(taken[most:])
            del taken[most:]
        return taken

    def discard(self) -> None:
        """Nobody will take any more."""
        self.is_discarded = True
        self.current = iter(())
        while self.take() is not None:
            pass

    def finish(self) -> None:
        """Nothing more will come: what there is goes with the stream, and counts no more."""
        if not self.is_over:
            self.is_over = True
            self.core.ended.add(self)
            self.count(-self.queued_len, -self.queued_bytes)
        self.wake()


class OwnStream(Stream):
    """What concerns the connection as a whole, over which many programs never iterate."""

    def push_life(self, event: Event) -> None:
        """Pushes one that may come again and again: the oldest of them are forgotten."""
        if self.is_over:
            return
        lives = [run for run in self.runs if not isinstance(run[0][0], Message)]
        if len(lives) >= LIFE_LEN_MAX:
            self.runs.remove(lives[0])
            self.count(-len(lives[0][0]), 0)
        self.push([event], 0)


class Target(Stream):
    """A group, or the address of a member."""

    def __init__(self, core: Core, name: str, is_address: bool = False) -> None:
        super().__init__(core)
        self.name = name
        self.is_address = is_address
        """Not a member: there is nothing to iterate over but receipts."""
        self.owner: ref[object] | None = None
        """Who can take events."""
        self.handle: _anasazi.Group | None = None
        self.unsent: OrderedDict[Send, None] = OrderedDict()
        self.view: View | None = None
        self.opened: list[Waiter] = []
        self.ended: list[Waiter] = []
        self.end: Left | None = None
        self.is_leaving = False

    def is_dropped(self) -> bool:
        """Nobody can take events any more."""
        return self.is_discarded or (self.owner is not None and self.owner() is None)

    def living(self) -> _anasazi.Group:
        if self.handle is None or self.is_over:
            self.core.check()
            raise self.error()
        return self.handle

    def error(self) -> _errors.AnasaziError:
        reason = self.end.reason if self.end else ""
        status = (self.end and self.end.status) or _errors.ConnectionClosed.default_code
        return _errors.of_status(status, f"{self.name} has ended", reason)


class Core:
    """See above."""

    def __init__(
        self,
        session: _anasazi.Session,
        new_waiter: Callable[[], Waiter],
        queue_len: int,
        queue_bytes: int,
    ) -> None:
        for name, bound in (("queue_len", queue_len), ("queue_bytes", queue_bytes)):
            if not isinstance(bound, int):
                raise TypeError(f"{name} is an integer, 1 or more, not {bound!r}")
            if bound < 1:
                raise _errors.InvalidArgument(f"{name} is 1 or more, not {bound}")
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
        self.unsent: dict[Waiter, Send] = {}
        self.unsent_bytes = 0
        self.targets: dict[int, Target] = {}
        self.pending: dict[int, Waiter] = {}
        self.replies: dict[int, tuple[list[bytes], Waiter]] = {}
        self.opened: list[Waiter] = []
        self.next_tag = _anasazi.OWN_TAG
        self.failure: _errors.AnasaziError | None = None
        self.is_suspended = False
        self.observers: list[Callable[[str | None, Event], object]] = []
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
            count, runs, settled, writable, replies = self.session.receive()
        except _errors.AnasaziError as error:
            self.is_sorting = False
            self.end(error)
            return 0
        for key, size, is_plain, events in runs:
            self.sort(key, size, is_plain, events)
        for tag, status, seq in settled:
            waiter = self.pending.pop(tag, None)
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
                self.flush(target)
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
        for event in events:
            self.note(stream, event)

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
                self.flush(target)
        elif isinstance(event, Closed):
            self.is_end_told = True
            self.end(event.error or _errors.ConnectionClosed("the connection has ended"))

    def note(self, stream: Stream, event: Event) -> None:
        if not isinstance(stream, Target) or isinstance(event, Message):
            return
        if isinstance(event, View):
            stream.view = event
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

    # Sending.

    def tag(self) -> int:
        self.next_tag += 1
        return self.next_tag

    def send(self, targets: tuple[Target, ...], service: int, data: Any) -> Waiter:
        """Sends, or queues it behind what waits for room; the waiter gets its place."""
        waiter = self.new_waiter()
        tag = 0 if service & NO_SELF else self.tag()
        send = Send(targets, service, data, tag, waiter)
        if has_unsent(targets) or not self.attempt(send):
            self.queue(send)
        return waiter

    def queue(self, send: Send) -> None:
        """Has it wait for room."""
        for target in send.targets:
            target.living()
        # It may change meanwhile.
        send.data = as_bytes(send.data)
        send.len = len(send.data)
        is_much = self.unsent and self.unsent_bytes + send.len > UNSENT_BYTES_MAX
        if is_much or len(self.unsent) >= UNSENT_LEN_MAX:
            raise _errors.WouldBlock(
                f"{len(self.unsent)} messages ({self.unsent_bytes} bytes) wait for room already, "
                f"and no more may: sending to {send.targets[0].name} has to wait", retryable=True,
            )  # fmt: skip
        self.unsent[send.waiter] = send
        self.unsent_bytes += send.len
        for target in send.targets:
            target.unsent[send] = None

    def unlink(self, send: Send) -> None:
        """It waits for room no more."""
        if self.unsent.pop(send.waiter, None) is not None:
            self.unsent_bytes -= send.len
        send.data = None
        for target in send.targets:
            target.unsent.pop(send, None)

    def forget(self, waiter: Waiter) -> None:
        """Nobody waits for this any more: if it was not sent yet, it is not."""
        send = self.unsent.get(waiter)
        if send is not None:
            self.unlink(send)
            self.flush_all(send.targets)

    def flush_all(self, targets: Iterable[Target]) -> None:
        for target in targets:
            if not target.is_over:
                self.flush(target)

    def attempt(self, send: Send) -> bool:
        if send.tag:
            self.pending[send.tag] = send.waiter
        try:
            is_sent = self.hand_over(send.targets, send.service, send.data, send.tag)
        except BaseException:
            self.pending.pop(send.tag, None)
            raise
        if not is_sent:
            self.pending.pop(send.tag, None)
        elif not send.tag:
            settle(send.waiter, 0)
        elif self.failure is not None and self.pending.pop(send.tag, None) is not None:
            self.check()  # Another thread has closed it meanwhile, and has not seen this.
        return is_sent

    def hand_over(self, targets: tuple[Target, ...], service: int, data: Any, tag: int) -> bool:
        if len(targets) == 1:
            return targets[0].living().send(service, data, tag)
        handles = tuple(target.living() for target in targets)
        return self.session.send_to(handles, service, data, tag)

    def try_send(self, targets: tuple[Target, ...], service: int, data: Any, tag: int) -> None:
        """Sends now; `WouldBlock` if there is no room or others wait for some."""
        if not 0 <= tag < _anasazi.OWN_TAG:
            raise _errors.InvalidArgument(f"a tag is from 0 to 2**63 - 1, not {tag}")
        if has_unsent(targets) or not self.hand_over(targets, service, data, tag):
            raise _errors.WouldBlock(
                f"no room to send to {targets[0].name}: wait, or send less", retryable=True
            )

    def flush(self, target: Target) -> None:
        """Sends what waits for room, in order, as far as there is some."""
        work = [target]
        while work:
            send = next(iter(work[-1].unsent), None)
            if send is not None and self.flush_one(send):
                # What was for several groups was before something else in each of them.
                work += [other for other in send.targets if other not in work]
            else:
                work.pop()

    def flush_one(self, send: Send) -> bool:
        """Whether it is done with: sent, refused, or not wanted any more."""
        if not send.waiter.done():
            if any(next(iter(other.unsent)) is not send for other in send.targets):
                return False
            try:
                if not self.attempt(send):
                    return False
            except Exception as error:
                fail(send.waiter, error)
        self.unlink(send)
        return True

    # Groups and questions.

    def join(self, target: Target, flags: int) -> None:
        """Asks to join. Nothing comes between that and the target's being known by its handle, not
        even KeyboardInterrupt: else nobody would leave."""
        self.session.join(target.name, flags, target, self.targets)

    def peer(self, target: Target, member: tuple[int, int]) -> None:
        """As `join()`, for the address of a member."""
        node, session = member
        self.session.peer(node, session, target, self.targets)

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
        tag = self.tag()
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
        waiters = [*self.pending.values(), *(waiter for _, waiter in self.replies.values())]
        self.pending.clear()
        self.replies.clear()
        waiters += self.drop_unsent()
        for target in list(self.targets.values()):
            waiters += [*target.opened, *target.ended]
            target.opened, target.ended = [], []
            waiters += target.readers
            target.readers = []
        waiters += self.own.readers
        self.own.readers = []
        for waiter in waiters:
            fail(waiter, error)

    def drop_unsent(self) -> list[Waiter]:
        """Nothing waits for room any more; who waited for what did."""
        sends = list(self.unsent.values())
        for send in sends:
            self.unlink(send)
        return [send.waiter for send in sends]

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
            self.unlink(send)
            others.update(dict.fromkeys(send.targets))
        for waiter in target.opened:
            fail(waiter, target.error())
        target.opened = []
        settle_all(target.ended)
        # What was for several groups kept back what is behind it in the others.
        self.flush_all(others)

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
        # From here on `attempt()` sees it: another thread may be there, when it is that thread's.
        self.failure = failure
        targets = list(self.targets.values())
        waiters = [*list(self.pending.values()), *self.opened, *self.drop_unsent()]
        waiters += [waiter for _, waiter in list(self.replies.values())]
        for target in targets:
            waiters += target.opened
            target.finish()
            settle_all(target.ended)
        self.targets.clear()
        self.own.finish()
        self.opened = []
        self.pending.clear()
        self.replies.clear()
        for waiter in waiters:
            fail(waiter, _errors.make(failure.code, failure.message, failure.retryable))


def has_unsent(targets: tuple[Target, ...]) -> bool:
    for target in targets:
        if target.unsent:
            return True
    return False


def check_most(most: int | None) -> None:
    if most is None:
        return
    if not isinstance(most, int):
        raise TypeError(f"most is an integer, 1 or more, or None, not {most!r}")
    if most < 1:
        raise _errors.InvalidArgument(f"most is 1 or more, not {most}")


def check_timeout(timeout: float) -> float:
    """Seconds; those that no clock gets to are for ever."""
    if not isinstance(timeout, int | float):
        raise TypeError(f"a timeout is a number of seconds, or None, not {timeout!r}")
    if not timeout >= 0:
        raise _errors.InvalidArgument(f"a timeout is 0 seconds or more, not {timeout}")
    return min(timeout, TIMEOUT_S_MAX)


def as_bytes(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return memoryview(data).tobytes()
    except TypeError:
        advice = ": encode it" if isinstance(data, str) else ""
        raise TypeError(
            f"a message is bytes or an object with a buffer, not {type(data).__name__}{advice}"
        ) from None


def settle(waiter: Waiter, result: Any = None) -> None:
    try:
        if not waiter.done():
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
        if not waiter.done():
            waiter.set_exception(error)
    except RuntimeError:
        if not waiter.done():
            raise
