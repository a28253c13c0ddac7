"""Exceptions that come out of handlers of signals, at whatever moment: nothing is lost by them, and
nothing comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import anasazi
import pytest
from anasazi import sync
from conftest import Place, until

SENT_MAX = 1_000_000
STRUCK_MIN = 3000
"""So many exceptions are a storm."""

THUNDER = """
import os, random, signal, sys, time
dice, of = random.Random(7), int(sys.argv[1])
while os.getppid() == of:
    time.sleep(dice.uniform(10e-6, 300e-6))
    os.kill(of, signal.SIGUSR1)
"""


class Struck(Exception):
    """What a handler raises."""


class Storm:
    """Signals at random times from another process, whose handler raises wherever code of the
    package runs: elsewhere asyncio, or the test, would not survive it."""

    def __init__(self) -> None:
        self.struck = 0

    def handle(self, _: int, frame: FrameType | None) -> None:
        while frame is not None:
            if "anasazi/" in frame.f_code.co_filename:
                self.struck += 1
                raise Struck
            frame = frame.f_back

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        before, shows = signal.signal(signal.SIGUSR1, self.handle), sys.unraisablehook
        # What is raised while an object goes, such as an iterator that is not at its end.
        sys.unraisablehook = lambda _: None
        thunder = subprocess.Popen([sys.executable, "-c", THUNDER, str(os.getpid())])
        try:
            yield
        finally:
            thunder.kill()
            thunder.wait(10)
            signal.signal(signal.SIGUSR1, before)
            sys.unraisablehook = shows


class Flood:
    """Another connection, which sends to "room", from 0 on, until it is told to end."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.sent = 0
        self.is_over = False
        # A test that fails does not wait for it.
        self.thread = threading.Thread(target=self.send, daemon=True)
        self.thread.start()

    def send(self) -> None:
        with sync.connect(**self.place.arguments()) as conn:
            room = conn.join("room", send_only=True)
            while not self.is_over and self.sent < SENT_MAX:
                try:
                    room.try_mcast(b"%d" % self.sent)
                    self.sent += 1
                except anasazi.WouldBlock:
                    time.sleep(0.001)
                if self.sent % 50 == 0:
                    time.sleep(0.001)
            time.sleep(0.5)

    def end(self) -> int:
        """How many it has sent, all of which are delivered."""
        self.is_over = True
        self.thread.join()
        return self.sent


def numbers(events: list[anasazi.Event], of: anasazi.Member, are_own: bool) -> list[int]:
    messages = [event for event in events if isinstance(event, anasazi.Message)]
    return [int(event.data) for event in messages if (event.sender == of) is are_own]


def check(events: list[anasazi.Event], own: anasazi.Member, core: Any, sent_to_us: int) -> None:
    assert numbers(events, own, are_own=False) == list(range(sent_to_us))
    # Who is struck while sending does not know whether it is sent.
    sent = numbers(events, own, are_own=True)
    assert sent == sorted(set(sent))
    places = [event.seq for event in events if isinstance(event, anasazi.Message)]
    assert places == sorted(set(places))
    assert not core.told and not core.failure
    assert (core.backlog.len, core.backlog.bytes) == (0, 0)
    assert not core.sending.pending and not core.sending.unsent and not core.replies


def take_plainly(group: sync.Group, got: list[anasazi.Event], turn: int) -> None:
    """In one of the ways that there are. What comes out of a call is kept by a statement that no
    handler can come before."""
    if turn % 3 == 0:
        for event in group:
            got.append(event)
            if len(got) % 700 == 0:
                return
    elif turn % 3 == 1:
        for batch in group.batches():
            got += batch
            return
    else:
        event = group.recv(timeout=20)
        got.append(event)
        batch = group.recv_many(20, timeout=20)
        got += batch


def test_a_storm_of_signals_loses_nothing(place: Place) -> None:
    got: list[anasazi.Event] = []
    storm, turn = Storm(), 0
    with sync.connect(**place.arguments(), queue_len=2000) as conn, conn.join("room") as group:
        flood = Flood(place)
        with storm.around():
            while storm.struck < STRUCK_MIN:
                turn += 1
                with contextlib.suppress(Struck):
                    take_plainly(group, got, turn)
                with contextlib.suppress(Struck, anasazi.QueueFull):
                    group.mcast(b"%d" % turn)
        ending = threading.Thread(target=flood.end)
        ending.start()
        while ending.is_alive():
            with contextlib.suppress(anasazi.Timeout):
                got += group.recv_many(timeout=0.1)
        assert group.mcast(b"%d" % (turn + 1), timeout=5) > 0
        got += group.recv_many()
        check(got, conn.member, conn._core, flood.sent)


async def take(group: anasazi.Group, got: list[anasazi.Event], turn: int) -> None:
    if turn % 3 == 0:
        async for event in group:
            got.append(event)
            if len(got) % 700 == 0:
                return
    elif turn % 3 == 1:
        async for batch in group.batches():
            got += batch
            return
    else:
        event = await group.recv()
        got.append(event)
        some = await group.recv_many(20)
        got += some


async def read_on(group: anasazi.Group, got: list[anasazi.Event]) -> None:
    async for batch in group.batches():
        got += batch


async def test_a_storm_of_signals_loses_nothing_in_asyncio(place: Place) -> None:
    got: list[anasazi.Event] = []
    storm, turn, sent = Storm(), 0, 0
    loop = asyncio.get_running_loop()
    # What comes out of the loop's own call of the package it tells to this.
    loop.set_exception_handler(lambda *_: None)
    async with anasazi.connect(**place.arguments(), queue_len=2000) as conn:
        group = await conn.join("room")

        async def send() -> None:
            nonlocal sent
            while storm.struck < STRUCK_MIN:
                sent += 1
                with contextlib.suppress(Struck):
                    await group.mcast(b"%d" % sent)
                await asyncio.sleep(0)

        flood = Flood(place)
        with storm.around():
            sending = asyncio.create_task(send())
            while storm.struck < STRUCK_MIN:
                turn += 1
                with contextlib.suppress(Struck):
                    await take(group, got, turn)
        await sending
        reading = asyncio.create_task(read_on(group, got))
        sent_to_us = await asyncio.to_thread(flood.end)
        assert await group.mcast(b"%d" % (sent + 1)) > 0
        reading.cancel()
        await asyncio.wait([reading])
        for rest in group._stream.queue.batch():
            got += rest
        check(got, conn.member, conn._core, sent_to_us)
        assert group.view is not None and len(group.view.members) == 1


class Strike(BaseException):
    """As KeyboardInterrupt, but loops survive it."""


def struck_once(function: Callable[..., Any], is_before: bool) -> Callable[..., Any]:
    """The function, which an exception ends the first time, before or after it has worked."""
    strikes = iter([None])

    def call(*arguments: Any, **named: Any) -> Any:
        if is_before:
            for _ in strikes:
                raise Strike
        result = function(*arguments, **named)
        for _ in strikes:
            raise Strike
        return result

    return call


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("what", ["note", "settle", "reply", "call_soon"])
async def test_what_was_struck_is_done_though_nothing_else_comes(
    place: Place, monkeypatch: Any, what: str, is_before: bool
) -> None:
    loop = asyncio.get_running_loop()
    heard: list[Any] = []
    loop.set_exception_handler(lambda _, context: heard.append(context.get("exception")))
    async with anasazi.connect(**place.arguments()) as conn, conn.join("room") as group:
        core = conn._core
        if what == "call_soon":
            # By which whoever waits is told.
            plain = loop.call_soon
            struck = struck_once(plain, is_before)

            def call_soon(callback: Any, *arguments: Any, **named: Any) -> Any:
                is_ours = type(callback).__name__ == "Call"
                return (struck if is_ours else plain)(callback, *arguments, **named)

            monkeypatch.setattr(loop, "call_soon", call_soon)
        else:
            monkeypatch.setattr(core, what, struck_once(getattr(core, what), is_before))
        async with asyncio.timeout(10):
            assert await group.mcast(b"x") == 1
            assert "groups" in await conn.query('{"query": "groups"}')
            other = await conn.join("other")
            assert other.view is not None
        # Who was told before it struck went on at once.
        await asyncio.to_thread(until, lambda: not core.told, "the rest of what is to be told")
        assert [type(one) for one in heard] == [Strike]
        assert len(await group.recv_many()) == 2


def test_an_observer_that_is_interrupted(place: Place) -> None:
    """Its exception comes out; others hear of the event all the same, and the connection lives."""
    heard: list[str] = []

    def interrupt(name: str | None, event: anasazi.Event) -> None:
        heard.append("first")
        raise KeyboardInterrupt

    with sync.connect(**place.arguments()) as conn:
        undo = conn.observe(interrupt)
        conn.observe(lambda name, event: heard.append(type(event).__name__))
        with pytest.raises(KeyboardInterrupt):
            conn.join("room")
        undo()
        with conn.join("room", timeout=10) as group:
            assert group.mcast(b"x", timeout=10) == 1
            assert heard == ["first", "View", "Left", "View"]
            assert not conn.is_closed
