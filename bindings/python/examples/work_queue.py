"""A work queue: anybody puts items in, and each is done by one member.

    printf 'work sweep\\nwork mop\\ndone 2\\ndump\\n' | python work_queue.py chores
    python work_queue.py chores [URL]             in two terminals; then type: work sweep, dump

Commands: work TEXT | await MEMBERS | done ITEMS (until so many are done) | dump. End of input:
leave.

Who does an item is a matter of its id and the view, so nobody has to be asked. At a view that
brings somebody, one member of each part that came together tells what it has, and everybody keeps
all of both. An item is done at least once: twice if its worker leaves, or a partition begins,
before the others hear that it is. The same as the example in C, with which it shares a group.
"""

import asyncio
import sys

import anasazi
from anasazi import Message, Resumed, View


class Queue:
    def __init__(self, conn: anasazi.Connection, group: anasazi.Group) -> None:
        self.conn, self.group = conn, group
        self.texts: dict[str, str] = {}
        self.workers: dict[str, str] = {}
        self.reported: set[str] = set()
        self.members: list[str] = []
        self.me, self.mine = "", 0
        self.changed = asyncio.Condition()

    def see(self, view: View) -> str | None:
        """What to tell the others."""
        self.members = [self.conn.member_name(member) for member in view.members]
        self.me = self.conn.member_name(self.conn.member)
        print(f"* {len(self.members)} here: {view.reason}", flush=True)
        tells = self.conn.member_name(view.together[0]) == self.me
        return f"queue\n{self.lines('')}" if view.joined and self.texts and tells else None

    def hear(self, message: str, sender: str) -> None:
        verb, _, rest = message.partition(" ")
        if verb == "work":
            self.put(*rest.split(" ", 1))
        elif verb == "done":
            self.finish(rest, sender)
        elif message.startswith("queue\n"):
            for line in message.splitlines()[1:]:
                id, worker, text = line.split(" ", 2)
                self.put(id, text)
                if worker != "-":
                    self.finish(id, worker)

    def put(self, id: str, text: str) -> None:
        self.texts.setdefault(id, text)

    def finish(self, id: str, worker: str) -> None:
        # Of several who did it the one with the lowest name counts, which all see alike.
        if id in self.texts:
            self.workers[id] = min(self.workers.get(id, worker), worker)

    def is_mine(self, id: str) -> bool:
        return self.members[sum(id.encode()) % len(self.members)] == self.me

    def work(self) -> list[str]:
        """What has been done now; the doing itself would be here."""
        done = {id for id in self.texts if id not in self.workers and self.is_mine(id)}
        done -= self.reported
        self.reported |= done
        return [f"done {id}" for id in sorted(done)]

    def lines(self, by: str) -> str:
        def line(id: str) -> str:
            worker, text = self.workers.get(id, "-"), self.texts[id]
            return f"{id} {text} {by} {worker}\n" if by else f"{id} {worker} {text}\n"

        return "".join(line(id) for id in sorted(self.texts))

    async def take_part(self) -> None:
        async for event in self.group:
            says: list[str] = []
            if isinstance(event, View) and (told := self.see(event)) is not None:
                says.append(told)
            elif isinstance(event, Message):
                self.hear(event.data.decode(), self.conn.member_name(event.sender))
            elif isinstance(event, Resumed):
                self.reported.clear()  # What we said may be lost.
            if self.members:
                says += self.work()
            await asyncio.gather(*(self.group.mcast(text.encode()) for text in says))
            async with self.changed:
                self.changed.notify_all()

    async def obey(self, line: str) -> None:
        async with self.changed:
            match line.split():
                case ["await", members]:
                    await self.changed.wait_for(lambda: len(self.members) == int(members))
                case ["done", items]:
                    await self.changed.wait_for(lambda: len(self.workers) >= int(items))
                case ["dump"]:
                    print(self.lines("by"), end="", flush=True)
                case ["work", _, *_]:
                    await self.changed.wait_for(lambda: bool(self.me))
                    line = f"work {self.me}.{self.mine:03} {line.split(' ', 1)[1]}"
                    self.mine += 1
        if line.startswith("work "):
            await self.group.mcast(line.encode())


async def main(name: str, url: str | None = None) -> None:
    async with anasazi.connect(url) as conn:
        group = await conn.join(name)
        queue = Queue(conn, group)
        taking_part = asyncio.create_task(queue.take_part())
        while line := await asyncio.to_thread(sys.stdin.readline):
            await queue.obey(line.rstrip("\n"))
        await group.leave()
        await taking_part


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: {sys.argv[0]} GROUP [URL]")
    asyncio.run(main(*sys.argv[1:]))
