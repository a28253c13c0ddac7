"""The same without asyncio: plain calls that wait, and that Ctrl-C ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import anasazi
import pytest
from anasazi import sync
from conftest import Daemon, Place


def test_the_first_program(place: Place) -> None:
    seen: list[Any] = []
    with sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        assert group.mcast(b"hi") == 1
        for event in group:
            match event:
                case anasazi.Message(sender, data):
                    seen.append((sender == conn.member, data))
                    break
                case anasazi.View(members):
                    seen.append(len(members))
    assert seen == [1, (True, b"hi")]
    assert conn.is_closed and "closed" in repr(conn) and "room" in repr(group)


def test_everything_else(place: Place) -> None:
    with sync.connect(**place.arguments()) as a, sync.connect(**place.arguments()) as b:
        with a.join("x") as x, a.join("y") as y, b.join("x") as theirs:
            assert a.mcast([x, y], b"both", anasazi.SAFE) >= 0
            a.try_mcast([x], b"one")
            x.try_mcast(b"tagged", tag=3)
            x.mcast(b"end")
            batches = x.batches()
            own = [e for e in next(batches) if isinstance(e, anasazi.Message)]
            while own[-1].data != b"end":
                own += [e for e in next(batches) if isinstance(e, anasazi.Message)]
            assert [e.data for e in own] == [b"both", b"one", b"tagged", b"end"]
            assert [e.tag for e in own] == [0, 0, 3, 0]
            there: list[anasazi.Event] = []
            while len(there) < 5:
                there += theirs.recv_many(2, timeout=10)
            assert [type(e).__name__ for e in there] == ["View"] + ["Message"] * 4
            assert "groups" in a.query('{"query": "groups"}') and a.stats()["views"] >= 2
            peer = b.peer(a.member)
            assert peer.mcast(b"psst") == 0 and peer.member == a.member
            assert a.recv(10).data == b"psst"  # type: ignore[union-attr]
            nobody = b.peer(anasazi.Member(1, 2))
            with pytest.raises(anasazi.NotMember):
                nobody.mcast(b"?")
            with pytest.raises(anasazi.InvalidArgument):
                b.mcast([x], b"")
            assert x.view is not None and x.view.members == (a.member, b.member)
            heard: list[Any] = []
            a.observe(lambda *event: heard.append(event))
            theirs.leave()
            assert isinstance(list(theirs)[-1], anasazi.Left)
            with pytest.raises(anasazi.ConnectionClosed):
                theirs.recv()
            x.mcast(b"after")
            assert heard[0][0] == "x" and isinstance(heard[0][1], anasazi.View)


def test_waiting_ends(place: Place) -> None:
    with sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        group.recv()
        for call in (group.recv, group.recv_many, conn.recv, conn.recv_many):
            start = time.monotonic()
            with pytest.raises(anasazi.Timeout) as late:
                call(timeout=0.1)
            assert 0.1 <= time.monotonic() - start < 5 and isinstance(late.value, TimeoutError)
        assert group.mcast(b"x", timeout=10) == 1
        with pytest.raises(anasazi.Timeout):
            while True:
                group.recv(timeout=0)


def test_a_full_queue_is_an_error_at_once(place: Place) -> None:
    with sync.connect(**place.arguments(), queue_len=50) as conn, conn.join("room") as group:
        with pytest.raises(anasazi.QueueFull, match="room"):
            for _ in range(10_000):
                group.mcast(b"x")
        assert len(group.recv_many()) >= 50
        assert group.mcast(b"x") > 0


def test_other_threads_run_while_one_waits(place: Place) -> None:
    with sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        group.recv()
        got: list[anasazi.Event] = []
        waiting = threading.Thread(target=lambda: got.append(group.recv()))
        waiting.start()
        time.sleep(0.05)
        for call in (lambda: group.mcast(b"x"), conn.recv, lambda: conn.join("b"), group.leave):
            with pytest.raises(anasazi.Busy, match="another thread"):
                call()
        group.try_mcast(b"from here")
        waiting.join(10)
        assert got[0].data == b"from here"  # type: ignore[union-attr]


@pytest.mark.parametrize("wait", ["recv", "iterate"])
def test_closing_ends_a_wait_in_another_thread(place: Place, wait: str) -> None:
    conn = sync.connect(**place.arguments())
    group = conn.join("room")
    group.recv()
    ends: list[object] = []

    def work() -> None:
        try:
            ends.append(group.recv() if wait == "recv" else list(group))
        except anasazi.AnasaziError as error:
            ends.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.1)
    conn.close()
    thread.join(10)
    expected: object = anasazi.ConnectionClosed if wait == "recv" else []
    assert ends == [expected]


BLOCKING: dict[str, str] = {
    "recv": "group.recv()",
    "recv_with_timeout": "group.recv(1000)",
    "recv_many": "group.recv_many()",
    "iterate": "list(group)",
    "batches": "list(group.batches())",
    "connection": "conn.recv()",
    "mcast": "stop(); group.mcast(b'x')",
    "mcast_without_room": "stop(); [group.try_mcast(bytes(50000)) for _ in range(70)];"
                          " [group.mcast(bytes(50000)) for _ in range(100)]",
    "join": "stop(); conn.join('other')",
    "leave": "stop(); group.leave()",
    "query": "stop(); conn.query('{}')",
    "connect": "stop(); sync.connect(sys.argv[1], timeout=100)",
    "in_a_thread": "t = threading.Thread(target=lambda: group.recv(20), daemon=True); t.start();"
                   " conn2 = sync.connect(sys.argv[1]); conn2.recv()",
}  # fmt: skip

PROGRAM = """
import os, signal, sys, threading
from anasazi import sync
def stop():
    os.kill(int(sys.argv[2]), signal.SIGSTOP)
conn = sync.connect(sys.argv[1])
group = conn.join("room")
group.recv()
print("ready", flush=True)
try:
    exec(sys.argv[3])
except KeyboardInterrupt:
    print("interrupted", flush=True)
    os._exit(3)
"""


@pytest.mark.parametrize("what", BLOCKING)
def test_control_c(daemon: Daemon, what: str) -> None:
    assert daemon.process is not None
    command = [sys.executable, "-c", PROGRAM, daemon.url, str(daemon.process.pid), BLOCKING[what]]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert program.stdout is not None and program.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        assert program.poll() is None, "it waits"
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=10)
        assert (program.returncode, out) == (3, b"interrupted\n"), err.decode()
    finally:
        program.kill()
        program.communicate()
        os.kill(daemon.process.pid, signal.SIGCONT)


def test_an_interrupt_leaves_a_connection_that_works(place: Place) -> None:
    with sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        group.recv()

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            later(lambda: os.kill(os.getpid(), signal.SIGUSR1))
            with pytest.raises(KeyboardInterrupt):
                group.recv()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert group.mcast(b"x") == 1
        assert group.recv().data == b"x"  # type: ignore[union-attr]


def later(call: Callable[[], object]) -> None:
    timer = threading.Timer(0.1, call)
    timer.daemon = True
    timer.start()


def test_who_is_busy_has_sent_nothing(place: Place) -> None:
    """So that who tries again does not send twice."""
    with sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        over = time.monotonic() + 1.0

        def work(number: int) -> None:
            n = 0
            while time.monotonic() < over and n < 4000:
                n += 1
                while True:
                    try:
                        group.mcast(b"%d-%d" % (number, n), timeout=10)
                        break
                    except anasazi.Busy:
                        time.sleep(0.0002)

        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15)
        sys.setswitchinterval(before)
        group.mcast(b"end")
        seen: list[bytes] = []
        while not seen or seen[-1] != b"end":
            seen += [e.data for e in group.recv_many() if isinstance(e, anasazi.Message)]
        assert len(seen) == len(set(seen)) > 10


@pytest.mark.parametrize("what", ["recv", "iterate", "mcast"])
def test_closing_just_before_a_wait(place: Place, monkeypatch: Any, what: str) -> None:
    conn = sync.connect(**place.arguments())
    group = conn.join("room")
    group.recv()

    def close() -> None:
        thread = threading.Thread(target=conn.close)
        thread.start()
        thread.join(10)

    add_reader, hand_over = group._stream.add_reader, conn._core.sending.hand_over

    def slow_add(reader: Any) -> None:
        close()
        add_reader(reader)

    def slow_hand_over(*arguments: Any) -> bool:
        done = hand_over(*arguments)
        close()
        return done

    monkeypatch.setattr(group._stream, "add_reader", slow_add)
    monkeypatch.setattr(conn._core.sending, "hand_over", slow_hand_over)
    start = time.monotonic()
    if what == "iterate":
        assert list(group) == []
    else:
        with pytest.raises(anasazi.ConnectionClosed):
            group.recv() if what == "recv" else group.mcast(b"x")
    assert time.monotonic() - start < 5


def test_traffic_of_others_does_not_put_off_a_timeout(place: Place) -> None:
    with sync.connect(**place.arguments(), queue_len=10**6) as conn, conn.join("busy"):
        with conn.join("quiet") as quiet, sync.connect(**place.arguments()) as other:
            address = other.join("busy", send_only=True)
            is_over = threading.Event()

            def work() -> None:
                while not is_over.is_set():
                    try:
                        address.try_mcast(b"x")
                    except anasazi.WouldBlock:
                        time.sleep(0.001)

            quiet.recv()
            thread = threading.Thread(target=work)
            thread.start()
            start = time.monotonic()
            with pytest.raises(anasazi.Timeout):
                quiet.recv(timeout=0.3)
            assert time.monotonic() - start < 5
            is_over.set()
            thread.join(10)


def test_a_group_is_no_list_of_groups(place: Place) -> None:
    with sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        for wrong in (group, 5):
            with pytest.raises(TypeError, match="a list of groups"):
                conn.mcast(wrong, b"x", timeout=1)  # type: ignore[arg-type]
        assert isinstance(group.recv(1), anasazi.View), "and its events are there"


def test_joining_is_one_turn(place: Place, monkeypatch: Any) -> None:
    """Another thread cannot take the view before somebody waits for it."""
    with sync.connect(**place.arguments()) as conn, conn.join("zero"):
        refused: list[bool] = []

        def made() -> Any:
            monkeypatch.setattr(sync, "Promise", anasazi._waiters.Promise)
            def read() -> None:
                try:
                    conn.recv(timeout=0.3)
                except anasazi.AnasaziError as error:
                    refused.append(isinstance(error, anasazi.Busy))

            thread = threading.Thread(target=read)
            thread.start()
            thread.join(10)
            return anasazi._waiters.Promise()

        monkeypatch.setattr(sync, "Promise", made)
        with conn.join("room", timeout=5):
            assert refused == [True]


def test_an_interrupt_while_joining_leaves_nothing_joined(place: Place) -> None:
    """Whatever instruction it comes after."""
    with sync.connect(**place.arguments()) as conn:
        for at in range(0, 400, 3):
            count = 0

            def trace(frame: Any, event: str, _: Any) -> Any:
                nonlocal count
                if frame.f_code.co_name != "join" or "anasazi" not in frame.f_code.co_filename:
                    return None
                frame.f_trace_opcodes = True
                if event == "opcode":
                    count += 1
                    if count == at + 1:
                        sys.settrace(None)
                        raise KeyboardInterrupt
                return trace

            sys.settrace(trace)
            try:
                group = conn.join("room", timeout=5)
            except KeyboardInterrupt:
                continue
            finally:
                sys.settrace(None)
            assert at > 30
            with group:
                assert group.mcast(b"x") == 1
            break
        else:
            raise AssertionError("it never came to its end")
        assert len(conn._stream.queue) == 0, "nothing is told to the connection"


CALLS: dict[str, Callable[[Any, Any], object]] = {
    "recv": lambda conn, group: group.recv(5),
    "recv_many": lambda conn, group: group.recv_many(None, 5),
    "iterate": lambda conn, group: next(group),
    "mcast": lambda conn, group: group.mcast(b"x", timeout=5),
    "mcast_to_several": lambda conn, group: conn.mcast([group], b"x", timeout=5),
    "query": lambda conn, group: conn.query('{"query": "groups"}', timeout=5),
    "peer": lambda conn, group: conn.peer(conn.member),
    "join_and_leave": lambda conn, group: conn.join("other", timeout=5).leave(5),
}


def in_another_thread(call: Callable[[], object]) -> BaseException | None:
    ends: list[BaseException | None] = []

    def work() -> None:
        try:
            call()
            ends.append(None)
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    return ends[0]


def instructions(call: Callable[[], object], interrupted_at: int) -> int:
    """Calls; how many instructions of this package there were before one was interrupted."""
    count = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        if "anasazi/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            if count == interrupted_at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("what", CALLS)
def test_an_interrupt_leaves_nobody_busy(place: Place, what: str) -> None:
    """Whatever instruction of this package it comes after, while its traceback is still kept."""
    call, opened = CALLS[what], contextlib.ExitStack()
    interrupted = 0
    with opened:

        def begin() -> tuple[sync.Connection, sync.Group]:
            opened.close()
            conn = opened.enter_context(sync.connect(**place.arguments()))
            return conn, conn.join("room", timeout=10)

        conn, group = begin()
        total = instructions(lambda: call(conn, group), -1)
        for at in sorted({*range(1, 90), *range(1, total, 7), *range(max(total - 90, 1), total)}):
            conn, group = begin() if conn.is_closed or at % 50 == 0 else (conn, group)
            for _ in range(3):
                group.try_mcast(b"there is something to take")
            kept: object = None
            try:
                instructions(lambda: call(conn, group), at)
            except KeyboardInterrupt as interrupt:
                kept = interrupt
                interrupted += 1
            except anasazi.ConnectionClosed:
                continue
            for _ in range(2):
                end = in_another_thread(lambda: conn.recv(timeout=0))
                # Where it was sorting it has ended, which it says.
                assert isinstance(end, anasazi.Timeout | anasazi.ConnectionClosed), (at, end, kept)
            with contextlib.suppress(anasazi.Timeout, anasazi.ConnectionClosed):
                while group.recv_many(timeout=0):
                    pass
    assert interrupted > 30


def test_a_storm_of_interrupts_leaves_nobody_busy(place: Place) -> None:
    """At moments of the clock's choice, as real ones come."""

    def interrupt(_: int, frame: Any) -> None:
        if "anasazi/" in frame.f_code.co_filename:
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0001)

    conn = sync.connect(**place.arguments())
    group = conn.join("room")
    before = signal.signal(signal.SIGVTALRM, interrupt)
    over, interrupted = time.monotonic() + 4, 0
    kept: object = None
    try:
        while time.monotonic() < over:
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.0003 + 0.0000371 * (interrupted % 29))
                while time.monotonic() < over + 5:
                    group.mcast(b"x", timeout=5)
                    group.recv_many(timeout=5)
            except KeyboardInterrupt as error:
                interrupted += 1
                kept = error
            except anasazi.ConnectionClosed:
                conn.close()
                conn = sync.connect(**place.arguments())
                group = conn.join("room")
                continue
            end = in_another_thread(lambda: conn.recv(timeout=0))
            assert isinstance(end, anasazi.Timeout | anasazi.ConnectionClosed), (end, kept)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    conn.close()
    assert interrupted > 20


def test_what_was_received_is_for_who_has_the_turn(place: Place) -> None:
    """Also when it waits in the queue, so that taking it would not have to wait."""
    with sync.connect(**place.arguments()) as conn, conn.join("room") as group:
        with conn.join("other") as other:
            group.mcast(b"x")
            other.recv()
            waiting = threading.Thread(target=lambda: other.recv(10))
            waiting.start()
            time.sleep(0.05)
            for take in (group.recv, group.recv_many, lambda: next(group)):
                with pytest.raises(anasazi.Busy, match="another thread") as busy:
                    take()
                assert busy.value.retryable
            other.try_mcast(b"y")
            waiting.join(10)
            assert len(group.recv_many()) == 2


def test_leaving_while_another_group_is_full(place: Place) -> None:
    with sync.connect(**place.arguments(), queue_len=20) as conn, conn.join("full") as full:
        with conn.join("room"):
            for _ in range(50):
                full.try_mcast(b"x")
            with pytest.raises(anasazi.QueueFull):
                while True:
                    conn.recv(5)
        # Its view, and all messages: else those that are still coming fill it again.
        taken = 0
        while taken < 51:
            taken += len(full.recv_many())
        with conn.join("room", timeout=5) as group:
            assert group.mcast(b"x") == 1


def test_a_question_waits_for_room(daemon: Daemon) -> None:
    with sync.connect(daemon.url) as conn, conn.join("room") as group:
        with daemon.stopped():
            for size in (60_000, 0):
                with pytest.raises(anasazi.WouldBlock):
                    while True:
                        group.try_mcast(bytes(size))
            with pytest.raises(anasazi.WouldBlock):
                while True:
                    conn._core.ask("{}")
            with pytest.raises(anasazi.WouldBlock):
                conn.query("{}", timeout=0.2)
        assert conn.query('{"query": "groups"}', timeout=10)
