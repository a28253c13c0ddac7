"""Builds the wheel, and tests it in a fresh environment outside the source tree.

    python3 -B bindings/python/tests/run.py --release target/release

Runs the tests, mypy and stubtest there, checks the wheel, and prints the figures of `python -m
anasazi bench` beside a C program's. Exit status 0: all of it is well, and figures are as promised.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent
SOURCE = PACKAGE.parent.parent

sys.path.insert(0, str(PACKAGE.parent))
from figures import missed  # noqa: E402

WHEEL_LEN_MAX = 12 << 20
# What is newer may have other opinions.
TOOLS = ("pytest==9.2.0", "mypy==2.4.1", "trio==0.35.0", "anyio==4.16.0")
STEP_S_MAX = 300
# What is promised of the figures, on a machine that does nothing else.
LEAST = {"messages/s, sent and received in batches": 150_000,
         "messages/s, sent and received with async for": 60_000}  # fmt: skip
MOST = {"added by asyncio, us": 60, "added by anasazi.sync, us": 60,
        "import anasazi beyond that, ms": 100}  # fmt: skip


class Driver:
    def __init__(self, release: Path, folder: Path) -> None:
        self.release = release
        self.folder = folder
        self.python = folder / "venv/bin/python"
        self.failed: list[str] = []
        self.target = Path(os.environ.get("CARGO_TARGET_DIR", SOURCE / "target")).resolve()
        version = "{}.{}".format(*sys.version_info)
        self.tools = self.target / f"python-tools-{version}"
        self.environment = {
            **os.environ,
            "ANASAZI_SOURCE": str(SOURCE),
            "ANASAZI_RELEASE": str(release),
            "ANASAZI_LIB_DIR": str(release),
            "MYPYPATH": str(PACKAGE.parent),  # where `figures` is
            "MYPY_CACHE_DIR": str(self.target / f"python-mypy-{version}"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
            end = "ok"
        except (subprocess.SubprocessError, RuntimeError) as error:
            end = f"FAILED: {error}"
            self.failed.append(name)
        print(f"{name:<44} {time.monotonic() - start:6.1f} s  {end}", flush=True)

    def run(self, *command: str | Path, capture: bool = True) -> str:
        """Its output; all of it is shown if it fails."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, text=True,
                              timeout=STEP_S_MAX, stdout=subprocess.PIPE if capture else None,
                              stderr=subprocess.STDOUT if capture else None)  # fmt: skip
        if done.returncode != 0:
            print(done.stdout or "", flush=True)
            raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}")
        return done.stdout or ""

    def build(self) -> Path:
        wheels = self.folder / "wheels"
        self.run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", wheels, PACKAGE)
        wheel = next(wheels.glob("*.whl"))
        into = self.target / "wheels"
        into.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, into)
        return wheel

    def check(self, wheel: Path) -> None:
        if wheel.stat().st_size > WHEEL_LEN_MAX:
            raise RuntimeError(f"{wheel.stat().st_size} bytes are too many")
        with zipfile.ZipFile(wheel) as files:
            files.extractall(self.folder / "unpacked")
        unpacked = self.folder / "unpacked/anasazi"
        shown = self.run("readelf", "-d", unpacked / "libanasazi.so.1")
        if "soname: [libanasazi.so.1]" not in shown:
            raise RuntimeError("the library in the wheel has another SONAME")
        shown = self.run("readelf", "-d", unpacked / "_anasazi.abi3.so")
        if "[libanasazi.so.1]" not in shown or "[$ORIGIN]" not in shown:
            raise RuntimeError("the extension does not look for the library beside it")
        if not (unpacked / "py.typed").exists():
            raise RuntimeError("the wheel has no py.typed")

    def install(self, wheel: Path) -> None:
        self.run(sys.executable, "-m", "venv", self.folder / "venv")
        pip = (self.python, "-m", "pip", "install", "-q", "--no-compile")
        self.run(*pip, "--no-index", "--no-deps", wheel)
        # What tests it is the same every time: kept beside, and lent to the environment.
        if not (self.tools / "done").exists():
            self.run(*pip, "--target", self.tools, "--upgrade", *TOOLS)
            (self.tools / "done").touch()
        packages = next((self.folder / "venv/lib").glob("python*/site-packages"))
        (packages / "tools.pth").write_text(f"{self.tools}\n")
        tests = self.folder / "tests"
        shutil.copytree(HERE, tests, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(PACKAGE / "examples", tests / "examples")

    def types(self) -> None:
        tests = self.folder / "tests"
        self.run(self.python, "-m", "mypy", "--strict", "-p", "anasazi")
        self.run(self.python, "-m", "mypy", "--strict", *sorted(tests.glob("*.py")))
        for example in sorted((tests / "examples").glob("*.py")):
            self.run(self.python, "-m", "mypy", "--strict", example)

    def stubs(self) -> None:
        # Python knows of __buffer__() from 3.12 on; type checkers always do. What says that one is
        # mistaken they are not to take for a way to go.
        allowed = self.folder / "allowed"
        allowed.write_text("anasazi\\._anasazi\\.Message\\.__buffer__\nanasazi\\._mistakes\\..*\n")
        self.run(self.python, "-m", "mypy.stubtest", "anasazi", "--allowlist", allowed,
                 "--ignore-unused-allowlist")  # fmt: skip

    def tests(self, further: Sequence[str]) -> None:
        shown = self.run(self.python, "-B", "-m", "pytest", "-q", "--no-header", "--tb=short",
                         *further, self.folder / "tests")  # fmt: skip
        print(shown.strip().splitlines()[-1])

    def bench(self) -> None:
        ping = self.folder / "ping"
        self.run("cc", "-O2", f"-I{SOURCE / 'include'}", HERE / "ping.c", "-o", ping,
                 f"-L{self.release}", "-lanasazi", f"-Wl,-rpath,{self.release}")  # fmt: skip
        shown = self.run(self.python, "-m", "anasazi", "bench", "--seconds", "1", "--reference",
                         ping)  # fmt: skip
        print(shown.rstrip())
        reasons = missed(shown, LEAST, MOST)
        if reasons:
            raise RuntimeError("; ".join(reasons))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--release", type=Path, default=SOURCE / "target/release")
    parser.add_argument("--bench", action="store_true", help="figures, no tests")
    parser.add_argument("pytest", nargs="*", help="for pytest, after --")
    options = parser.parse_args()
    if not (options.release / "libanasazi.so.1").exists():
        sys.exit(f"no {options.release}/libanasazi.so.1: run `make build` at the top")
    with tempfile.TemporaryDirectory(prefix="anasazi-python-") as folder:
        driver = Driver(options.release.resolve(), Path(folder))
        wheel: Path | None = None
        with driver.step("the wheel is built"):
            wheel = driver.build()
        if wheel is not None:
            with driver.step(f"it is well ({wheel.stat().st_size / 1e6:.1f} MB)"):
                driver.check(wheel)
            with driver.step("it is installed into a fresh environment"):
                driver.install(wheel)
        if not driver.failed and options.bench:
            with driver.step("figures"):
                driver.bench()
        elif not driver.failed:
            with driver.step("tests"):
                driver.tests(options.pytest)
            with driver.step("mypy --strict: package, tests, examples"):
                driver.types()
            with driver.step("stubtest"):
                driver.stubs()
    if driver.failed:
        print(f"FAILED: {', '.join(driver.failed)}")
    return 1 if driver.failed else 0


if __name__ == "__main__":
    sys.exit(main())
