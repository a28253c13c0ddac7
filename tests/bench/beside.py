#!/usr/bin/env python3
"""What a flood in one domain does to the messages of another domain of the same engines.

    beside.py --release DIRECTORY [--json FILE] [--rounds N]

Two hosts (network namespaces on one bridge, so root's), an engine on each, which has `default` and
`fast`. A program on each host sends at a steady pace, in turns: with nothing beside it; beside a
flood in the same domain; beside the same flood in `default` while it is in `fast`, which the same
thread turns, or which has a thread of its own (turn.thread); and beside the flood in other engines
on the same hosts, which share nothing with it but processors. Printed are the latencies at the slower
member and how long rotations of the paced domain's token took, medians of all rounds. Exit status: 0 if all members always had the same order and a domain
of its own was better than the same one in every round's p50, 1 if not."""

import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import floods
from bench import compile_member, options_of, run_main, say, write
from clusters import Anasazi
from hosts import Namespaces, Trouble

HOSTS = 2
PACED = {"group": "fast/paced", "length": 256, "rate": 500, "window": 500, "seconds": 3}
# It begins before and ends after what is measured.
FLOOD = {"group": "flood", "length": 8192, "rate": 0, "window": 500, "seconds": 6}
HEAD_START_S = 1.5
# How often an engine is asked for the last rotation, once the paced ones are at it.
ASKS_EVERY_S, ASKS_AFTER_S = 0.15, 1


class Beside(Anasazi):
    """An engine with two domains on each host."""

    def __init__(self, place, hosts, release, has_thread):
        self.name, self.has_thread = "own thread" if has_thread else "one thread", has_thread
        super().__init__(place, hosts, release)

    def _config(self, index):
        config = super()._config(index)
        with open(config, "a", encoding="utf-8") as file:
            file.write(f"[domain.fast]\nturn.thread = {str(self.has_thread).lower()}\n")
        return config

    def rotation_us(self, domain):
        """How long the last rotation of a domain's token took at the first host."""
        out = subprocess.run(self.hosts.command(0, [
            str(self.release / "anasazi"), "--url", f"shm:{self._socket(0)}", "--json", "domains"]),
            check=True, capture_output=True, text=True).stdout
        of = next(one for one in json.loads(out)["domains"] if one["name"] == domain)
        return of["ring"]["rotation_us"]


@contextlib.contextmanager
def rotations(cluster, domain):
    """What it says meanwhile."""
    all_us, is_over = [], threading.Event()

    def ask():
        wait_s = ASKS_AFTER_S
        while not is_over.wait(wait_s):
            all_us.append(cluster.rotation_us(domain) or 0)
            wait_s = ASKS_EVERY_S

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield all_us
    finally:
        is_over.set()
        thread.join()


def start(cluster, test):
    """A program on each host."""
    command = ["", HOSTS, *(test[what] for what in ("length", "seconds", "rate", "window"))]
    return [subprocess.Popen(
        cluster.hosts.command(host, [str(word) for word in (cluster.program, host, *command[1:])]),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**cluster.environment(host), "BENCH_GROUP": test["group"]}) for host in range(HOSTS)]


def measure(cluster, group, flooded):
    """The paced ones' figures, in this group, beside a flood in that cluster or nothing."""
    programs = []
    try:
        flood = start(flooded, FLOOD) if flooded else []
        programs += flood
        if flooded:
            time.sleep(HEAD_START_S)
        paced = start(cluster, {**PACED, "group": group})
        programs += paced
        limit = time.monotonic() + FLOOD["seconds"] + floods.SETTLE_S_MAX
        domain = "fast" if group.startswith("fast/") else "default"
        with rotations(cluster, domain) as rotations_us:
            run = floods.figures([floods.result(cluster, p, limit) for p in paced], 0)
        if flooded and any(p.poll() is not None for p in flood):
            raise Trouble("the flood was over before what it is measured beside")
        beside = [floods.result(cluster, p, limit) for p in flood]
    finally:
        for program in programs:
            if program.poll() is None:
                program.kill()
                program.wait()
    orders = [run["same_order"], *([floods.figures(beside, 0)["same_order"]] if beside else [])]
    flood_mb_s = sum(report["mb_s"] for report in beside) / HOSTS
    return {**run, "same_order": all(orders), "flood_mb_s": flood_mb_s,
            "rotation_us": statistics.median(rotations_us)}


def all_ways(clusters):
    """Name, cluster and group of the paced ones, and the cluster that is flooded, if one is."""
    one, own = clusters
    return [("nothing beside", one, PACED["group"], None),
            ("the same domain", one, "paced", one),
            ("a domain of its own", one, PACED["group"], one),
            ("a domain and a thread", own, PACED["group"], own),
            ("another engine", own, PACED["group"], one)]


def main():
    arguments = options_of(__doc__, rounds=5)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid():
        sys.exit("beside.py makes hosts of its own (network namespaces): run it as root")
    runs = {}
    with tempfile.TemporaryDirectory(prefix="anasazi-bench-") as place:
        hosts, clusters = Namespaces(HOSTS), []
        try:
            for has_thread in (False, True):
                folder = pathlib.Path(place) / str(has_thread)
                folder.mkdir()
                clusters.append(Beside(folder, hosts, arguments.release, has_thread))
                compile_member("flood.c", clusters[-1], folder, arguments)
                clusters[-1].start()
            for number in range(arguments.rounds):
                for name, cluster, group, flooded in all_ways(clusters):
                    run = measure(cluster, group, flooded)
                    runs.setdefault(name, []).append(run)
                    say(f"round {number + 1}, {name}: p50 {run['p50_us']:,.0f} us, p99 "
                        f"{run['p99_us']:,.0f}, rotation {run['rotation_us']:,.0f} us, flood "
                        f"{run['flood_mb_s']:,.0f} MB/s")
        finally:
            for cluster in clusters:
                cluster.stop()
            hosts.remove()
    print("\n".join(line(name, of) for name, of in runs.items()), flush=True)
    write(arguments, {"runs": runs})
    reasons = verdict(runs)
    for reason in reasons:
        print(f"FAILED: {reason}", flush=True)
    return 1 if reasons else 0


def line(name, runs):
    p50, p99, rotation, flood = (statistics.median(run[what] for run in runs)
                                 for what in ("p50_us", "p99_us", "rotation_us", "flood_mb_s"))
    return (f"{name:22} p50 {p50:9,.0f} us, p99 {p99:9,.0f} us, rotation {rotation:7,.0f} us, "
            f"beside {flood:5,.0f} MB/s")


def verdict(runs):
    reasons = []
    if not all(run["same_order"] for of in runs.values() for run in of):
        reasons.append("members had different orders")
    for name in ("a domain of its own", "a domain and a thread"):
        pairs = zip(runs[name], runs["the same domain"])
        if not all(apart["p50_us"] < same["p50_us"] for apart, same in pairs):
            reasons.append(f"{name} did not help in every round")
    return reasons


if __name__ == "__main__":
    run_main(main)
