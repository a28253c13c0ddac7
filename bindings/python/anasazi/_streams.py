"""Events that were received, and that nobody has taken yet: of a connection, and of each group."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from operator import length_hint
from typing import TYPE_CHECKING
from weakref import ref

from . import _anasazi, _errors
from ._events import Event, Left, Message, View
from ._waiters import Waiter, settle

if TYPE_CHECKING:
    from ._core import Core
    from ._sending import Send

LIFE_LEN_MAX = 16
"""So many `Suspended` and `Resumed` are kept for who never iterates over the connection."""


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
        self.pushed = 0
        self.popped = 0
        """So many events, since there is a stream; of the last ones some may be in `current`."""

    def push(self, events: list[Event], size: int) -> None:
        if self.is_over or self.is_discarded:
            return
        self.pushed += len(events)
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
        self.popped += len(events)
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
        self.view_end = 0
        """It is taken when so many events are."""
        self.opened: list[Waiter] = []
        self.ended: list[Waiter] = []
        self.end: Left | None = None
        self.is_leaving = False

    def has_unseen_view(self) -> bool:
        """Whether a view waits to be taken by who takes events: whoever sends has not seen it."""
        return 0 < self.popped - length_hint(self.current) < self.view_end

    def is_dropped(self) -> bool:
        """Nobody can take events any more."""
        return self.is_discarded or self.owner is None or self.owner() is None

    def begin_again(self) -> None:
        """For another owner, who gets nothing of what is there."""
        self.discard()
        self.is_discarded = False

    def living(self) -> _anasazi.Group:
        if self.handle is None or self.is_over:
            self.core.check()
            raise self.error()
        return self.handle

    def error(self) -> _errors.AnasaziError:
        reason = self.end.reason if self.end else ""
        status = (self.end and self.end.status) or _errors.ConnectionClosed.default_code
        is_joined = self.view is not None or not self.opened
        what = f"{self.name} has ended" if is_joined else f"joining {self.name}"
        return _errors.of_status(status, what, reason)
