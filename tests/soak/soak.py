#!/usr/bin/env python3
"""Long campaigns, run by hand: each appends a row to the ledger in docs/RELIABILITY.md, whatever
came of it, and brings the README's figures up to date: sums of the rows since the last one that
found something.

    soak.py simulator --from 1000 --seeds 5000    simulated clusters
    soak.py domains --from 1000 --seeds 5000      simulated domains and bridges
    soak.py planted                               bugs planted one by one
    soak.py determinism                           seeds twice, in processes of their own
    soak.py chaos --rounds 200                    real daemons in network namespaces (root)
    soak.py quiet --minutes 5                     real daemons beside busy loops (root)
    soak.py keys --rounds 100                     keys of real daemons that change under load (root)
    soak.py idle --hours 10 --only "32 nodes"      simulated hours without faults
    soak.py explore --nodes 2 --depth 12          every order of events, up to so many choices
    soak.py signals                               a minute of signals into sending threads
    soak.py fuzz --seconds 60 --keep              every fuzz target, all together so long
    soak.py fuzz-seal --seconds 60 --keep         those of sealed datagrams and of key files
    soak.py readme [--check]                      the README's figures from the ledger

A row says what the command itself printed in its last line; a command that fails gets its row, too,
and fails this one. Without a word that the row needs there is no row, and that is a failure."""

import argparse
import datetime
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or TOP / "target").resolve()
LEDGER = TOP / "docs" / "RELIABILITY.md"
README = TOP / "README.md"
BEGIN, END = "<!-- ledger: begin -->", "<!-- ledger: end -->"

# Columns of each table in the ledger, as the words of the campaign's last line.
TABLES = {
    "simulator": ["from", "seeds", "sim_hours", "faults", "packet_faults", "deliveries", "p99_ms",
                  "violations", "stuck", "failing"],
    "domains": ["from", "seeds", "deliveries", "forwards", "faults", "failed"],
    "planted": ["planted", "caught", "most_seeds"],
    "determinism": ["seeds", "different"],
    "chaos": ["seed", "rounds", "faults", "kills", "deliveries", "violations", "stuck"],
    "quiet": ["minutes", "changes", "gap_max_ms"],
    "keys": ["rotations", "with_stopped", "with_cut", "deliveries", "changes"],
    "idle": ["only", "clusters", "sim_hours", "deliveries", "changes", "violations", "stuck"],
    "explore": ["nodes", "depth", "faults", "delays", "messages", "states", "steps", "paths",
                "complete", "violations"],
    "signals": ["seconds", "hertz", "handlers", "without_room", "messages"],
    "fuzz": ["targets", "executions", "crashes"],
    "fuzz-seal": ["targets", "executions", "crashes"],
}
SEAL_TARGETS = "sealed_line sealed_anything key_file"
# Columns that the command need not say: they are options of this program.
BOUNDS = ["nodes", "depth", "faults", "delays", "messages"]
GIVEN = {"simulator": {"from": "first"}, "domains": {"from": "first"}, "chaos": {"seed": "seed"},
         "quiet": {"minutes": "minutes"},
         "idle": {"only": "only"}, "explore": {name: name for name in BOUNDS}}


# Of a campaign that has tried something, none of these is 0.
AMOUNTS = ("seeds", "rounds", "clusters", "executions", "planted", "states", "handlers",
           "rotations")
# What the programs of a campaign are built of, one after the other, as tests/run.py does it.
PACKAGES = {"chaos": ["anasazid", "anasazi-chaos"], "quiet": ["anasazid", "anasazi-chaos"],
            "keys": ["anasazid", "anasazi-chaos"],
            "signals": ["anasazi-ffi", "anasazid"], "fuzz": [], "fuzz-seal": []}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", choices=[*TABLES, "readme"])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--from", dest="first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--only", default="", help="idle: clusters with this in their names")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true",
                        help="fuzz: minimise the corpora and keep them")
    for name, value in zip(BOUNDS, [2, 12, 2, 1, 4]):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    if arguments.campaign == "readme":
        return readme(arguments.check)
    command = commands(arguments)[arguments.campaign]
    commit = git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    build(arguments.campaign)
    words, code = run(command)
    given = {name: "-" if getattr(arguments, attribute) == "" else getattr(arguments, attribute)
             for name, attribute in GIVEN.get(arguments.campaign, {}).items()}
    lacking = [word for word in TABLES[arguments.campaign] if word not in {**given, **words}]
    if lacking:
        print(f"no row: the last line of the command, which ended with {code}, has no "
              f"{', '.join(lacking)}", file=sys.stderr)
        return code or 1
    if nothing := [name for name in AMOUNTS if words.get(name) == "0"]:
        print(f"no row: {nothing[0]}=0, so nothing was tried", file=sys.stderr)
        return code or 1
    append(arguments.campaign, commit, {**given, **words})
    readme(False)
    return code


def commands(arguments):
    sim, chaos = str(TARGET / "release/anasazi-sim"), str(TARGET / "release/anasazi-chaos")
    fuzz = ["make", "--no-print-directory", "fuzz", f"SECONDS={arguments.seconds}"]
    fuzz += ["KEEP=1"] if arguments.keep else []
    return {
        "simulator": [sim, "run", "--from", str(arguments.first), "--seeds", str(arguments.seeds)],
        "domains": [sim, "domains", "--from", str(arguments.first),
                    "--seeds", str(arguments.seeds)],
        "planted": [sim, "planted"],
        "determinism": [sim, "determinism", "--seeds", str(min(arguments.seeds, 50))],
        "chaos": [chaos, "run", "--rounds", str(arguments.rounds), "--seed", str(arguments.seed)],
        "quiet": [chaos, "quiet", "--minutes", str(arguments.minutes)],
        "keys": [chaos, "keys", "--rotations", str(arguments.rounds)],
        "idle": [sim, "idle", "--hours", str(arguments.hours), "--only", arguments.only],
        "explore": [sim, "explore"] + [word for name in BOUNDS
                                       for word in (f"--{name}", str(getattr(arguments, name)))],
        "signals": ["cargo", "test", "--release", "-p", "anasazi-abi", "--test", "programs", "--",
                    "--ignored", "--nocapture", "storm_of_a_minute"],
        "fuzz": fuzz,
        "fuzz-seal": [*fuzz, f"TARGETS={SEAL_TARGETS}"],
    }


def build(campaign):
    """A row is about the commit that it names, not about what was built last."""
    for package in PACKAGES.get(campaign, ["anasazi-sim"]):
        subprocess.run(["cargo", "build", "--release", "--locked", "-p", package], cwd=TOP,
                       check=True)


def run(command):
    """Runs it with its output in view; the words of its last line, and its exit status."""
    print("$ " + " ".join(command), flush=True)
    last = ""
    with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.search(r"\b\w+=", line):
                last = line
    return dict(re.findall(r"(\w+)=(\S+)", last)), process.returncode


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=TOP, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def append(campaign, commit, words):
    """One more row at the end of the campaign's table."""
    date = datetime.date.today().isoformat()
    cells = [date, commit] + [str(words[name]) for name in TABLES[campaign]]
    lines = LEDGER.read_text().splitlines()
    at = lines.index(f"### {campaign}") + 1
    while at < len(lines) and not lines[at].startswith("|"):
        at += 1
    while at < len(lines) and lines[at].startswith("|"):
        at += 1
    lines.insert(at, "| " + " | ".join(cells) + " |")
    LEDGER.write_text("\n".join(lines) + "\n")


def rows(campaign):
    """The table's rows, each a dictionary."""
    section = LEDGER.read_text().split(f"\n### {campaign}\n")[1].split("\n##")[0]
    table = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in section.splitlines() if line.startswith("|")]
    return [dict(zip(table[0], row)) for row in table[2:]]


# What must be 0 for a row to be a good one.
FAILURES = ("violations", "stuck", "crashes", "different", "changes", "failed")
# As the simulator judges it.
P99_MS_MAX = 2000


def good_rows(campaign):
    """The rows since the last one that found something; of those of the same seeds the last one,
    for they are no more seeds."""
    def is_good(row):
        slow = row.get("p99_ms", "-").isdigit() and int(row["p99_ms"]) > P99_MS_MAX
        return not slow and all(row.get(word, "0") == "0" for word in FAILURES)
    good = rows(campaign)
    bad = [index for index, row in enumerate(good) if not is_good(row)]
    good = good[bad[-1] + 1:] if bad else good
    return list({row.get("from", index): row for index, row in enumerate(good)}.values())


def total(campaign, word):
    values = [row[word] for row in good_rows(campaign)]
    return sum(float(value) for value in values if re.fullmatch(r"[\d.]+", value))


def figures():
    """The README's sentences."""
    def count(campaign, word):
        return f"{round(total(campaign, word)):,}"
    planted, sentences = rows("planted"), []
    if good_rows("simulator"):
        sentences.append(
            f"Since the last bug that it found, the simulator has run "
            f"{count('simulator', 'sim_hours')} cluster-hours "
            f"({count('simulator', 'seeds')} seeds, {count('simulator', 'faults')} faults of "
            f"processes and networks, {count('simulator', 'deliveries')} deliveries, each judged "
            f"by the oracle), with no violation, and every cluster came to rest in the largest "
            f"rings that its links allowed.")
    elif rows("simulator"):
        last = rows("simulator")[-1]
        known = last["deliveries"].isdigit()
        deliveries = f", {int(last['deliveries']):,} deliveries" if known else ""
        stuck = last["stuck"] + (" cluster" if last["stuck"] == "1" else " clusters")
        sentences.append(
            f"The simulator's last campaign ({int(last['seeds']):,} seeds, "
            f"{float(last['sim_hours']):.0f} cluster-hours{deliveries}, each step judged by the "
            f"oracle) ended with {last['violations']} violations "
            f"and {stuck} that did not come to rest as promised. The seeds that "
            f"failed at {last['commit']}: {last.get('failing', 'not kept').replace(',', ', ')}; "
            "`anasazi-sim replay SEED` tells the story of one.")
    if good_rows("domains"):
        sentences.append(
            f"{count('domains', 'seeds')} seeds of engines in several domains, with "
            f"{count('domains', 'forwards')} messages over bridges, broke no promise.")
    if planted:
        sentences.append(f"Of {planted[-1]['planted']} bugs planted on purpose the simulator finds "
                         f"{planted[-1]['caught']}.")
    if good_rows("chaos"):
        sentences.append(
            f"{count('chaos', 'rounds')} rounds of faults on five real daemons in network "
            f"namespaces had no violation, judged by the oracle.")
    if fuzzed := good_rows("fuzz"):
        # What ran when there were fewer targets says nothing of the others.
        targets = fuzzed[-1]["targets"]
        executions = sum(int(row["executions"]) for row in fuzzed if row["targets"] == targets)
        sentences.append(f"{executions:,} executions of the {targets} fuzz targets ended in no "
                         f"crash.")
    return " ".join(sentences)


def wrap(text, width=100):
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines, line = [*lines, line], word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def readme(check):
    text = README.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    new = f"{before}{BEGIN}\n{wrap(figures())}\n{END}{after}"
    if new == text:
        return 0
    if check:
        print("README.md: its figures are not those of docs/RELIABILITY.md: run "
              "`tests/soak/soak.py readme`", file=sys.stderr)
        return 1
    README.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
