"""Loops that are closed or cancelled under a connection."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
import weakref
from typing import Any

import anasazi
import pytest
from conftest import Daemon, Place, own_cluster


def test_a_loop_that_is_closed_before_the_connection(place: Place) -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> tuple[anasazi.Connection, list[asyncio.Task[Any]]]:
        conn = await anasazi.connect(**place.arguments())
        group = await conn.join("room")
        await group.recv()
        waiting = [asyncio.create_task(group.recv()), asyncio.create_task(conn.recv())]
        await asyncio.sleep(0)
        return conn, waiting

    conn, waiting = loop.run_until_complete(begin())
    loop.close()
    conn.close()
    assert conn.is_closed
    with pytest.raises(anasazi.ConnectionClosed):
        conn.stats()
    with anasazi.sync.connect(**place.arguments()) as other, other.join("room") as group:
        view = group.recv(5)
        assert isinstance(view, anasazi.View) and view.members == (other.member,)
    for task in waiting:
        task._log_destroy_pending = False  # type: ignore[attr-defined]


async def test_connecting_that_is_cancelled_is_over(daemon: Daemon) -> None:
    with daemon.stopped():
        start = time.monotonic()
        tasks = [asyncio.create_task(connect(daemon.url)) for _ in range(40)]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(lambda: None)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        assert time.monotonic() - start < 4
        with pytest.raises(anasazi.Timeout):
            await anasazi.connect(daemon.url, timeout=0.5)


async def connect(url: str) -> anasazi.Connection:
    return await anasazi.connect(url, timeout=20)


def test_the_end_of_a_loop_does_not_wait_for_who_connects(daemon: Daemon) -> None:
    async def main() -> None:
        asyncio.create_task(connect(daemon.url))
        await asyncio.sleep(0.1)

    with daemon.stopped():
        start = time.monotonic()
        asyncio.run(main())
        assert time.monotonic() - start < 3


async def test_a_connection_that_is_dropped_is_closed(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        dropped = await anasazi.connect(**place.arguments())
        theirs = await dropped.join("room")
        await theirs.recv()
        with pytest.warns(ResourceWarning, match="not closed"):
            del dropped, theirs
            gc.collect()
        async with asyncio.timeout(5):
            async for event in group:
                if isinstance(event, anasazi.View) and event.left:
                    break


def test_trio_closing_wakes_who_waits_for_room(place: Place) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        async with anasazi.connect(**place.arguments(), queue_len=10) as conn:
            group = await conn.join("room")

            async def send() -> None:
                with pytest.raises(anasazi.ConnectionClosed):
                    while True:
                        await group.mcast(b"x")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                await trio.sleep(0.3)
                start = time.monotonic()
                conn.close()
            assert time.monotonic() - start < 2

    trio.run(main)


def test_trio_cancelling_closes_an_engine() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with trio.move_on_after(0.2):
            async with anasazi.Engine(own_cluster()) as engine:
                await trio.sleep_forever()
        with pytest.raises(anasazi.ConnectionClosed):
            engine.fileno()

    trio.run(main)


async def test_an_engine_that_cannot_answer() -> None:
    async with anasazi.Engine(own_cluster()) as engine:
        with pytest.raises(anasazi.WrongState, match="this loop"):
            engine.connect_sync()
    idle = anasazi.Engine(own_cluster())
    for begin in (lambda: idle.connect(), lambda: idle.connect_sync()):
        with pytest.raises(anasazi.WrongState, match="start_thread"):
            await begin()  # type: ignore[misc]
    idle.close()


async def test_nothing_is_left_of_a_connection(place: Place) -> None:
    """Neither of one that was closed nor of one that somebody waited for when its loop ended."""
    left: list[weakref.ref[Any]] = []

    async def use() -> None:
        conn = await anasazi.connect(**place.arguments())
        group = await conn.join("room")
        await group.mcast(b"x")
        left.extend(weakref.ref(one) for one in (conn, conn._core, conn._io, group._stream))
        waiting = asyncio.create_task(conn.recv())
        await asyncio.sleep(0.01)
        left.append(weakref.ref(waiting))
        if len(left) == 5:
            waiting.cancel()
            conn.close()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await use()
        await asyncio.to_thread(asyncio.run, use())
        await asyncio.sleep(0.01)
        gc.collect()
    assert len(left) == 10 and not any(one() for one in left), [one() for one in left]
