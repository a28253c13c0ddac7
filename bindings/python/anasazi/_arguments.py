"""Arguments: what is none, or out of range, is told in a sentence."""

from __future__ import annotations

from typing import Any

from . import _errors

TIMEOUT_S_MAX = 1e6
SIZE_MAX = (1 << 62) - 1
"""More than that nobody has."""


def check_bound(name: str, bound: int) -> None:
    """Of what is queued."""
    if not isinstance(bound, int) or isinstance(bound, bool):
        raise TypeError(f"{name} is an integer, 1 or more, not {bound!r}")
    if bound < 1:
        raise _errors.InvalidArgument(f"{name} is 1 or more, not {bound}")


def check_most(most: int | None) -> int | None:
    """How many events are to be taken."""
    if most is None:
        return None
    check_bound("most", most)
    return min(most, SIZE_MAX)


def check_service(service: int) -> None:
    """That it is a number: which ones there are the extension knows, and says."""
    is_number = hasattr(service, "__index__") and not isinstance(service, bool)
    if not is_number:
        raise TypeError(
            f"service {service!r}: a service is one of UNRELIABLE, RELIABLE, FIFO, CAUSAL, AGREED "
            "and SAFE, to which NO_SELF, SAME_VIEW, and PRIO_HIGH or PRIO_BULK may be or-ed"
        )


def check_tag(tag: int) -> None:
    """Of an application: the others are this package's."""
    if not isinstance(tag, int) or isinstance(tag, bool):
        raise TypeError(f"a tag is an integer from 0 to 2**63 - 1, not {tag!r}")
    if not 0 <= tag < 1 << 63:
        raise _errors.InvalidArgument(f"a tag is from 0 to 2**63 - 1, not {tag:#x}")


def check_timeout(timeout: float) -> float:
    """Seconds; those that no clock gets to are for ever."""
    if not isinstance(timeout, int | float) or isinstance(timeout, bool):
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
