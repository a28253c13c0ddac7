"""A replicated dictionary: all apply the same commands in the same order.

    printf 'set color blue\\nawait 1 1\\ndump\\n' | python dictionary.py store     one replica
    python dictionary.py store [URL]              in two terminals; then type: await 2 0

Commands: set KEY VALUE | get KEY | dump | await REPLICAS VERSION. It does as kv.c, which explains
itself, and shares a group with it.
"""

import asyncio
import sys

import anasazi
from anasazi import Message, View


class Store:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.version = self.replicas = self.meeting = self.spoken = 0
        self.best: tuple[int, list[str]] = (0, [])
        self.waiting: list[str] = []
        self.changed = asyncio.Event()

    def apply(self, commands: list[str]) -> None:
        for command in commands:
            match command.split(" ", 2):
                case ["set", key, value]:
                    self.version += 1
                    self.entries[key] = value
        commands.clear()

    def lines(self) -> str:
        return "".join(f"set {key} {value}\n" for key, value in self.entries.items())

    def see(self, view: View) -> str:
        """What to tell the others."""
        self.replicas = len(view.members)
        print(f"* {self.replicas} here: {view.reason}")
        if not view.joined and not self.meeting:
            return ""
        self.apply(self.waiting)
        mixed = view.id.ring_seq << 32 ^ view.id.ordinal << 8 ^ view.id.sub
        self.meeting, self.spoken = mixed % 2**64, 0
        return f"state {self.meeting} {self.version}\n{self.lines()}"

    def hear(self, message: str) -> None:
        head, *commands = message.splitlines() or [""]
        match head.split():
            case ["state", meeting, version] if "\n" in message:
                if int(meeting) != self.meeting:
                    return  # A later view has interrupted it.
                self.spoken += 1
                if self.spoken == 1 or int(version) > self.best[0]:
                    self.best = int(version), commands
                if self.spoken == self.replicas:
                    self.entries.clear()
                    self.apply(self.best[1])
                    self.version, self.meeting = self.best[0], 0
                    print(f"* {self.replicas} agree, after {self.version} commands")
            case _:
                self.waiting.append(message)
        if not self.meeting:
            self.apply(self.waiting)


async def replicate(group: anasazi.Group, store: Store) -> None:
    async for event in group:
        if isinstance(event, View) and (state := store.see(event)):
            await group.mcast(state.encode())
        elif isinstance(event, Message):
            store.hear(event.data.decode())
        store.changed.set()
        sys.stdout.flush()


async def obey(group: anasazi.Group, store: Store, line: str) -> None:
    match line.split():
        case ["set", _, _, *_]:
            await group.mcast(line.encode())
        case ["get", key]:
            print(store.entries.get(key, "(none)"), flush=True)
        case ["dump"]:
            print(f"{store.lines()}version {store.version}", flush=True)
        case ["await", count, version]:
            while store.meeting or store.replicas != int(count) or store.version < int(version):
                store.changed.clear()
                await store.changed.wait()


async def main(name: str, url: str | None = None) -> None:
    loop, lines, store = asyncio.get_running_loop(), asyncio.StreamReader(), Store()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with anasazi.connect(url) as conn:
        group = await conn.join(name)
        replicating = asyncio.create_task(replicate(group, store))
        async for line in lines:
            await obey(group, store, line.decode().rstrip("\n"))
        await group.leave()
        await replicating


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: {sys.argv[0]} GROUP [URL]")
    asyncio.run(main(*sys.argv[1:]))
