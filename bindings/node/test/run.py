#!/usr/bin/env python3
"""Packs the package for Node, installs it into a fresh directory, and runs all of its tests there.

    python3 -B bindings/node/test/run.py --release target/release [--only NAME | --bench]

It needs cargo, a C compiler, Node 20 or later and npm; TypeScript comes from the registry, or from
npm's cache. Exits with 1 if anything fails. Figures are held to what is
promised.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
TOP = PACKAGE.parents[1]

sys.path.insert(0, str(PACKAGE.parent))
from figures import missed  # noqa: E402

# For the test of types; nothing that users get depends on them.
TYPESCRIPT = ["typescript@5.9.3", "@types/node@20.19.0"]
PACKED_MAX = 12 * 1000 * 1000
TEST_TIMEOUT_S = 360
# What is promised of the figures, on a machine that does nothing else.
LEAST = {"for await, messages/s": 200_000}
MOST = {"added by this package, us": 60}


def run(*command: object, cwd: Path = TOP, timeout_s: int = 600, **further: str) -> str:
    """Runs a program; what it prints is shown if it fails."""
    words = [str(word) for word in command]
    env = {**os.environ, **further}
    ended = subprocess.run(
        words, cwd=cwd, env=env, timeout=timeout_s, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(words)} fails with {ended.returncode}:\n{ended.stdout}")
    return ended.stdout


def pack(release: Path, into: Path) -> Path:
    """Builds the package and packs it."""
    run("npm", "run", "--silent", "build", cwd=PACKAGE, ANASAZI_LIB_DIR=str(release))
    run("npm", "pack", "--silent", "--pack-destination", into, cwd=PACKAGE)
    (tarball,) = into.glob("anasazi-*.tgz")
    size = tarball.stat().st_size
    print(f"packed: {size / 1e6:.2f} MB", flush=True)
    if size >= PACKED_MAX:
        sys.exit(f"{tarball.name} has {size} bytes, which is too much")
    kept = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target")) / "npm"
    kept.mkdir(parents=True, exist_ok=True)
    shutil.copy(tarball, kept)
    return tarball


def install(tarball: Path, place: Path) -> None:
    """As users do, without Rust: no cargo is found there."""
    place.joinpath("package.json").write_text('{"private": true}\n')
    quiet = ["--no-audit", "--no-fund", "--silent", "--prefer-offline"]
    path = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep)
        if not Path(folder, "cargo").exists())
    run("npm", "install", *quiet, tarball, *TYPESCRIPT, cwd=place, PATH=path)


def compile_c(installed: Path, into: Path) -> None:
    """The programs in C that tests need, with the library of the package."""
    into.mkdir()
    native = installed / "native"
    cc = [os.environ.get("CC", "cc"), "-O2", f"-I{TOP / 'include'}"]
    library = [native / "libanasazi.so.1", f"-Wl,-rpath,{native}"]
    examples = TOP / "bindings" / "c-examples"
    for name in ["chat", "kv"]:
        run(*cc, "-std=c99", examples / f"{name}.c", "-o", into / name, *library)
    run(*cc, "-std=c99", PACKAGE / "test" / "ping.c", "-o", into / "ping", *library)
    # No rpath: it is for the one that the process has. It is not to go while its thread runs.
    run(*cc, "-std=c11", "-shared", "-fPIC", PACKAGE / "test" / "member.c", "-pthread",
        "-Wl,-z,nodelete", "-o", into / "libmember.so", native / "libanasazi.so.1")
    another_major_version(cc, native, into)


def another_major_version(cc: list, native: Path, into: Path) -> None:
    """A library with all the functions, that says that it is 2.0.0."""
    symbols = run("nm", "-D", "--undefined-only", native / "anasazi.node")
    names = sorted(set(re.findall(r"\banz_\w+", symbols)))
    special = {
        "anz_version_num": "unsigned anz_version_num(void) { return 2000000; }",
        "anz_version_string": 'const char *anz_version_string(void) { return "2.0.0 (test)"; }',
    }
    source = into / "another.c"
    source.write_text("\n".join(special.get(name, f"void {name}(void) {{}}") for name in names))
    versions = into / "another.map"
    versions.write_text("ANASAZI_1.0 { *; };\n")
    run(*cc, "-shared", "-fPIC", source, f"-Wl,--version-script={versions}",
        "-Wl,-soname,libanasazi.so.1", "-o", into / "libanasazi-2.so")


def check_types(place: Path) -> bool:
    """Compiles a program that uses all of it, and one that is CommonJS."""
    shutil.copy(PACKAGE / "test" / "types.ts", place / "types.mts")
    place.joinpath("types.cts").write_text(
        "import anasazi = require('anasazi')\n"
        "export const opened: Promise<anasazi.Connection> = anasazi.connect('inproc:types')\n")
    command = ["npx", "tsc", "--strict", "--noEmit", "--module", "nodenext", "--target", "es2022",
               "--lib", "es2022,esnext.disposable", "--types", "node", "types.mts", "types.cts"]
    ended = subprocess.run(command, cwd=place, timeout=TEST_TIMEOUT_S)
    print(f"types: {'ok' if ended.returncode == 0 else 'FAILED'}", flush=True)
    return ended.returncode == 0


def run_tests(place: Path, release: Path, compiled: Path, only: str | None) -> bool:
    """All files of tests, each in a process of its own."""
    for file in (PACKAGE / "test").glob("*.mjs"):
        shutil.copy(file, place)
    files = sorted(file.name for file in place.glob("*.test.mjs") if (only or "") in file.name)
    env = {
        **os.environ,
        "ANASAZI_TEST_RELEASE": str(release),
        "ANASAZI_TEST_COMPILED": str(compiled),
        "ANASAZI_TEST_README": str(place / "node_modules" / "anasazi" / "README.md"),
    }
    env.pop("ANASAZI_URL", None)
    command = ["node", "--test", "--test-reporter=spec", "--test-concurrency=2", *files]
    ended = subprocess.run(
        command, cwd=place, env=env, timeout=TEST_TIMEOUT_S, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    count = {name: int(found) for name, found in
             re.findall(r"^ℹ (tests|pass|fail|cancelled) (\d+)$", ended.stdout, re.M)}
    is_good = ended.returncode == 0 and count.get("pass", 0) == count.get("tests") != 0
    if not is_good:
        print(ended.stdout)
    print(f"tests: {count.get('pass')} of {count.get('tests')} passed", flush=True)
    return is_good


def main() -> int:
    """Everything, with a short summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--release", type=Path, default=TOP / "target" / "release")
    parser.add_argument("--only", help="files of tests with this in their name")
    parser.add_argument("--bench", action="store_true", help="figures, no tests")
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="anasazi-node-") as folder:
        place = Path(folder, "fresh")
        place.mkdir()
        install(pack(options.release.resolve(), Path(folder)), place)
        installed = place / "node_modules" / "anasazi"
        compiled = Path(folder, "compiled")
        compile_c(installed, compiled)
        if options.bench:
            shown = run("npx", "anasazi", "bench", "--seconds", "2",
                        "--reference", compiled / "ping", cwd=place)
            reasons = missed(shown, LEAST, MOST)
            print(shown, *(f"FAILED: {reason}\n" for reason in reasons), sep="", end="")
            results = [not reasons]
        else:
            results = [check_types(place)] if options.only is None else []
            results.append(run_tests(place, options.release.resolve(), compiled, options.only))
    is_good = all(results)
    took_s = time.monotonic() - start
    print(f"{'ok' if is_good else 'FAILED'}, after {took_s:.0f} s")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
