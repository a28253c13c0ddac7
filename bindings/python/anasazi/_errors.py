"""Exceptions: one for each status that an application may act on."""

from __future__ import annotations

import errno
from typing import Any

from . import _anasazi


class AnasaziError(Exception):
    """Something failed; the base of all exceptions of this package.

    `code` is the library's status, negative, and `name` what it is called there ("ANZ_EAGAIN");
    `retryable`: trying again later may help; `message`: what failed, on what, why, and what to do.
    """

    default_code = -1999

    def __init__(self, message: str, code: int | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.retryable = retryable
        if isinstance(self, OSError):
            # As the builtins have it; the library's own codes are no errno.
            vars(OSError)["errno"].__set__(self, -self.code if self.code > -1000 else None)

    @property
    def name(self) -> str:
        """What the library calls the status: "ANZ_EAGAIN"."""
        return _anasazi.status_name(self.code)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.code, self.retryable)


class WouldBlock(AnasaziError, BlockingIOError):
    """There is no room to send now."""

    default_code = -errno.EAGAIN


class Timeout(AnasaziError, TimeoutError):
    """It took too long."""

    default_code = -errno.ETIMEDOUT


class Interrupted(AnasaziError, InterruptedError):
    """A wait ended early."""

    default_code = -errno.EINTR


class ConnectionRefused(AnasaziError, ConnectionRefusedError):
    """Nobody is there to connect to."""

    default_code = -errno.ECONNREFUSED


class ConnectionClosed(AnasaziError, ConnectionError):
    """The connection, or the group, has ended."""

    default_code = -1002


class ForkedError(AnasaziError, ConnectionError):
    """A child process used what its parent had opened: it has to connect itself."""

    default_code = -1003


class VersionMismatch(AnasaziError, ConnectionError):
    """The other side speaks another version."""

    default_code = -1005


class AccessDenied(AnasaziError, PermissionError):
    """The daemon's access rules refuse it."""

    default_code = -errno.EACCES


class ConfigError(AnasaziError, ValueError):
    """A setting is wrong: the message names the key and what is allowed."""

    default_code = -1007


class InvalidArgument(AnasaziError, ValueError):
    """An argument is not one that the function takes."""

    default_code = -errno.EINVAL


class AlreadyJoined(AnasaziError, ValueError):
    """This connection is in the group already, or has an address of the member."""

    default_code = -errno.EEXIST


class TooLarge(AnasaziError, ValueError):
    """The message is longer than `message.len_max`, or than an unreliable one may be."""

    default_code = -errno.EMSGSIZE


class NotSupported(AnasaziError, NotImplementedError):
    """The library that is loaded does not have it."""

    default_code = -errno.EOPNOTSUPP


class OutOfMemory(AnasaziError, MemoryError):
    """There is no memory for it."""

    default_code = -errno.ENOMEM


class Busy(AnasaziError, RuntimeError):
    """Another thread, or another event loop, has the connection."""

    default_code = -errno.EBUSY


class WrongState(AnasaziError, RuntimeError):
    """Not now: for instance an engine that is driven already."""

    default_code = -1004


class NotMember(AnasaziError):
    """Who should get the message, or who sent it, is not in the group."""

    default_code = -1001


class SlowReceiver(AnasaziError):
    """This connection did not read fast enough, and was closed or has missed messages."""

    default_code = -1006


class QueueFull(SlowReceiver):
    """Nobody takes the events that were received, so that no more are read: iterate, and retry."""


class ViewChanged(AnasaziError):
    """A message with `SAME_VIEW` was not ordered before the view changed: nobody got it."""

    default_code = -1008


class Lost(AnasaziError):
    """The engine went away before it told what became of the message."""

    default_code = -1009


class InternalError(AnasaziError, RuntimeError):
    """A bug in Anasazi; the engine is out of use."""

    default_code = -1999


_CLASSES: dict[int, type[AnasaziError]] = {
    kind.default_code: kind
    for kind in (
        WouldBlock, Timeout, Interrupted, ConnectionRefused, ConnectionClosed, ForkedError,
        VersionMismatch, AccessDenied, ConfigError, InvalidArgument, AlreadyJoined, TooLarge,
        NotSupported, OutOfMemory, Busy, WrongState, NotMember, SlowReceiver, ViewChanged, Lost,
        InternalError,
    )
}  # fmt: skip


def make(code: int, message: str, retryable: bool = False) -> AnasaziError:
    """The exception for a status. The extension calls it."""
    return _CLASSES.get(code, AnasaziError)(message, code, retryable)


def of_status(code: int, what: str, reason: str = "") -> AnasaziError:
    """The exception for a status that came in an event."""
    message = f"{what}: {reason or _anasazi.status_text(code)}"
    return make(code, message, -code in _RETRYABLE)


_RETRYABLE = {
    errno.EAGAIN, errno.EBUSY, errno.ECONNREFUSED, errno.EINTR, errno.ENOMEM, errno.ETIMEDOUT,
}  # fmt: skip
