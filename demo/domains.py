#!/usr/bin/env python3
"""Shows what domains are for: three fast members go on undisturbed while a fourth node, which
shares another domain with them, loses packets and stops again and again.

Needs no privileges, uses loopback only, keeps everything in a directory of its own, and ends only
what it started. A machine that is busy with something else disturbs both. Exit status: 0 if fast
was not disturbed, 1 if it was or if something went wrong, 130 if it was interrupted."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

import picture
from demo import MULTICAST_GROUP, Daemon, Trouble, end, free_ports, private_directory

NODES, SICK = (1, 2, 3, 4), 4
RATES = {"fast": 200, "slow": 20}       # messages a second of each member
LEN = 256
MEET_MAX = 30.0
WELL_S, BOUTS, BETWEEN_S, STOP_S = 6, 3, 3, 2
LOSS_PERCENT = 15
SLOWER_MAX = 2          # fast is disturbed if its median message takes longer by this factor


class Member:
    """A program that sends at a steady pace, and says once a second how long messages took."""

    def __init__(self, demo, domain, node):
        self.name, self.domain, self.node = f"member of {domain} on node {node}", domain, node
        self.seconds = []
        environment = {**demo.environment, "ANASAZI_URL": f"shm:{demo.place}/node{node}.sock",
                       "BENCH_GROUP": f"{domain}/demo"}
        self.process = subprocess.Popen(
            [demo.pace, str(node), str(LEN), str(RATES[domain])], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            start_new_session=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.seconds.append(json.loads(line))

    def check(self):
        if self.process.poll() is not None:
            raise Trouble(f"the {self.name} ended: {self.process.stderr.read().strip()}")

    def end(self):
        self.process.stdin.close()
        end(self.process)


class Demo:
    """Four daemons, seven members, and what is done to node 4."""

    def __init__(self, arguments):
        self.bin = pathlib.Path(arguments.bin).resolve()
        self.pace = pathlib.Path(arguments.pace).resolve()
        self.out = sys.stderr if arguments.json else sys.stdout
        unset = ("ANASAZI_LOG", "ANASAZI_URL", "NOTIFY_SOCKET", "STATE_DIRECTORY", "WATCHDOG_USEC")
        self.environment = {key: value for key, value in os.environ.items() if key not in unset}
        self.place = private_directory()
        self.daemons = [Daemon(self, node) for node in NODES]
        self.members, self.told, self.marks, self.start = [], [], [], None
        self.sick = False

    def show(self, text=""):
        print(text, file=self.out, flush=True)

    def until(self, is_so, what, seconds=MEET_MAX):
        """Waits until something is so, while everybody who should live lives."""
        limit = time.monotonic() + seconds
        while not is_so():
            for one in [*self.daemons, *self.members]:
                one.check()
            if time.monotonic() > limit:
                raise Trouble(f"waited {seconds:.0f} s in vain: {what}")
            time.sleep(0.02)

    def ask(self, path, *words):
        """What the console prints for an engine, or None if it could not be asked."""
        command = [self.bin / "anasazi", "--url", f"shm:{path}", "--json", "--timeout", "5", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=MEET_MAX,
                              env=self.environment, stdin=subprocess.DEVNULL, check=False)
        return json.loads(done.stdout or "{}") if done.returncode == 0 else None

    def run(self):
        self.show(__doc__.split("\n\n", maxsplit=1)[0])
        self.write_configurations()
        for daemon in self.daemons:
            daemon.start()
        for domain, nodes in (("fast", NODES[:3]), ("slow", NODES)):
            self.members += [Member(self, domain, node) for node in nodes]
        self.until(self.have_met, "all members get the messages of all")
        self.show("\nthree members in fast, four in slow; from send to delivery, p50 and p99:\n")
        self.start = time.monotonic()
        self.look(WELL_S)
        self.mark(f"node 4 loses {LOSS_PERCENT} % of all packets in slow")
        self.lose(10 * LOSS_PERCENT)
        self.look(BETWEEN_S)
        for _ in range(BOUTS):
            self.mark(f"and stops for {STOP_S} s")
            self.halt()
            self.look(BETWEEN_S)
        self.mark("node 4 is well again")
        self.lose(0)
        self.look(WELL_S)
        return self.judge()

    def write_configurations(self):
        ports = free_ports(9)
        for node, port in zip(NODES, ports):
            (self.place / f"state{node}").mkdir()
            text = (f'cluster = "demo-domains-{os.getpid()}"\n[node]\nid = {node}\n'
                    f'[state]\ndir = "{self.place}/state{node}"\n'
                    f'[transport]\nbind = "127.0.0.1:{port}"\nallow_faults = true\n'
                    f'multicast = "{MULTICAST_GROUP}:{ports[8]}"\n'
                    f'[client]\nlisten = "{self.place}/node{node}.sock"\nlisten_mode = "0600"\n')
            if node != SICK:
                text += '[domain.fast]\npreset = "lan"\n'
            text += '[domain.slow]\npreset = "mobile"\n'
            (self.place / f"node{node}.toml").write_text(text, encoding="utf-8")

    def have_met(self):
        wanted = {"fast": 3 * RATES["fast"], "slow": 4 * RATES["slow"]}
        return all(member.seconds and member.seconds[-1]["messages"] > 0.8 * wanted[member.domain]
                   for member in self.members)

    def lose(self, permille):
        self.sick = permille > 0
        words = ["loss", str(permille), "--domain", "slow"]
        if self.ask(self.place / f"node{SICK}.sock", *words) is None:
            raise Trouble(f"the console failed: {' '.join(words)}")

    def halt(self):
        pids = [self.daemons[SICK - 1].process.pid,
                *(member.process.pid for member in self.members if member.node == SICK)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.look(STOP_S)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def mark(self, what):
        self.marks.append((time.monotonic() - self.start, what))
        self.show(f"         {what}")

    def look(self, seconds):
        """Tells of each second as it goes by. Who is stopped says nothing."""
        for _ in range(seconds):
            time.sleep(1)
            for daemon in self.daemons:
                daemon.check()
            now = time.monotonic()
            second = {"t": now - self.start, "sick": self.sick}
            for domain in RATES:
                said = [member.seconds[-1] for member in self.members
                        if member.domain == domain and member.node != SICK]
                fresh = [one for one in said if one["ns"] / 1e9 > now - 1.5]
                second[domain] = figures(fresh)
            self.told.append(second)
            self.show(f"  {second['t']:4.0f} s   " + "      ".join(
                f"{domain} {line(second[domain])}" for domain in RATES))

    def judge(self):
        for member in self.members:
            member.end()
        views = sum(one["fast"]["views"] for one in self.told)
        least = min(one["fast"]["messages"] for one in self.told)
        missed = least < 3 * 3 * RATES["fast"] / 2
        silent = sum(one["slow"]["messages"] == 0 for one in self.told)
        well, sick = (self.median_us(sick) for sick in (False, True))
        self.show(f"\nfast: {views} views, and {least:,} messages delivered in its worst second, of "
                  f"{9 * RATES['fast']:,};\n"
                  f"      p50 {picture.readable(well)} while node 4 was well, "
                  f"{picture.readable(sick)} while it was not\n"
                  f"slow: {silent} of {len(self.told)} seconds without any")
        self.verdict = {"views": views, "least": least, "silent": silent, "p50_well_us": well,
                        "p50_sick_us": sick, "seconds": self.told}
        return not views and not missed and sick <= SLOWER_MAX * well

    def median_us(self, sick):
        """How long a message of fast took while node 4 was so."""
        seconds = [one["fast"] for one in self.told if one["sick"] == sick]
        return statistics.median(one.get("p50_us", 1e6) for one in seconds)

    def end(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for one in [*self.members, *self.daemons]:
            if one.process and one.process.poll() is None:
                os.kill(one.process.pid, signal.SIGCONT)
                end(one.process)
        shutil.rmtree(self.place, ignore_errors=True)


def figures(seconds):
    """Of what several members said of the same second."""
    counted = {}
    for one in seconds:
        for ns, count in one["latencies"]:
            counted[ns] = counted.get(ns, 0) + count
    total = sum(counted.values())
    found = {"messages": total, "views": sum(one["views"] for one in seconds)}
    for name, share in (("p50_us", 0.5), ("p99_us", 0.99)):
        seen = 0
        for ns in sorted(counted):
            seen += counted[ns]
            if seen >= share * total:
                found[name] = ns / 1000
                break
    return found


def line(found):
    if not found["messages"]:
        return f"{'nothing':>22}"
    return f"{picture.readable(found['p50_us']):>10} {picture.readable(found['p99_us']):>10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="directory with anasazid and anasazi")
    parser.add_argument("--pace", required=True, help="the member program, compiled")
    parser.add_argument("--picture", type=pathlib.Path, help="draw both latencies into this file")
    parser.add_argument("--json", action="store_true", help="figures as JSON; words go to stderr")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    demo = Demo(arguments)
    try:
        undisturbed = demo.run()
    except Trouble as trouble:
        demo.show(f"\nfailed: {trouble}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        demo.end()
    if arguments.picture:
        arguments.picture.write_text(picture.draw(demo.told, demo.marks), encoding="utf-8")
        demo.show(f"picture: {arguments.picture}")
    demo.show("fast was not disturbed" if undisturbed else "DISTURBED: fast had views, a gap, or took longer")
    if arguments.json:
        print(json.dumps({"undisturbed": undisturbed, **demo.verdict}))
    return 0 if undisturbed else 1


if __name__ == "__main__":
    sys.exit(main())
