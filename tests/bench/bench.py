#!/usr/bin/env python3
"""Measures total order multicast on this machine: as many messages as it takes, paced ones for
their latency, fail-over, many daemons, and an idle one. As root in network namespaces, else on
loopback; against Corosync where that is installed, and against the network without any protocol.
Ends only what it started.

A row is the best of several rounds, in which the clusters take turns: the machine's mood is the
same for all. Exit status: 0 if all members always had the same order, 1 if not, if a call takes
longer than is promised, or if something went wrong. Floors that are not reached are named."""

import argparse
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time

import crowds
import failover
import floods
import raw
import scale
import verdicts
from clusters import Anasazi, Corosync, InLoop, InProcess
from hosts import Loopback, Namespaces, Trouble

HERE = pathlib.Path(__file__).resolve().parent
LENGTHS = (64, 1024, 8192, 65536, 1 << 20)
PACES = (100, 1000)
PACED_LEN = 256
LOSS_PERCENT = 1
# What the best of the rounds may take.
CALLS_ROUNDS = 5
CALLS_NS_MAX = {"mcast_ns": 150, "recv_release_ns": 100}


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin_s = time.monotonic()
    calls = measure_calls(arguments)
    say(calls_line(calls))
    with tempfile.TemporaryDirectory(prefix="anasazi-bench-") as place:
        place = pathlib.Path(place)
        hosts = make_hosts(arguments)
        clusters = []
        try:
            raw_mb_s = raw.measure(hosts, place, arguments.rounds)
            say(raw_line(raw_mb_s))
            clusters = make_clusters(arguments, hosts, place)
            for cluster in clusters:
                say(f"starting {cluster.name} on {hosts.count} hosts ({hosts.what})")
                cluster.start()
            rows = measure_all(arguments, clusters)
            fail_overs = measure_fail_overs(arguments, clusters)
            idles = [scale.idle(clusters[0])]
            say(idle_line(idles[0]))
            masses, failed = measure_masses(arguments, clusters)
            program = clusters[0].program
        finally:
            for cluster in clusters:
                cluster.stop()
            hosts.remove()
        scales = measure_scale(arguments, hosts, place / "many", program)
    judged = verdicts.judge(rows, fail_overs, scales, idles)
    report = [floods.HEADINGS, *map(floods.line, rows), "", LEGEND, raw_line(raw_mb_s),
              calls_line(calls), *map(failover.line, fail_overs), *map(scale_line, scales),
              *map(crowds.line, masses), *map(idle_line, idles), "", verdicts.table(judged), ""]
    print("\n".join(report), flush=True)
    write(arguments, {"network": hosts.what, "hosts": hosts.count, "raw_mb_s": raw_mb_s,
                      "rows": rows, "fail_overs": fail_overs, "scales": scales,
                      "masses": masses, "idle": idles, "calls": calls, "verdicts": judged})
    say(f"took {time.monotonic() - begin_s:,.0f} s")
    failed += [f"{name} is {calls[name]:.0f}, {most} are allowed"
            for name, most in CALLS_NS_MAX.items() if calls[name] >= most]
    for line in failed:
        print(f"FAILED: {line}", flush=True)
    return 0 if all(row["same_order"] for row in rows) and not failed else 1


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=pathlib.Path, required=True,
                        help="directory with anasazid and libanasazi.so")
    parser.add_argument("--include", type=pathlib.Path, default=HERE.parent.parent / "include")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there, too")
    parser.add_argument("--plots", type=pathlib.Path, help="draw them into this directory")
    parser.add_argument("--quick", action="store_true", help="one short round of less")
    parser.add_argument("--rounds", type=int, help="of each row (3; quick: 1)")
    parser.add_argument("--fail-overs", type=int, help="of each kind (50, or 20 of silent hosts; "
                        "quick: 1)")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--loopback", action="store_true", help="no namespaces, even as root")
    arguments = parser.parse_args()
    arguments.release = arguments.release.resolve()
    arguments.seconds = 0.7 if arguments.quick else 3.0
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    if arguments.quick:
        arguments.fail_overs = arguments.fail_overs or 1
    arguments.daemons, arguments.clients, arguments.rush, arguments.groups, arguments.spread = (
        (8, 200, 100, 1000, 20_000) if arguments.quick else (32, 1000, 100, 10_000, 100_000))
    return arguments


def make_hosts(arguments):
    if os.geteuid() or arguments.loopback:
        return Loopback(arguments.nodes)
    try:
        return Namespaces(arguments.nodes)
    except (OSError, Trouble) as trouble:
        say(f"no namespaces, so on loopback: {trouble}")
        return Loopback(arguments.nodes)


def make_clusters(arguments, hosts, place):
    clusters = [Anasazi(place, hosts, arguments.release)]
    for kind in (InProcess, InLoop):
        (place / kind.name).mkdir()
        clusters.append(kind(place / kind.name, hosts, arguments.release))
    obstacle = Corosync.obstacle(hosts)
    if obstacle:
        say(f"without Corosync: {obstacle}")
    else:
        clusters.append(Corosync(place, hosts))
    for cluster in clusters:
        compile_member("flood.c", cluster, place, arguments)
    clusters[0].crowd = place / "crowd"
    compile_c("crowd.c", clusters[0].crowd, "-I", arguments.include, *of_ours(arguments))
    return clusters


def compile_member(source, cluster, place, arguments):
    """The program that runs on each host of a cluster."""
    cluster.program = place / f"{pathlib.Path(source).stem}-{cluster.name.replace(' ', '-')}"
    library = ["-lcpg"] if isinstance(cluster, Corosync) else of_ours(arguments)
    compile_c(source, cluster.program, f'-DBACKEND="{cluster.backend}"', "-I", arguments.include,
              *library)


def of_ours(arguments):
    return ["-L", arguments.release, "-lanasazi", f"-Wl,-rpath,{arguments.release}"]


def compile_c(source, program, *words):
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror",
                    HERE / source, "-o", program, *words, "-lpthread"], check=True, timeout=120)


def measure_calls(arguments):
    """What single calls and sessions cost, with the engine in the program's own process."""
    with tempfile.TemporaryDirectory(prefix="anasazi-bench-") as place:
        program = pathlib.Path(place) / "calls"
        compile_c("calls.c", program, "-I", arguments.include, *of_ours(arguments))
        runs = [json.loads(subprocess.run([program], check=True, timeout=120, text=True,
                                          stdout=subprocess.PIPE).stdout)
                for _ in range(CALLS_ROUNDS)]
    # Each figure's best, with what was measured beside it: others only make them worse.
    best = dict(runs[0])
    for what in ("mcast", "recv_release"):
        run = min(runs, key=lambda run: run[f"{what}_ns"])
        best.update({name: run[name] for name in (f"{what}_ns", f"{what}_ratio")})
    return best


def plan(quick):
    """What is sent, and by which clusters. What is compared with each other stands together, and is
    measured in turns."""
    everybody, both, ours = (
        ("anasazi", "in-process", "in-loop", "corosync"), ("anasazi", "corosync"), ("anasazi",))
    test = {"rate": 0, "safe": False, "one": False}
    for length in LENGTHS:
        agreed = {**test, "length": length}
        names = everybody if length in (64, 1024) else both
        yield [(agreed, names), ({**agreed, "safe": True}, ours)]
    for length in (1024,) if quick else (1024, 65536):
        yield [({**test, "length": length, "one": True}, both)]
    for rate in PACES:
        yield [({**test, "length": PACED_LEN, "rate": rate}, everybody)]


def measure_all(arguments, clusters):
    tests = list(plan(arguments.quick))
    rows = []
    for number, together in enumerate(tests, start=1):
        pairs = [(test, cluster) for test, names in together for cluster in clusters
                 if cluster.name in names]
        for row in measure_in_turns(arguments, pairs):
            rows.append(row)
            say(f"[{number}/{len(tests)}] {floods.line(row)}")
    hosts = clusters[0].hosts
    if not hosts.can_filter:
        say(f"without lost packets and silent hosts: {hosts.what}, or no nft (Debian: nftables)")
    else:
        hosts.lose(10 * LOSS_PERCENT)
        try:
            test = {"length": 1024, "rate": 0, "safe": False, "one": False}
            row = measure_in_turns(arguments, [(test, clusters[0])])[0]
            rows.append({**row, "loss": LOSS_PERCENT})
            say(floods.line(rows[-1]))
        finally:
            hosts.lose(0)
    return rows


def measure_in_turns(arguments, pairs):
    """A row for each test and cluster."""
    rounds = [[floods.measure(cluster, test, arguments.seconds) for test, cluster in pairs]
              for _ in range(arguments.rounds)]
    return [{"cluster": cluster.name, **test, **floods.best(test, measured)}
            for (test, cluster), measured in zip(pairs, zip(*rounds))]


def measure_fail_overs(arguments, clusters):
    measured = []
    for cluster in clusters:
        for what in failover.WAYS:
            if isinstance(cluster, InProcess):
                continue
            if what == "host silent" and not cluster.hosts.can_filter:
                continue
            rounds = arguments.fail_overs or failover.ROUNDS[what]
            if isinstance(cluster, Corosync):
                rounds = min(rounds, failover.ROUNDS_SLOW)
            try:
                times_ms = failover.times_ms(cluster, what, rounds, say)
            except Trouble as trouble:
                # That a peer does not come together again says nothing of this project.
                if not isinstance(cluster, Corosync):
                    raise
                say(f"NOT MEASURED: {cluster.name} {what}: {trouble}")
                break
            measured.append(failover.summary(cluster.name, what, times_ms))
            say(failover.line(measured[-1]))
    return measured


def measure_masses(arguments, clusters):
    """Many clients and many groups, and what failed of it. The other clusters have ended."""
    for cluster in clusters[1:]:
        cluster.stop()
    ours = clusters[0]
    ways = {"clients joining at once": lambda: crowds.rush(ours, arguments.rush, say),
            "clients of one daemon": lambda: crowds.crowd(ours, arguments.clients, say),
            "groups": lambda: crowds.groups(ours, arguments.groups, arguments.spread, say)}
    measured, failed = [], []
    for what, way in ways.items():
        try:
            measured.append(way())
            say(crowds.line(measured[-1]))
        except Trouble as trouble:
            failed.append(f"{what}: {trouble}")
            say(f"FAILED: {failed[-1]}")
    return measured, failed


def measure_scale(arguments, hosts, place, program):
    if not isinstance(hosts, Namespaces):
        say("without many daemons: they are measured in network namespaces only, as root")
        return []
    measured = scale.rings(place, arguments.release, program, arguments.daemons, say)
    say(scale_line(measured))
    return [measured]


LEGEND = """messages/s, MB/s: delivered at each host. sent/s: by each member; flood: as fast as it
goes, so that latency is that of full queues; one: as flood, but one member sends. cpu: of the
daemons, per message and host. The network without any protocol carries nobody's own messages to
himself. Many clients and groups: with the daemons' default limits, over shared memory."""


def raw_line(raw_mb_s):
    each = ", ".join(f"{mb_s:,.0f} MB/s with {senders} sending"
                     for senders, mb_s in raw_mb_s.items())
    return f"the network without any protocol, into each host: {each}"


def calls_line(calls):
    return (f"calls: anz_mcast of 64 B {calls['mcast_ns']:.0f} ns, anz_recv and anz_release "
            f"{calls['recv_release_ns']:.0f} ns a message; {calls['mcast_ratio']:.1f} and "
            f"{calls['recv_release_ratio']:.1f} times a lock and a copy; "
            f"{calls['sessions']} sessions, {calls['mib_per_session']:.3f} MiB each")


def scale_line(one):
    return (f"{one['daemons']} daemons: one view {one['cold_start_s']:.2f} s after the first was "
            f"started, and {one['loss_of_one_s']:.3f} s after one was killed")


def idle_line(one):
    return (f"idle daemon with {one['clients']} clients: {one['cpu_percent']:.2f} % of a core, "
            f"{one['own_mb']:.1f} MB of its own, {one['resident_mb']:.1f} MB resident")


def options_of(description, rounds):
    """What small benchmarks are told; `rounds`: how many there are, if nobody says."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=pathlib.Path, required=True)
    parser.add_argument("--include", type=pathlib.Path, default=HERE.parent.parent / "include")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=rounds)
    arguments = parser.parse_args()
    arguments.release, arguments.plots = arguments.release.resolve(), None
    return arguments


def run_main(main):
    """Ends the program with the exit status of `main`, or in words if something went wrong."""
    try:
        sys.exit(main())
    except Trouble as trouble:
        print(f"FAILED: {trouble}", file=sys.stderr)
        sys.exit(1)


def write(arguments, figures):
    about = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
             "kernel": platform.release(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({**about, **figures}, indent=1) + "\n")
        say(f"figures: {arguments.json}")
    if arguments.json and arguments.plots:
        say(draw(arguments))


def draw(arguments):
    """By the Python that has matplotlib, if one does."""
    for python in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([python, "-B", HERE / "plots.py", arguments.json, arguments.plots],
                              capture_output=True, text=True, timeout=120, check=False)
        if done.returncode == 0:
            return f"pictures: {arguments.plots}"
    return f"without pictures: {done.stderr.strip().splitlines()[-1]}"


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Trouble, subprocess.SubprocessError) as trouble:
        sys.exit(f"bench: {trouble}")
    except KeyboardInterrupt:
        sys.exit(130)
