#!/usr/bin/env python3
"""What it costs that a domain has a thread of its own (turn.thread).

    threads.py --release DIRECTORY [--json FILE] [--rounds N]

Two pairs of daemons on loopback, one with the thread and one without, take turns: as many messages
as each takes, and paced ones. Exit status: 0 if all members always had the same order, 1 if not."""

import pathlib
import signal
import statistics
import sys
import tempfile

import floods
from bench import compile_member, options_of, run_main, say, write
from clusters import Anasazi
from hosts import Loopback

HOSTS, SECONDS = 2, 3.0
TESTS = [{"length": length, "rate": rate, "safe": False, "one": False}
         for length, rate in ((64, 0), (8192, 0), (64, 1000), (64, 100))]


class WithThread(Anasazi):
    """A daemon on each host, whose `default` has a thread of its own, or none."""

    def __init__(self, place, hosts, release, has_thread):
        self.name, self.has_thread = "own" if has_thread else "none", has_thread
        super().__init__(place, hosts, release)

    def _config(self, index):
        config = super()._config(index)
        with open(config, "a", encoding="utf-8") as file:
            file.write(f"[turn]\nthread = {str(self.has_thread).lower()}\n")
        return config


def main():
    arguments = options_of(__doc__, rounds=5)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="anasazi-threads-") as place:
        clusters = []
        try:
            for has_thread in (False, True):
                folder = pathlib.Path(place) / str(has_thread)
                folder.mkdir()
                cluster = WithThread(folder, Loopback(HOSTS), arguments.release, has_thread)
                clusters.append(cluster)
                compile_member("flood.c", cluster, folder, arguments)
                cluster.start()
            rows = [measure(test, clusters, arguments.rounds) for test in TESTS]
        finally:
            for cluster in clusters:
                cluster.stop()
    print("\n".join(map(line, rows)), flush=True)
    write(arguments, {"rows": rows})
    return 0 if all(run["same_order"] for row in rows for run in row["none"] + row["own"]) else 1


def measure(test, clusters, rounds):
    """All runs of one test, in turns."""
    row = {**test, **{cluster.name: [] for cluster in clusters}}
    for number in range(rounds):
        for cluster in clusters:
            run = floods.measure(cluster, test, SECONDS)
            row[cluster.name].append(run)
            say(f"{test['length']} B at {test['rate'] or 'any'}/s, round {number + 1}, thread: "
                f"{cluster.name}: {run['messages_s']:,.0f}/s, p50 {run['p50_us']:,.0f} us")
    return row


def line(row):
    """The medians beside each other."""
    def median(what, name):
        return statistics.median(run[what] for run in row[name])

    def beside(what):
        own, none = median(what, "own"), median(what, "none")
        return f"{own:,.0f} with, {none:,.0f} without: {own / none:.2f}"

    if row["rate"]:
        return (f"{row['length']} B at {row['rate']}/s of each: p50 in us {beside('p50_us')}; "
                f"p99 {beside('p99_us')}")
    return f"{row['length']} B: messages/s {beside('messages_s')}"


if __name__ == "__main__":
    run_main(main)
