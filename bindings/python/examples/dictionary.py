"""A replicated dictionary: all apply the same commands in the same order.

    printf 'set color blue\\nawait 1 1\\ndump\\n' | python dictionary.py store     one replica
    python dictionary.py store [URL]              in two terminals; then type: await 2 0

Commands: set KEY VALUE | get KEY | dump | await REPLICAS VERSION.

Who joins must get the state, and after a partition two states meet. So at every view that brings
somebody each member tells what it has, and commands that come meanwhile wait. When all have spoken,
everybody takes the state that has had most commands (the first one delivered, of equals), and then
applies what waited. The same as the example in C, with which it shares a group.
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
        self.changed = asyncio.Condition()

    def apply(self, command: str) -> None:
        verb, _, rest = command.partition(" ")
        key, _, value = rest.partition(" ")
        if verb == "set" and key and value:
            self.version += 1
            self.entries[key] = value

    def lines(self) -> str:
        return "".join(f"set {key} {value}\n" for key, value in self.entries.items())

    def see(self, view: View) -> str | None:
        """What to tell the others."""
        self.replicas = len(view.members)
        print(f"* {self.replicas} here: {view.reason}")
        if not view.joined and not self.meeting:
            return None
        self.apply_waiting()
        id = view.id
        self.meeting = (id.ring_seq << 32 ^ id.ordinal << 8 ^ id.sub) & (1 << 64) - 1
        self.spoken = 0
        return f"state {self.meeting} {self.version}\n{self.lines()}"

    def hear(self, message: str) -> None:
        head, newline, state = message.partition("\n")
        words = head.split()
        if not (newline and words[:1] == ["state"] and len(words) == 3):
            self.waiting.append(message)
            if not self.meeting:
                self.apply_waiting()
            return
        if int(words[1]) != self.meeting:
            return  # Of a meeting that a later view has interrupted.
        self.spoken += 1
        if self.spoken == 1 or int(words[2]) > self.best[0]:
            self.best = int(words[2]), state.splitlines()
        if self.spoken == self.replicas:
            self.entries.clear()
            for command in self.best[1]:
                self.apply(command)
            self.version, self.meeting = self.best[0], 0
            print(f"* {self.replicas} agree, after {self.version} commands")
            self.apply_waiting()

    def apply_waiting(self) -> None:
        for command in self.waiting:
            self.apply(command)
        self.waiting.clear()


async def replicate(group: anasazi.Group, store: Store) -> None:
    async for event in group:
        if isinstance(event, View) and (state := store.see(event)) is not None:
            await group.mcast(state.encode())
        elif isinstance(event, Message):
            store.hear(event.data.decode())
        sys.stdout.flush()
        async with store.changed:
            store.changed.notify_all()


async def obey(group: anasazi.Group, store: Store, line: str) -> None:
    match line.split():
        case ["set", _, _, *_]:
            await group.mcast(line.encode())
        case ["get", key]:
            print(store.entries.get(key, "(none)"), flush=True)
        case ["dump"]:
            print(f"{store.lines()}version {store.version}", flush=True)
        case ["await", replicas, version]:
            async with store.changed:
                await store.changed.wait_for(
                    lambda: not store.meeting
                    and store.replicas == int(replicas)
                    and store.version >= int(version)
                )


async def main(name: str, url: str | None = None) -> None:
    async with anasazi.connect(url) as conn:
        group, store = await conn.join(name), Store()
        replicating = asyncio.create_task(replicate(group, store))
        while line := await asyncio.to_thread(sys.stdin.readline):
            await obey(group, store, line.rstrip("\n"))
        await group.leave()
        await replicating


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: {sys.argv[0]} GROUP [URL]")
    asyncio.run(main(*sys.argv[1:]))
