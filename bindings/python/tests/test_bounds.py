"""What is not taken is bounded, sends wait for room in order, and nothing hangs."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import anasazi
import anasazi._asyncio
import pytest
from conftest import Daemon, Place, until

def messages(events: list[anasazi.Event]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, anasazi.Message)]


async def test_no_room_is_an_exception_of_those_that_do_not_wait(daemon: Daemon) -> None:
    async with anasazi.connect(daemon.url) as conn, conn.join("room") as group:
        sent = 0
        with daemon.stopped(), pytest.raises(anasazi.WouldBlock) as refused:
            while True:
                group.try_mcast(bytes(60_000))
                sent += 1
        assert isinstance(refused.value, BlockingIOError) and refused.value.retryable
        assert refused.value.name == "ANZ_EAGAIN" and "room" in str(refused.value)
        assert 10 < sent < 1000 and await group.mcast(b"waits") == sent + 1


async def test_sends_that_wait_stay_in_order(daemon: Daemon) -> None:
    async with anasazi.connect(daemon.url) as conn:
        async with conn.join("a") as a, conn.join("b") as b:

            async def send(n: int) -> int:
                data = b"%d " % n + bytes(50_000 if n < 400 else 10)
                return await (conn.mcast([a, b], data) if n % 5 == 0 else a.mcast(data))

            with daemon.stopped():
                sends = [asyncio.create_task(send(n)) for n in range(500)]
                await asyncio.sleep(0.05)
                assert 300 < len(a._stream.unsent) < 500 and b._stream.unsent
                with pytest.raises(anasazi.WouldBlock):
                    a.try_mcast(b"0 overtakes")
                assert conn.stats()["send_again"] > 0
            seen: list[int] = []
            async for event in a:
                if isinstance(event, anasazi.Message):
                    seen.append(int(bytes(memoryview(event)[:4]).split()[0]))
                    if len(seen) == 500:
                        break
            assert seen == list(range(500))
            await asyncio.gather(*sends)
            theirs = [data.split()[0] for data in messages(await b.recv_many())]
            assert theirs == [b"%d" % n for n in range(0, 500, 5)]


async def test_a_cancelled_send_that_waits_is_not_sent(daemon: Daemon) -> None:
    async with anasazi.connect(daemon.url) as conn, conn.join("room") as group:
        with daemon.stopped():
            tasks = [asyncio.create_task(group.mcast(bytes(100_000))) for _ in range(100)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(group._stream.unsent) > 5
            for task in tasks[-5:]:
                task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(one, asyncio.CancelledError) for one in done) == 5
        assert await group.mcast(b"last") == 96


async def test_sends_resolve_while_nobody_iterates(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        for n in range(2000):
            assert await group.mcast(b"x") == n + 1


async def test_beyond_the_bound_a_send_fails_clearly(place: Place, monkeypatch: Any) -> None:
    monkeypatch.setattr(anasazi._asyncio, "STALL_S", 0.2)
    async with anasazi.connect(**place.arguments(), queue_len=100) as conn:
        other = await conn.join("other")
        await other.recv()
        async with conn.join("room") as group:
            with pytest.raises(anasazi.QueueFull) as full:
                for _ in range(10_000):
                    await group.mcast(b"x")
            error = full.value
            assert isinstance(error, anasazi.SlowReceiver) and error.retryable
            assert "'room'" in str(error) or "of room" in str(error)
            assert conn._core.backlog.len < 100 + 600, "reading has stopped"
            for call in (group.mcast(b"x"), other.leave(), conn.query("{}"), other.recv()):
                with pytest.raises(anasazi.QueueFull):
                    await call
            # Taking what is there makes it go on.
            taken = messages(await group.recv_many())
            assert len(taken) >= 99
            assert await group.mcast(b"again") > 0
            assert (await group.recv_many())[-1].data == b"again"  # type: ignore[union-attr]


async def test_bytes_are_bounded_too(place: Place, monkeypatch: Any) -> None:
    monkeypatch.setattr(anasazi._asyncio, "STALL_S", 0.1)
    async with anasazi.connect(**place.arguments(), queue_bytes=1 << 20) as conn:
        async with conn.join("room") as group:
            with pytest.raises(anasazi.QueueFull):
                for _ in range(1000):
                    await group.mcast(bytes(50_000))
            assert conn._core.backlog.bytes < (1 << 20) + (8 << 20)
    with pytest.raises(anasazi.InvalidArgument):
        await anasazi.connect(**place.arguments(), queue_len=0)


async def test_a_slow_reader_is_waited_for(place: Place, monkeypatch: Any) -> None:
    """Somebody takes events, if slowly: sends go on."""
    monkeypatch.setattr(anasazi._asyncio, "STALL_S", 0.3)
    async with anasazi.connect(**place.arguments(), queue_len=20) as conn:
        async with conn.join("room") as group:
            seen = 0

            async def read() -> None:
                nonlocal seen
                async for event in group:
                    seen += isinstance(event, anasazi.Message)
                    if seen % 10 == 0:
                        await asyncio.sleep(0.05)
                    if seen == 200:
                        return

            reading = asyncio.create_task(read())
            await asyncio.gather(*(group.mcast(b"x") for _ in range(200)))
            await reading


async def test_leaving_a_group_that_nobody_read_does_not_hang(place: Place) -> None:
    async with anasazi.connect(**place.arguments(), queue_len=50) as conn:
        async with conn.join("room") as group:
            for _ in range(500):
                group.try_mcast(b"x")
            await asyncio.sleep(0.2)
            assert conn._core.backlog.is_full()
        assert not conn._core.backlog.is_full()
        async with conn.join("room") as group:
            assert await group.mcast(b"again") == 1


async def test_what_is_left_of_groups_that_ended_does_not_count(place: Place) -> None:
    async with (
        anasazi.connect(**place.arguments(), queue_len=50) as conn,
        anasazi.connect(**place.arguments()) as other,
    ):
        kept = []
        async with asyncio.timeout(20):
            for _ in range(100):
                group = await conn.join("room")
                await group.leave()
                kept.append(group)
                peer = conn.peer(other.member)
                await peer.leave()
        assert conn._core.backlog.len == 0
        kinds = [type(event) for event in await kept[0].recv_many()]
        assert kinds == [anasazi.View, anasazi.Left], "they can be taken all the same"
        with anasazi.sync.connect(**place.arguments(), queue_len=50) as plain:
            for _ in range(100):
                plain.join("room").leave()


async def test_what_nobody_can_take_is_dropped(place: Place, monkeypatch: Any) -> None:
    monkeypatch.setattr(anasazi._asyncio, "STALL_S", 0.2)
    async with anasazi.connect(**place.arguments(), queue_len=50) as conn:
        await conn.join("dropped")
        async with conn.join("room", send_only=True) as room:
            async with anasazi.connect(**place.arguments()) as other:
                async with other.join("dropped") as sender:
                    for _ in range(300):
                        await sender.mcast(b"x")
                        await sender.recv_many()
            async with asyncio.timeout(10):
                assert await room.mcast(b"x") == 0
                assert await conn.query('{"query": "groups"}')
                # It is joined again, which leaves it before.
                async with conn.join("dropped") as again:
                    assert await again.mcast(b"x") == 1


async def test_life_does_not_fill_what_nobody_iterates_over(daemon: Daemon) -> None:
    async with anasazi.connect(daemon.url) as conn, conn.join("room") as group:
        peer, address = conn.peer(conn.member), await conn.join("other", send_only=True)
        for n in range(10):
            daemon.kill()
            daemon.start()
            await asyncio.to_thread(until, lambda: conn.stats()["reconnects"] > n, "the daemon")
            await group.mcast(b"x")
        lives = [e for e in await group.recv_many()
                 if isinstance(e, anasazi.Suspended | anasazi.Resumed)]  # fmt: skip
        assert len(lives) == 20
        assert len(peer._stream.queue) == 0 and len(address._stream.queue) == 0
        assert conn._core.backlog.len == len(conn._stream.queue) == 16
        assert await conn.recv_many() == lives[-16:]


async def test_a_group_that_ends_does_not_block_another(daemon: Daemon) -> None:
    """A send to both fails with the first; what is behind it in the second goes on."""
    async with anasazi.connect(daemon.url) as conn:
        a, b = await conn.join("a"), await conn.join("b")
        with daemon.stopped():
            sends = [asyncio.create_task(a.mcast(bytes(60_000))) for _ in range(300)]
            await asyncio.sleep(0.1)
            assert a._stream.unsent
            both = asyncio.create_task(conn.mcast([a, b], b"both"))
            behind = asyncio.create_task(b.mcast(b"behind"))
            await asyncio.sleep(0)
            leaving = asyncio.create_task(a.leave())
            await asyncio.sleep(0.05)
        async with asyncio.timeout(10):
            await asyncio.gather(*sends, return_exceptions=True)
            await leaving
            with pytest.raises(anasazi.ConnectionClosed):
                await both
            assert await behind == 1 and await b.mcast(b"again") == 2
        assert not conn._core.sending.unsent and conn._core.sending.unsent_bytes == 0


async def test_what_waits_for_room_is_copied_and_bounded(
    daemon: Daemon, monkeypatch: Any
) -> None:
    monkeypatch.setattr(anasazi._sending, "UNSENT_BYTES_MAX", 1_000_000)
    async with anasazi.connect(daemon.url) as conn, conn.join("room") as group:
        with daemon.stopped():
            buffer = bytearray(60_000)
            sends = []
            with pytest.raises(anasazi.WouldBlock, match="wait for room") as refused:
                for n in range(250):
                    buffer[0] = n
                    sends.append(asyncio.create_task(group.mcast(buffer)))
                    await asyncio.sleep(0)
                    if sends[-1].done():
                        await sends.pop()
            assert refused.value.retryable and conn._core.sending.unsent_bytes == 16 * 60_000
            with pytest.raises(TypeError, match="encode"):
                await group.mcast("text")  # type: ignore[arg-type]
            buffer.clear()
        await asyncio.gather(*sends)
        numbers = [data[0] for data in messages(await group.recv_many())]
        assert numbers == list(range(len(sends)))


async def test_cancelled_sends_keep_nothing(daemon: Daemon) -> None:
    async with anasazi.connect(daemon.url) as conn, conn.join("room") as group:
        daemon.kill()
        while not conn.is_suspended:
            await asyncio.sleep(0.01)
        for _ in range(200):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await group.mcast(bytes(100_000))
        assert not group._stream.unsent and conn._core.sending.unsent_bytes == 0
        daemon.start()
        assert await group.mcast(b"x") == 1


async def test_a_question_waits_for_room(daemon: Daemon) -> None:
    async with anasazi.connect(daemon.url) as conn, conn.join("room") as group:
        with daemon.stopped():
            for size in (60_000, 0):
                with pytest.raises(anasazi.WouldBlock):
                    while True:
                        group.try_mcast(bytes(size))
            questions = [
                asyncio.create_task(conn.query('{"query": "groups"}')) for _ in range(2000)
            ]
            await asyncio.sleep(0.2)
            assert not any(question.done() for question in questions)
        async with asyncio.timeout(15):
            assert all(await asyncio.gather(*questions))


async def test_same_view_is_that_of_when_it_was_asked_for(daemon: Daemon) -> None:
    """A message that waited for room is not for a view that came meanwhile."""
    same_view = anasazi.AGREED | anasazi.SAME_VIEW
    async with anasazi.connect(daemon.url) as conn:
        a, b = await conn.join("a"), await conn.join("b")
        assert a.view is not None
        with daemon.stopped():
            sends = [asyncio.create_task(a.mcast(bytes(60_000))) for _ in range(300)]
            late = [
                asyncio.create_task(a.mcast(b"late", same_view)),
                asyncio.create_task(conn.mcast([b, a], b"late", same_view)),
                asyncio.create_task(b.mcast(b"in time", same_view)),
            ]
            await asyncio.sleep(0.05)
            assert len(a._stream.unsent) > 20 and len(b._stream.unsent) == 2
            # As if it had been received: the daemon does nothing.
            view = dataclasses.replace(a.view, reason="somebody joined")
            conn._core.note([a._stream, view, 2, None])
        await asyncio.gather(*sends)
        for send in late[:2]:
            with pytest.raises(anasazi.ViewChanged):
                await send
        assert await late[2] == 1, "the view of the other group is the same"
        assert await a.mcast(b"now", same_view) > 0
        assert b"late" not in messages(await a.recv_many())
        assert not conn._core.sending.unsent
