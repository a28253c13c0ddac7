"""How long it takes until everybody who is left knows that a daemon, a host or a client is gone."""

import json
import statistics
import subprocess
import threading
import time

from hosts import Trouble

AGREE_S_MAX = 60


class Watcher:
    """A member that sends nothing and says how many members there are."""

    def __init__(self, cluster, index, news):
        self.news = news
        self.heard = []
        self.process = subprocess.Popen(
            cluster.hosts.command(index, [str(cluster.program), "watch"]), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=cluster.environment(index))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for text in self.process.stdout:
            with self.news:
                self.heard.append(json.loads(text))
                self.news.notify_all()

    def first(self, members, since_ns):
        """When it first had so many members, or None."""
        times = (one["ns"] for one in self.heard
                 if one["members"] == members and one["ns"] > since_ns)
        return next(times, None)

    def kill(self):
        """Ends it without warning; returns when (CLOCK_MONOTONIC, nanoseconds)."""
        moment = time.monotonic_ns()
        self.process.kill()
        self.process.wait()
        return moment

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Watchers:
    """One on each host that is named."""

    def __init__(self, cluster, indexes):
        self.cluster, self.news, self.all = cluster, threading.Condition(), []
        try:
            for index in indexes:
                self.all.append(Watcher(cluster, index, self.news))
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        for watcher in self.all:
            watcher.end()

    def agree(self, members, since_ns=0, but=()):
        """Until each of them had so many members; when the last one had."""
        limit = time.monotonic() + AGREE_S_MAX
        asked = [watcher for watcher in self.all if watcher not in but]
        while True:
            with self.news:
                times = [watcher.first(members, since_ns) for watcher in asked]
                if all(times):
                    return max(times)
                if time.monotonic() > limit:
                    raise Trouble(f"{self.cluster.name}: not everybody has {members} members")
                self.news.wait(1)


def daemon_killed(cluster):
    """Kills the last daemon and starts it again: the milliseconds until the last survivor had its
    view."""
    count = cluster.hosts.count
    with Watchers(cluster, range(count)) as watchers:
        watchers.agree(count)
        begin_ns = cluster.kill(count - 1)
        end_ns = watchers.agree(count - 1, begin_ns, but=watchers.all[-1:])
    cluster.start_again(count - 1)
    return (end_ns - begin_ns) / 1e6


def host_silent(cluster):
    """Drops all that the last host sends or is sent, and lets it through again. What it takes to
    tell the kernel counts as well."""
    count = cluster.hosts.count
    with Watchers(cluster, range(count)) as watchers:
        watchers.agree(count)
        begin_ns = time.monotonic_ns()
        cluster.hosts.silence(count - 1, True)
        try:
            end_ns = watchers.agree(count - 1, begin_ns, but=watchers.all[-1:])
        finally:
            cluster.hosts.silence(count - 1, False)
        # Merged again.
        watchers.agree(count, end_ns, but=watchers.all[-1:])
    return (end_ns - begin_ns) / 1e6


def client_killed(cluster):
    """Kills a program beside another one on the last host."""
    count = cluster.hosts.count
    with Watchers(cluster, [*range(count), count - 1]) as watchers:
        watchers.agree(count + 1)
        begin_ns = watchers.all[-1].kill()
        end_ns = watchers.agree(count, begin_ns, but=watchers.all[-1:])
    return (end_ns - begin_ns) / 1e6


WAYS = {"daemon killed": daemon_killed, "host silent": host_silent,
        "client killed": client_killed}


def summary(cluster, way, times_ms):
    ordered = sorted(times_ms)
    return {"cluster": cluster, "what": way, "times_ms": [round(one, 2) for one in ordered],
            "p50_ms": round(statistics.median(ordered), 2),
            # Of fewer than a hundred, the worst.
            "p99_ms": round(ordered[-1] if len(ordered) < 100
                            else ordered[len(ordered) * 99 // 100], 2)}


def line(one):
    return (f"{one['cluster']:10} {one['what']}: {one['p50_ms']:,.1f} ms at the median of "
            f"{len(one['times_ms'])}, {one['p99_ms']:,.1f} ms at most")
