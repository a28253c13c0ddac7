"""The README: its programs run and print what it says, and it has every public name."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import anasazi
import pytest
from conftest import SOURCE, Daemon, own_cluster

README = (SOURCE / "bindings/python/README.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

# Engines of these programs are to meet nobody else's.
APART = """
import sys
from anasazi import _settings
make = _settings.make
def apart(*arguments):
    config = make(*arguments)
    config.set("cluster", sys.argv[1])
    config.set("transport.multicast", sys.argv[2])
    return config
_settings.make = apart
exec(compile(sys.stdin.read(), "README.md", "exec"))
"""


def run(program: str) -> str:
    command = [sys.executable, "-W", "error", "-c", APART, *own_cluster().values()]
    done = subprocess.run(command, input=program, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_has_programs() -> None:
    assert len(PROGRAMS) >= 7
    assert len(PROGRAMS[0].splitlines()) <= 14


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_program(number: int) -> None:
    if "Suspended" in PROGRAMS[number]:
        return  # See below.
    printed = run(PROGRAMS[number])
    if number < 2:
        says = re.search(r"It prints:\n\n```\n(.*?)```", README, re.DOTALL)
        assert says is not None and printed == says.group(1)
    assert printed


def test_the_program_whose_daemon_stays_away(daemon: Daemon) -> None:
    program = next(program for program in PROGRAMS if "Suspended" in program)
    says = re.search(r"after the first line it prints:\n\n```\n(.*?)```", README, re.DOTALL)
    assert says is not None
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "ANASAZI_URL": daemon.url},
    ) as running:  # fmt: skip
        assert running.stdout is not None
        first = running.stdout.readline()
        daemon.kill()
        assert first + running.stdout.read() == says.group(1)
        assert running.wait(10) == 0


@pytest.mark.parametrize("name", anasazi.__all__)
def test_it_has_every_public_name(name: str) -> None:
    if name.startswith("__"):
        return
    assert re.search(rf"`[^`]*\b{name}\b", README) or name == "AnasaziError", name
    thing = getattr(anasazi, name)
    if not inspect.isclass(thing) or issubclass(thing, tuple | dict | int | Exception):
        return
    members = [member for member in dir(thing) if not member.startswith("_")]
    for member in members:
        assert re.search(rf"\b{member}\b", README), f"{name}.{member}"


def methods() -> list[tuple[str, str, object]]:
    """Functions, methods and properties, but for the fields of events: module, name, and itself."""
    found: list[tuple[str, str, object]] = []
    for module in (anasazi, anasazi.sync):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                found.append((module.__name__, name, thing))
            elif inspect.isclass(thing) and name in ("Connection", "Group", "Peer", "Engine"):
                found += [
                    (f"{module.__name__}.{name}", member, getattr(thing, member))
                    for member in dir(thing)
                    if not member.startswith("_")
                ]
    return found


@pytest.mark.parametrize(("where", "name"), [(where, name) for where, name, _ in methods()])
def test_a_program_has_every_method(where: str, name: str) -> None:
    """Those of anasazi.sync are as those of asyncio, and in one program of either."""
    assert any(re.search(rf"\.{name}\b", text) for text in PROGRAMS), f"{where}.{name}"


EVERYWHERE = {"ConnectionClosed", "ForkedError"}
"""What the heads of the tables say."""
KINDS = {name for name, thing in vars(anasazi).items()
         if inspect.isclass(thing) and issubclass(thing, anasazi.AnasaziError)}  # fmt: skip


@pytest.mark.parametrize(("where", "name", "thing"), methods())
def test_it_has_every_error_that_a_method_tells_of(where: str, name: str, thing: object) -> None:
    told = set(re.findall(r"`(\w+)`", inspect.getdoc(thing) or "")) & KINDS
    told -= EVERYWHERE | ({"Timeout"} if where.startswith("anasazi.sync") else set())
    rows = [row.split("|") for row in README.splitlines() if row.startswith("| `")]
    cells = [row[3] for row in rows if len(row) > 4 and re.search(rf"\b{name}\(", row[1])]
    if name == "connect":
        cells = re.findall(r"^Raises (.*?)\n\n", README, re.MULTILINE | re.DOTALL)
    if told and not any(re.search(r"the same|as (that|those)|As", cell) for cell in cells):
        missing = {kind for kind in told if not any(f"`{kind}`" in cell for cell in cells)}
        assert not missing, f"{where}.{name}"


def test_what_it_says_of_exceptions_is_so() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)? *\| ", README, re.MULTILINE)
    builtins = {**vars(__import__("builtins")), "SlowReceiver": anasazi.SlowReceiver}
    checked = 0
    for name, base in rows:
        kind = getattr(anasazi, name, None)
        if isinstance(kind, type) and issubclass(kind, anasazi.AnasaziError) and base:
            assert issubclass(kind, builtins[base]), name
            checked += 1
    assert checked >= 15


def test_the_tests_are_not_the_source_tree() -> None:
    assert Path(anasazi.__file__).is_relative_to(sys.prefix)
