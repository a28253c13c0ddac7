#!/usr/bin/env python3
"""What many domains of one engine carry together, beside one that carries the same; and what is left
of a domain that is added to a daemon and removed again, a thousand times.

    many.py --release DIRECTORY [--json FILE] [--rounds N]

Two hosts (network namespaces on one bridge, so root's), an engine with 16 domains on each, and 16
programs on each that send as much as they can: all in groups of `default`, and each in a domain of its
own, in turns. The sums of what they deliver are compared; 0.8 is the least. Then a domain comes and
goes at both hosts, and the memory, descriptors and threads of a daemon are compared with those after
the first times. Exit status: 0 if that is reached, nothing has leaked, and all members always had
the same order, 1 if not."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import floods
from bench import compile_member, options_of, run_main, say, write
from clusters import Anasazi, memory
from hosts import Namespaces

HOSTS, DOMAINS = 2, 16
LEN, SECONDS, WINDOW = 1024, 3, 500
LEAST = 0.8
# How often a domain comes and goes, how often before that is compared, since records of what happened
# fill their room once, and what may be kept each time.
ADDITIONS, ADDITIONS_BEFORE, KEPT_MAX = 1000, 200, 1024


class Many(Anasazi):
    """16 domains on each host, `default` among them."""

    name = "many"

    def _config(self, index):
        config = super()._config(index)
        with open(config, "a", encoding="utf-8") as file:
            for number in range(2, DOMAINS + 1):
                file.write(f"[domain.d{number}]\n")
        return config

    def at(self, index):
        """Options of the console for this host."""
        return ["--url", f"shm:{self._socket(index)}"]


def flood(cluster, groups):
    """One program on each host for each group; what all deliver together."""
    programs = []
    try:
        for group in groups:
            for host in range(HOSTS):
                command = [cluster.program, host, HOSTS, LEN, SECONDS, 0, WINDOW]
                programs.append((group, subprocess.Popen(
                    cluster.hosts.command(host, [str(word) for word in command]),
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    text=True, env={**cluster.environment(host), "BENCH_GROUP": group})))
        limit = time.monotonic() + SECONDS + floods.SETTLE_S_MAX
        reports = [(group, floods.result(cluster, program, limit)) for group, program in programs]
    finally:
        for _, program in programs:
            if program.poll() is None:
                program.kill()
                program.wait()
    of = {group: [r for name, r in reports if name == group] for group in groups}
    each = [floods.figures(of[group], 0) for group in groups]
    return {"messages_s": sum(one["messages_s"] for one in each),
            "least_s": min(one["messages_s"] for one in each),
            "same_order": all(one["same_order"] for one in each)}


def use(pid):
    """What a process has of what can leak."""
    tasks, descriptors = (sum(1 for _ in pathlib.Path(f"/proc/{pid}/{of}").iterdir())
                          for of in ("task", "fd"))
    return {"kib": memory(pid)["own"], "descriptors": descriptors, "threads": tasks}


def add_and_remove(cluster):
    """What a daemon has before and after."""
    def ask(*words):
        for index in range(HOSTS):
            subprocess.run(cluster.hosts.command(index, [
                str(cluster.release / "anasazi"), *cluster.at(index), *words]),
                check=True, capture_output=True)
    pid, uses = cluster.daemons[0].pid, []
    for number in range(ADDITIONS_BEFORE + ADDITIONS):
        if number == ADDITIONS_BEFORE:
            uses.append(use(pid))
        # Every second time with a thread of its own.
        ask("domains", "add", "passing", f"turn.thread={str(number % 2 == 1).lower()}")
        ask("send", "passing/group", "a session with a group and a message")
        ask("domains", "remove", "passing")
        if number % 100 == 99:
            say(f"{number + 1} domains have come and gone: {use(pid)}")
    return [*uses, use(pid)]


def main():
    arguments = options_of(__doc__, rounds=3)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid():
        sys.exit("many.py makes hosts of its own (network namespaces): run it as root")
    together = [f"g{number}" for number in range(1, DOMAINS + 1)]
    apart = ["g1", *(f"d{number}/g" for number in range(2, DOMAINS + 1))]
    runs = {"one domain": [], "16 domains": []}
    with tempfile.TemporaryDirectory(prefix="anasazi-bench-") as place:
        hosts = Namespaces(HOSTS)
        cluster = Many(pathlib.Path(place), hosts, arguments.release)
        try:
            compile_member("flood.c", cluster, pathlib.Path(place), arguments)
            cluster.start()
            for number in range(arguments.rounds):
                for name, groups in (("one domain", together), ("16 domains", apart)):
                    run = flood(cluster, groups)
                    runs[name].append(run)
                    say(f"round {number + 1}, {name}: {run['messages_s']:,.0f} messages/s at each "
                        f"host, {run['least_s']:,.0f} in the least of them")
            before, after = add_and_remove(cluster)
        finally:
            cluster.stop()
            hosts.remove()
    best = {name: max(all_of, key=lambda run: run["messages_s"]) for name, all_of in runs.items()}
    ratio = best["16 domains"]["messages_s"] / best["one domain"]["messages_s"]
    print(f"16 domains carry {ratio:.2f} of what one carries with the same programs", flush=True)
    kept = {what: after[what] - before[what] for what in after}
    each = kept["kib"] * 1024 / ADDITIONS
    print(f"{ADDITIONS} domains that came and went left {each:,.0f} bytes each, "
          f"{kept['descriptors']} descriptors and {kept['threads']} threads", flush=True)
    write(arguments, {"runs": runs, "ratio": ratio, "additions": ADDITIONS, "kept": kept})
    ordered = all(run["same_order"] for all_of in runs.values() for run in all_of)
    if ratio < LEAST:
        print(f"FAILED: {LEAST} is the least", flush=True)
    leaks = each > KEPT_MAX or kept["descriptors"] > 0 or kept["threads"] > 0
    if leaks:
        print(f"FAILED: {KEPT_MAX} bytes are the most, and nothing else", flush=True)
    return 0 if ratio >= LEAST and ordered and not leaks else 1


if __name__ == "__main__":
    run_main(main)
