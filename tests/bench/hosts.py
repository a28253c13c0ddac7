"""Where the members of the benchmark run: on loopback, or on hosts of their own (network namespaces
on one bridge), which are removed again."""

import os
import shutil
import subprocess


class Trouble(Exception):
    """Something that should not happen, in words."""


class Loopback:
    """All on 127.0.0.1; needs no privileges."""

    what = "loopback"
    can_filter = False

    def __init__(self, count):
        self.count = count

    def addresses(self, ports):
        return [f"127.0.0.1:{port}" for port in ports]

    def command(self, _index, command):
        return command

    def remove(self):
        pass


class Namespaces:
    """Network namespaces with an eth0 each, 10.77.88.1 and up, on one bridge. For root."""

    what = "network namespaces"
    can_filter = shutil.which("nft") is not None

    def __init__(self, count, snooping=False):
        """`snooping`: the switch brings multicast only where it was joined."""
        self.count, self.snooping = count, snooping
        self.bridge = f"ab{os.getpid()}"
        self.names = [f"{self.bridge}-{number}" for number in range(1, count + 1)]
        try:
            self._make()
        except BaseException:
            self.remove()
            raise

    def addresses(self, ports):
        return [f"{self.address(index)}:{port}" for index, port in enumerate(ports)]

    @staticmethod
    def address(index):
        return f"10.77.88.{index + 1}"

    def command(self, index, command):
        return ["ip", "netns", "exec", self.names[index], *command]

    def lose(self, permille, only=None):
        """From now on every host, or only this one, loses this share of what UDP brings it; 0:
        nothing."""
        for name in self.names if only is None else [self.names[only]]:
            self._filter(name, permille and
                         f"ip protocol udp numgen random mod 1000 < {permille} drop")

    def silence(self, index, silent):
        """Nothing gets to a host or out of it, and nobody is told."""
        self._filter(self.names[index], silent and "drop")

    def narrow(self, index, mbit_s):
        """From now on a host sends and is sent so many megabits a second at most; None: no limit."""
        for device, within in (("eth0", ["netns", "exec", self.names[index]]),
                               (f"{self.bridge}v{index + 1}", None)):
            tc = ["tc", "qdisc"] if within is None else ["ip", *within, "tc", "qdisc"]
            run([*tc, "del", "dev", device, "root"], must=False)
            if mbit_s:
                run([*tc, "add", "dev", device, "root", "tbf", "rate", f"{mbit_s}mbit",
                     "burst", "16k", "latency", "200ms"])

    @staticmethod
    def _filter(name, rule):
        run(["ip", "netns", "exec", name, "nft", "delete", "table", "inet", "bench"], must=False)
        if not rule:
            return
        hooks = {"input": "iifname", "output": "oifname"}
        if rule != "drop":
            del hooks["output"]
        lines = ["table inet bench {"]
        for hook, where in hooks.items():
            lines += [f"chain {hook} {{", f"type filter hook {hook} priority 0",
                      f"{where} lo accept", rule, "}"]
        run(["ip", "netns", "exec", name, "nft", "\n".join([*lines, "}"])])

    def remove(self):
        for name in self.names:
            ip("netns", "del", name, must=False)
        ip("link", "del", self.bridge, must=False)

    def _make(self):
        # Hosts say within a tenth of a second what they joined.
        snooping = (["1", "mcast_querier", "1", "mcast_query_response_interval", "10",
                     "mcast_startup_query_interval", "50"] if self.snooping else ["0"])
        ip("link", "add", self.bridge, "type", "bridge", "mcast_snooping", *snooping)
        ip("link", "set", self.bridge, "up")
        for index, name in enumerate(self.names):
            port = f"{self.bridge}v{index + 1}"
            ip("netns", "add", name)
            ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", port, "master", self.bridge, "up")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", f"{self.address(index)}/24", "brd", "+", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            # Multicast needs a way out.
            ip("-n", name, "route", "add", "default", "dev", "eth0")


def ip(*words, must=True):
    run(["ip", *words], must)


def run(command, must=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if must and done.returncode:
        raise Trouble(f"{' '.join(command)}: {done.stderr.strip()}")
