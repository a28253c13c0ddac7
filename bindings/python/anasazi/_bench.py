"""`python -m anasazi bench`: how fast this package is here, in one process with its engine."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from . import _connection, sync
from ._events import Message

LEN = 64
WINDOW = 2048
"""Own messages on their way, so that the engine is never idle, and no ring is full."""
IMPORTS = 15


def own_cluster() -> dict[str, str]:
    """Settings of an engine that meets no other one, which would share its order."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"cluster": f"bench-{os.getpid()}", "transport.multicast": f"239.192.77.9:{port}"}


async def in_batches(group: _connection.Group, count: int) -> int:
    data, sent, received = bytes(LEN), 0, 0
    while received < count:
        while sent < min(count, received + WINDOW):
            group.try_mcast(data)
            sent += 1
        for event in await group.recv_many():
            if isinstance(event, Message):
                received += 1
    return received


async def with_async_for(group: _connection.Group, count: int) -> int:
    data, received = bytes(LEN), 0
    sent = min(count, WINDOW)
    for _ in range(sent):
        group.try_mcast(data)
    async for event in group:
        if isinstance(event, Message):
            received += 1
            if received == count:
                return received
            if sent < count:
                group.try_mcast(data)
                sent += 1
    return received


def plainly(group: sync.Group, count: int) -> int:
    data, sent, received = bytes(LEN), 0, 0
    while received < count:
        while sent < min(count, received + WINDOW):
            group.try_mcast(data)
            sent += 1
        for event in group.recv_many():
            if isinstance(event, Message):
                received += 1
    return received


async def round_trips(group: _connection.Group, count: int) -> list[float]:
    data, times = bytes(LEN), []
    for _ in range(count):
        start = time.perf_counter()
        await group.mcast(data)
        times.append(time.perf_counter() - start)
    return times


def plain_round_trips(group: sync.Group, count: int) -> list[float]:
    data, times = bytes(LEN), []
    for _ in range(count):
        start = time.perf_counter()
        group.mcast(data)
        times.append(time.perf_counter() - start)
    return times


def reference_us(program: str, count: int) -> float:
    """The median of a C program that does what `round_trips()` does, and prints it."""
    command = [program, str(count), own_cluster()["transport.multicast"]]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return float(done.stdout)


def import_figures() -> dict[str, float]:
    """What `import anasazi` takes beyond the start of the interpreter: the least of many of each,
    by turns, since whatever else the machine does only adds to it.

    With its byte code cached, as `pip install` leaves it: without that the package is compiled in
    every process, which takes half as long again.
    """
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def took(code: str) -> tuple[float, float]:
        """By the clock, and of a processor."""
        start, start_cpu = time.perf_counter(), children_cpu_s()
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)
        return time.perf_counter() - start, children_cpu_s() - start_cpu

    took("import anasazi")  # Caches it.
    rounds = [took("pass") + took("import anasazi") for _ in range(IMPORTS)]
    bare, bare_cpu, whole, whole_cpu = (1000 * min(times) for times in zip(*rounds, strict=True))
    return {
        "python_ms": bare,
        "import_ms": whole - bare,
        "import_cpu_ms": whole_cpu - bare_cpu,
    }


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rate(count: int, run: Callable[[], int]) -> float:
    start = time.perf_counter()
    run()
    return count / (time.perf_counter() - start)


async def measure_async(seconds: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    engine = _connection.connect("inproc:bench", config=own_cluster())
    async with engine as conn, conn.join("bench") as group:
        times = await round_trips(group, round(2000 * seconds))
        figures["mcast_p50_us"] = 1e6 * statistics.median(times)
        figures["mcast_p99_us"] = 1e6 * statistics.quantiles(times, n=100)[98]
        for name, flood in (("batches", in_batches), ("async_for", with_async_for)):
            await flood(group, 5000)
            count = round(100_000 * seconds)
            start = time.perf_counter()
            await flood(group, count)
            figures[f"{name}_per_s"] = count / (time.perf_counter() - start)
    return figures


def measure_sync(seconds: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    with sync.connect("inproc:bench") as conn, conn.join("bench-sync") as group:
        times = plain_round_trips(group, round(2000 * seconds))
        figures["sync_mcast_p50_us"] = 1e6 * statistics.median(times)
        plainly(group, 5000)
        count = round(100_000 * seconds)
        figures["sync_batches_per_s"] = rate(count, lambda: plainly(group, count))
    return figures


def run(options: Any) -> int:
    """`options`: seconds, reference (a program or None), json."""
    figures: dict[str, float] = {}
    if options.reference:
        figures["c_p50_us"] = reference_us(options.reference, 3000)
    figures |= asyncio.run(measure_async(options.seconds))
    figures |= measure_sync(options.seconds)
    if options.reference:
        # Before and after: the machine may have changed its mind.
        again = reference_us(options.reference, 3000)
        figures["c_p50_us"] = (figures["c_p50_us"] + again) / 2
        figures["added_p50_us"] = figures["mcast_p50_us"] - figures["c_p50_us"]
        figures["sync_added_p50_us"] = figures["sync_mcast_p50_us"] - figures["c_p50_us"]
    figures |= import_figures()
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"{LEN} bytes a message, one process, engine in a thread of it")
    for name, figure in figures.items():
        print(f"  {TEXTS[name]:<52} {figure:>12,.0f}")
    return 0


TEXTS = {
    "batches_per_s": "messages/s, sent and received in batches",
    "async_for_per_s": "messages/s, sent and received with async for",
    "sync_batches_per_s": "messages/s, anasazi.sync, in batches",
    "mcast_p50_us": "await mcast(), median, us",
    "mcast_p99_us": "await mcast(), 99th percentile, us",
    "sync_mcast_p50_us": "anasazi.sync mcast(), median, us",
    "c_p50_us": "the same in C, median, us",
    "added_p50_us": "added by asyncio, us",
    "sync_added_p50_us": "added by anasazi.sync, us",
    "python_ms": "python -c pass, ms",
    "import_ms": "import anasazi beyond that, ms",
    "import_cpu_ms": "the same, in ms of a processor",
}
