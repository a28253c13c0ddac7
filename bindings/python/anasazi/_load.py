"""Which libanasazi.so.1 is loaded, and what it can do."""

from __future__ import annotations

import os

FEATURES = (
    "inproc", "shm", "unix", "tcp", "embed", "claim", "query", "unreliable", "unicast",
    "multi-group", "same-view", "api-table", "loop-ops", "notify", "slow-policy", "lag",
    "priorities", "async-signal-safe", "domains", "receipts",
)  # fmt: skip
"""What a library may have."""


def check_library() -> None:
    """Loads it, or says in an `ImportError` what is wrong with which one."""
    try:
        from . import _anasazi  # noqa: F401
    except ImportError as error:
        folder = os.path.dirname(__file__)
        if not any(name.startswith("_anasazi.") and ".so" in name for name in os.listdir(folder)):
            raise ImportError(
                f"{folder} is the source of this package, without its extension: install it, and "
                "start Python in another folder"
            ) from error
        where = library_path() or "none is loaded"
        raise ImportError(
            f"{error} (libanasazi.so.1: {where}; the one that belongs to this package is "
            f"{os.path.join(folder, 'libanasazi.so.1')})"
        ) from error


def library_path() -> str | None:
    """The file of the library that this process has loaded."""
    try:
        with open("/proc/self/maps", errors="replace") as maps:
            for line in maps:
                if "libanasazi.so" in line:
                    return line.split(maxsplit=5)[5].rstrip("\n")
    except OSError:
        pass
    return None


def library_version() -> str:
    """The version of the C API in the library that is loaded, and, in brackets, the release."""
    from . import _anasazi

    return _anasazi.library_version()


def features() -> tuple[str, ...]:
    """Those of `FEATURES` that the library has."""
    from . import _anasazi

    return tuple(feature for feature in FEATURES if _anasazi.has(feature))
