"""What an application holds, but for what waits: connections, groups, and addresses of members."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from . import _errors
from ._buffer import Buffer
from ._core import Core
from ._events import Event, Member, View
from ._service import AGREED, SAME_VIEW
from ._streams import Target

SEND_ONLY = 1
GROUPS_PER_MESSAGE_MAX = 64
"""As the library has it."""


class Stats(TypedDict):
    """Figures of a connection."""

    sent_messages: int
    sent_bytes: int
    send_again: int
    """Sends that were refused for want of room."""
    received_messages: int
    received_bytes: int
    views: int
    send_ring_used: int
    send_ring_size: int
    receive_ring_used: int
    receive_ring_size: int
    lag_ns: int
    """How long the oldest event has waited to be read, at most."""
    reconnects: int


class GroupHandle:
    """A group, and what of it does not wait."""

    _stream: Target
    _targets: tuple[Target]

    @property
    def name(self) -> str:
        """Its name."""
        return self._stream.name

    @property
    def view(self) -> View | None:
        """The last view that was received; iterating may not have come to it yet."""
        return self._stream.view

    def try_mcast(self, data: Buffer, service: int = AGREED, tag: int = 0) -> None:
        """Sends, and waits for nothing; from any thread.

        With a `tag`, the own message has it, or a `Receipt` tells why there is none. Raises
        `WouldBlock` if there is no room, and what `mcast()` raises at once.
        """
        target = self._stream
        is_plain = type(tag) is int and tag == 0 and type(service) is int
        if is_plain and not service & SAME_VIEW and not target.unsent:
            if target.living().send(service, data, 0):
                return  # As it is most of the time.
        target.core.sending.try_send(self._targets, service, data, tag)


class ConnectionHandle:
    """A connection, and what of it does not wait."""

    _core: Core

    def fileno(self) -> int:
        """The descriptor that is readable when there is something to receive."""
        return self._core.session.fd()

    @property
    def member(self) -> Member:
        """Who we are; another one after `Resumed`."""
        node, session = self._core.session.member() or (0, 0)
        return Member(node, session)

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._core.failure is not None

    @property
    def is_suspended(self) -> bool:
        """Whether the engine is lost, and not back yet."""
        return self._core.is_suspended

    def member_name(self, member: Member) -> str:
        """"node/session", for people."""
        return self._core.session.member_name(member)

    def try_mcast(
        self, groups: Iterable[GroupHandle], data: Buffer, service: int = AGREED, tag: int = 0
    ) -> None:
        """As `mcast()`, and waits for nothing: see `Group.try_mcast()`."""
        self._core.sending.try_send(own_targets(self, groups), service, data, tag)

    def stats(self) -> Stats:
        """Figures. Raises `ConnectionClosed`, `ForkedError`."""
        return self._core.session.stats()

    def observe(
        self, observer: Callable[[str | None, Event], object]
    ) -> Callable[[], None]:
        """Has a function called with each event but messages, as soon as it is received: with the
        group's name, or None, and the event. What it raises goes to `sys.excepthook`. What is
        returned undoes it."""
        return self._core.add_observer(observer)


def abandon(target: Target) -> None:
    """Leaves, without waiting for it."""
    target.discard()
    if target.core.failure is None and not target.is_over:
        try:
            target.core.leave(target)
        except _errors.AnasaziError:
            pass


def own_targets(connection: object, groups: Iterable[Any]) -> tuple[Target, ...]:
    # A group is something to iterate over, too.
    if hasattr(groups, "_stream") or not isinstance(groups, Iterable):
        raise TypeError(f"groups is a list of groups, not {groups!r}")
    groups = list(groups)
    targets = []
    for group in groups:
        if getattr(group, "_connection", None) is not connection:
            raise _errors.InvalidArgument(f"{group!r} is not a group of this connection")
        if hasattr(group, "_member") and len(groups) > 1:
            raise _errors.InvalidArgument(f"{group!r} is one member: send to it by itself")
        targets.append(group._stream)
    if not targets:
        raise _errors.InvalidArgument("a message is for one group or more")
    if len(targets) > GROUPS_PER_MESSAGE_MAX:
        raise _errors.InvalidArgument(
            f"a message is for {GROUPS_PER_MESSAGE_MAX} groups at most, not {len(targets)}"
        )
    if len(set(targets)) < len(targets):
        raise _errors.InvalidArgument("a message is for each group once, and one is there twice")
    return tuple(targets)
