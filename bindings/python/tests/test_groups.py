"""Groups, as an application sees them: asyncio."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anasazi
import pytest
from conftest import Place


async def test_the_first_program(place: Place) -> None:
    seen: list[Any] = []
    async with anasazi.connect(**place.arguments()) as conn:
        async with conn.join("room") as group:
            await group.mcast(b"hi")
            async for event in group:
                match event:
                    case anasazi.Message(sender, data):
                        seen.append((sender == conn.member, data))
                        break
                    case anasazi.View(members):
                        seen.append(len(members))
    assert seen == [1, (True, b"hi")]
    assert conn.is_closed


async def test_awaiting_works_without_a_with(place: Place) -> None:
    conn = await anasazi.connect(**place.arguments())
    group = await conn.join("room")
    assert await group.mcast(b"1") == 1
    assert await group.mcast(bytearray(b"2"), anasazi.SAFE) == 2
    assert await group.mcast(memoryview(b"xx3x")[2:3]) == 3
    await group.leave()
    events = await group.recv_many()
    assert [bytes(event) for event in events if isinstance(event, anasazi.Message)] == [
        b"1", b"2", b"3",
    ]  # fmt: skip
    assert isinstance(events[-1], anasazi.Left) and events[-1].error is None
    assert await group.recv_many() == []
    with pytest.raises(anasazi.ConnectionClosed):
        await group.recv()
    conn.close()
    conn.close()


async def test_all_members_see_one_sequence(place: Place) -> None:
    async def member(number: int) -> list[bytes]:
        async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
            seen: list[bytes] = []
            async for event in group:
                if isinstance(event, anasazi.View) and len(event.members) == 4:
                    break
            sends = [group.mcast(f"{number}-{n}".encode()) for n in range(200)]
            sending = asyncio.gather(*sends)
            async for event in group:
                if isinstance(event, anasazi.Message):
                    seen.append(event.data)
                    if len(seen) == 800:
                        break
            await sending
            return seen

    histories = await asyncio.gather(*(member(number) for number in range(4)))
    assert all(history == histories[0] for history in histories)
    for number in range(4):
        own = [data for data in histories[0] if data.startswith(b"%d-" % number)]
        assert own == [f"{number}-{n}".encode() for n in range(200)]


async def test_what_is_ordered_before_a_send_is_there_after_it(place: Place) -> None:
    """Awaiting is a point in the order: nothing has to be waited for any more."""
    async with anasazi.connect(**place.arguments()) as a, anasazi.connect(**place.arguments()) as b:
        async with a.join("room") as first, b.join("room") as second:
            for n in range(100):
                others = await second.mcast(b"theirs %d" % n)
                own = await first.mcast(b"ours %d" % n)
                assert own > others
                there = [e.seq for events in first._stream.queue.batch() for e in events
                         if isinstance(e, anasazi.Message)]  # fmt: skip
                assert there[-2:] == [others, own]


async def test_batches_and_single_events_are_one_stream(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        await asyncio.gather(*(group.mcast(b"%d" % n) for n in range(1000)))
        assert isinstance(await group.recv(), anasazi.View)
        numbers: list[int] = []
        while len(numbers) < 1000:
            numbers.append(int((await group.recv()).data))  # type: ignore[union-attr]
            some = await group.recv_many(7)
            assert len(some) <= 7
            numbers += [int(event.data) for event in some if isinstance(event, anasazi.Message)]
            async for batch in group.batches():
                numbers += [int(e.data) for e in batch if isinstance(e, anasazi.Message)]
                break
        assert numbers == list(range(1000))
        with pytest.raises(anasazi.InvalidArgument):
            await group.recv_many(0)


async def test_two_iterate_at_once(place: Place) -> None:
    """Each event goes to one of them, and both end."""
    async with anasazi.connect(**place.arguments()) as conn:
        group = await conn.join("room")
        await group.recv()
        seen: list[bytes] = []

        async def reader() -> None:
            async for event in group:
                if isinstance(event, anasazi.Message):
                    seen.append(event.data)

        readers = [asyncio.create_task(reader()) for _ in range(2)]
        for n in range(50):
            await group.mcast(b"%d" % n)
            await asyncio.sleep(0)
        await group.leave()
        await asyncio.gather(*readers)
        assert sorted(seen, key=int) == [b"%d" % n for n in range(50)]


async def test_several_groups_at_once(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn:
        async with conn.join("a") as a, conn.join("b") as b:
            await asyncio.gather(a.recv(), b.recv())
            assert await conn.mcast([a, b], b"both") >= 0
            got = [await a.recv(), await b.recv()]
            assert got[0] is got[1] and got[0].data == b"both"  # type: ignore[union-attr]
            conn.try_mcast([a, b], b"again", tag=7)
            assert (await a.recv()).tag == 7  # type: ignore[union-attr]
            with pytest.raises(anasazi.InvalidArgument, match="one group or more"):
                await conn.mcast([], b"nobody")
            async with anasazi.connect(**place.arguments()) as other:
                foreign = await other.join("a")
                with pytest.raises(anasazi.InvalidArgument, match="not a group of this"):
                    await conn.mcast([foreign], b"")


async def test_a_peer_gets_what_is_for_it_alone(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as a, anasazi.connect(**place.arguments()) as b:
        async with a.join("room"), b.join("room") as group:
            peer = b.peer(a.member)
            assert peer.member == a.member
            await peer.mcast(b"psst")
            message = await a.recv()
            assert isinstance(message, anasazi.Message)
            assert (message.sender, message.data, message.seq) == (b.member, b"psst", 0)
            with pytest.raises(anasazi.AlreadyJoined):
                b.peer(a.member)
            await peer.leave()
            nobody = b.peer(anasazi.Member(1, 2))
            with pytest.raises(anasazi.NotMember):
                await nobody.mcast(b"?")
            nobody.try_mcast(b"?", tag=5)
            receipt = await nobody.recv()
            assert isinstance(receipt, anasazi.Receipt) and receipt.tag == 5
            assert isinstance(receipt.error, anasazi.NotMember)
            assert receipt.name == "ANZ_ENOTMEMBER"
            del group


async def test_not_to_myself(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as a, anasazi.connect(**place.arguments()) as b:
        async with a.join("room") as first, b.join("room") as second:
            assert await first.mcast(b"others", anasazi.AGREED | anasazi.NO_SELF) == 0
            await first.mcast(b"all")
            await second.mcast(b"end")
            messages = [e.data for e in await first.recv_many() if isinstance(e, anasazi.Message)]
            assert messages[0] == b"all"
            theirs = [e.data for e in await second.recv_many() if isinstance(e, anasazi.Message)]
            assert theirs[:2] == [b"others", b"all"]


async def test_sending_without_being_a_member(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as a, anasazi.connect(**place.arguments()) as b:
        async with a.join("room") as group, b.join("room", send_only=True) as address:
            assert await address.mcast(b"from outside", anasazi.AGREED | anasazi.NO_SELF) == 0
            await group.recv()
            message = await group.recv()
            assert isinstance(message, anasazi.Message)
            assert message.sender == b.member and group.view is not None
            assert group.view.members == (a.member,)
            assert await address.mcast(b"with an end") == 0


async def test_views_tell_who_and_why(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as a, a.join("room") as group:
        first = await group.recv()
        assert isinstance(first, anasazi.View) and first.joined == (a.member,)
        async with anasazi.connect(**place.arguments()) as b, b.join("room"):
            came = await group.recv()
            other = b.member
            assert isinstance(came, anasazi.View)
            assert came.cause == anasazi.Cause.JOIN and came.joined == (b.member,)
            assert set(came.members) == {a.member, b.member} and came.together == (a.member,)
            assert len(came.sets) == 2 and "joined" in came.reason
            assert came.id != first.id and a.member_name(b.member) in came.reason
        gone = await group.recv()
        assert isinstance(gone, anasazi.View) and gone.left == (other,)
        assert gone.cause == anasazi.Cause.LEAVE and group.view == gone


async def test_observers_hear_of_views_at_once(place: Place, monkeypatch: Any) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *report: reported.append(report))
    async with anasazi.connect(**place.arguments()) as conn:
        heard: list[tuple[str | None, anasazi.Event]] = []
        conn.observe(lambda name, event: 1 / 0)
        conn.observe(lambda name, event: heard.append((name, event)))
        async with conn.join("room"):
            assert heard[0][0] == "room" and isinstance(heard[0][1], anasazi.View)
        assert isinstance(heard[-1][1], anasazi.Left)
    assert reported[0][0] is ZeroDivisionError


async def test_questions_are_answered(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room"):
        answers = await asyncio.gather(*(conn.query('{"query": "groups"}') for _ in range(5)))
        assert all("room" in answer for answer in answers)
        assert "error" in await conn.query('{"query": "nonsense"}')
        assert conn.stats()["views"] == 1


async def test_large_messages_are_not_copied(place: Place) -> None:
    async with anasazi.connect(**place.arguments()) as conn:
        group = await conn.join("room")
        text = bytes(range(256)) * 1024
        await group.mcast(text)
        await group.recv()
        message = await group.recv()
        assert isinstance(message, anasazi.Message) and message.is_held
        view = memoryview(message)
        assert view.readonly and view.nbytes == len(text) == len(message) and message.is_held
        assert view == text and hash(message) and "262144 bytes" in repr(message)
        with pytest.raises(TypeError):
            view[0] = 1
        assert message.data == text and message.data is message.data
        with memoryview(message) as another:
            assert another == text
        # What stays is copied when the ring has to be used again, unless somebody has a view of it;
        # all of it outlives the connection.
        kept = []
        for n in range(40):
            await group.mcast(b"%03d" % n + text)
            kept.append(await group.recv())
            if n == 10:
                view.release()
                assert message.is_held
        held = [message for message in kept if message.is_held]  # type: ignore[union-attr]
        assert 0 < len(held) < 8 and not message.is_held and message.data == text
        conn.close()
        for n, one in enumerate(kept):
            assert bytes(one) == b"%03d" % n + text


async def test_an_address_that_is_lost_is_made_again(place: Place) -> None:
    """Its object is gone, and the library has it still."""
    async with anasazi.connect(**place.arguments()) as a, anasazi.connect(**place.arguments()) as b:
        async with a.join("room"), b.join("room"):
            first = a.peer(b.member)
            with pytest.raises(anasazi.AlreadyJoined):
                a.peer(b.member)
            nobody = anasazi.Member(1, 2)
            a.peer(nobody).try_mcast(b"?", tag=7)
            await asyncio.sleep(0.05)
            del first
            for n in range(3):
                assert await a.peer(b.member).mcast(b"%d" % n) == 0
                assert (await b.recv()).data == b"%d" % n  # type: ignore[union-attr]
            # What was told to the object that is gone is not told to another one.
            lost = next(one for one in a._core.targets.values() if one.member == nobody)
            lost.discard()
            again = a.peer(nobody)
            again.try_mcast(b"?", tag=8)
            receipt = await again.recv()
            assert receipt == anasazi.Receipt(8, anasazi.NotMember.default_code)
            await again.leave()
            assert a.peer(nobody).member == nobody
            with anasazi.sync.connect(**place.arguments()) as plain, plain.join("room"):
                plain.peer(b.member)
                assert plain.peer(b.member).mcast(b"plain", timeout=5) == 0
                assert (await b.recv()).data == b"plain"  # type: ignore[union-attr]


async def test_messages_are_values(place: Place) -> None:
    import copy
    import pickle

    one = anasazi.Message(anasazi.Member(1, 2), b"data", seq=3)
    assert one == anasazi.Message(anasazi.Member(1, 2), b"data", seq=3) and one != b"data"
    assert one != anasazi.Message(anasazi.Member(1, 2), b"else", seq=3)
    assert len({one, copy.copy(one), pickle.loads(pickle.dumps(one))}) == 1
    assert repr(one) == "Message(sender=Member(node=1, session=2), data=b'data', seq=3)"
    view = anasazi.View((), anasazi.ViewId(1, 2, 3, 4, 5), 1)
    assert pickle.loads(pickle.dumps(view)) == view
    with pytest.raises(AttributeError):
        one.seq = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        view.members = ()  # type: ignore[misc]


def test_events_are_frozen_dataclasses() -> None:
    import copy
    import dataclasses
    import pickle

    member = anasazi.Member(1, 2)
    of_views = ((member,), anasazi.ViewId(1, 2, 3, 4, 5), 1)
    made: list[Any] = [
        anasazi.View(*of_views), anasazi.Transitional(*of_views), anasazi.Left(-12, "why"),
        anasazi.Closed(-12, "why"), anasazi.Suspended("why"), anasazi.Resumed(member),
        anasazi.Receipt(7, -11), anasazi.Gap(3),
    ]  # fmt: skip
    for n, event in enumerate(made):
        kind: Any = type(event)
        assert repr(event).startswith(f"{kind.__name__}(")
        fields = [field.name for field in dataclasses.fields(event)]
        assert kind.__match_args__ == tuple(fields) and not hasattr(event, "__dict__")
        for name in (*fields, "other"):
            with pytest.raises((AttributeError, TypeError)):
                setattr(event, name, 1)
        copied = copy.copy(event), pickle.loads(pickle.dumps(event)), dataclasses.replace(event)
        for again in copied:
            assert type(again) is kind and again == event and hash(again) == hash(event)
        assert [other == event for other in made] == [other is event for other in made], n
        assert not isinstance(event, anasazi.View) or not isinstance(event, anasazi.Transitional)


async def test_same_view_is_the_view_that_was_taken(place: Place) -> None:
    """What is received ahead of who iterates is not seen yet."""
    service = anasazi.AGREED | anasazi.SAME_VIEW
    async with anasazi.connect(**place.arguments()) as a, anasazi.connect(**place.arguments()) as b:
        ga, other = await a.join("room"), await a.join("other")
        for group in (ga, other):
            assert isinstance(await group.recv(), anasazi.View)
        assert await ga.mcast(b"for the view of one", service=service) == 1
        assert isinstance(await ga.recv(), anasazi.Message)
        await b.join("room")
        async with asyncio.timeout(5):
            while ga.view is None or len(ga.view.members) < 2:
                await asyncio.sleep(0.01)
        with pytest.raises(anasazi.ViewChanged, match="room has changed.*iterate"):
            await ga.mcast(b"x", service=service)
        with pytest.raises(anasazi.ViewChanged, match="room has changed.*iterate"):
            await a.mcast([other, ga], b"x", service)
        with pytest.raises(anasazi.ViewChanged):
            ga.try_mcast(b"x", service=service)
        with pytest.raises(anasazi.ViewChanged):
            a.try_mcast([other, ga], b"x", service=service, tag=1)
        await other.mcast(b"elsewhere", service=service)
        event = await ga.recv()
        while not isinstance(event, anasazi.View):
            event = await ga.recv()
        assert await ga.mcast(b"for the view of two", service=service) == 1
        ga.try_mcast(b"too", service=service)
