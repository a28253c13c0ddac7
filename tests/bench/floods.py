"""Messages through a group: as many as it takes, or paced ones for their latency."""

import json
import subprocess
import time

from hosts import Trouble

WINDOW_LEN_MAX = 8 << 20     # own messages that are not delivered yet, per member
WINDOW_COUNT_MAX = 2000
SETTLE_S_MAX = 90            # beyond the time of sending


def measure(cluster, test, seconds):
    """One run: a program on each host. `test`: the length of a message, the messages a second of
    each member or 0 for as many as it takes, whether they are safe, and whether one member sends
    or all."""
    window = min(WINDOW_COUNT_MAX, max(1, WINDOW_LEN_MAX // test["length"]))
    count = cluster.hosts.count
    cpu_s = cluster.cpu_s()
    members = []
    try:
        for node in range(count):
            sends = not (test["one"] and node)
            # Without a window nothing is sent.
            rate, own_window = (test["rate"], window) if sends else (0, 0)
            command = [cluster.program, node, count, test["length"], seconds, rate, own_window,
                       *(["safe"] if test["safe"] else [])]
            members.append(subprocess.Popen(
                cluster.hosts.command(node, [str(word) for word in command]),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, env=cluster.environment(node)))
        limit = time.monotonic() + seconds + SETTLE_S_MAX
        reports = [result(cluster, member, limit) for member in members]
    finally:
        for member in members:
            if member.poll() is None:
                member.kill()
                member.wait()
    return figures(reports, cluster.cpu_s() - cpu_s)


def result(cluster, member, limit):
    try:
        output, errors = member.communicate(timeout=max(0.1, limit - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise Trouble(f"{cluster.name}: a member does not come to its end") from None
    if member.returncode:
        raise Trouble(f"{cluster.name}: a member failed: {errors.strip()}")
    return json.loads(output)


def figures(reports, daemons_cpu_s):
    """Of all members: mean rates, worst latencies."""
    delivered = sum(report["delivered"] for report in reports)
    each = 1e6 / max(1, delivered)
    return {
        "messages_s": sum(report["messages_s"] for report in reports) / len(reports),
        "mb_s": sum(report["mb_s"] for report in reports) / len(reports),
        "p50_us": max(report["p50_us"] for report in reports),
        "p99_us": max(report["p99_us"] for report in reports),
        "daemon_cpu_us": daemons_cpu_s * each,
        "program_cpu_us": sum(report["cpu_s"] for report in reports) * each,
        "same_order": len({report["order"] for report in reports}) == 1
                      and len({report["delivered"] for report in reports}) == 1
                      and delivered > 0 and not any(report["gaps"] for report in reports),
    }


def best(test, rounds):
    """Of several rounds, the one that the machine disturbed least; in the same order if all are."""
    one = min(rounds, key=lambda r: r["p50_us"] if test["rate"] else -r["messages_s"])
    # Whatever else the machine does makes the tail longer, often where the median is best.
    tail = {"p99_us": min(r["p99_us"] for r in rounds)} if test["rate"] else {}
    return {**one, **tail, "same_order": all(r["same_order"] for r in rounds)}


HEADINGS = (f"{'cluster':10} {'bytes':>7} {'service':7} {'sent/s':>6} {'messages/s':>11} "
            f"{'MB/s':>8} {'p50 us':>9} {'p99 us':>9} {'cpu us':>8}  order")


def line(row):
    sent = row["rate"] or ("one" if row["one"] else "flood")
    order = "same" if row["same_order"] else "DIFFERENT"
    loss = f"  {row['loss']} % lost" if row.get("loss") else ""
    return (f"{row['cluster']:10} {row['length']:7} {'safe' if row['safe'] else 'agreed':7} "
            f"{sent:>6} {row['messages_s']:11,.0f} {row['mb_s']:8.2f} {row['p50_us']:9,.0f} "
            f"{row['p99_us']:9,.0f} {row['daemon_cpu_us']:8.2f}  {order}{loss}")
