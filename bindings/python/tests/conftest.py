"""What the tests share: engines and daemons in clusters of their own, and coroutines as tests.

ANASAZI_SOURCE: the tree with the header, the C examples and this package's; ANASAZI_RELEASE: the
folder with libanasazi.so.1 and anasazid. `run.py` sets both.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# Whoever runs this in the background may have it ignore Ctrl-C, and so all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = Path(__file__).resolve().parent
SOURCE = Path(os.environ["ANASAZI_SOURCE"])
RELEASE = Path(os.environ["ANASAZI_RELEASE"])
TEST_S_MAX = 30


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Coroutines run in a loop of their own, for a bounded time."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def bounded() -> None:
        async with asyncio.timeout(TEST_S_MAX):
            await pyfuncitem.obj(**arguments)

    asyncio.run(bounded())
    return True


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No test hangs: an alarm ends it."""

    def late(*_: object) -> None:
        raise AssertionError(f"not done after {TEST_S_MAX + 5} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(TEST_S_MAX + 5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def own_cluster() -> dict[str, str]:
    """Settings of engines that meet those with the same settings only."""
    port = free_port()
    return {"cluster": f"python-{port}", "transport.multicast": f"239.192.77.9:{port}"}


@dataclass
class Place:
    """An engine in this process, started by the first `connect(**place.arguments)`."""

    url: str
    config: dict[str, str]

    def arguments(self, **further: str) -> dict[str, Any]:
        return {"url": self.url, "config": {**self.config, **further}}


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    return Place(f"inproc:{request.node.name[:40]}-{free_port()}", own_cluster())


@dataclass
class Daemon:
    """anasazid, in a cluster of its own."""

    folder: Path
    settings: dict[str, str] = field(default_factory=own_cluster)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"shm:{self.folder / 'socket'}"

    def start(self) -> None:
        # A stale socket of one that was killed is no sign of life: it says itself when it is ready.
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notified.bind(str(ready))
        notified.settimeout(20)
        settings = {
            **self.settings,
            "client.listen": str(self.folder / "socket"),
            "log.level": "error",
        }
        command = [str(RELEASE / "anasazid")]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        with open(self.folder / "log", "ab") as log:
            environment = {**os.environ, "NOTIFY_SOCKET": str(ready)}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        with notified:
            while not notified.recv(256).startswith(b"READY=1"):
                pass

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It does nothing meanwhile: what is sent stays in the ring."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    folder = tmp_path / "daemon"
    folder.mkdir()
    made = Daemon(folder)
    made.start()
    yield made
    if made.process is not None:
        made.kill()


def until(true: Callable[[], object], what: str, at_most_s: float = 15.0) -> None:
    over = time.monotonic() + at_most_s
    while not true():
        assert time.monotonic() < over, f"waited too long for {what}"
        time.sleep(0.01)


def compile_c(source: Path, to: Path, *options: str) -> Path:
    compiler = shutil.which("cc") or "gcc"
    command = [
        compiler, "-std=gnu11", "-O2", f"-I{SOURCE / 'include'}", str(source), "-o", str(to),
        *options, f"-L{RELEASE}", "-lanasazi",
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    return to


def python(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A program of its own, for a bounded time."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True,
                          timeout=TEST_S_MAX, **options)  # fmt: skip
