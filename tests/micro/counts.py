#!/usr/bin/env python3
"""Instructions of the ordering step and of the send path, counted by valgrind, beside those of the
committed baseline.

    make counts               builds what is counted, and compares
    make counts UPDATE=1      takes what is counted as the new baseline

Counts are the same in every run (but for what depends on addresses, less than 1 %), and not with
every compiler, C library and processor: the baseline has an entry for each. Ends with 0 if no count
is more than 5 % above its baseline, or if there is none; with 1 if one is; with 2 if nothing could
be counted."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BASELINE = HERE / "counts.json"
LIMIT = 0.05
UPDATE = "make counts UPDATE=1"
# Sub-command, bytes of a message, how many.
CASES = [("order", 64, 500), ("order", 1024, 200), ("order", 65536, 8),
         ("send", 64, 1000), ("send", 1024, 500), ("send", 65536, 40)]
# What is counted of each; not what comes before it.
FUNCTIONS = {"order": "*::Cluster::order", "send": "*::Host::send"}
# Valgrind counts each byte that a string instruction copies as one: copies in vectors are nearer to
# what a processor does.
VARIABLES = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-ERMS"}


class NotCounted(Exception):
    """Why there is no count."""


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=pathlib.Path, required=True,
                        help="the directory of the optimised build")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.add_argument("--update", action="store_true", help="write the baseline")
    arguments = parser.parse_args()
    program = arguments.release / "anasazi-micro"
    try:
        where = environment(program)
        counts = {f"{what} {length}": count(program, what, length, number)
                  for what, length, number in CASES}
    except NotCounted as error:
        print(f"nothing is counted: {error}", file=sys.stderr)
        return 2
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if arguments.update:
        known[where] = {name: each for name, (each, _) in counts.items()}
        BASELINE.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    rows = judge(counts, known.get(where, {}))
    if arguments.json:
        print(json.dumps({"where": where, "rows": rows}, indent=2))
    else:
        print("\n".join([table(rows), *sentences(rows, where, known), summary(rows)]))
    return 1 if any(row["verdict"] == "more" for row in rows) else 0


def environment(program):
    """What counts depend on besides the code."""
    compiler = output([os.environ.get("RUSTC", "rustc"), "-V"])
    features = output(["valgrind", "--tool=none", "-q", str(program), "features"])
    return f"{compiler}, {os.confstr('CS_GNU_LIBC_VERSION')}, {features}"


def count(program, what, length, number):
    """Instructions for each thing that was done, and what things those are."""
    text = output(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                   f"--toggle-collect={FUNCTIONS[what]}", str(program), what, str(length),
                   str(number)])
    done = re.search(r"^(\d+) (\w+), ", text, re.MULTILINE)
    counted = re.search(r"Collected : (\d+)", text)
    if not done or not counted:
        raise NotCounted(f"{program} {what} says: {text}")
    if counted.group(1) == "0":
        raise NotCounted(f"{program} has no function {FUNCTIONS[what]}")
    return round(int(counted.group(1)) / int(done.group(1))), done.group(2)


def output(command):
    try:
        done = subprocess.run(command, env={**os.environ, **VARIABLES}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotCounted(f"{command[0]}: {error}") from error
    if done.returncode:
        raise NotCounted(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}")
    return done.stdout.strip()


def judge(counts, baseline):
    """A row for each count, with what it is beside its baseline."""
    rows = []
    for name, (each, unit) in counts.items():
        before = baseline.get(name)
        ratio = each / before if before else None
        verdict = ("new" if ratio is None else "more" if ratio > 1 + LIMIT
                   else "fewer" if ratio < 1 - LIMIT else "same")
        rows.append({"what": name, "instructions": each, "of": unit, "baseline": before,
                     "ratio": ratio, "verdict": verdict})
    return rows


def table(rows):
    lines = [f"{'':12} {'instructions':>12} {'each of':12} {'baseline':>12} {'ratio':>6}"]
    for row in rows:
        before, ratio = "-", "-"
        if row["baseline"]:
            before, ratio = f"{row['baseline']:,}", f"{row['ratio']:.3f}"
        lines.append(f"{row['what']:12} {row['instructions']:12,} {row['of']:12} {before:>12} "
                     f"{ratio:>6}")
    return "\n".join(lines)


def sentences(rows, where, known):
    """What is worth a look, and what can be done."""
    if where not in known:
        there = "; ".join(sorted(known)) or "none"
        yield f"note: no baseline for {where} (there are: {there}); {UPDATE} makes one"
        return
    for row in rows:
        if row["verdict"] == "new":
            yield f"note: {row['what']} is not in the baseline; {UPDATE} adds it"
        elif row["verdict"] != "same":
            percent = 100 * abs(row["ratio"] - 1)
            advice = (f"take the cause away, or take it as the new baseline: {UPDATE}"
                      if row["verdict"] == "more" else f"{UPDATE} keeps it so")
            yield (f"note: {row['what']} takes {row['instructions']:,} instructions, "
                   f"{percent:.1f} % {row['verdict']} than the baseline's {row['baseline']:,}; "
                   f"{advice}")


def summary(rows):
    verdicts = [row["verdict"] for row in rows]
    return " ".join([f"counts={len(rows)}", *(f"{verdict}={verdicts.count(verdict)}"
                                              for verdict in ("same", "fewer", "more", "new"))])


if __name__ == "__main__":
    sys.exit(main())
