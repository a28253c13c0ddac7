#!/usr/bin/env python3
"""What a seal costs.

    sealed.py --release DIRECTORY [--json FILE] [--quick]

Four hosts (network namespaces on one bridge, so root's). Clusters with each mode of seal.mode take
turns, beside Corosync with aes256 and sha256 where that is installed; each has the machine for
itself, is started for its turn and ended after it. As many messages as it takes, and paced ones, in
many short rounds, for what a seal adds to their latency.
Exit status: 0 if all members always had the same order, 1 if not."""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from random import Random
from statistics import median

import floods
from bench import HERE, compile_member, run_main, say, write
from clusters import Anasazi, Corosync
from hosts import Namespaces

HOSTS = 4
LENGTHS = (64, 1024, 65536)
PACE, PACED_LEN = 1000, 256
PACED_ROUNDS, PACED_S = 40, 1.5


class WithSeal(Anasazi):
    """One anasazid on each host, all with the same keys, if any."""

    def __init__(self, place, hosts, release, mode):
        self.name, self.mode = mode, mode
        super().__init__(place, hosts, release)

    def _seal(self):
        keys = self.place / f"{self.mode}.keys"
        if self.mode == "checksum":
            return super()._seal()
        if not keys.exists():
            subprocess.run([self.release / "anasazi", "key", "generate", keys], check=True,
                           stdout=subprocess.DEVNULL)
        return f'[seal]\nmode = "{self.mode}"\nkey_file = "{keys}"\n'

    def asked(self, index, words):
        """What a daemon answers the console."""
        out = subprocess.run(self.hosts.command(index, [
            str(self.release / "anasazi"), "--url", f"shm:{self._socket(index)}", "--json", *words]),
            check=True, capture_output=True, text=True).stdout
        return json.loads(out)


class SealedCorosync(Corosync):
    """With aes256 and sha256."""

    name = "corosync aes"

    def _crypto(self, folder):
        key = self.place / "corosync.key"
        if not key.exists():
            key.write_bytes(os.urandom(1024))
            key.chmod(0o400)
        return f" crypto_cipher: aes256\n crypto_hash: sha256\n keyfile: {key}\n"


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="anasazi-sealed-") as place:
        place = pathlib.Path(place)
        hosts = Namespaces(HOSTS)
        try:
            clusters = all_clusters(arguments, hosts, place)
            rows = measure_floods(arguments, clusters)
            rounds = measure_paced(arguments, clusters)
        finally:
            hosts.remove()
    rows += paced_rows(clusters, rounds)
    added = [added_by(mode, rounds) for mode in ("integrity", "aead")]
    print("\n".join([floods.HEADINGS, *map(floods.line, rows), "", *ratios(rows),
                     *map(added_line, added)]), flush=True)
    write(arguments, {"rows": rows, "added": added})
    return 0 if all(row["same_order"] for row in rows) else 1


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=pathlib.Path, required=True)
    parser.add_argument("--include", type=pathlib.Path, default=HERE.parent.parent / "include")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="one short round")
    arguments = parser.parse_args()
    arguments.release, arguments.plots = arguments.release.resolve(), None
    arguments.seconds, arguments.rounds = (0.7, 1) if arguments.quick else (3.0, 3)
    arguments.paced_rounds = 2 if arguments.quick else PACED_ROUNDS
    return arguments


def all_clusters(arguments, hosts, place):
    clusters = []
    for mode in ("checksum", "integrity", "aead"):
        (place / mode).mkdir()
        clusters.append(WithSeal(place / mode, hosts, arguments.release, mode))
    obstacle = Corosync.obstacle(hosts)
    if obstacle:
        say(f"without Corosync: {obstacle}")
    else:
        clusters.append(SealedCorosync(place, hosts))
    for cluster in clusters:
        compile_member("flood.c", cluster, place, arguments)
    return clusters


@contextlib.contextmanager
def running(cluster):
    cluster.start()
    try:
        yield
    finally:
        cluster.stop()


def measure_floods(arguments, clusters):
    """Each row is the best of several rounds, in which the clusters take turns."""
    tests = [{"length": length, "rate": 0, "safe": False, "one": False} for length in LENGTHS]
    runs = {(cluster.name, test["length"]): [] for cluster in clusters for test in tests}
    for number in range(arguments.rounds):
        for cluster in clusters:
            with running(cluster):
                for test in tests:
                    run = floods.measure(cluster, test, arguments.seconds)
                    runs[cluster.name, test["length"]].append(run)
                    say(f"round {number + 1}, {cluster.name}, {test['length']} B: "
                        f"{run['messages_s']:,.0f}/s")
    return [{"cluster": cluster.name, **test,
             **floods.best(test, runs[cluster.name, test["length"]])}
            for test in tests for cluster in clusters]


PACED = {"length": PACED_LEN, "rate": PACE, "safe": False, "one": False}


def measure_paced(arguments, clusters):
    """Runs of each round, by the cluster's name; who is first changes from round to round. A few
    rounds of Corosync are enough to have its latency beside ours."""
    rounds = []
    for number in range(arguments.paced_rounds):
        present = [c for c in clusters if isinstance(c, WithSeal) or number < arguments.rounds]
        turns = number % len(present)
        runs = {}
        for cluster in present[turns:] + present[:turns]:
            with running(cluster):
                runs[cluster.name] = floods.measure(cluster, PACED, PACED_S)
        rounds.append(runs)
        say(f"{PACED_LEN} B at {PACE}/s of each, round {number + 1}, p50: "
            + ", ".join(f"{name} {run['p50_us']:,.0f} us" for name, run in sorted(runs.items())))
    return rounds


def paced_rows(clusters, rounds):
    return [{"cluster": cluster.name, **PACED,
             **floods.best(PACED, [runs[cluster.name] for runs in rounds if cluster.name in runs])}
            for cluster in clusters]


def added_by(mode, rounds):
    """What it adds to the median latency of the same round: the median of all rounds, with an
    interval that holds it in 95 of 100 cases, from resampling."""
    added = [runs[mode]["p50_us"] - runs["checksum"]["p50_us"] for runs in rounds]
    random = Random(1)
    medians = sorted(median(random.choices(added, k=len(added))) for _ in range(2000))
    return {"cluster": mode, "rounds": len(rounds), "added_us": median(added),
            "from_us": medians[50], "to_us": medians[-50]}


def added_line(added):
    return (f"{added['cluster']}: {added['added_us']:+.1f} us at p50, {PACE}/s of each "
            f"({added['from_us']:+.1f} to {added['to_us']:+.1f}, {added['rounds']} rounds)")


def ratios(rows):
    """What each costs beside no seal, and is beside Corosync."""
    lines = []
    for row in rows:
        if row["rate"] or row["cluster"] not in ("aead", "integrity"):
            continue
        of = {r["cluster"]: r for r in rows if (r["length"], r["rate"]) == (row["length"], 0)}
        beside = row["messages_s"] / of["checksum"]["messages_s"]
        line = f"{row['cluster']}, {row['length']} B: {beside:.2f} of what is not sealed"
        if "corosync aes" in of:
            line += f", {row['messages_s'] / of['corosync aes']['messages_s']:.1f} x Corosync"
        lines.append(line)
    return lines


if __name__ == "__main__":
    run_main(main)
