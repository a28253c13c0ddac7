"""What a forked child ends or looks at does not disturb its parent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import anasazi
import pytest
from conftest import Place, own_cluster


def in_child(call: Callable[[], object]) -> None:
    """Has a forked child do it, and end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            call()
            code = 0
        except BaseException as error:
            os.write(2, f"in the child: {error!r}\n".encode())
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def finish(coroutine: object) -> None:
    """Runs what does not wait."""
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return
    raise AssertionError("it waits")


async def test_a_child_that_closes_leaves_the_loop_alone(place: Place) -> None:
    """The descriptor by which the loop waits is the same in both processes."""
    async with anasazi.connect(**place.arguments()) as conn:
        group = await conn.join("room")
        in_child(conn.close)
        async with asyncio.timeout(5):
            assert await group.mcast(b"x") == 1
        in_child(lambda: finish(conn.__aexit__(None, None, None)))
        async with asyncio.timeout(5):
            assert await group.mcast(b"x") == 2


async def test_a_child_that_closes_an_engine_in_a_loop() -> None:
    async with anasazi.Engine(own_cluster()) as engine:
        async with engine.connect() as conn, conn.join("room") as group:
            in_child(engine.close)
            async with asyncio.timeout(5):
                assert await group.mcast(b"x") == 1
            in_child(lambda: finish(engine.__aexit__(None, None, None)))
            async with asyncio.timeout(5):
                assert await group.mcast(b"x") == 2


def test_a_child_that_closes_leaves_trio_alone(place: Place) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        async with anasazi.connect(**place.arguments()) as conn:
            group = await conn.join("room")
            await group.recv()

            async def read() -> None:
                assert isinstance(await group.recv(), anasazi.Message)

            with trio.fail_after(5):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read)
                    await trio.sleep(0.05)
                    in_child(conn.close)
                    await group.mcast(b"x")

    trio.run(main)


async def test_waiting_in_a_child_is_refused(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        await group.recv()

        def wait() -> None:
            with pytest.raises(anasazi.ForkedError):
                group.recv().send(None)

        in_child(wait)


async def test_leaving_the_block_of_a_group_in_a_child(place: Place) -> None:
    """What was raised in the child comes through, and nothing is raised if nothing was."""
    async with anasazi.connect(**place.arguments()) as conn:
        joining = conn.join("room")
        await joining.__aenter__()
        in_child(lambda: finish(joining.__aexit__(None, None, None)))
        error = ValueError("of the application")
        in_child(lambda: finish(joining.__aexit__(ValueError, error, None)))
        await joining.__aexit__(None, None, None)
    with anasazi.sync.connect(**place.arguments()) as plain, plain.join("room") as group:
        in_child(lambda: group.__exit__(None, None, None))
        assert group.mcast(b"x") == 1


async def test_what_a_child_shows_of_a_message(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        await group.mcast(bytes(100_000))
        message = (await group.recv_many())[-1]
        assert isinstance(message, anasazi.Message) and message.is_held
        in_child(lambda: repr(message).index("of the parent process"))
        assert "100000 bytes" in repr(message)


async def test_an_observer_is_undone(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn:
        seen: list[object] = []
        undo = conn.observe(lambda *event: seen.append(event))
        async with conn.join("room"):
            assert len(seen) == 1
            undo()
            undo()
        assert len(seen) == 1
