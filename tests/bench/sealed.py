#!/usr/bin/env python3
"""What a seal costs, and what strangers do.

    sealed.py --release DIRECTORY [--json FILE] [--quick]

Four hosts (network namespaces on one bridge, so root's). Clusters with each mode of seal.mode take
turns, beside Corosync with aes256 and sha256 where that is installed; each has the machine for
itself, is started for its turn and ended after it. As many messages as it takes, and paced ones, in
many short rounds, for what a seal adds to their latency. Then a stranger sends
100,000 datagrams a second to the multicast group of a cluster, with a key of its own, and with the
header of one that is ours: what that costs in processor time of a daemon, and what it does to the
cluster's messages. As many to a port where nobody listens show what is only the machine's.
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
import time
from random import Random
from statistics import median

import floods
from bench import HERE, compile_c, compile_member, of_ours, say, write
from clusters import Anasazi, Corosync, cpu_s
from hosts import Namespaces, Trouble

HOSTS = 4
LENGTHS = (64, 1024, 65536)
PACE, PACED_LEN = 1000, 256
PACED_ROUNDS, PACED_S = 40, 1.5
STRANGERS_S, STRANGERS_RATE = 5, 100_000
# As a stranger's key of the same number has it.
STRANGE_HINT = "deadbeef"
# Where in the header whose datagram it is stands, and which one of his.
BOOT_AT, COUNTER_AT = 8, 32


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

    def keys(self, index):
        """What a daemon says of its keys."""
        out = subprocess.run(self.hosts.command(index, [
            str(self.release / "anasazi"), "--url", f"shm:{self._socket(index)}", "--json", "key",
            "status", "--domain", "default"]), check=True, capture_output=True, text=True).stdout
        return json.loads(out)["keys"]


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
            strangers = measure_strangers(clusters, hosts, place)
        finally:
            hosts.remove()
    rows += paced_rows(clusters, rounds)
    added = [added_by(mode, rounds) for mode in ("integrity", "aead")]
    print("\n".join([floods.HEADINGS, *map(floods.line, rows), "", *ratios(rows),
                     *map(added_line, added), *map(strangers_line, strangers)]), flush=True)
    write(arguments, {"rows": rows, "added": added, "strangers": strangers})
    return 0 if all(row["same_order"] for row in [*rows, *strangers]) else 1


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


def measure_strangers(clusters, hosts, place):
    """A flood from the last host, against the sealed cluster's group."""
    cluster = next(c for c in clusters if c.name == "aead")
    stranger = place / "strangers"
    compile_c("strangers.c", stranger)
    with running(cluster):
        boot, hint = os.urandom(16).hex(), hint_on_the_network(cluster)
        # Kinds: to which port, what stands in front, and where the number is that changes.
        kinds = {
            "none": None,
            "to nobody": (free_port(hosts), header(hint, boot), COUNTER_AT),
            "another key": (cluster.group_port, header(STRANGE_HINT, boot), COUNTER_AT),
            "our header, one boot": (cluster.group_port, header(hint, boot), COUNTER_AT),
            "our header, many boots": (cluster.group_port, header(hint, boot), BOOT_AT),
        }
        rows = []
        for what, kind in kinds.items():
            rows.append(measure_beside(cluster, hosts, stranger, (what, kind)))
            say(strangers_line(rows[-1]))
        views = {json.dumps(cluster.keys(index)["members"]) for index in range(HOSTS)}
    if len(views) != 1:
        raise Trouble("the members of the sealed cluster do not agree any more")
    return rows


def measure_beside(cluster, hosts, stranger, strangers):
    """Messages, and a daemon's processor time, while one kind of strangers send."""
    what, kind = strangers
    before, started = cpu_s(cluster.daemons[0].pid), time.monotonic()
    sender = None
    if kind:
        port, beginning, number_at = kind
        command = [str(stranger), "239.192.77.1", str(port), Namespaces.address(HOSTS - 1),
                   beginning, str(number_at), str(STRANGERS_RATE), str(STRANGERS_S + 2)]
        sender = subprocess.Popen(hosts.command(HOSTS - 1, command), stdout=subprocess.PIPE,
                                  text=True)
    try:
        test = {"length": PACED_LEN, "rate": 100, "safe": False, "one": False}
        run = floods.measure(cluster, test, STRANGERS_S)
        share = (cpu_s(cluster.daemons[0].pid) - before) / (time.monotonic() - started)
    finally:
        sent = int(sender.communicate()[0]) if sender else 0
    return {"strangers": what, "sent_s": sent / (STRANGERS_S + 2), "cpu": share, **run}


def header(hint, boot):
    """What stands in front of a sealed datagram: key 1, AES-256-GCM, for all."""
    return f"b1010001{hint}{boot}{bytes(16).hex()}"


def free_port(hosts):
    script = "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n" \
             "s.bind(('',0))\nprint(s.getsockname()[1])"
    return int(subprocess.run(hosts.command(0, [sys.executable, "-c", script]), check=True,
                              capture_output=True, text=True).stdout)


def hint_on_the_network(cluster):
    """The first bytes of a datagram of the cluster's, as anybody can see them."""
    hosts, index = cluster.hosts, HOSTS - 1
    script = ("import socket,struct,sys\n"
              "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
              "s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n"
              f"s.bind(('239.192.77.1',{cluster.group_port}))\n"
              "s.setsockopt(socket.IPPROTO_IP,socket.IP_ADD_MEMBERSHIP,"
              "socket.inet_aton('239.192.77.1')"
              f"+socket.inet_aton('{Namespaces.address(index)}'))\n"
              "s.settimeout(20)\n"
              "print(s.recv(2048)[4:8].hex())\n")
    return subprocess.run(hosts.command(index, [sys.executable, "-c", script]), check=True,
                          capture_output=True, text=True).stdout.strip()


def strangers_line(row):
    return (f"strangers, {row['strangers']}: {row['sent_s']:,.0f}/s; a daemon takes "
            f"{row['cpu']:.1%} of a core; messages at 100/s of each: p50 {row['p50_us']:,.0f} us, "
            f"p99 {row['p99_us']:,.0f} us")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        print(f"FAILED: {trouble}", file=sys.stderr)
        sys.exit(1)
