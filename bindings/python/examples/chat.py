"""Talk in a group: what anybody types reaches all members, in the same order for all.

    python chat.py room                                          in two terminals
    python chat.py -u shm:/run/anasazi/anasazi.sock -n 10 room   leave after ten messages
"""

import argparse
import asyncio
import sys

import anasazi
from anasazi import Closed, Left, Message, Resumed, Suspended, View


async def talk(group: anasazi.Group, stays: bool) -> None:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    async for line in reader:
        await group.mcast(line.rstrip(b"\n"))
    if not stays:
        await group.leave()  # What was sent before is delivered before.


async def chat(url: str | None, messages_left: int, room: str) -> int:
    async with anasazi.connect(url) as conn:
        group = await conn.join(room)
        tasks = [asyncio.create_task(talk(group, stays=messages_left > 0))]
        async for event in group:
            match event:
                case View(members, reason=reason):
                    print(f"* {len(members)} here: {reason}")
                case Message(sender, data):
                    print(f"{conn.member_name(sender)}: {data.decode(errors='replace')}")
                    messages_left -= 1
                    if messages_left == 0:
                        tasks.append(asyncio.create_task(group.leave()))
                case Suspended(reason):
                    print(f"* {reason}")
                case Resumed():
                    print("* connected again")
                case Left(reason=reason) | Closed(reason=reason) if event.error is not None:
                    print(f"* {event.error.name}: {reason}")
            sys.stdout.flush()
        for task in tasks:
            task.cancel()
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-u", dest="url", metavar="URL")
    parser.add_argument("-n", dest="messages", type=int, default=-1)
    parser.add_argument("room", metavar="GROUP")
    options = parser.parse_args()
    try:
        sys.exit(asyncio.run(chat(options.url, options.messages, options.room)))
    except anasazi.AnasaziError as error:
        sys.exit(f"{error.name}: {error}")
