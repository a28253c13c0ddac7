"""Many sessions of one daemon, many that join at once, many groups: tests/bench/crowd.c, with the
daemons' default configuration."""

import time

from clusters import memory
from failover import Watcher, Watchers

SOON_NS = 200_000_000        # until an order has reached all programs
AT_ONCE = 1 << 30
# Of the crowd on one daemon: what one member sends to all, and how many join at a time. A join
# shows all members to all members: a thousand at once would be more than client.backlog_total keeps
# for a program that reads them all in one thread.
CROWD_MESSAGES = 1000
CROWD_AHEAD = 20
# Group handles of one session are 4,096 at most, so that it takes some sessions to have them all.
GROUPS_SESSIONS = 4


class Crowds(Watchers):
    """Programs with many memberships each, one on each host that is named; watchers beside them."""

    def __init__(self, cluster, indexes, sessions, groups=1, watched=()):
        super().__init__(cluster, watched)
        self.watchers = list(self.all)
        command = [cluster.crowd, sessions, groups]
        try:
            self.all += [Watcher(cluster, index, self.news, command) for index in indexes]
            self.crowds = self.all[len(self.watchers):]
            self.until("connected", sessions, 0, self.crowds)
        except BaseException:
            self.end()
            raise

    def join(self, ahead=AT_ONCE):
        """All of them, from the same moment on, which is returned; no more of each program at a
        time than `ahead`."""
        moment_ns = time.monotonic_ns() + SOON_NS
        for crowd in self.crowds:
            crowd.order(f"join {moment_ns} {ahead}")
        return moment_ns

    def send(self, count, spread, wanted):
        """So many messages of each program to the first groups; seconds until all have been
        received."""
        begin_ns = time.monotonic_ns()
        for crowd in self.crowds:
            crowd.order(f"send {count} {spread} {wanted}")
        return (self.until("received", wanted, begin_ns, self.crowds)["ns"] - begin_ns) / 1e9


def crowd(cluster, count, say):
    """So many sessions of the last daemon in one group, watched at all daemons."""
    hosts, pid = cluster.hosts.count, fresh(cluster)
    say(f"opening {count:,} sessions of one daemon")
    before, begin_s = memory(pid), time.monotonic()
    with Crowds(cluster, [hosts - 1], count, watched=range(hosts)) as crowds:
        connect_s = time.monotonic() - begin_s
        crowds.agree(hosts, but=crowds.crowds)
        begin_ns = crowds.join(CROWD_AHEAD)
        joined_ns = crowds.agree(count + hosts, begin_ns)
        wanted = CROWD_MESSAGES * count
        sent_s = crowds.send(CROWD_MESSAGES, 1, wanted)
        after = memory(pid)
        killed_ns = crowds.crowds[0].kill()
        gone_ns = crowds.agree(hosts, killed_ns, but=crowds.crowds)
    return {"what": "crowd", "clients": count, "at_a_time": CROWD_AHEAD,
            "connect_s": round(connect_s, 3), "join_s": seconds(begin_ns, joined_ns),
            "gone_s": seconds(killed_ns, gone_ns), "deliveries_s": round(wanted / sent_s),
            **{f"{what}_kib_each": round((after[what] - before[what]) / count, 1)
               for what in before}}


def rush(cluster, count, say):
    """So many sessions, spread over all daemons, that join one group at the same moment: until
    each has the view with all of them."""
    hosts = cluster.hosts.count
    say(f"letting {count} clients join at once")
    with Crowds(cluster, range(hosts), count // hosts) as crowds:
        begin_ns = crowds.join()
        joined_ns = crowds.agree(count, begin_ns)
        last = [program.heard[-1] for program in crowds.crowds]
    return {"what": "rush", "clients": count, "join_s": seconds(begin_ns, joined_ns),
            "views_mean": round(sum(one["views"] for one in last) / count, 1),
            "views_max": max(one["views_max"] for one in last)}


def groups(cluster, count, messages, say):
    """So many groups, each with a member at each daemon. What is sent to all of them in turn,
    beside as much to one; and a daemon that is killed and started again."""
    hosts, pid = cluster.hosts.count, fresh(cluster)
    say(f"joining {count:,} groups at each of {hosts} daemons")
    before = memory(pid)
    with Crowds(cluster, range(hosts), GROUPS_SESSIONS, count) as crowds:
        begin_ns = crowds.join()
        joined_ns = crowds.agree(hosts, begin_ns)
        after = memory(pid)
        say(f"sending to them: {messages:,} messages of each member")
        # In turns; the better of two.
        times = [[crowds.send(messages, spread, messages * hosts) for spread in (1, count)]
                 for _ in range(2)]
        one_s, spread_s = map(min, zip(*times))
        say("killing a daemon, and starting it again")
        killed_ns = cluster.kill(hosts - 1)
        lost_ns = crowds.agree(hosts - 1, killed_ns, but=crowds.all[-1:])
        again_ns = time.monotonic_ns()
        cluster.start_again(hosts - 1)
        merged_ns = crowds.agree(hosts, again_ns)
    return {"what": "groups", "groups": count, "members": hosts,
            "join_s": seconds(begin_ns, joined_ns),
            "own_kib_each": round((after["own"] - before["own"]) / count, 2),
            "messages_s": round(messages * hosts / spread_s),
            "ratio": round(one_s / spread_s, 3), "lost_s": seconds(killed_ns, lost_ns),
            "merged_s": seconds(again_ns, merged_ns)}


def fresh(cluster):
    """The last daemon anew: it keeps no memory of what was measured before. Its process."""
    last = cluster.hosts.count - 1
    cluster.kill(last)
    cluster.start_again(last)
    with Watchers(cluster, range(last + 1)) as watchers:
        watchers.agree(last + 1)
    return cluster.daemons[last].pid


def line(one):
    return LINES[one["what"]].format(**one)


LINES = {
    "crowd": "{clients:,} clients of one daemon: connected in {connect_s:.2f} s, in one group "
             "{join_s:.2f} s after the first began to join, {at_a_time} at a time, gone at all "
             "daemons {gone_s:.2f} s after their program was killed; one member's messages: "
             "{deliveries_s:,} deliveries/s; the daemon has {own_kib_each:,.1f} KiB of its own for "
             "each, {resident_kib_each:,.0f} KiB with what both share",
    "rush": "{clients} clients joining at once: each has the view of all {join_s:.3f} s later, "
            "having been shown {views_mean:.1f} views, {views_max} at most",
    "groups": "{groups:,} groups of {members} members: joined in {join_s:.2f} s, a daemon has "
              "{own_kib_each:.2f} KiB of its own for each; {messages_s:,} messages/s of 64 B in "
              "all of them, {ratio:.2f} of those in one; views without a daemon in all of them "
              "{lost_s:.2f} s after it was killed, with it {merged_s:.2f} s after its new start",
}


def seconds(begin_ns, end_ns):
    return round((end_ns - begin_ns) / 1e9, 3)
