"""Daemons that die, forks, engines, trio."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from typing import Any

import anasazi
import pytest
from conftest import RELEASE, SOURCE, Daemon, Place, compile_c, own_cluster, python


async def test_a_daemon_that_dies_is_an_event(daemon: Daemon) -> None:
    async with anasazi.connect(daemon.url) as conn:
        group = await conn.join("room")
        before = conn.member
        await group.mcast(b"before")
        daemon.kill()
        seen: list[anasazi.Event] = []
        while not isinstance(seen[-1] if seen else None, anasazi.Suspended):
            seen.append(await group.recv())
        assert conn.is_suspended
        waiting = asyncio.create_task(group.mcast(b"meanwhile"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        daemon.start()
        resumed = await group.recv()
        while not isinstance(resumed, anasazi.Resumed):
            resumed = await group.recv()
        assert resumed.member == conn.member != before and not conn.is_suspended
        view = await group.recv()
        assert isinstance(view, anasazi.View) and view.members == (conn.member,)
        assert await waiting == 1
        assert bytes(await group.recv()) == b"meanwhile"
        life = await conn.recv_many()
        assert [type(event) for event in life] == [anasazi.Suspended, anasazi.Resumed]
        assert conn.stats()["reconnects"] == 1


async def test_what_a_dying_daemon_had_taken_is_lost(daemon: Daemon) -> None:
    assert daemon.process is not None
    async with anasazi.connect(daemon.url) as conn:
        group = await conn.join("room")
        os.kill(daemon.process.pid, 19)
        sends = [asyncio.create_task(group.mcast(b"x")) for _ in range(10)]
        await asyncio.sleep(0.05)
        daemon.kill()
        ends = await asyncio.gather(*sends, return_exceptions=True)
        daemon.start()
        assert all(isinstance(end, anasazi.Lost | int) for end in ends), ends
        assert any(isinstance(end, anasazi.Lost) and end.name == "ANZ_ELOST" for end in ends)


async def test_leaving_while_the_daemon_is_away(daemon: Daemon) -> None:
    async with anasazi.connect(daemon.url) as conn:
        async with conn.join("room") as group:
            await group.recv()
            daemon.kill()
            while not isinstance(await group.recv(), anasazi.Suspended):
                pass
        assert conn.is_suspended
    with anasazi.sync.connect("inproc:elsewhere", config=own_cluster()) as plain:
        plain.close()
        with pytest.raises(anasazi.ConnectionClosed):
            plain.join("room")


async def test_a_node_that_dies_narrows_the_guarantees(daemon: Daemon, tmp_path: Any) -> None:
    """Transitional, with who stays, and then the view without the others."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = Daemon(folder, daemon.settings)
    other.start()
    try:
        async with anasazi.connect(daemon.url) as a, anasazi.connect(other.url) as b:
            ours, _theirs = await a.join("room"), await b.join("room")
            while not isinstance(event := await ours.recv(), anasazi.View) or len(event.members) < 2:
                pass
            gone = b.member
            other.kill()
            narrowed, view = await ours.recv(), await ours.recv()
            assert isinstance(narrowed, anasazi.Transitional)
            assert not isinstance(narrowed, anasazi.View) and narrowed.together == (a.member,)
            assert isinstance(view, anasazi.View) and view.cause == anasazi.Cause.NETWORK
            assert view.members == (a.member,) and view.left == (gone,)
    finally:
        if other.process is not None:
            other.kill()


@pytest.mark.parametrize("policy", ["gap", "disconnect"])
async def test_who_does_not_read_is_told(place: Place, policy: str) -> None:
    place.config["client.backlog_len"] = "1 MiB"
    settings = {"session.slow_policy": policy}
    async with (
        anasazi.connect(**place.arguments()) as fast,
        anasazi.connect(**place.arguments(**settings), queue_len=1) as slow,
    ):
        sender, group = await fast.join("room"), await slow.join("room")
        for _ in range(300):
            await sender.mcast(bytes(50_000))
            await sender.recv_many()
        events: list[anasazi.Event] = []
        async for event in group:
            events.append(event)
            if isinstance(event, anasazi.Gap):
                break
        if policy == "gap":
            assert isinstance(events[-1], anasazi.Gap) and 0 < events[-1].skipped < 300
            return
        assert isinstance(events[-1], anasazi.Closed | anasazi.Left)
        assert isinstance(events[-1].error, anasazi.SlowReceiver)
        with pytest.raises(anasazi.SlowReceiver):
            await group.mcast(b"")


async def test_same_view_or_not_at_all(place: Place) -> None:
    """The view that the sender saw last is the one that it has received."""
    async with anasazi.connect(**place.arguments()) as a, a.join("room") as group:
        changed = 0
        for _ in range(50):
            b = await anasazi.connect(**place.arguments())
            joining = asyncio.create_task(b._join("room", 0))
            await asyncio.sleep(0)
            try:
                await group.mcast(b"x", anasazi.AGREED | anasazi.SAME_VIEW)
            except anasazi.ViewChanged as error:
                changed += 1
                assert error.name == "ANZ_EVIEW"
            await joining
            b.close()
        assert changed > 0


def test_a_child_gets_forked_errors(place: Place, daemon: Daemon) -> None:
    """In the child nothing hangs, nothing crashes, and its end does not disturb the parent."""
    plain = anasazi.sync.connect(**place.arguments())
    group = plain.join("room")
    group.mcast(bytes(100_000))
    group.recv()
    held = group.recv()
    assert isinstance(held, anasazi.Message) and held.is_held
    child = os.fork()
    if child == 0:
        code = 1
        try:
            calls: list[Any] = [
                lambda: group.mcast(b""), lambda: group.try_mcast(b""), group.recv, group.leave,
                lambda: plain.join("b"), plain.stats, lambda: plain.query("{}"), plain.fileno,
                lambda: held.data, lambda: memoryview(held), lambda: list(group),
                lambda: anasazi.sync.connect("inproc:own"),
            ]  # fmt: skip
            for number, call in enumerate(calls):
                try:
                    call()
                except anasazi.ForkedError:
                    continue
                os.write(2, f"call {number} gave no ForkedError\n".encode())
                break
            else:
                plain.close()
                with anasazi.sync.connect(daemon.url) as own:
                    with own.join("room") as room:
                        code = 0 if room.mcast(b"child") == 1 else 1
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert group.mcast(b"the parent goes on") == 2
    assert held.data == bytes(100_000)
    plain.close()


async def test_fork_inside_a_running_loop(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                group.mcast(b"").send(None)
            except anasazi.ForkedError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert await group.mcast(b"x") == 1


def test_a_child_that_ends_as_usual(place: Place) -> None:
    """Garbage collection of what was inherited, and the handlers at exit."""
    done = python(
        """
import os, sys, anasazi, gc
config = {"cluster": sys.argv[1], "transport.multicast": sys.argv[2]}
conn = anasazi.sync.connect("inproc:x", config=config)
group = conn.join("room")
engine = anasazi.Engine(config)
engine.start_thread()
group.mcast(bytes(100000))
events = group.recv_many()
child = os.fork()
if child == 0:
    del conn, group, events, engine
    gc.collect()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
child = os.fork()
if child == 0:
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert group.mcast(b"x") == 2
""",
        *place.config.values(),
    )
    assert done.returncode == 0, done.stderr


def in_child(url: str, conn: object) -> str:
    try:
        conn.stats()  # type: ignore[attr-defined]
    except anasazi.ForkedError:
        pass
    except AttributeError:
        assert conn is None
    with anasazi.sync.connect(url) as own, own.join("room") as group:
        return f"{group.mcast(b'from a child')}"


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(place: Place, daemon: Daemon, method: str) -> None:
    with anasazi.sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        group.mcast(b"x")
        inherited = conn if method == "fork" else None
        context: Any = multiprocessing.get_context(method)
        queue = context.SimpleQueue()
        child = context.Process(target=put_in_child, args=(queue, daemon.url, inherited))
        child.start()
        child.join(20)
        assert child.exitcode == 0 and queue.get() == "1"
        assert group.mcast(b"y") == 2


def put_in_child(queue: Any, url: str, conn: object) -> None:
    queue.put(in_child(url, conn))


async def test_an_engine_in_the_loop() -> None:
    async with anasazi.Engine(own_cluster()) as engine:
        async with engine.connect() as a, engine.connect() as b:
            async with a.join("room") as first, b.join("room") as second:
                assert await first.mcast(b"x") == 1
                assert await second.mcast(b"y") == 2
        with pytest.raises(anasazi.WrongState):
            engine.attach()
        with pytest.raises(anasazi.WrongState):
            engine.start_thread()
    with pytest.raises(anasazi.ConnectionClosed):
        await engine.connect()
    with pytest.raises(anasazi.ConnectionClosed):
        engine.process()


def test_an_engine_in_a_thread(tmp_path: Any) -> None:
    file = tmp_path / "engine.toml"
    settings = own_cluster()
    multicast = settings["transport.multicast"]
    file.write_text(f'cluster = "{settings["cluster"]}"\n[transport]\nmulticast = "{multicast}"\n')
    with anasazi.Engine(file, log={"level": "error"}) as engine:
        with engine.connect_sync() as conn, conn.join("room") as group:
            assert group.mcast(b"x") == 1

        async def use() -> None:
            async with engine.connect() as conn, conn.join("room") as group:
                assert await group.mcast(b"x") == 1

        asyncio.run(use())
        with pytest.raises(anasazi.WrongState):
            engine.start_thread()


async def test_an_engine_that_ends_closes_its_connections() -> None:
    async with anasazi.Engine(own_cluster()) as engine:
        conn = await engine.connect()
        group = await conn.join("room")
        reading = asyncio.create_task(group.recv_many())
        await reading
        sleeping = asyncio.create_task(last_of(group))
        await asyncio.sleep(0)
    last = await sleeping
    assert isinstance(last, anasazi.Left) and isinstance(last.error, anasazi.ConnectionClosed)
    end = await last_of(conn)
    assert isinstance(end, anasazi.Closed) and conn.is_closed
    with pytest.raises(anasazi.AnasaziError):
        await group.mcast(b"")


async def last_of(group: anasazi.Group | anasazi.Connection) -> anasazi.Event | None:
    last = None
    async for event in group:
        last = event
    return last


def test_trio(place: Place) -> None:
    trio = pytest.importorskip("trio")

    async def member(seen: list[bytes], number: int) -> None:
        async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
            async for event in group:
                if isinstance(event, anasazi.View) and len(event.members) == 3:
                    break
            async with trio.open_nursery() as nursery:
                for n in range(50):
                    nursery.start_soon(group.mcast, b"%d-%d" % (number, n))
                async for event in group:
                    if isinstance(event, anasazi.Message):
                        seen.append(event.data)
                        if len(seen) == 150:
                            break
            with trio.move_on_after(0.05) as scope:
                await conn.recv()
            assert scope.cancelled_caught
            assert await conn.query('{"query": "groups"}')

    async def main() -> None:
        histories: list[list[bytes]] = [[], [], []]
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for number, history in enumerate(histories):
                    nursery.start_soon(member, history, number)
        assert histories[0] == histories[1] == histories[2] and len(histories[0]) == 150

    trio.run(main)


def test_trio_closing_while_somebody_waits_and_an_engine() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> anasazi.Connection:
        async with anasazi.Engine(own_cluster()) as engine:
            conn = await engine.connect()
            group = await conn.join("room")
            await group.recv()
            ended: list[bool] = []

            async def read() -> None:
                async for _ in group:
                    pass
                ended.append(True)

            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read)
                    nursery.start_soon(read)
                    await trio.sleep(0.05)
                    conn.close()
            assert ended == [True, True]
        return conn

    conn = trio.run(main)
    conn.close()


def test_trio_beyond_the_bound(place: Place, monkeypatch: Any) -> None:
    trio = pytest.importorskip("trio")
    import anasazi._trio

    monkeypatch.setattr(anasazi._trio, "STALL_S", 0.2)

    async def main() -> None:
        async with anasazi.connect(**place.arguments(), queue_len=50) as conn:
            async with conn.join("room") as group:
                with trio.fail_after(20):
                    with pytest.raises(anasazi.QueueFull, match="room"):
                        for _ in range(10_000):
                            await group.mcast(b"x")
                    assert len(await group.recv_many()) >= 50
                    assert await group.mcast(b"x") > 0

    trio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(place: Place, backend: str) -> None:
    anyio = pytest.importorskip("anyio")

    async def main() -> None:
        async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
            with anyio.fail_after(10):
                assert await group.mcast(b"x") == 1

    anyio.run(main, backend=backend)


def test_c_and_python_share_an_engine(place: Place, tmp_path: Any) -> None:
    """C code in this process, which links the library by name, finds it loaded, and the engine."""
    import ctypes

    source = SOURCE / "bindings/python/tests/member.c"
    made = compile_c(source, tmp_path / "member.so", "-shared", "-fPIC")
    assert str(RELEASE) not in os.environ.get("LD_LIBRARY_PATH", "")
    c = ctypes.CDLL(str(made))
    with anasazi.sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        assert c.member_begin(place.url.encode(), b"room") == 0
        seen = [group.recv(10), group.recv(10), group.recv(10)]
        view, message = seen[1], seen[2]
        assert isinstance(view, anasazi.View) and len(view.members) == 2
        assert isinstance(message, anasazi.Message) and message.data == b"hello from C"
        assert {member.node for member in view.members} == {conn.member.node}, "one engine"
        group.mcast(b"hello from Python")
        assert c.member_heard(b"hello from Python") == 1
        with open("/proc/self/maps") as maps:
            files = {line.split()[-1] for line in maps if "libanasazi.so" in line}
        assert files == {anasazi.library_path()}
        c.member_end()
        assert isinstance(group.recv(10), anasazi.Message)
        assert isinstance(group.recv(10), anasazi.View)
