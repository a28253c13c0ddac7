"""Group communication: processes join named groups, and every member sees the same messages and the
same changes of membership, in the same order, through crashes and partitions.

    async with anasazi.connect("inproc:hello") as conn:
        async with conn.join("room") as group:
            await group.mcast(b"hello")
            async for event in group:
                match event:
                    case anasazi.Message(sender, data): ...
                    case anasazi.View(members=members): ...

`anasazi.sync` is the same without asyncio.
"""

from ._load import check_library as _check_library

_check_library()

from . import sync  # noqa: E402
from ._connection import (  # noqa: E402
    Connecting,
    Connection,
    Group,
    Joining,
    Peer,
    connect,
)
from ._engine import Engine  # noqa: E402
from ._errors import (  # noqa: E402
    AccessDenied,
    AlreadyJoined,
    AnasaziError,
    Busy,
    ConfigError,
    ConnectionClosed,
    ConnectionRefused,
    ForkedError,
    InternalError,
    Interrupted,
    InvalidArgument,
    Lost,
    NotMember,
    NotSupported,
    OutOfMemory,
    QueueFull,
    SlowReceiver,
    Timeout,
    TooLarge,
    VersionMismatch,
    ViewChanged,
    WouldBlock,
    WrongState,
)
from ._events import (  # noqa: E402
    Cause,
    Closed,
    Event,
    Gap,
    Left,
    Member,
    Message,
    Receipt,
    Resumed,
    Suspended,
    Transitional,
    View,
    ViewId,
)
from ._handles import Stats  # noqa: E402
from ._load import FEATURES, features, library_path, library_version  # noqa: E402
from ._service import (  # noqa: E402
    AGREED,
    CAUSAL,
    FIFO,
    NO_SELF,
    PRIO_BULK,
    PRIO_HIGH,
    RELIABLE,
    SAFE,
    SAME_VIEW,
    UNRELIABLE,
    UNRELIABLE_LEN_MAX,
)

__version__ = "0.1.0"

__all__ = [
    "AGREED", "AccessDenied", "AlreadyJoined", "AnasaziError", "Busy", "CAUSAL", "Cause",
    "Closed", "ConfigError", "Connecting", "Connection", "ConnectionClosed", "ConnectionRefused",
    "Engine", "Event", "FEATURES", "FIFO", "ForkedError", "Gap", "Group", "InternalError",
    "Interrupted", "InvalidArgument", "Joining", "Left", "Lost", "Member", "Message", "NO_SELF",
    "NotMember", "NotSupported", "OutOfMemory", "PRIO_BULK", "PRIO_HIGH", "Peer", "QueueFull",
    "RELIABLE", "Receipt", "Resumed", "SAFE", "SAME_VIEW", "SlowReceiver", "Stats", "Suspended",
    "Timeout", "TooLarge", "Transitional", "UNRELIABLE", "UNRELIABLE_LEN_MAX", "VersionMismatch",
    "View", "ViewChanged", "ViewId", "WouldBlock", "WrongState", "__version__", "connect",
    "features", "library_path", "library_version", "sync",
]  # fmt: skip

for _name in __all__:
    # Where they are to be had, for tracebacks and for whoever looks.
    if isinstance(_thing := globals()[_name], type):
        _thing.__module__ = "anasazi"
del _name, _thing
