"""What a group's stream consists of: messages, and the events below.

`Message` is made by the extension. All are frozen, and can be matched: `case View(members)`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from . import _anasazi, _errors
from ._anasazi import Message

__all__ = [
    "Cause", "Closed", "Event", "Gap", "Left", "Member", "Message", "Receipt", "Resumed",
    "Suspended", "Transitional", "View", "ViewId",
]  # fmt: skip


class Member(NamedTuple):
    """A member of a group; unique for ever. `Connection.member_name()` gives it in short."""

    node: int
    session: int


class ViewId(NamedTuple):
    """Where in the history a view stands. Equal ids: equal members, at every member."""

    ring_seq: int
    ring_rep: int
    ring_incarnation: int
    ordinal: int
    sub: int


class Cause(enum.IntEnum):
    """Why a view was installed."""

    JOIN = 1
    LEAVE = 2
    DISCONNECT = 3
    """The client died or closed without leaving."""
    NETWORK = 4
    """Nodes were lost, or the network is divided."""
    MERGE = 5
    DEMOTED = 6
    REMOVED = 7


@dataclass(frozen=True, slots=True)
class Configuration:
    """Members of a group; all lists are in the same order everywhere."""

    members: tuple[Member, ...]
    """Everybody."""
    id: ViewId
    cause: int
    """A `Cause`, or a number that a newer library gives."""
    joined: tuple[Member, ...] = ()
    """Not in the view before."""
    left: tuple[Member, ...] = ()
    """In the view before, and gone."""
    together: tuple[Member, ...] = ()
    """Came here with us from our last view; they have delivered exactly the same since."""
    sets: tuple[int, ...] = ()
    """For each member which set it came with; 0: ours."""
    reason: str = ""
    """Who, why and on what evidence, in one sentence."""


# A dataclass, as its base is: made once, since making one takes long.
class View(Configuration):
    """Who is in the group from here on."""

    __slots__ = ()


class Transitional(Configuration):
    """From here to the next `View` guarantees are for the members in `together` only."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Left:
    """The last event of a group: own leave (status 0), or why it was ended."""

    status: int = 0
    reason: str = ""

    @property
    def error(self) -> _errors.AnasaziError | None:
        """As an exception; None if it was asked for."""
        return _errors.of_status(self.status, "left", self.reason) if self.status else None


@dataclass(frozen=True, slots=True)
class Suspended:
    """The engine is lost; the connection is being made again, and sends wait."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The engine is back; `member` is our new identity, and groups announce new views."""

    member: Member


@dataclass(frozen=True, slots=True)
class Closed:
    """The last event of a connection, and why."""

    status: int = 0
    reason: str = ""

    @property
    def error(self) -> _errors.AnasaziError | None:
        """As an exception; None if there is nothing to tell."""
        return _errors.of_status(self.status, "closed", self.reason) if self.status else None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an own message that was sent by `try_mcast()` with this tag."""

    tag: int
    status: int = 0

    @property
    def error(self) -> _errors.AnasaziError | None:
        """As an exception; None if it was delivered."""
        return _errors.of_status(self.status, f"message {self.tag}") if self.status else None

    @property
    def name(self) -> str:
        """What the library calls the status."""
        return _anasazi.status_name(self.status)


@dataclass(frozen=True, slots=True)
class Gap:
    """So many messages were skipped here: `session.slow_policy` is gap, and we were slow."""

    skipped: int = field(default=0)


Event: TypeAlias = (
    Message | View | Transitional | Left | Suspended | Resumed | Closed | Receipt | Gap
)
