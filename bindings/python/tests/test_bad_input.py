"""Whatever is wrong is an exception with a sentence."""

from __future__ import annotations

import array
import asyncio
import errno
import gc
import pickle
import threading
import traceback
from typing import Any

import anasazi
import pytest
from conftest import Place, own_cluster


async def test_connecting(tmp_path: Any) -> None:
    with pytest.raises(anasazi.ConnectionRefused) as refused:
        await anasazi.connect(f"shm:{tmp_path}/nobody")
    assert isinstance(refused.value, ConnectionRefusedError) and refused.value.retryable
    assert refused.value.errno == errno.ECONNREFUSED and "nobody" in str(refused.value)
    for url in ("", "http://x", "inproc:", "shm:relative", "inproc:x\0y"):
        with pytest.raises(anasazi.InvalidArgument):
            await anasazi.connect(url)
        with pytest.raises(ValueError):
            anasazi.sync.connect(url)
    with pytest.raises(TypeError):
        await anasazi.connect(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a mapping or a path"):
        await anasazi.connect("inproc:x", config=5)  # type: ignore[arg-type]


async def test_settings(tmp_path: Any) -> None:
    wrongs: list[dict[str, Any]] = [
        {"no.such": 1},
        {"session": {"slow_policy": "none"}},
        {"ring": [{}]},
        {"cluster": None},
    ]
    for config in wrongs:
        with pytest.raises(anasazi.ConfigError) as wrong:
            await anasazi.connect("inproc:never", config=config)
        assert isinstance(wrong.value, ValueError) and wrong.value.name == "ANZ_ECONFIG"
    with pytest.raises(anasazi.ConfigError, match="slow_policy.*disconnect"):
        anasazi.Engine(session={"slow_policy": "none"})
    file = tmp_path / "wrong.toml"
    file.write_text("[session]\nslow_policy = 5\n")
    with pytest.raises(anasazi.ConfigError, match="wrong.toml"):
        anasazi.Engine(file)
    with pytest.raises(anasazi.ConfigError, match="nowhere"):
        anasazi.Engine(str(tmp_path / "nowhere"))


async def test_names(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn:
        for name in ("", "x" * 256, "a\0b"):
            with pytest.raises(anasazi.InvalidArgument) as wrong:
                await conn.join(name)
            assert "joining" in str(wrong.value) or "name" in str(wrong.value)
        with pytest.raises(anasazi.InvalidArgument, match="1 to 255 bytes"):
            await conn.join("")
        for call in (conn.join("\ud800"), conn.query("\ud800"), anasazi.connect("\ud800"),
                     anasazi.connect("inproc:x", config={"cluster": "\ud800"})):
            with pytest.raises(anasazi.InvalidArgument, match="surrogates"):
                await call
        with pytest.raises(TypeError):
            await conn.join(5)  # type: ignore[arg-type]
        # There is no such domain; it is told which there are.
        with pytest.raises(anasazi.InvalidArgument, match="default"):
            await conn.join("domain/name")
        async with conn.join("x" * 255), conn.join("élan ✓"):
            with pytest.raises(anasazi.AlreadyJoined, match="élan"):
                await conn.join("élan ✓")


async def test_messages(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        assert await group.mcast(b"") == 1
        assert await group.mcast(array.array("i", [1, 2])) == 2
        assert await group.mcast(memoryview(b"abcdef")[::2]) == 3
        for wrong in ("text", 5, None, ["list"]):
            with pytest.raises(TypeError, match="bytes"):
                await group.mcast(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="encode"):
            group.try_mcast("text")  # type: ignore[arg-type]
        for send in (group.mcast(bytes(64 << 20)), conn.mcast([group], bytes(64 << 20))):
            with pytest.raises(anasazi.TooLarge) as large:
                await send
            assert isinstance(large.value, ValueError) and "67108864 bytes" in str(large.value)
            assert "message.len_max says, 1 MiB if" in str(large.value)
        with pytest.raises(anasazi.TooLarge, match="1025 bytes .*UNRELIABLE_LEN_MAX"):
            group.try_mcast(bytes(anasazi.UNRELIABLE_LEN_MAX + 1), anasazi.UNRELIABLE)
        for service in (6, 99, anasazi.AGREED | anasazi.PRIO_HIGH | anasazi.PRIO_BULK):
            with pytest.raises(anasazi.InvalidArgument):
                await group.mcast(b"", service)
        for service in (-1, 1 << 32, 77):
            with pytest.raises(anasazi.InvalidArgument, match="AGREED"):
                await group.mcast(b"", service)
        for tag in (-1, 1 << 63):
            with pytest.raises(anasazi.InvalidArgument, match="tag"):
                group.try_mcast(b"", tag=tag)
        assert not conn._core.sending.pending
        await group.recv()
        data = [(await group.recv()).data for _ in range(3)]  # type: ignore[union-attr]
        assert data == [b"", array.array("i", [1, 2]).tobytes(), b"ace"]


async def test_what_is_closed(place: Place) -> None:
    conn = await anasazi.connect(**place.arguments())
    group = await conn.join("room")
    await group.mcast(b"x")
    reading = asyncio.create_task(conn.recv())
    await asyncio.sleep(0)
    conn.close()
    with pytest.raises(anasazi.ConnectionClosed):
        await reading
    assert [type(event) for event in await group.recv_many()] == [anasazi.View, anasazi.Message]
    assert [event async for event in group] == [] and [event async for event in conn] == []
    calls: list[Any] = [
        lambda: group.mcast(b""), lambda: group.leave(), lambda: conn.join("b"), conn.recv,
        lambda: conn.query("{}"), lambda: conn.mcast([group], b""), group.recv,
    ]  # fmt: skip
    for number, call in enumerate(calls):
        if number == 1:
            await call()  # What has ended is left.
            continue
        with pytest.raises(anasazi.ConnectionClosed) as closed:
            await call()
        assert isinstance(closed.value, ConnectionError) and closed.value.name == "ANZ_ECLOSED"
    plain: list[Any] = [
        lambda: group.try_mcast(b""), conn.stats, conn.fileno, lambda: conn.member,
        lambda: conn.peer(anasazi.Member(1, 1)), lambda: conn.member_name(anasazi.Member(1, 1)),
    ]  # fmt: skip
    for call in plain:
        with pytest.raises(anasazi.ConnectionClosed):
            call()


async def test_a_group_that_was_left(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn:
        group = await conn.join("room")
        await group.leave()
        await group.leave()
        with pytest.raises(anasazi.ConnectionClosed, match="room"):
            await group.mcast(b"")
        with pytest.raises(anasazi.ConnectionClosed):
            group.try_mcast(b"")


async def test_exceptions_of_the_application_come_through(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        async with anasazi.connect(**place.arguments()) as conn, conn.join("room"):
            1 / 0
    assert conn.is_closed
    async with anasazi.connect(**place.arguments()) as conn:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with conn.join("room") as group:
                    async for _event in group:
                        1 / 0
        async with conn.join("room") as group:
            assert await group.mcast(b"works") == 1
    with pytest.raises(ZeroDivisionError):
        with anasazi.sync.connect(**place.arguments()) as plain, plain.join("room"):
            1 / 0
    assert plain.is_closed


async def test_cancelling(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        await group.recv()
        for call in (group.recv, group.recv_many, conn.recv):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await call()
        assert await group.mcast(b"x") == 1
        assert (await group.recv()).data == b"x"  # type: ignore[union-attr]
        for _ in range(100):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await group.recv()
        assert len(group._stream.readers) < 20


def test_another_loop_or_none(place: Place) -> None:
    async def begin() -> tuple[anasazi.Connection, anasazi.Group]:
        conn = await anasazi.connect(**place.arguments())
        return conn, await conn.join("room")

    conn, group = asyncio.run(begin())

    async def use() -> None:
        for call in (group.mcast(b""), conn.recv_many(), conn.join("b"), conn.query("{}")):
            with pytest.raises(anasazi.Busy, match="another event loop"):
                await call
        # Its view was received before, and waits to be taken: there, not here.
        for taken in (group.recv(), group.recv_many(), group.__anext__()):
            with pytest.raises(anasazi.Busy, match="another event loop"):
                await taken

    asyncio.run(use())
    thread = threading.Thread(target=lambda: asyncio.run(use_in_thread(group)))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    group.try_mcast(b"still works")
    with pytest.raises(RuntimeError):
        connecting = anasazi.connect(**place.arguments()).__await__()
        connecting.send(None)
    conn.close()
    assert conn.is_closed
    with pytest.raises(anasazi.ConnectionClosed):
        group.try_mcast(b"no more")


async def use_in_thread(group: anasazi.Group) -> None:
    with pytest.raises(anasazi.Busy):
        await group.mcast(b"")
    with pytest.raises(anasazi.Busy):
        await group.recv()


def test_what_nobody_closes_is_collected(place: Place) -> None:
    async def begin() -> None:
        conn = await anasazi.connect(**place.arguments())
        await conn.join("room")

    for _ in range(20):
        asyncio.run(begin())
    gc.collect()
    with anasazi.sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        event = group.recv(5)
        while not (isinstance(event, anasazi.View) and len(event.members) == 1):
            event = group.recv(5)


def test_exceptions_are_what_they_say() -> None:
    kinds = [kind for kind in vars(anasazi).values()
             if isinstance(kind, type) and issubclass(kind, anasazi.AnasaziError)]  # fmt: skip
    assert len(kinds) >= 20
    for kind in kinds:
        error = kind("because", retryable=True)
        assert str(error) == error.message == "because" and error.name.startswith("ANZ_E")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and (again.code, again.retryable) == (error.code, True)


async def test_what_no_event_tells_is_raised(place: Place) -> None:
    """A failure of the connection is not taken for the end of a group."""
    async with anasazi.connect(**place.arguments()) as conn:
        group = await conn.join("room")
        await group.recv()
        reading = asyncio.create_task(group.recv_many())
        await asyncio.sleep(0)
        conn._core.end(anasazi.InternalError("for a test"))
        with pytest.raises(anasazi.InternalError, match="for a test"):
            await reading
        with pytest.raises(anasazi.InternalError):
            async for _ in group:
                pass


async def test_numbers_that_are_none(place: Place) -> None:
    nan = float("nan")
    for timeout in (nan, -1.0):
        with pytest.raises(anasazi.InvalidArgument, match="0 seconds or more"):
            await anasazi.connect(**place.arguments(), timeout=timeout)
        with pytest.raises(anasazi.InvalidArgument, match="0 seconds or more"):
            anasazi.sync.connect(**place.arguments(), timeout=timeout)
    with pytest.raises(TypeError, match="a number of seconds"):
        await anasazi.connect(**place.arguments(), timeout="5")  # type: ignore[arg-type]
    for queue_len in ("x", nan):
        with pytest.raises(TypeError, match="queue_len"):
            await anasazi.connect(**place.arguments(), queue_len=queue_len)  # type: ignore[arg-type]
    endless = await anasazi.connect(**place.arguments(), timeout=float("inf"))
    endless.close()
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        for most in (1.5, nan, "x"):
            with pytest.raises(TypeError, match="most"):
                await group.recv_many(most)  # type: ignore[arg-type]
        assert len(await group.recv_many()) == 1
        with pytest.raises(TypeError, match="function"):
            conn.observe(5)  # type: ignore[arg-type]
    with anasazi.sync.connect(**place.arguments()) as plain, plain.join("room") as their:
        assert their.recv(float("inf"))
        with pytest.raises(anasazi.InvalidArgument):
            their.recv(-1)


HUGE = 1 << 64
NOT_NUMBERS: list[Any] = [True, 1.0, "1", None, b"1"]


async def test_members_that_are_none(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn:
        with anasazi.sync.connect(**place.arguments()) as plain:
            calls: list[Any] = [conn.peer, conn.member_name, plain.peer, plain.member_name]
            for call in calls:
                for number in (-1, HUGE, -HUGE, 10**5000):
                    for member in ((number, 1), (1, number), anasazi.Member(number, 1)):
                        with pytest.raises(anasazi.InvalidArgument, match=r"0 to 2\*\*64 - 1"):
                            call(member)
                for wrong in NOT_NUMBERS:
                    with pytest.raises(TypeError, match="a member's node is an integer"):
                        call((wrong, 1))
                    with pytest.raises(TypeError, match="a member's session is an integer"):
                        call((1, wrong))
                for wrong in [*NOT_NUMBERS, (), (1,), (1, 2, 3), [1, 2]]:
                    with pytest.raises(TypeError, match="a pair of numbers"):
                        call(wrong)
                call(conn.member)


async def test_tags_and_services_that_are_none(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        with anasazi.sync.connect(**place.arguments()) as plain, plain.join("room") as theirs:
            calls: list[Any] = [
                lambda service, tag: group.try_mcast(b"", service, tag),
                lambda service, tag: conn.try_mcast([group], b"", service, tag),
                lambda service, tag: theirs.try_mcast(b"", service, tag),
                lambda service, tag: plain.try_mcast([theirs], b"", service, tag),
            ]
            for call in calls:
                for tag in (-1, 1 << 63, HUGE, -HUGE, 10**5000):
                    with pytest.raises(anasazi.InvalidArgument, match=r"from 0 to 2\*\*63 - 1"):
                        call(anasazi.AGREED, tag)
                for wrong in [*NOT_NUMBERS, False, 0.0]:
                    with pytest.raises(TypeError, match=r"a tag is an integer from 0 to 2\*\*63"):
                        call(anasazi.AGREED, wrong)
                    with pytest.raises(TypeError, match="a service is one of"):
                        call(wrong, 0)
                    with pytest.raises(TypeError, match="a service is one of"):
                        call(wrong, 1)
                for service in (-1, HUGE, 10**5000):
                    with pytest.raises(anasazi.InvalidArgument, match="a service is one of"):
                        call(service, 0)
            for wrong in [*NOT_NUMBERS, False, 0.0]:
                for send in (group.mcast(b"", wrong), conn.mcast([group], b"", wrong)):
                    with pytest.raises(TypeError, match="a service is one of"):
                        await send
                with pytest.raises(TypeError, match="a service is one of"):
                    theirs.mcast(b"", wrong)
            for service in (-1, HUGE, 10**5000):
                with pytest.raises(anasazi.InvalidArgument, match="a service is one of"):
                    await group.mcast(b"", service)


async def test_lists_of_groups_that_are_none(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn:
        rooms = [await conn.join(f"{n}", send_only=True) for n in range(65)]
        peer = conn.peer(conn.member)
        wrongs: list[tuple[Any, str]] = [
            (rooms, "64 groups at most, not 65"), ([], "one group or more"),
            ([rooms[0], rooms[1], rooms[0]], "each group once"), ([rooms[0], peer], "one member"),
        ]  # fmt: skip
        for groups, sentence in wrongs:
            with pytest.raises(anasazi.InvalidArgument, match=sentence):
                conn.try_mcast(groups, b"")
            with pytest.raises(anasazi.InvalidArgument, match=sentence):
                await conn.mcast(iter(groups), b"")
        assert await conn.mcast(iter(rooms[:64]), b"") == 0
        conn.try_mcast([peer], b"")


def test_messages_that_are_made_of_what_is_none() -> None:
    sender = anasazi.Member(1, 2)
    for name in ("seq", "tag", "service"):
        for number in (-1, HUGE, 10**5000):
            with pytest.raises(anasazi.InvalidArgument, match=f"{name} is an integer from 0"):
                anasazi.Message(sender, b"", **{name: number})
        others: list[Any] = [True, 1.0, "1", b"1"]
        for wrong in others:
            with pytest.raises(TypeError, match=f"{name} is an integer from 0"):
                anasazi.Message(sender, b"", **{name: wrong})
    with pytest.raises(TypeError, match="data is bytes"):
        anasazi.Message(sender, "text")  # type: ignore[arg-type]
    made = anasazi.Message(sender, b"x", HUGE - 1, anasazi.SAFE, HUGE - 1)
    assert (made.seq, made.service, made.tag) == (HUGE - 1, 5, HUGE - 1)
    assert anasazi.Message(sender, b"x").service == anasazi.AGREED


async def test_bounds_and_budgets_that_are_none(place: Place) -> None:
    for name in ("queue_len", "queue_bytes"):
        others: list[Any] = [True, 1.5, "1", None]
        for wrong in others:
            with pytest.raises(TypeError, match=name):
                await anasazi.connect(**place.arguments(), **{name: wrong})
            with pytest.raises(TypeError, match=name):
                anasazi.sync.connect(**place.arguments(), **{name: wrong})
    with pytest.raises(TypeError, match="a number of seconds"):
        await anasazi.connect(**place.arguments(), timeout=True)
    with anasazi.Engine(**own_cluster_tables()) as engine:
        for budget in (-1, 1 << 32, HUGE):
            with pytest.raises(anasazi.InvalidArgument, match=r"a budget is .* 2\*\*32 - 1"):
                engine.process(budget)
        for wrong in NOT_NUMBERS:
            with pytest.raises(TypeError, match="a budget is an integer"):
                engine.process(wrong)


def own_cluster_tables() -> dict[str, Any]:
    settings = own_cluster()
    multicast = settings["transport.multicast"]
    return {"cluster": settings["cluster"], "transport": {"multicast": multicast}}


def test_more_groups_than_a_session_may_have(place: Place) -> None:
    """The first one too many has a sentence of its own, and leaving one makes room."""
    with anasazi.sync.connect(**place.arguments(), queue_len=10**6) as conn:
        kept = [conn.join(f"g{n}", send_only=True) for n in range(4096)]
        with pytest.raises(anasazi.OutOfMemory) as refused:
            conn.join("one too many", timeout=20)
        assert isinstance(refused.value, MemoryError) and refused.value.retryable
        assert str(refused.value).startswith("joining one too many: "), str(refused.value)
        assert "a session can hold 4096 groups; leave some" in str(refused.value)
        kept[0].leave(timeout=20)
        with conn.join("one too many", timeout=20) as group:
            assert group.mcast(b"x", timeout=20) == 1


def test_the_sender_of_a_message_that_a_program_makes() -> None:
    """A member, and nothing that could lead back to the message."""
    for wrong in ([], "me", 5, None, (1,), (1, "2"), object()):
        with pytest.raises(TypeError, match="a message's sender"):
            anasazi.Message(wrong, b"x")  # type: ignore[arg-type]

    class Pair(tuple[int, int]):
        held: object = None

    pair = Pair((1, 2))
    made = anasazi.Message(pair, b"x")  # type: ignore[arg-type]
    assert type(made.sender) is anasazi.Member and made.sender == (1, 2)


async def test_what_is_easily_mistaken(place: Place) -> None:
    """It is told in a sentence that says what to write."""

    def within(thing: Any) -> None:
        with thing:
            pass

    def iterate(thing: Any) -> None:
        for _ in thing:
            pass

    connecting: Any = anasazi.connect(**place.arguments())
    async with connecting as conn, conn.join("room") as group:
        joining: Any = conn.join("other")
        for thing in (connecting, conn, joining, group):
            with pytest.raises(TypeError, match="write 'async with' in place of 'with'"):
                within(thing)
            with pytest.raises(TypeError, match="write 'async for' in place of 'for'"):
                iterate(thing)
        for thing in (connecting, joining):
            with pytest.raises(TypeError, match="await it"):
                async for _ in thing:
                    pass
            with pytest.raises(TypeError, match=r"ensure_future\(\) in place of create_task"):
                asyncio.create_task(thing)
            assert await asyncio.wait_for(thing, 5)
        with pytest.raises(AttributeError, match="no 'mcast' yet.*write 'await' or 'async with'"):
            joining.mcast(b"x")
        assert not hasattr(joining, "__fspath__")
        check_arguments(anasazi.connect, conn)
        with pytest.raises(TypeError, match=r"json.dumps"):
            await conn.query({})


def check_arguments(connect: Any, conn: Any) -> None:
    with pytest.raises(TypeError, match="a URL is a string such as 'inproc:hello', or None, not 7"):
        connect(7)
    with pytest.raises(TypeError, match="a group's name is a string, not 5"):
        conn.join(5)
    with pytest.raises(TypeError, match=r"a group's name is a string, not b'room': decode\(\) it"):
        conn.join(b"room")


def test_what_is_easily_mistaken_without_asyncio(place: Place) -> None:
    async def within(thing: Any) -> None:
        async with thing:
            pass

    async def iterate(thing: Any) -> None:
        async for _ in thing:
            pass

    async def wait_for(thing: Any) -> None:
        await thing

    with anasazi.sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        for thing in (conn, group):
            with pytest.raises(TypeError, match="write 'with' in place of 'async with'"):
                asyncio.run(within(thing))
            with pytest.raises(TypeError, match="write 'for' in place of 'async for'"):
                asyncio.run(iterate(thing))
            with pytest.raises(TypeError, match="leave out 'await'"):
                asyncio.run(wait_for(thing))
        check_arguments(anasazi.sync.connect, conn)
        with pytest.raises(TypeError, match=r"json.dumps"):
            conn.query({})  # type: ignore[arg-type]


def test_public_names_are_those_of_the_package() -> None:
    for name in anasazi.__all__:
        thing = getattr(anasazi, name)
        if isinstance(thing, type):
            assert (thing.__module__, thing.__qualname__) == ("anasazi", name)
    shown = traceback.format_exception_only(anasazi.Lost("gone"))
    assert shown == ["anasazi.Lost: gone\n"]
    assert anasazi.sync.Group.__module__ == "anasazi.sync"


async def test_a_view_shows_its_cause(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        assert group.view is not None and group.view.cause is anasazi.Cause.JOIN
        assert "cause=<Cause.JOIN: 1>" in repr(group.view)


async def test_a_group_that_is_called_as_a_member(place: Place) -> None:
    """An address is that of a member, whatever groups there are."""
    async with anasazi.connect(**place.arguments()) as conn:
        member = conn.member
        name = f"{member.node}/{member.session}"
        peer: Any = conn.peer(member)
        target = peer._stream
        del peer
        assert conn._core.find(name) is None
        assert conn.peer(member)._stream is target
