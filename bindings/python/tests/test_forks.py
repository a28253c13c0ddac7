"""What a forked child ends or looks at does not disturb its parent."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import anasazi
import pytest
from conftest import Place, own_cluster, python


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


def contents(n: int, size: int) -> bytes:
    return n.to_bytes(2, "big") * (size // 2)


def views_of(group: anasazi.sync.Group, sizes: list[int]) -> list[memoryview]:
    """Of held messages, which lie behind each other and share pages."""
    for n, size in enumerate(sizes):
        group.mcast(contents(n, size))
    made: list[memoryview] = []
    while len(made) < len(sizes):
        for event in group.recv_many():
            if isinstance(event, anasazi.Message):
                assert event.is_held
                made.append(memoryview(event))
    return made


SIZES = [32_768, 50_000, 33_334, 70_002, 40_000]


def check(views: list[memoryview]) -> None:
    for n, (view, size) in enumerate(zip(views, SIZES, strict=True)):
        assert view.tobytes() == contents(n, size), n


def test_views_are_there_in_a_child(place: Place) -> None:
    """Made before the fork, looked at in the child, of memory that the child does not have."""
    with anasazi.sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        views = views_of(group, SIZES)
        slices = [view[10_001:20_003:3] for view in views]
        expected = [bytes(one) for one in slices]
        message = views[0].obj

        def look() -> None:
            check(views)
            assert [bytes(one) for one in slices] == expected
            with pytest.raises(TypeError):
                views[0][0] = 1
            with pytest.raises(anasazi.ForkedError):
                memoryview(message)
            # Ending what was inherited does not take it away.
            conn.close()
            gc.collect()
            check(views)
            # Nor does memory that is mapped from here on.
            own = [bytearray(300_000) for _ in range(100)]
            check(views)
            in_child(lambda: check(views))
            for view in (*slices, *views):
                view.release()
            del own

        in_child(look)
        check(views)
        # And again, with fewer of them.
        views[2].release()
        slices[2].release()
        views.pop(2)
        in_child(lambda: [bytes(view) for view in views])
        for view in (*slices, *views):
            view.release()
        in_child(gc.collect)
        assert group.mcast(b"the parent goes on") == len(SIZES) + 1


def test_views_in_a_child_of_a_child(place: Place) -> None:
    """Where collecting them in between does no harm."""
    with anasazi.sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        views = views_of(group, SIZES)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                check(views)
                grandchild = os.fork()
                if grandchild == 0:
                    check(views)
                    os._exit(0)
                assert os.waitpid(grandchild, 0)[1] == 0
                del views
                gc.collect()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        check(views)
        for view in views:
            view.release()


def test_views_in_a_process_of_multiprocessing(place: Place) -> None:
    with anasazi.sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        views = views_of(group, SIZES)
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=lambda: queue.put([bytes(view[7::999]) for view in views]))
        child.start()
        child.join(20)
        assert child.exitcode == 0
        assert queue.get() == [bytes(view[7::999]) for view in views]
        with multiprocessing.get_context("fork").Pool(2, initializer=check, initargs=(views,)) as p:
            assert p.map(abs, [-1, 2]) == [1, 2]
        # A program, too: it runs what comes before exec() in a forked child.
        subprocess.run([sys.executable, "-c", ""], check=True, timeout=20,
                       preexec_fn=lambda: check(views))  # fmt: skip
        for view in views:
            view.release()


def test_forks_while_other_threads_lend_and_take_back(place: Place) -> None:
    with anasazi.sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        views = views_of(group, SIZES)
        messages: list[Any] = [view.obj for view in views]
        is_over = threading.Event()

        def work() -> None:
            while not is_over.is_set():
                for message in messages:
                    memoryview(message).release()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            over = time.monotonic() + 1.5
            while time.monotonic() < over:
                in_child(lambda: check(views))
        finally:
            is_over.set()
            for thread in threads:
                thread.join(10)
        for view in views:
            view.release()


def test_a_child_that_ends_with_views(place: Place) -> None:
    """As programs do: at exit everything is collected, in any order."""
    done = python(
        """
import os, sys, anasazi
config = {"cluster": sys.argv[1], "transport.multicast": sys.argv[2]}
conn = anasazi.sync.connect("inproc:x", config=config)
group = conn.join("room")
group.mcast(b"ab" * 50000)
message = group.recv_many()[-1]
view = memoryview(message)
part = view[1::2]
for _ in range(2):
    child = os.fork()
    if child == 0:
        assert bytes(part) == b"b" * 50000
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert view == b"ab" * 50000 and group.mcast(b"x") == 2
""",
        *place.config.values(),
    )
    assert done.returncode == 0, done.stderr
