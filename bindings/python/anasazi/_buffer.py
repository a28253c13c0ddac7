"""What has bytes: `bytes`, `bytearray`, `memoryview`, arrays. `collections.abc` has it later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer
else:
    Buffer = object

__all__ = ["Buffer"]
