"""`python -m anasazi chat ROOM`: talk in a group."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import sys
from typing import Any

from . import _connection
from ._events import Closed, Left, Message, Resumed, Suspended, View


def plain(text: str) -> str:
    """What others write is not to command this terminal."""
    return re.sub("[\x00-\x08\x0a-\x1f\x7f-\x9f]", lambda one: f"\\x{ord(one[0]):02x}", text)


async def lines(loop: asyncio.AbstractEventLoop) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(loop=loop)
    if stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode):
        # A loop does not watch files, which never make anybody wait.
        reader.feed_data(sys.stdin.buffer.read())
        reader.feed_eof()
        return reader
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    await loop.connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


async def talk(group: _connection.Group, name: str | None) -> None:
    reader = await lines(asyncio.get_running_loop())
    async for line in reader:
        text = line.rstrip(b"\n")
        if text:
            await group.mcast(f"{name}: ".encode() + text if name else text)
    await group.leave()


async def chat(options: Any) -> int:
    async with _connection.connect(options.url) as conn:
        group = await conn.join(options.room)
        talking = asyncio.create_task(talk(group, options.name))
        async for event in group:
            match event:
                case Message(sender, data):
                    print(f"[{conn.member_name(sender)}] {plain(data.decode(errors='replace'))}")
                case View(members=members, reason=reason):
                    print(f"* {len(members)} here: {plain(reason)}")
                case Suspended(reason):
                    print(f"* {plain(reason)}")
                case Resumed():
                    print("* connected again")
                case Left(reason=reason) | Closed(reason=reason) if event.error is not None:
                    print(f"* {event.error.name}: {reason}")
                    talking.cancel()
                    return 1
            sys.stdout.flush()
        await talking
    return 0


def run(options: Any) -> int:
    try:
        return asyncio.run(chat(options))
    except KeyboardInterrupt:
        return 130
