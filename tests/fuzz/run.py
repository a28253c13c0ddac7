#!/usr/bin/env python3
"""Fuzzes: every target for a while, from its corpus.

    python3 tests/fuzz/run.py --seconds 300         all targets, together about so long
    python3 tests/fuzz/run.py --targets node_ops    only these
    python3 tests/fuzz/run.py --keep                and keep what was found, minimised

The last line says `targets= executions= crashes=`; the exit status is 0 only without crashes. An
input that crashes is written to a file that is named. Needs cargo-fuzz, and a C++ compiler for
libFuzzer; cargo-fuzz is installed if it is missing."""

import argparse
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
CORPUS = HERE / "corpus"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or TOP / "target").resolve()
WORK = TARGET / "fuzz-work"
# They run the rings, the memory and the sockets of sessions, in the `sys` modules.
WITH_UNSAFE_CODE = {"queue_ring", "session_ops", "engine_records", "welcome", "stream_frames"}
CORPUS_BYTES_MAX = 5 << 20
INPUT_SECONDS_MAX = 10
MEMORY_MIB_MAX = 4096


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=140, help="of all targets together")
    parser.add_argument("--targets", nargs="*", help="names of targets")
    parser.add_argument("--keep", action="store_true", help="minimise and keep what was found")
    parser.add_argument("--no-build", action="store_true", help="it is built already")
    arguments = parser.parse_args()
    known = names()
    chosen = arguments.targets or known
    unknown = [name for name in chosen if name not in known]
    if unknown:
        sys.exit(f"no such target: {', '.join(unknown)}; there are: {', '.join(known)}")
    WORK.mkdir(parents=True, exist_ok=True)
    for program in sorted({program_of(name) for name in chosen}):
        if not (arguments.no_build and program.exists()):
            build(program)
    executions, crashes = 0, []
    for name in chosen:
        program = program_of(name)
        count, crash = fuzz(program, name, max(arguments.seconds // len(chosen), 1))
        executions += count
        if crash:
            crashes.append(name)
            print(f"{name}: {crash}", flush=True)
        elif arguments.keep:
            keep(program, name)
    size = sum(path.stat().st_size for path in CORPUS.glob("*.bin"))
    if size > CORPUS_BYTES_MAX:
        print(f"the corpora have {size} bytes; {CORPUS_BYTES_MAX} at most are to be committed")
    print(f"targets={len(chosen)} executions={executions} crashes={len(crashes)}")
    return 1 if crashes or size > CORPUS_BYTES_MAX else 0


def names():
    table = (HERE / "src" / "lib.rs").read_text(encoding="utf-8")
    return re.findall(r'^    \("(\w+)", ', table, re.MULTILINE)


def program_of(name):
    return WORK / ("targets-address" if name in WITH_UNSAFE_CODE else "targets")


def build(program):
    """Without a sanitizer what is safe code: it runs at several times the speed."""
    sanitizer = "address" if program.name.endswith("address") else "none"
    target = TARGET / ("fuzz" if sanitizer == "none" else f"fuzz-{sanitizer}")
    if not shutil.which("cargo-fuzz"):
        subprocess.run(["cargo", "install", "--locked", "cargo-fuzz"], check=True)
    # Its flags are meant for nightly compilers; this makes a stable one take them.
    variables = {**os.environ, "RUSTC_BOOTSTRAP": "1", "CARGO_TARGET_DIR": str(target)}
    subprocess.run(["cargo", "fuzz", "build", "--fuzz-dir", str(HERE / "libfuzzer"), "--release",
                    "--debug-assertions", "--sanitizer", sanitizer], check=True, env=variables,
                   cwd=TOP)
    host = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    triple = re.search(r"host: (\S+)", host).group(1)
    shutil.copy2(target / triple / "release" / "targets", program)


def fuzz(program, name, seconds):
    """How often it ran, and what went wrong if anything did."""
    inputs = WORK / "corpus" / name
    unpack(name, inputs)
    done = run(program, name, f"-max_total_time={seconds}", "-print_final_stats=1",
               f"-timeout={INPUT_SECONDS_MAX}", f"-rss_limit_mb={MEMORY_MIB_MAX}",
               f"-artifact_prefix={WORK}/{name}-", str(inputs))
    count = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    count = int(count.group(1)) if count else 0
    print(f"{name:15} {count:>9} executions, {count // max(seconds, 1):>6} a second", flush=True)
    if done.returncode == 0:
        return count, None
    panic = re.search(r"panicked at .*\n.*", done.stderr)
    file = re.search(r"Test unit written to (\S+)", done.stderr)
    return count, f"{panic.group(0) if panic else done.stderr[-2000:]}\n  input: " \
                  f"{file.group(1) if file else 'none'}"


def keep(program, name):
    """What covers as much as all that was found, the smaller inputs first."""
    inputs, least = WORK / "corpus" / name, WORK / "least" / name
    shutil.rmtree(least, ignore_errors=True)
    least.mkdir(parents=True)
    run(program, name, "-merge=1", str(least), str(inputs))
    contents = sorted((path.read_bytes() for path in least.iterdir()), key=lambda b: (len(b), b))
    CORPUS.mkdir(exist_ok=True)
    packed = b"".join(struct.pack("<I", len(content)) + content for content in contents)
    (CORPUS / f"{name}.bin").write_bytes(packed)


def unpack(name, inputs):
    inputs.mkdir(parents=True, exist_ok=True)
    packed = CORPUS / f"{name}.bin"
    data, at, index = packed.read_bytes() if packed.exists() else b"", 0, 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        (inputs / f"committed-{index}").write_bytes(data[at + 4:at + 4 + length])
        at, index = at + 4 + length, index + 1


def run(program, name, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace",
                          check=False, env={**os.environ, "ANASAZI_FUZZ_TARGET": name})


if __name__ == "__main__":
    sys.exit(main())
