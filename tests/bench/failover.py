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

    def __init__(self, cluster, index, news, command=None):
        self.news = news
        self.heard = []
        command = command or [cluster.program, "watch"]
        self.process = subprocess.Popen(
            cluster.hosts.command(index, [str(word) for word in command]), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=cluster.environment(index))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for text in self.process.stdout:
            with self.news:
                try:
                    self.heard.append(json.loads(text))
                except ValueError:
                    return  # it was ended while it said something
                self.news.notify_all()

    def order(self, text):
        """To a program that takes orders."""
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

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
        asked = [watcher for watcher in self.all if watcher not in but]
        return self.until("members", members, since_ns, asked)["ns"]

    def until(self, what, value, since_ns, asked):
        """Until each of these has said that; what the last one said."""
        limit = time.monotonic() + AGREE_S_MAX
        read, last = dict.fromkeys(asked, 0), {"ns": 0}
        with self.news:
            while read:
                for watcher, at in list(read.items()):
                    said = next((one for one in watcher.heard[at:] if one["ns"] > since_ns
                                 and one.get(what) == value), None)
                    read[watcher] = len(watcher.heard)
                    if said:
                        del read[watcher]
                        last = max(last, said, key=lambda one: one["ns"])
                if read:
                    self._wait(read, limit, f"{what} {value}")
        return last

    def _wait(self, pending, limit, what):
        for watcher in pending:
            if watcher.process.poll() not in (None, 0):
                errors = watcher.process.stderr.read().strip()
                raise Trouble(f"{self.cluster.name}: a program ended: {errors}")
        if time.monotonic() > limit:
            raise Trouble(f"{self.cluster.name}: {len(pending)} programs lack {what}")
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
ROUNDS = {"daemon killed": 50, "host silent": 20, "client killed": 50}
# Of clusters that take ten seconds each.
ROUNDS_SLOW = 3
TELL_EVERY_S = 10


def times_ms(cluster, what, rounds, say):
    """One way, so many times."""
    times, told_s = [], time.monotonic()
    for _ in range(rounds):
        times.append(WAYS[what](cluster))
        if time.monotonic() > told_s + TELL_EVERY_S:
            told_s = time.monotonic()
            say(f"{cluster.name} {what}: {len(times)} of {rounds}")
    return times


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
