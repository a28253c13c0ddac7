"""How long it takes until everybody who is left knows that a daemon was killed."""

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

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def measure(cluster, rounds):
    """Kills the last daemon and starts it again, several times: the times in milliseconds, each of
    the slowest survivor."""
    last = cluster.hosts.count - 1
    return [one_round(cluster, last) for _ in range(rounds)]


def one_round(cluster, last):
    news = threading.Condition()
    watchers = []
    try:
        for index in range(last + 1):
            watchers.append(Watcher(cluster, index, news))
        agree(cluster, news, watchers, last + 1, 0)
        begin_ns = cluster.kill(last)
        times = agree(cluster, news, watchers[:last], last, begin_ns)
    finally:
        for watcher in watchers:
            watcher.end()
    cluster.start_again(last)
    return round((max(times) - begin_ns) / 1e6, 1)


def agree(cluster, news, watchers, members, since_ns):
    """When each of the watchers had so many members."""
    limit = time.monotonic() + AGREE_S_MAX
    while True:
        with news:
            times = [watcher.first(members, since_ns) for watcher in watchers]
            if all(times):
                return times
            if time.monotonic() > limit:
                raise Trouble(f"{cluster.name}: not everybody has {members} members")
            news.wait(1)


def line(name, times_ms):
    each = ", ".join(f"{one:,.1f}" for one in times_ms)
    return f"{name:9} fail-over {statistics.median(times_ms):,.1f} ms (median of {each})"
