#!/usr/bin/env python3
"""Measures total order multicast on this machine: as many messages as it takes, paced ones for
their latency, and the fail-over when a daemon is killed. As root in network namespaces, else on
loopback; against Corosync where that is installed. Ends only what it started.

A row is the best of several rounds, in which the clusters take turns: the machine's mood is the
same for all. Exit status: 0 if all members always had the same order, 1 if not or if something went
wrong."""

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

import failover
from clusters import Anasazi, Corosync
from hosts import Loopback, Namespaces, Trouble

HERE = pathlib.Path(__file__).resolve().parent
WINDOW_LEN_MAX = 8 << 20     # own messages that are not delivered yet, per member
WINDOW_COUNT_MAX = 2000
FLOODS = [(length, safe) for length in (64, 1024, 8192, 65536) for safe in (False, True)]
PACES = [(256, 100), (256, 1000)]
# What the best of the rounds may take.
CALLS_NS_MAX = {"mcast_ns": 150, "recv_release_ns": 100}
SETTLE_S_MAX = 90            # beyond the time of sending


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    calls = measure_calls(arguments)
    say(calls_line(calls))
    with tempfile.TemporaryDirectory(prefix="anasazi-bench-") as place:
        hosts = make_hosts(arguments)
        clusters, fail_overs_ms = [], {}
        try:
            clusters = make_clusters(arguments, hosts, pathlib.Path(place))
            for cluster in clusters:
                say(f"starting {cluster.name} on {hosts.count} hosts ({hosts.what})")
                cluster.start()
            rows = measure_all(arguments, clusters)
            for cluster in clusters:
                fail_overs_ms[cluster.name] = failover.measure(cluster, arguments.rounds)
                say(failover.line(cluster.name, fail_overs_ms[cluster.name]))
        finally:
            for cluster in clusters:
                cluster.stop()
            hosts.remove()
    print(table(rows), flush=True)
    for name, times_ms in fail_overs_ms.items():
        print(failover.line(name, times_ms), flush=True)
    print(calls_line(calls), flush=True)
    write(arguments.json, hosts, rows, fail_overs_ms, calls)
    slow = [f"{name} is {calls[name]:.0f}, {most} are allowed"
            for name, most in CALLS_NS_MAX.items() if calls[name] >= most]
    for line in slow:
        print(f"FAILED: {line}", flush=True)
    return 0 if all(row["same_order"] for row in rows) and not slow else 1


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=pathlib.Path, required=True,
                        help="directory with anasazid and libanasazi.so")
    parser.add_argument("--include", type=pathlib.Path, default=HERE.parent.parent / "include")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there, too")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--loopback", action="store_true", help="no namespaces, even as root")
    arguments = parser.parse_args()
    arguments.release = arguments.release.resolve()
    arguments.seconds = 1.0 if arguments.quick else 4.0
    arguments.rounds = 1 if arguments.quick else 3
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
    obstacle = Corosync.obstacle(hosts)
    if obstacle:
        say(f"without Corosync: {obstacle}")
    else:
        clusters.append(Corosync(place, hosts))
    libraries = {"anasazi": ["-L", arguments.release, "-lanasazi",
                             f"-Wl,-rpath,{arguments.release}"], "corosync": ["-lcpg"]}
    for cluster in clusters:
        cluster.program = place / f"flood-{cluster.name}"
        subprocess.run(
            [os.environ.get("CC", "gcc"), "-std=c11", "-O2", "-Wall", "-Wextra",
             "-I", arguments.include, f'-DBACKEND="{cluster.backend}"', HERE / "flood.c",
             "-o", cluster.program, *libraries[cluster.name], "-lpthread"], check=True, timeout=120)
    return clusters


def measure_calls(arguments):
    """What single calls and sessions cost, with the engine in the program's own process."""
    with tempfile.TemporaryDirectory(prefix="anasazi-bench-") as place:
        program = pathlib.Path(place) / "calls"
        subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-O2", "-Wall", "-Wextra",
                        "-I", arguments.include, HERE / "calls.c", "-o", program,
                        "-L", arguments.release, "-lanasazi", f"-Wl,-rpath,{arguments.release}",
                        "-lpthread"], check=True, timeout=120)
        runs = [json.loads(subprocess.run([program], check=True, timeout=120, text=True,
                                          stdout=subprocess.PIPE).stdout)
                for _ in range(arguments.rounds)]
    return min(runs, key=lambda run: run["mcast_ns"])


def calls_line(calls):
    return (f"calls: anz_mcast of 64 B {calls['mcast_ns']:.0f} ns, anz_recv and anz_release "
            f"{calls['recv_release_ns']:.0f} ns a message; {calls['mcast_ratio']:.1f} and "
            f"{calls['recv_release_ratio']:.1f} times a lock and a copy; "
            f"{calls['sessions']} sessions, {calls['mib_per_session']:.3f} MiB each")


def measure_all(arguments, clusters):
    tests = [{"length": length, "rate": 0, "safe": safe} for length, safe in FLOODS]
    tests += [{"length": length, "rate": rate, "safe": False} for length, rate in PACES]
    rows = []
    for number, test in enumerate(tests, start=1):
        able = [one for one in clusters if one.knows_safe or not test["safe"]]
        rounds = [{cluster.name: measure(arguments, cluster, test) for cluster in able}
                  for _ in range(arguments.rounds)]
        for cluster in able:
            best = max((one[cluster.name] for one in rounds), key=merit)
            same = all(one[cluster.name]["same_order"] for one in rounds)
            rows.append({"cluster": cluster.name, **test, **best, "same_order": same})
            say(f"[{number}/{len(tests)}] {line(rows[-1])}")
    return rows


def merit(figures):
    """Of several rounds, the one that the machine disturbed least."""
    return -figures["p50_us"] if figures["rate"] else figures["messages_s"]


def measure(arguments, cluster, test):
    """One run: a program on each host."""
    window = min(WINDOW_COUNT_MAX, max(1, WINDOW_LEN_MAX // test["length"]))
    count = cluster.hosts.count
    cpu_s = cluster.cpu_s()
    members = []
    try:
        for node in range(count):
            command = [cluster.program, node, count, test["length"], arguments.seconds,
                       test["rate"], window, *(["safe"] if test["safe"] else [])]
            members.append(subprocess.Popen(
                cluster.hosts.command(node, [str(word) for word in command]),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, env=cluster.environment(node)))
        limit = time.monotonic() + arguments.seconds + SETTLE_S_MAX
        reports = [result(cluster, member, limit) for member in members]
    finally:
        for member in members:
            if member.poll() is None:
                member.kill()
                member.wait()
    return figures(test, reports, cluster.cpu_s() - cpu_s)


def result(cluster, member, limit):
    try:
        output, errors = member.communicate(timeout=max(0.1, limit - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise Trouble(f"{cluster.name}: a member does not come to its end") from None
    if member.returncode:
        raise Trouble(f"{cluster.name}: a member failed: {errors.strip()}")
    return json.loads(output)


def figures(test, reports, cpu_s):
    """Of all members: mean rates, worst latencies."""
    delivered = sum(report["delivered"] for report in reports)
    return {
        "rate": test["rate"],
        "messages_s": sum(report["messages_s"] for report in reports) / len(reports),
        "mb_s": sum(report["mb_s"] for report in reports) / len(reports),
        "p50_us": max(report["p50_us"] for report in reports),
        "p99_us": max(report["p99_us"] for report in reports),
        "daemon_cpu_us": cpu_s * 1e6 / max(1, delivered),
        "same_order": len({report["order"] for report in reports}) == 1
                      and len({report["delivered"] for report in reports}) == 1
                      and delivered > 0 and not any(report["gaps"] for report in reports),
    }


HEADINGS = (f"{'cluster':9} {'bytes':>6} {'service':7} {'sent/s':>6} {'messages/s':>11} "
            f"{'MB/s':>8} {'p50 us':>9} {'p99 us':>9} {'cpu us':>7}  order")


def table(rows):
    return "\n".join(["", HEADINGS, *map(line, rows), "",
        "messages/s, MB/s: delivered at each host. sent/s: by each member; flood: as fast as it\n"
        "goes, so that latency is that of full queues. cpu: of the daemons, per message and host.\n"
        "fail-over: from kill -9 of a daemon to the new view at the last of the others.", ""])


def line(row):
    sent = row["rate"] or "flood"
    order = "same" if row["same_order"] else "DIFFERENT"
    return (f"{row['cluster']:9} {row['length']:6} {'safe' if row['safe'] else 'agreed':7} "
            f"{sent:>6} {row['messages_s']:11,.0f} {row['mb_s']:8.2f} {row['p50_us']:9,.0f} "
            f"{row['p99_us']:9,.0f} {row['daemon_cpu_us']:7.2f}  {order}")


def write(path, hosts, rows, fail_overs_ms, calls):
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "hosts": hosts.count,
             "network": hosts.what, "kernel": platform.release(), "cores": os.cpu_count(),
             "load": os.getloadavg()[0], "rows": rows, "fail_over_ms": fail_overs_ms,
             "calls": calls}
    path.write_text(json.dumps(about, indent=1) + "\n")
    say(f"figures: {path}")


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Trouble, subprocess.SubprocessError) as trouble:
        sys.exit(f"bench: {trouble}")
    except KeyboardInterrupt:
        sys.exit(130)
