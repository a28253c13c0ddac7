#!/usr/bin/env python3
"""Every test, step by step: what is run, how long it takes, what is skipped and why.

    python3 tests/run.py              all steps
    python3 tests/run.py unit demo    only these
    python3 tests/run.py --list       what there is

A step that fails shows its last lines and does not keep the others from running. The last line says
how many steps passed and failed; the exit status is 0 only if none failed."""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or TOP / "target").resolve()
RELEASE = TARGET / "release"
LOGS = TARGET / "test-logs"
SIMULATOR_SEEDS = 1000
CHAOS_ROUNDS = 20
LINES_SHOWN = 60

# What tests need beyond Rust, gcc and Python, and the Debian packages that have it.
PACKAGES = {"cmake": "cmake", "ip": "iproute2", "nft": "nftables", "pkg-config": "pkg-config",
            "readelf": "binutils", "tc": "iproute2",
            # The loops that the adapters are for.
            "/usr/include/uv.h": "libuv1-dev", "/usr/include/event2/event.h": "libevent-dev",
            "/usr/include/ev.h": "libev-dev", "/usr/include/glib-2.0/glib.h": "libglib2.0-dev",
            "/usr/include/systemd/sd-event.h": "libsystemd-dev",
            "/usr/include/asio.hpp": "libasio-dev", "qmake": "qtbase5-dev",
            # The other compiler, and the judge of ABIs.
            "clang": "clang", "abidiff": "abigail-tools",
            # The judge of manual pages.
            "mandoc": "mandoc",
            # Counts instructions.
            "valgrind": "valgrind",
            # Reads the header for the wrappers.
            "bindgen": "bindgen"}


@dataclasses.dataclass
class Step:
    name: str
    what: str
    commands: list
    seconds_max: int
    variables: dict = dataclasses.field(default_factory=dict)
    # Gives the reason why the step cannot be run here, if there is one.
    obstacle: object = lambda: None
    # The commands are run at the same time, not one after the other.
    together: bool = False
    # Lines of the output that are worth a look even when all is well.
    worth: tuple = ()


def steps(names=()):
    # The step before builds what it installs.
    built = ["--built"] if not names or "wrappers" in names else []
    cargo = os.environ.get("CARGO", "cargo")
    locked = ["--workspace", "--locked"]
    if shutil.which("cargo-nextest"):
        unit = [cargo, "nextest", "run", *locked, "--no-fail-fast", "--status-level", "fail"]
    else:
        unit = [cargo, "test", *locked, "--lib", "--bins", "--tests", "--no-fail-fast"]
    # What links the library, and is a workspace of its own.
    bindings = {"CARGO_TARGET_DIR": str(TARGET / "bindings"), "ANASAZI_LIB_DIR": str(RELEASE)}
    simulator = RELEASE / "anasazi-sim"
    chaos = RELEASE / "anasazi-chaos"
    return [
        Step("format", "the sources are formatted", [[cargo, "fmt", "--all", "--check"]], 120),
        Step("lint", "clippy has nothing to say",
             [[cargo, "clippy", *locked, "--all-targets", "--", "-D", "warnings"]], 900),
        Step("docs", "the documentation builds without warnings",
             [[cargo, "doc", *locked, "--no-deps"]], 600, {"RUSTDOCFLAGS": "-D warnings"}),
        Step("unit", "unit and integration tests of every crate", [unit], 1200,
             worth=("Summary [", "skipped:")),
        Step("examples", "the examples in the documentation",
             [[cargo, "test", *locked, "--doc"]], 600),
        Step("loom", "every interleaving of the client rings, as far as they are small",
             [[cargo, "test", "-p", "anasazi-queue", "--release", "--locked", "--lib"]], 600,
             {"RUSTFLAGS": "--cfg loom", "CARGO_TARGET_DIR": str(TARGET / "loom")},
             worth=("test result",)),
        Step("build", "daemon, console, library, simulator and chaos, optimised",
             # Together, so that what they share is compiled once; the simulator apart, so that its
             # planted bugs are not in what users get.
             [[cargo, "build", "--release", "--locked", "-p", "anasazid", "-p", "anasazi-console",
               "-p", "anasazi-ffi", "-p", "anasazi-micro", "-p", "anasazi-chaos"],
              [cargo, "build", "--release", "--locked", "-p", "anasazi-sim"],
              ["ffi/link.sh", str(RELEASE)]], 900),
        Step("counts", "instructions of the ordering step and the send path, beside their baseline",
             [[sys.executable, "-B", "tests/micro/counts.py", "--release", str(RELEASE)]], 300,
             obstacle=lambda: missing("valgrind"), worth=("note:", "counts=")),
        Step("simulator", f"{SIMULATOR_SEEDS} simulated clusters with faults, held to the axioms",
             [[simulator, "run", "--seeds", str(SIMULATOR_SEEDS)],
              [simulator, "determinism", "--seeds", "20"],
              [simulator, "idle", "--hours", "2"],
              [simulator, "domains", "--seeds", "60"]], 900, worth=("seeds=", "changes=")),
        Step("planted", "bugs planted into the cores are found by the simulator",
             # A seed that found a bug before finds it in a second; where it does not, all are tried.
             [[simulator, "planted", "--known", "tests/sim/known.txt"]], 900,
             worth=("planted=",)),
        Step("chaos", f"{CHAOS_ROUNDS} rounds of faults on real daemons; quiet ones on busy cores",
             [[chaos, "run", "--rounds", str(CHAOS_ROUNDS)], [chaos, "quiet", "--minutes", "0.33"],
              [chaos, "keys", "--rotations", "20"]],
             300, worth=("skipped:", "rounds=", "changes=")),
        Step("explore", "every order of events in clusters of two and three nodes, within bounds",
             # Bounds that end by themselves: what is left out fails.
             [[simulator, "explore", "--nodes", "2", "--depth", "9", "--faults", "2",
               "--messages", "4"],
              [simulator, "explore", "--nodes", "3", "--depth", "8", "--faults", "2",
               "--messages", "3"],
              [simulator, "explore", "--nodes", "3", "--depth", "12", "--delays", "0",
               "--messages", "1"],
              [simulator, "explore", "--nodes", "2", "--boot", "--depth", "24", "--messages",
               "0"]], 300, worth=("states=", "incomplete")),
        Step("install", "what `make install` installs can be used from where it is",
             [["sh", "packaging/test-install.sh", "SKIP_BUILD=1"]], 300,
             obstacle=lambda: missing("pkg-config", "readelf"), worth=("skipped:",)),
        Step("readme", "the first program of the README prints what it says",
             [[sys.executable, "-B", "tests/readme.py", str(RELEASE)]], 120, worth=("skipped:",)),
        Step("bindings", "formats, lints and generated code of the wrappers",
             [["cargo", "fmt", "--manifest-path", "bindings/Cargo.toml", "--all", "--check"],
              [cargo, "clippy", "--manifest-path", "bindings/Cargo.toml", *locked, "--all-targets",
               "--", "-D", "warnings"],
              ["bindings/sys/generate.sh", "--check"]], 300, bindings,
             obstacle=lambda: missing("bindgen")),
        Step("wrappers", "the packages for Python and Node, installed where nothing else is",
             [[sys.executable, "-B", "bindings/python/tests/run.py", "--release", str(RELEASE)],
              [sys.executable, "-B", "bindings/node/test/run.py", "--release", str(RELEASE)]], 900,
             # Both wait more than they work.
             together=True, obstacle=lambda: missing("node", "npm"), worth=("passed",)),
        Step("languages", "the examples in C, Python and Node, in one group",
             [[sys.executable, "-B", "tests/languages/run.py", str(RELEASE), *built]], 300,
             obstacle=lambda: missing("node", "npm"), worth=("the same for", "README's")),
        Step("judge", "the judges of demo and counts find differences; the ledger takes whole rows",
             [[sys.executable, "-B", "-m", "unittest", "demo/test_verdict.py",
               "tests/soak/test_soak.py", "tests/micro/test_counts.py"],
              [sys.executable, "-B", "tests/soak/soak.py", "readme", "--check"]], 60),
        Step("demo", "four members, a killed daemon, a divided network",
             [["make", "--no-print-directory", "demo"]], 300,
             worth=("Shown:", "messages, agreed and safe")),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, add_help=True,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", help="names of steps")
    parser.add_argument("--list", action="store_true", help="list the steps")
    arguments = parser.parse_args()
    chosen = choose(arguments.steps)
    if arguments.list:
        print("\n".join(f"{step.name:10} {step.what}" for step in chosen))
        return 0
    os.chdir(TOP)
    # So that what runs is ended with this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    LOGS.mkdir(parents=True, exist_ok=True)
    install_packages()
    started = time.monotonic()
    passed, failed, skipped = 0, [], 0
    for number, step in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {step.name}: {step.what}", flush=True)
        reason = step.obstacle()
        if reason:
            skipped += 1
            print(f"      skipped: {reason}", flush=True)
        elif run(step):
            passed += 1
        else:
            failed.append(step.name)
    print(f"\n{time.monotonic() - started:.0f} s in all; logs: {LOGS}")
    if failed:
        print("failed: " + ", ".join(failed))
    print(f"{passed} passed, {len(failed)} failed" + (f", {skipped} skipped" if skipped else ""),
          flush=True)
    return 1 if failed or not passed else 0


def choose(names):
    known = {step.name: step for step in steps(names)}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no such step: {', '.join(unknown)}; there are: {', '.join(known)}")
    return [step for name, step in known.items() if not names or name in names]


def run(step):
    """Whether the step passed; says how long it took, and shows what there is to see."""
    log = LOGS / f"{step.name}.log"
    started = time.monotonic()
    with open(log, "w", encoding="utf-8") as output:
        def of(command):
            left = step.seconds_max - (time.monotonic() - started)
            return succeeds(command, step.variables, output, left)

        if step.together:
            with concurrent.futures.ThreadPoolExecutor() as threads:
                passed = all(list(threads.map(of, step.commands)))
        else:
            passed = all(map(of, step.commands))
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines:
        if any(mark in line for mark in step.worth):
            print(f"      {line.strip()}")
    if not passed:
        print("\n".join("      | " + line for line in lines[-LINES_SHOWN:]))
    print(f"      {'ok' if passed else 'FAILED'}, {time.monotonic() - started:.1f} s", flush=True)
    return passed


def succeeds(command, variables, output, seconds_max):
    """Runs a command in a process group of its own, which ends with it."""
    output.write("$ " + " ".join(map(str, command)) + "\n")
    output.flush()
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   env={**os.environ, **variables}, start_new_session=True)
    except OSError as error:
        output.write(f"cannot be started: {error}\n")
        return False
    try:
        code = process.wait(max(seconds_max, 1))
        if code:
            output.write(f"ended with {code}\n")
        return code == 0
    except subprocess.TimeoutExpired:
        output.write(f"stopped: it ran for longer than {seconds_max:.0f} s\n")
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def install_packages():
    """As root, what is missing of the Debian packages; else says what will be skipped."""
    def is_there(thing):
        return pathlib.Path(thing).exists() if "/" in thing else shutil.which(thing)

    needed = sorted({package for thing, package in PACKAGES.items() if not is_there(thing)})
    if not needed:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        why = "not root" if os.geteuid() != 0 else "no apt-get"
        print(f"not installed ({why}): {', '.join(needed)}; tests that need them say so\n")
        return
    print(f"installing {', '.join(needed)}", flush=True)
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "check": False}
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "-qq", "update"], env=variables, **quiet)
    done = subprocess.run(["apt-get", "-qq", "-y", "--no-install-recommends", "install", *needed],
                          env=variables, **quiet)
    if done.returncode:
        print(f"could not install {', '.join(needed)}; tests that need them say so\n")


def missing(*tools):
    absent = [tool for tool in tools if not shutil.which(tool)]
    return f"needs {', '.join(absent)}" if absent else None


if __name__ == "__main__":
    sys.exit(main())
