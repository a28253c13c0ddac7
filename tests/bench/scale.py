"""Many daemons in one ring, and what an idle daemon costs."""

import time

from clusters import Anasazi, cpu_s, memory
from failover import Watchers
from hosts import Namespaces

CLIENTS = 10
IDLE_S = 10.0


def rings(place, release, program, count, say):
    """So many daemons, started at once: seconds until all have one view, their watchers' start and
    joins included, and until all that are left have one after one was killed."""
    place.mkdir()
    hosts = Namespaces(count)
    cluster = Anasazi(place, hosts, release)
    cluster.program = program
    try:
        say(f"starting {count} daemons")
        begin_ns = time.monotonic_ns()
        cluster.start_at_once()
        with Watchers(cluster, range(count)) as watchers:
            started_ns = watchers.agree(count)
            killed_ns = cluster.kill(count - 1)
            left_ns = watchers.agree(count - 1, killed_ns, but=watchers.all[-1:])
    finally:
        cluster.stop()
        hosts.remove()
    return {"daemons": count, "cold_start_s": round((started_ns - begin_ns) / 1e9, 3),
            "loss_of_one_s": round((left_ns - killed_ns) / 1e9, 3)}


def idle(cluster):
    """The first daemon with some clients that say nothing: its share of a core in percent, and its
    memory in megabytes (its own, and all that is resident)."""
    with Watchers(cluster, [0] * CLIENTS) as watchers:
        watchers.agree(CLIENTS)
        pid = cluster.daemons[0].pid
        time.sleep(0.5)
        before_s = cpu_s(pid)
        time.sleep(IDLE_S)
        share = (cpu_s(pid) - before_s) / IDLE_S
    kib = memory(pid)
    return {"cluster": cluster.name, "clients": CLIENTS, "cpu_percent": round(100 * share, 2),
            "own_mb": round(kib["own"] / 1024, 1), "resident_mb": round(kib["resident"] / 1024, 1)}
