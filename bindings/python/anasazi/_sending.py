"""Sending: at once, or, while there is no room, in the order in which it was asked for.

What waits for room is bounded, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _anasazi, _errors
from ._arguments import as_bytes, check_service, check_tag
from ._service import NO_SELF, SAME_VIEW
from ._streams import Target
from ._waiters import Waiter, fail, settle

if TYPE_CHECKING:
    from ._core import Core

UNSENT_LEN_MAX = 65536
UNSENT_BYTES_MAX = 64 << 20


class Send:
    """A message that waits for room."""

    __slots__ = (
        "data", "is_done_with", "is_sent", "len", "service", "tag", "targets", "views", "waiter",
    )  # fmt: skip

    def __init__(
        self, targets: tuple[Target, ...], service: int, data: Any, tag: int, waiter: Waiter
    ) -> None:
        self.targets = targets
        self.service = service
        self.data = data
        self.len = 0
        self.is_sent = False
        self.is_done_with = False
        self.tag = tag
        self.waiter = waiter
        self.views = tuple(target.view for target in targets) if service & SAME_VIEW else ()
        """Those that its sender saw last; the library knows which they are when it is sent."""

    def is_outdated(self) -> bool:
        """Whether it was for a view that is over."""
        pairs = zip(self.targets, self.views, strict=False)
        return any(target.view is not view for target, view in pairs)


class Sending:
    """What a connection sends, and who waits for it."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.unsent: dict[Waiter, Send] = {}
        self.unsent_bytes = 0
        self.pending: dict[int, Waiter] = {}
        """Who waits for an own message, by its tag."""
        self.next_tag = _anasazi.OWN_TAG

    def tag(self) -> int:
        self.next_tag += 1
        return self.next_tag

    def send(self, targets: tuple[Target, ...], service: int, data: Any) -> Waiter:
        """Sends, or queues it behind what waits for room; the waiter gets its place."""
        check_service(service)
        check_views(targets, service)
        waiter = self.core.new_waiter()
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
        send.is_done_with = True
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

    def flush_all(self, targets: Iterable[Target | None]) -> None:
        for target in targets:
            if target is not None and not target.is_over:
                self.flush(target)

    def attempt(self, send: Send) -> bool:
        """Whether it is sent: once, however often an exception ends this and it is done again."""
        if not send.is_sent:
            if send.tag:
                self.pending[send.tag] = send.waiter
            try:
                self.hand_over(send.targets, send.service, send.data, send.tag, send)
            finally:
                if not send.is_sent:
                    self.pending.pop(send.tag, None)
        if not send.is_sent:
            return False
        if not send.tag:
            settle(send.waiter, 0)
        elif self.core.failure is not None and self.pending.pop(send.tag, None) is not None:
            self.core.check()  # Another thread has closed it meanwhile, and has not seen this.
        return True

    def hand_over(
        self, targets: tuple[Target, ...], service: int, data: Any, tag: int,
        send: Send | None = None,
    ) -> bool:
        """Sends; False: there is no room."""
        if len(targets) == 1:
            return targets[0].living().send(service, data, tag, send)
        handles = tuple(target.living() for target in targets)
        return self.core.session.send_to(handles, service, data, tag, send)

    def try_send(self, targets: tuple[Target, ...], service: int, data: Any, tag: int) -> None:
        """Sends now; `WouldBlock` if there is no room or others wait for some."""
        check_service(service)
        check_tag(tag)
        check_views(targets, service)
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
        if not send.is_done_with and (send.is_sent or not send.waiter.done()):
            if any(next(iter(other.unsent)) is not send for other in send.targets):
                return False
            try:
                if not send.is_sent and send.is_outdated():
                    raise _errors.of_status(_errors.ViewChanged.default_code, "a message")
                if not self.attempt(send):
                    return False
            except _errors.AnasaziError as error:
                fail(send.waiter, error)
        self.unlink(send)
        return True

    def drop_unsent(self) -> None:
        """Nothing waits for room any more; who waited knows."""
        for send in list(self.unsent.values()):
            self.unlink(send)


def check_views(targets: tuple[Target, ...], service: int) -> None:
    """Raises if a message for the view that its sender sees would be for a later one: the library's
    is the last that was received."""
    if service < 0 or not service & SAME_VIEW:
        return
    for target in targets:
        if target.has_unseen_view():
            target.living()
            raise _errors.make(
                _errors.ViewChanged.default_code,
                f"the view of {target.name} has changed, and waits to be taken: iterate to it, "
                "then send for that view",
            )


def has_unsent(targets: tuple[Target, ...]) -> bool:
    for target in targets:
        if target.unsent:
            return True
    return False
