"""What is run from a shell: examples, `python -m anasazi`, and a library that does not fit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue

import anasazi
import pytest
from conftest import SOURCE, Daemon, compile_c, python

EXAMPLES = Path(__file__).parent / "examples"
if not EXAMPLES.exists():
    EXAMPLES = SOURCE / "bindings/python/examples"


class Program:
    """One that is talked to, with bounded waits."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)  # fmt: skip
        self.printed: list[str] = []
        self.lines: Queue[str | None] = Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def expect(self, part: str) -> str:
        while True:
            try:
                line = self.lines.get(timeout=15)
            except Empty:
                raise AssertionError(f"no {part!r} in {self.printed}") from None
            assert line is not None, f"ended without {part!r}: {self.printed}"
            self.printed.append(line)
            if part in line:
                return line

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def finish(self) -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.close()
        while (line := self.lines.get(timeout=15)) is not None:
            self.printed.append(line)
        assert self.process.wait(10) == 0, self.printed
        return self.printed


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    running: list[Program] = []
    yield running
    for program in running:
        program.process.kill()
        program.process.wait()


def start(programs: list[Program], *command: str) -> Program:
    programs.append(Program(*command))
    return programs[-1]


def example(programs: list[Program], name: str, *arguments: str) -> Program:
    return start(programs, sys.executable, str(EXAMPLES / name), *arguments)


def test_chat_with_one_in_c(daemon: Daemon, programs: list[Program], tmp_path: Path) -> None:
    in_c = compile_c(SOURCE / "bindings/c-examples/chat.c", tmp_path / "chat", RPATH)
    arguments = ["-u", daemon.url, "-n", "4", "room"]
    talks = [example(programs, "chat.py", *arguments), start(programs, str(in_c), *arguments)]
    for talk in talks:
        talk.expect("* 2 here")
    talks[0].type("one\ntwo\n")
    talks[1].type("three\nfour\n")
    seen = [[line for line in talk.finish() if not line.startswith("*")] for talk in talks]
    assert seen[0] == seen[1] and len(seen[0]) == 4


def test_chat_survives_a_daemon_that_is_killed(daemon: Daemon, programs: list[Program]) -> None:
    chat = example(programs, "chat.py", "-u", daemon.url, "room")
    chat.expect("* 1 here")
    daemon.kill()
    chat.expect("connecting again")
    daemon.start()
    chat.expect("* connected again")
    chat.expect("* 1 here")
    chat.type("after\n")
    chat.expect("after")
    assert not any("ANZ_" in line for line in chat.finish())


def test_replicas_in_c_and_python(daemon: Daemon, programs: list[Program], tmp_path: Path) -> None:
    in_c = compile_c(SOURCE / "bindings/c-examples/kv.c", tmp_path / "kv", RPATH)
    replicas = [
        example(programs, "dictionary.py", "store", daemon.url),
        start(programs, str(in_c), "store", daemon.url),
        example(programs, "dictionary.py", "store", daemon.url),
    ]
    for number, replica in enumerate(replicas):
        sets = "".join(f"set key{n % 7} {number}-{n} x\n" for n in range(50))
        replica.type(f"await 3 0\n{sets}await 3 150\ndump\n")
    for replica in replicas:
        replica.expect("version 150")
    late = example(programs, "dictionary.py", "store", daemon.url)
    replicas[1].type("set late yes it is\n")
    late.type("await 4 151\nget late\nget nothing\ndump\n")
    late.expect("yes it is")
    late.expect("(none)")
    late.expect("version 151")
    states = [
        sorted(line for line in replica.printed if line.startswith("set key"))
        for replica in [*replicas, late]
    ]
    assert len(states[0]) == 7 and all(state == states[0] for state in states)
    for replica in (*replicas, late):
        replica.finish()


def test_the_leader_is_the_same_for_all(daemon: Daemon, programs: list[Program]) -> None:
    office = [example(programs, "leader.py", "office", daemon.url) for _ in range(3)]
    for one in office:
        one.type("await 3\nleader\n")
    said = {one.expect("of 3") for one in office}
    assert len(said) == 1 and re.fullmatch(r"leader \d+/\d+ of 3", said.pop())
    office[0].finish()
    assert len({one.expect("of 2") for one in office[1:]}) == 1


def test_module_chat(daemon: Daemon, programs: list[Program]) -> None:
    command = [sys.executable, "-m", "anasazi", "chat", "room", "--url", daemon.url]
    ada, ben = (start(programs, *command, "--name", name) for name in ("ada", "ben"))
    for one in (ada, ben):
        one.expect("* 2 here")
    ada.type("hello ✓\n")
    assert "ada: hello ✓" in ben.expect("hello")
    ada.type("red \x1b[31m\n")
    assert "red \\x1b[31m" in ben.expect("red"), "it does not command the terminal"
    ada.finish()
    ben.expect("* 1 here")
    ben.process.send_signal(signal.SIGINT)
    assert ben.process.wait(10) == 130


def test_module_chat_reads_files(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("one\ntwo\n")
    with open(tmp_path / "lines") as lines:
        done = subprocess.run([sys.executable, "-m", "anasazi", "chat", "room", "--url",
                               daemon.url], stdin=lines, capture_output=True, text=True,
                              timeout=30)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("] one") == done.stdout.count("] two") == 1


def test_module_shows_versions() -> None:
    command = [sys.executable, "-m", "anasazi"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert anasazi.__version__ in shown and "C API 1." in shown and "inproc, shm" in shown
    assert str(anasazi.library_path()) in shown
    refused = subprocess.run([*command, "chat", "room", "--url", "shm:/nowhere/at/all"],
                             capture_output=True, text=True, timeout=30)  # fmt: skip
    assert refused.returncode == 1 and refused.stderr.startswith("ANZ_ECONNREFUSED: ")
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("version", [2_000_000, 999_999, 0])
def test_a_library_that_does_not_fit_is_refused(tmp_path: Path, version: int) -> None:
    """One of the same name that is loaded already: the loader takes that one."""
    extension = str(sys.modules["anasazi._anasazi"].__file__)
    shown = subprocess.run(["nm", "-D", "--undefined-only", extension], capture_output=True,
                           text=True, check=True, timeout=30).stdout  # fmt: skip
    names = set(re.findall(r"\b(anz_\w+)", shown)) - {"anz_version_num"}
    assert len(names) > 20
    code = "".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(names))
    if version:
        code += f"unsigned anz_version_num(void) {{ return {version}; }}\n"
    (tmp_path / "fake.c").write_text(code)
    library = tmp_path / "libanasazi.so.1"
    versions = f"-Wl,--version-script={SOURCE / 'ffi/anasazi.map'}"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wl,-soname,libanasazi.so.1", versions, "-o",
                    library, tmp_path / "fake.c"], check=True, timeout=60)  # fmt: skip
    done = python("import ctypes, sys; ctypes.CDLL(sys.argv[1])\nimport anasazi", str(library))
    assert done.returncode == 1 and "ImportError" in done.stderr
    assert str(library) in done.stderr and "belongs to this package is" in done.stderr
    if version:
        words = f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000} is loaded"
        assert words in done.stderr


def test_the_source_is_not_the_package() -> None:
    done = python("import anasazi", cwd=SOURCE / "bindings/python")
    assert done.returncode == 1 and "install it" in done.stderr


RPATH = f"-Wl,-rpath,{os.environ['ANASAZI_RELEASE']}"
