#!/usr/bin/env python3
"""What a sick host costs those that do not share a domain with it.

    domains.py --release DIRECTORY [--json FILE] [--plots DIRECTORY] [--pairs N]

Four hosts (network namespaces on one bridge, so root's): three in domain `fast`, all four in domain
`slow`, a program at a steady pace in each. The fourth host is well for a while, and then sick for as
long: its link carries 1 Mbit/s and loses a tenth of all packets, and its processes are stopped for
two seconds of every ten. Such pairs alternate, and what is compared is `fast` in one half and in the
other half of the same pair: the 95 % interval of the mean ratio of p50 and of p99 is to stay within 1.05
and 1.10, and `fast` is to have no view in all that time.

Beside it the same programs with everything in one domain, and in Corosync where that is installed:
fewer pairs, since nobody doubts the outcome. Exit status: 0 if it holds, 1 if not."""

import argparse
import json
import math
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from bench import HERE, compile_member, say, write
from clusters import Anasazi, Corosync
from hosts import Namespaces, Trouble

HOSTS, SICK = 4, 3
LEN = 256
# Messages a second of each member: what 1 Mbit/s still carries of the slow ones.
RATES = {"fast": 500, "slow": 20}
HALF_S, SETTLE_S = 10, 2
STOP_AFTER_S, STOP_S = 3, 2
MBIT_S, LOSS_PERMILLE = 1, 100
MEET_S_MAX = 40
P50_MAX, P99_MAX = 1.05, 1.10
# The 97.5 % quantile of Student's distribution, by degrees of freedom; 2.1 for all between.
STUDENT = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 9: 2.26, 11: 2.20,
           19: 2.093, 29: 2.045}


class Domains(Anasazi):
    """Two domains: hosts 1 to 3 in `fast`, all in `slow`."""

    name = "domains"
    groups = {"fast": "fast/bench", "slow": "slow/bench"}

    def _config(self, index):
        config = super()._config(index)
        with open(config, "a", encoding="utf-8") as file:
            if index != SICK:
                file.write('[domain.fast]\npreset = "lan"\n')
            file.write('[domain.slow]\npreset = "mobile"\n')
        return config


class OneDomain(Anasazi):
    """All in `default`."""

    name = "one domain"
    groups = {"fast": "fast", "slow": "slow"}


class OneRing(Corosync):
    """As it is."""

    groups = {"fast": "fast", "slow": "slow"}


class Member:
    """A program at a steady pace, and what it said."""

    def __init__(self, cluster, index, kind):
        environment = {**cluster.environment(index), "BENCH_GROUP": cluster.groups[kind]}
        command = [str(word) for word in (cluster.program, index + 1, LEN, RATES[kind])]
        self.what = f"{cluster.name}: the member in {kind} on host {index + 1}"
        self.index, self.kind, self.seconds = index, kind, []
        self.process = subprocess.Popen(
            cluster.hosts.command(index, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.seconds.append(json.loads(line))

    def check(self):
        if self.process.poll() is not None:
            raise Trouble(f"{self.what} ended: {self.process.stderr.read().strip()}")

    def between(self, start_ns, end_ns):
        """The seconds that lie within."""
        return [s for s in list(self.seconds) if start_ns + 10**9 <= s["ns"] <= end_ns]

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Patient:
    """The fourth host, and what is done to it."""

    def __init__(self, cluster, members):
        self.hosts = cluster.hosts
        self.pids = [cluster.daemons[SICK].pid,
                     *(m.process.pid for m in members if m.index == SICK)]

    def sicken(self, sick):
        self.hosts.narrow(SICK, MBIT_S if sick else None)
        self.hosts.lose(LOSS_PERMILLE if sick else 0, only=SICK)

    def halt(self, halted):
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP if halted else signal.SIGCONT)

    def live(self, sick):
        """Half a pair; returns what it began and ended at."""
        self.sicken(sick)
        time.sleep(SETTLE_S)
        start_ns = time.monotonic_ns()
        time.sleep(STOP_AFTER_S)
        if sick:
            self.halt(True)
        try:
            time.sleep(STOP_S)
        finally:
            if sick:
                self.halt(False)
        time.sleep(HALF_S - STOP_AFTER_S - STOP_S)
        return start_ns, time.monotonic_ns()


def figures(members, kind, span):
    """Of all members of a kind: percentiles of all their messages."""
    counted, views, messages = {}, 0, 0
    for member in members:
        if member.kind != kind:
            continue
        for second in member.between(*span):
            views += second["views"]
            messages += second["messages"]
            for ns, count in second["latencies"]:
                counted[ns] = counted.get(ns, 0) + count
    return {"p50_us": percentile(counted, 0.5), "p99_us": percentile(counted, 0.99),
            "messages": messages, "views": views}


def percentile(counted, share):
    wanted, seen = sum(counted.values()) * share, 0
    for ns in sorted(counted):
        seen += counted[ns]
        if seen >= wanted:
            return ns / 1000
    return math.nan


def interval(ratios):
    """The geometric mean, and the 95 % interval of it. Without a bound where nothing at all came in
    some halves, in which there is nothing to be compared."""
    if any(math.isnan(ratio) for ratio in ratios):
        return [math.inf, None, None]
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return [math.exp(mean), None, None]
    freedom = len(logs) - 1
    quantile = STUDENT[max(known for known in STUDENT if known <= freedom)]
    half = quantile * statistics.stdev(logs) / math.sqrt(len(logs))
    return [math.exp(mean), math.exp(mean - half), math.exp(mean + half)]


def measure(cluster, pairs):
    """All pairs of one cluster."""
    members, measured = [], []
    cluster.start()
    try:
        for kind, hosts in (("fast", range(SICK)), ("slow", range(HOSTS))):
            members += [Member(cluster, index, kind) for index in hosts]
        meet(members)
        patient = Patient(cluster, members)
        for number in range(pairs):
            # Either half may come first: what the machine does beside it drifts.
            order = (False, True) if number % 2 else (True, False)
            spans = {sick: patient.live(sick) for sick in order}
            for member in members:
                if member.kind == "fast":
                    member.check()
            halves = {("sick" if sick else "well"): {kind: figures(members, kind, span)
                      for kind in RATES} for sick, span in spans.items()}
            measured.append(halves)
            say(f"{cluster.name}: pair {number + 1} of {pairs}: {told(halves)}")
        patient.sicken(False)
    finally:
        for member in members:
            member.stop()
        cluster.stop()
    return {"cluster": cluster.name, "pairs": measured, **compared(measured)}


def meet(members):
    """Until all have been delivered what all of them send."""
    limit = time.monotonic() + MEET_S_MAX
    while time.monotonic() < limit:
        for member in members:
            member.check()
        rates = {kind: rate * sum(m.kind == kind for m in members) for kind, rate in RATES.items()}
        if all(m.seconds and m.seconds[-1]["messages"] > 0.9 * rates[m.kind] for m in members):
            return
        time.sleep(0.2)
    raise Trouble(f"{members[0].what}: not all members came")


def compared(measured):
    ratios = {what: [pair["sick"]["fast"][what] / pair["well"]["fast"][what] for pair in measured]
              for what in ("p50_us", "p99_us")}
    return {"ratios": {what: interval(each) for what, each in ratios.items()},
            "views": sum(half["fast"]["views"] for pair in measured for half in pair.values())}


def told(halves):
    def one(kind):
        figures = [halves[half][kind] for half in ("well", "sick")]
        return (f"{kind} p50 {figures[0]['p50_us']:,.0f} and {figures[1]['p50_us']:,.0f} us, "
                f"p99 {figures[0]['p99_us']:,.0f} and {figures[1]['p99_us']:,.0f}")
    return f"{one('fast')}; {one('slow')}"


def line(result):
    def ratio(what):
        mean, low, high = result["ratios"][what]
        if math.isinf(mean):
            return "without bound"
        return f"{mean:.3f}" + (f" ({low:.3f} to {high:.3f})" if low else "")
    return (f"{result['cluster']:10} {len(result['pairs']):3} pairs: sick beside well, p50 "
            f"{ratio('p50_us')}, p99 {ratio('p99_us')}; {result['views']} views")


def verdict(result):
    """Why it does not hold, if it does not."""
    reasons = []
    for what, most in (("p50_us", P50_MAX), ("p99_us", P99_MAX)):
        high = result["ratios"][what][2]
        if high is None:
            reasons.append(f"{what[:3]}: no interval, of one pair or with nothing in a half")
        elif high > most:
            reasons.append(f"{what[:3]} is within {high} of what it was, {most} are allowed")
    if result["views"]:
        reasons.append(f"fast had {result['views']} views, none are allowed")
    return reasons


def make_clusters(arguments, hosts, place):
    clusters = []
    for kind in (Domains, OneDomain):
        folder = place / kind.__name__
        folder.mkdir()
        clusters.append(kind(folder, hosts, arguments.release))
    obstacle = Corosync.obstacle(hosts)
    if obstacle:
        say(f"without Corosync: {obstacle}")
    else:
        clusters.append(OneRing(place, hosts))
    for cluster in clusters:
        compile_member("pace.c", cluster, place, arguments)
    return clusters


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=pathlib.Path, required=True,
                        help="directory with anasazid and libanasazi.so")
    parser.add_argument("--include", type=pathlib.Path, default=HERE.parent.parent / "include")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there, too")
    parser.add_argument("--plots", type=pathlib.Path, help="draw them into this directory")
    parser.add_argument("--pairs", type=int, default=60, help="of the domains (60)")
    parser.add_argument("--others", type=int, default=5, help="pairs of all others (5)")
    arguments = parser.parse_args()
    arguments.release = arguments.release.resolve()
    return arguments


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin_s = time.monotonic()
    if os.geteuid():
        sys.exit("domains.py makes hosts of its own (network namespaces): run it as root")
    results = []
    with tempfile.TemporaryDirectory(prefix="anasazi-bench-") as place:
        hosts = Namespaces(HOSTS, snooping=True)
        try:
            for cluster in make_clusters(arguments, hosts, pathlib.Path(place)):
                pairs = arguments.pairs if isinstance(cluster, Domains) else arguments.others
                if not pairs:
                    continue
                say(f"starting {cluster.name}")
                results.append(measure(cluster, pairs))
        finally:
            hosts.remove()
    print("\n".join(["", *map(line, results), ""]), flush=True)
    reasons = verdict(results[0])
    write(arguments, {"hosts": HOSTS, "rates": RATES, "domains": results, "reasons": reasons})
    say(f"took {time.monotonic() - begin_s:,.0f} s")
    for reason in reasons:
        print(f"FAILED: {reason}", flush=True)
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
