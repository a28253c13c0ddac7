"""The leader is the first member of the view: all see the same view, so all agree.

    python leader.py group [URL]      in two terminals; end the first, and the second one leads

Commands: leader (who is it?) | await N (until N are there). At the end of input it leaves.
"""

import asyncio
import sys

import anasazi
from anasazi import View


class Office:
    def __init__(self, conn: anasazi.Connection) -> None:
        self.conn = conn
        self.members: tuple[anasazi.Member, ...] = ()
        self.changed = asyncio.Condition()

    def show(self) -> None:
        if self.members:
            name = self.conn.member_name(self.members[0])
            print(f"leader {name} of {len(self.members)}", flush=True)

    async def follow(self, group: anasazi.Group) -> None:
        async for event in group:
            if isinstance(event, View):
                self.members = event.members
                self.show()
                async with self.changed:
                    self.changed.notify_all()


async def main(name: str, url: str | None = None) -> None:
    async with anasazi.connect(url) as conn:
        group, office = await conn.join(name), Office(conn)
        following, lines = asyncio.create_task(office.follow(group)), asyncio.StreamReader()
        loop, protocol = asyncio.get_running_loop(), asyncio.StreamReaderProtocol(lines)
        await loop.connect_read_pipe(lambda: protocol, sys.stdin)
        async for line in lines:
            match line.split():
                case [b"leader"]:
                    office.show()
                case [b"await", count]:
                    async with office.changed:
                        await office.changed.wait_for(lambda: len(office.members) == int(count))
        await group.leave()
        await following


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: {sys.argv[0]} GROUP [URL]")
    asyncio.run(main(*sys.argv[1:]))
