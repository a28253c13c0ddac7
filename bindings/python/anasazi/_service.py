"""Service levels, and what may be or-ed to them."""

from typing import Final

UNRELIABLE: Final = 0
"""A packet of its own: no order, no repair of loss, at most `UNRELIABLE_LEN_MAX` bytes."""
RELIABLE: Final = 1
"""Every member that stays gets it."""
FIFO: Final = 2
"""In the sender's order."""
CAUSAL: Final = 3
"""After what its sender had seen."""
AGREED: Final = 4
"""One order for all."""
SAFE: Final = 5
"""One order for all, and delivered only when every member's node holds it."""
NO_SELF: Final = 0x100
"""Not to this connection."""
SAME_VIEW: Final = 0x400
"""In the view that its sender saw last, or to nobody: then `ViewChanged`."""
PRIO_HIGH: Final = 0x1000
"""Before this connection's other messages that are not ordered yet."""
PRIO_BULK: Final = 0x2000
"""Behind them."""
UNRELIABLE_LEN_MAX: Final = 0x400
"""Longest unreliable message, in bytes."""
