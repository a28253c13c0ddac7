#!/usr/bin/env python3
"""What strangers do to a sealed cluster, and two clusters with different keys to each other.

    strangers.py --release DIRECTORY [--json FILE] [--rounds N]

Two hosts (network namespaces on one bridge, so root's), with a daemon of three clusters on each:
two use one multicast address and have different keys, the third has an address of its own. Two
clusters send paced messages while 100,000 datagrams a second come to their address from somebody
else: with a third key, and with the header of one of their own datagrams. As many to a port where
nobody listens show what is only the machine's. Then one cluster sends as much as it can while the
first one sends paced messages: a cluster with the same address, and for comparison the one with
another. All kinds take turns in each round. Exit status: 0 if all members always had the same order
and no configuration changed, 1 if not."""

import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from statistics import median

import floods
from bench import compile_c, compile_member, options_of, run_main, say, write
from clusters import cpu_s
from hosts import Namespaces, Trouble
from sealed import WithSeal

HOSTS, SECONDS, RATE = 2, 5, 100_000
PACED = {"length": 256, "rate": 100, "safe": False, "one": False}
FLOOD = {"length": 1024, "rate": 0, "safe": False, "one": False}
# As a stranger's key of the same number has it.
STRANGE_HINT = "deadbeef"
# Where in the header whose datagram it is stands, and which one of his.
BOOT_AT, COUNTER_AT = 8, 32


@dataclass
class Kind:
    """What comes to the clusters' address meanwhile: datagrams of strangers to this port, with this
    in front and a number there that changes; or all that another cluster can send."""

    what: str
    port: int = 0
    header: str = ""
    number_at: int = COUNTER_AT
    floods: WithSeal = None


def main():
    arguments = options_of(__doc__, rounds=5)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid():
        sys.exit("strangers.py makes hosts of its own (network namespaces): run it as root")
    with tempfile.TemporaryDirectory(prefix="anasazi-strangers-") as place:
        place = pathlib.Path(place)
        hosts = Namespaces(HOSTS)
        clusters = []
        try:
            clusters = all_clusters(arguments, hosts, place)
            compile_c("strangers.c", place / "strangers")
            for cluster in clusters:
                cluster.start()
            rings = [ring(cluster) for cluster in clusters]
            rows = measure_all(arguments, clusters, place)
            changes = sum(ring(c) != before for c, before in zip(clusters, rings))
        finally:
            for cluster in clusters:
                cluster.stop()
            hosts.remove()
    best = [summary(rows, name) for name in dict.fromkeys((r["cluster"], r["what"]) for r in rows)]
    print("\n".join([*map(line, best), f"changes={changes}"]), flush=True)
    write(arguments, {"rows": rows, "best": best, "changes": changes})
    return 0 if all(row["same_order"] for row in rows) and not changes else 1


def all_clusters(arguments, hosts, place):
    """Two at one address with different keys, and one at another."""
    clusters = []
    for name in ("first", "second", "elsewhere"):
        (place / name).mkdir()
        cluster = WithSeal(place / name, hosts, arguments.release, "aead")
        cluster.name = name
        if name == "second":
            # Nothing but the key tells them apart.
            cluster.group_port, cluster.cluster = clusters[0].group_port, clusters[0].cluster
        compile_member("flood.c", cluster, place, arguments)
        clusters.append(cluster)
    return clusters


def ring(cluster):
    """The ring of all members, once all say that they are in it."""
    limit = time.monotonic() + 30
    while True:
        rings = [cluster.asked(index, ["status"])["ring"] for index in range(HOSTS)]
        ids = {one["id"] for one in rings}
        if len(ids) == 1 and all(len(one["members"]) == HOSTS for one in rings):
            return ids.pop()
        if time.monotonic() > limit:
            raise Trouble(f"{cluster.name} is not in one ring: {json.dumps(rings)}")
        time.sleep(0.1)


def measure_all(arguments, clusters, place):
    first, second, elsewhere = clusters
    hosts, boot = first.hosts, os.urandom(16).hex()
    hint, port = hint_on_the_network(first), first.group_port
    kinds = [
        Kind("nobody"),
        Kind("strangers to another port", free_port(hosts), header(hint, boot)),
        Kind("strangers with another key", port, header(STRANGE_HINT, boot)),
        Kind("strangers with our header, one boot", port, header(hint, boot)),
        Kind("strangers with our header, many boots", port, header(hint, boot), BOOT_AT),
        Kind("a cluster with another address", floods=elsewhere),
        Kind("a cluster with another key", floods=second),
    ]
    rows = []
    for number in range(arguments.rounds):
        turns = number % len(kinds)
        for kind in kinds[turns:] + kinds[:turns]:
            measured = [first] if kind.floods else [first, second]
            of_kind = beside(measured, kind, place / "strangers")
            rows += of_kind
            say(f"round {number + 1}: " + "; ".join(map(line, of_kind)))
    return rows


def beside(measured, kind, stranger):
    """Messages of clusters, and processor time of a daemon of each, while something else comes."""
    hosts, sender, seconds = measured[0].hosts, None, SECONDS + 2
    if kind.port:
        command = [str(stranger), "239.192.77.1", str(kind.port), Namespaces.address(HOSTS - 1),
                   kind.header, str(kind.number_at), str(RATE), str(seconds)]
        sender = subprocess.Popen(hosts.command(HOSTS - 1, command), stdout=subprocess.PIPE,
                                  text=True)
    pids = [cluster.daemons[0].pid for cluster in measured]
    before, started = [cpu_s(pid) for pid in pids], time.monotonic()
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            flood = kind.floods and pool.submit(floods.measure, kind.floods, FLOOD, SECONDS)
            runs = list(pool.map(lambda c: floods.measure(c, PACED, SECONDS), measured))
            took = time.monotonic() - started
            shares = [(cpu_s(pid) - was) / took for pid, was in zip(pids, before)]
            sent_s = flood.result()["messages_s"] if flood else 0
    finally:
        sent = int(sender.communicate()[0]) if sender else 0
    return [{"cluster": cluster.name, "what": kind.what, "sent_s": sent_s or sent / seconds,
             "cpu": share, **run} for cluster, share, run in zip(measured, shares, runs)]


def summary(rows, name):
    """The medians of all rounds of one kind."""
    of = [row for row in rows if (row["cluster"], row["what"]) == name]
    figures = {key: median(row[key] for row in of) for key in ("sent_s", "cpu", "p50_us", "p99_us")}
    return {"cluster": name[0], "what": name[1], "rounds": len(of), **figures}


def header(hint, boot):
    """What stands in front of a sealed datagram: key 1, AES-256-GCM, for all."""
    return f"b1010001{hint}{boot}{bytes(16).hex()}"


def free_port(hosts):
    script = "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n" \
             "s.bind(('',0))\nprint(s.getsockname()[1])"
    return int(subprocess.run(hosts.command(0, [sys.executable, "-c", script]), check=True,
                              capture_output=True, text=True).stdout)


def hint_on_the_network(cluster):
    """The beginning of a datagram of the cluster's, as anybody can see it."""
    hosts, index = cluster.hosts, HOSTS - 1
    ours = [address.split(":")[1] for address in cluster.addresses]
    script = ("import socket,struct,sys\n"
              "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
              "s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n"
              f"s.bind(('239.192.77.1',{cluster.group_port}))\n"
              "s.setsockopt(socket.IPPROTO_IP,socket.IP_ADD_MEMBERSHIP,"
              "socket.inet_aton('239.192.77.1')"
              f"+socket.inet_aton('{Namespaces.address(index)}'))\n"
              "s.settimeout(20)\n"
              "while True:\n"
              " bytes,(_,port)=s.recvfrom(2048)\n"
              f" if str(port) in {ours}: break\n"
              "print(bytes[4:8].hex())\n")
    return subprocess.run(hosts.command(index, [sys.executable, "-c", script]), check=True,
                          capture_output=True, text=True).stdout.strip()


def line(row):
    sent = f", {row['sent_s']:,.0f}/s" if row["sent_s"] else ""
    return (f"{row['cluster']}, beside {row['what']}{sent}: a daemon takes {row['cpu']:.1%} of a "
            f"core; p50 {row['p50_us']:,.0f} us, p99 {row['p99_us']:,.0f} us")


if __name__ == "__main__":
    run_main(main)
