"""What a connection and each of its groups have: a queue of events that nobody has taken yet (the
extension's), and who waits for what."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import ref

from . import _anasazi, _errors
from ._events import Left, View
from ._waiters import Waiter, settle_all

if TYPE_CHECKING:
    from ._core import Core
    from ._sending import Send

class Stream:
    """What comes to a connection or a group, and who waits for it."""

    def __init__(self, core: Core, is_address: bool = False) -> None:
        self.core = core
        self.queue = core.session.queue(core.backlog, is_address)
        self.readers: list[Waiter] = []

    @property
    def is_over(self) -> bool:
        """Whether no more will come."""
        return self.queue.is_over

    def add_reader(self, reader: Waiter) -> None:
        """Woken by the next event, or the end."""
        if len(self.readers) >= 16:
            # Of those who were cancelled, over and over.
            self.readers = [other for other in self.readers if not other.done()]
        self.readers.append(reader)

    def wake(self) -> None:
        settle_all(self.readers)

    def make_room(self, most: int | None) -> None:
        """Before so many are taken: afterwards an exception of a signal's handler would lose
        them."""
        if self.queue.makes_room(most):
            self.core.on_room()

    def discard(self) -> None:
        """Nobody will take any more."""
        self.queue.discard()
        self.core.look_for_room()

    def finish(self) -> None:
        """Nothing more will come: what there is goes with the stream, and counts no more."""
        self.queue.finish()
        self.core.look_for_room()
        self.wake()


class Target(Stream):
    """A group, or the address of a member."""

    def __init__(self, core: Core, name: str, is_address: bool = False) -> None:
        super().__init__(core, is_address)
        self.name = name
        self.is_address = is_address
        """Not a member: there is nothing to iterate over but receipts."""
        self.member: tuple[int, int] | None = None
        """Whose address it is."""
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
        return 0 < self.queue.popped < self.view_end

    def is_dropped(self) -> bool:
        """Nobody can take events any more."""
        return self.queue.is_discarded or self.owner is None or self.owner() is None

    def begin_again(self) -> None:
        """For another owner, who gets nothing of what is there."""
        self.queue.discard(True)
        self.core.look_for_room()

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
