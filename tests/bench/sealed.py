#!/usr/bin/env python3
"""What a seal costs, and what strangers do.

    sealed.py --release DIRECTORY [--json FILE] [--quick]

Four hosts (network namespaces on one bridge, so root's). Clusters with each mode of seal.mode take
turns, beside Corosync with aes256 and sha256 where that is installed: as many messages as it takes,
and paced ones for what a seal adds to their latency. Then a stranger sends 100,000 datagrams a second
to the multicast group of a cluster, with a key of its own, and with the header of one that is ours:
what that costs in processor time of a daemon, and what it does to the cluster's messages.
Exit status: 0 if all members always had the same order, 1 if not."""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import floods
from bench import HERE, compile_c, compile_member, of_ours, say, write
from clusters import Anasazi, Corosync, cpu_s
from hosts import Namespaces, Trouble

HOSTS = 4
LENGTHS = (64, 1024, 65536)
PACE, PACED_LEN = 1000, 256
STRANGERS_S, STRANGERS_RATE = 5, 100_000
# A header as a stranger's with a key of the same number has it, and as one of ours has it.
STRANGE_HINT = "deadbeef"


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
            "status"]), check=True, capture_output=True, text=True).stdout
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
        clusters = []
        try:
            clusters = start_all(arguments, hosts, place)
            rows = measure_all(arguments, clusters)
            strangers = measure_strangers(arguments, clusters, hosts, place)
        finally:
            for cluster in clusters:
                cluster.stop()
            hosts.remove()
    print("\n".join([floods.HEADINGS, *map(floods.line, rows), "", *ratios(rows),
                     *map(strangers_line, strangers)]), flush=True)
    write(arguments, {"rows": rows, "strangers": strangers})
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
    return arguments


def start_all(arguments, hosts, place):
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
        say(f"starting {cluster.name}")
        cluster.start()
    return clusters


def measure_all(arguments, clusters):
    """Each row is the best of several rounds, in which the clusters take turns."""
    tests = [{"length": length, "rate": 0, "safe": False, "one": False} for length in LENGTHS]
    tests.append({"length": PACED_LEN, "rate": PACE, "safe": False, "one": False})
    rows = []
    for test in tests:
        runs = {cluster.name: [] for cluster in clusters}
        for number in range(arguments.rounds):
            for cluster in clusters:
                run = floods.measure(cluster, test, arguments.seconds)
                runs[cluster.name].append(run)
                say(f"{test['length']} B, round {number + 1}, {cluster.name}: "
                    f"{run['messages_s']:,.0f}/s, p50 {run['p50_us']:,.0f} us")
        for cluster in clusters:
            rows.append({"cluster": cluster.name, **test, **floods.best(test, runs[cluster.name])})
    return rows


def ratios(rows):
    """What each costs beside no seal, and is beside Corosync."""
    lines = []
    for row in rows:
        same = [r for r in rows if (r["length"], r["rate"]) == (row["length"], row["rate"])]
        of = {r["cluster"]: r for r in same}
        if row["cluster"] not in ("aead", "integrity"):
            continue
        if row["rate"]:
            added = row["p50_us"] - of["checksum"]["p50_us"]
            lines.append(f"{row['cluster']}: {added:+.1f} us at p50, {row['rate']}/s of each")
            continue
        beside = row["messages_s"] / of["checksum"]["messages_s"]
        line = f"{row['cluster']}, {row['length']} B: {beside:.2f} of what is not sealed"
        if "corosync aes" in of:
            line += f", {row['messages_s'] / of['corosync aes']['messages_s']:.1f} x Corosync"
        lines.append(line)
    return lines


def measure_strangers(arguments, clusters, hosts, place):
    """A flood from the last host, against the sealed cluster's group."""
    cluster = next(c for c in clusters if c.name == "aead")
    stranger = place / "strangers"
    compile_c("strangers.c", stranger)
    boot = os.urandom(16).hex()
    # The hint of ours stands on the network for all to see; here it is asked for.
    kinds = {"none": None, "another key": f"b1010001{STRANGE_HINT}{boot}",
             "our header": f"b1010001{hint_on_the_network(cluster)}{boot}"}
    rows = []
    for what, header in kinds.items():
        before, started = cpu_s(cluster.daemons[0].pid), time.monotonic()
        sender = None
        if header:
            command = [str(stranger), "239.192.77.1", str(cluster.group_port),
                       Namespaces.address(HOSTS - 1), header, str(STRANGERS_RATE),
                       str(STRANGERS_S + 2)]
            sender = subprocess.Popen(hosts.command(HOSTS - 1, command), stdout=subprocess.PIPE,
                                      text=True)
        try:
            test = {"length": PACED_LEN, "rate": 100, "safe": False, "one": False}
            run = floods.measure(cluster, test, STRANGERS_S)
            share = (cpu_s(cluster.daemons[0].pid) - before) / (time.monotonic() - started)
        finally:
            sent = int(sender.communicate()[0]) if sender else 0
        rows.append({"strangers": what, "sent_s": sent / (STRANGERS_S + 2), "cpu": share, **run})
        say(strangers_line(rows[-1]))
    views = {json.dumps(cluster.keys(index)["members"]) for index in range(HOSTS)}
    if len(views) != 1:
        raise Trouble("the members of the sealed cluster do not agree any more")
    return rows


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
