#!/usr/bin/env python3
"""Shows Anasazi at work on this machine: four members of a group, on four engines, agree on views and
messages while one daemon is killed and comes back, and while the network is divided and healed.

Needs no privileges, uses loopback only, keeps everything in a directory of its own, and ends only
what it started. Exit status: 0 if all members that moved together saw the same, 1 if not or if
something went wrong, 130 if it was interrupted."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import verdict

GROUP = "demo"
MULTICAST_GROUP = "239.192.77.1"
BURST = 5000        # messages of each member, at once
STREAM = 300        # messages a second of each member, while engines and network fail
LOOK = 0.5          # seconds of steady work between two events, so that there is something to see
WAIT_MAX = 20.0     # for anything that should happen
LEAVE_MAX = 3.0     # for a process that was asked to end


class Trouble(Exception):
    """Something that should not happen; says what, and what is known."""


class Daemon:
    """An anasazid with its configuration, socket and state."""

    def __init__(self, demo, node):
        self.demo, self.node = demo, node
        self.name = f"daemon {node}"
        self.config = demo.place / f"node{node}.toml"
        self.socket = demo.place / f"node{node}.sock"
        self.log = demo.place / f"node{node}.log"
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.demo.bin / "anasazid", "--config", self.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.demo.environment,
                start_new_session=True)
        self.demo.until(lambda: self.demo.ask(self.socket, "status") is not None,
                        f"{self.name} answers")

    def check(self):
        if self.process and self.process.poll() is not None:
            raise Trouble(f"{self.name} ended with {self.process.returncode}; its last words:\n"
                          + last_lines(self.log))

    def kill(self):
        self.process.kill()
        moment = time.monotonic_ns()
        self.process.wait()
        self.process = None
        return moment

    def end(self):
        if self.process:
            end(self.process)


class Member:
    """A C program that is a member of the group."""

    def __init__(self, demo, name, node, engine):
        self.demo, self.name, self.node, self.engine = demo, name, node, engine
        self.errors = demo.place / f"{name}.err"
        self.events = []
        self.process = None

    def start(self):
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                [self.demo.member, "--group", GROUP, "--name", self.name, *self.engine],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=self.demo.environment, start_new_session=True)
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def _listen(self, process):
        for line in process.stdout:
            event = json.loads(line)
            with self.demo.news:
                self.events.append(event)
                self.demo.news.notify_all()

    def check(self):
        if self.process and self.process.poll() is not None:
            raise Trouble(f"member {self.name} ended with {self.process.returncode}; its last "
                          "words:\n" + last_lines(self.errors))

    def tell(self, command):
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.check()
            raise Trouble(f"member {self.name} does not listen any more") from None

    def since(self, mark, kind):
        """Its events of a kind since a mark, which is a number of events."""
        return [event for event in self.events[mark:] if event["event"] == kind]

    def view_of(self, nodes, mark):
        """Its first view since the mark whose members are exactly on these nodes."""
        for event in self.since(mark, "view"):
            if sorted(node_of(member) for member in event["members"]) == sorted(nodes):
                return event
        return None

    def report(self):
        mark = len(self.events)
        self.tell("report")
        self.demo.until(lambda: self.since(mark, "report"), f"{self.name} reports")
        return self.since(mark, "report")[0]

    def end(self):
        if self.process:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
            end(self.process)


class Demo:
    """The cluster, and the story that is told with it."""

    def __init__(self, arguments):
        self.bin = pathlib.Path(arguments.bin).resolve()
        self.member = pathlib.Path(arguments.member).resolve()
        self.json = arguments.json
        self.start_ns = time.monotonic_ns()
        self.news = threading.Condition()
        # Whatever the user has set for other engines is not meant for these.
        unset = ("ANASAZI_LOG", "ANASAZI_URL", "NOTIFY_SOCKET", "STATE_DIRECTORY", "WATCHDOG_USEC")
        self.environment = {key: value for key, value in os.environ.items() if key not in unset}
        self.place = private_directory()
        self.daemons = [Daemon(self, node) for node in (1, 2, 3)]
        names = ["ada", "ben", "cyd"]
        self.members = [Member(self, name, daemon.node, ["--url", f"shm:{daemon.socket}"])
                        for name, daemon in zip(names, self.daemons)]
        own_config = self.place / "node4.toml"
        self.members.append(Member(self, "dan", 4, ["--engine", str(own_config)]))
        self.sockets = {node: self.place / f"node{node}.sock" for node in (1, 2, 3, 4)}
        self.figures = {}

    # -- telling -----------------------------------------------------------------------------------

    def say(self, text, moment=None):
        """What was done at that moment, by the monotonic clock; else now."""
        seconds = ((moment or time.monotonic_ns()) - self.start_ns) / 1e9
        print(f"[{seconds:6.2f} s] {text}", file=sys.stderr if self.json else sys.stdout, flush=True)

    def show(self, text=""):
        print(text, file=sys.stderr if self.json else sys.stdout, flush=True)

    # -- waiting and asking --------------------------------------------------------------------------

    def until(self, is_so, what, seconds=WAIT_MAX):
        """Waits until something is so, while everybody who should live lives."""
        limit = time.monotonic() + seconds
        while not is_so():
            for one in [*self.daemons, *self.members]:
                one.check()
            if time.monotonic() > limit:
                raise Trouble(f"waited {seconds:.0f} s in vain: {what}")
            with self.news:
                self.news.wait(0.02)

    def ask(self, path, *words):
        """What the console prints for an engine, or None if it could not be asked."""
        command = [self.bin / "anasazi", "--url", f"shm:{path}", "--json", "--timeout", "5", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_MAX,
                              env=self.environment, stdin=subprocess.DEVNULL)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def order(self, orders):
        """Gives several engines an order at the same time: {node: words}."""
        running = [
            subprocess.Popen([self.bin / "anasazi", "--url", f"shm:{self.sockets[node]}",
                              "--timeout", "5", *words], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                             env=self.environment)
            for node, words in orders.items()]
        for one in running:
            _, errors = one.communicate(timeout=WAIT_MAX)
            if one.returncode:
                raise Trouble(f"the console failed: {errors.strip()}")

    def marks(self):
        return {member: len(member.events) for member in self.members}

    def tell_all(self, command):
        for member in self.members:
            member.tell(command)

    def describe(self):
        """What everybody says, for whoever has to find out what went wrong."""
        lines = []
        for node, path in self.sockets.items():
            answer = self.ask(path, "status") or {}
            ring = answer.get("ring") or {}
            nodes = [member["node"] for member in ring.get("members", [])]
            lines.append(f"engine {node}: {answer.get('state', 'does not answer')}, ring of {nodes}")
            events = (self.ask(path, "events") or {}).get("events", [])
            lines += [f"    {event['time_ms']} {event['text']}" for event in events[-10:]]
        for member in self.members:
            views = member.since(0, "view")
            lines.append(f"{member.name}: last view {views[-1]['members'] if views else 'none'}")
        return "\n".join(lines)

    # -- the story -----------------------------------------------------------------------------------

    def run(self):
        self.show(INTRODUCTION)
        self.write_configurations()
        self.meet()
        self.burst()
        self.tell_all(f"stream {STREAM}")
        time.sleep(LOOK)
        self.kill_and_restart()
        time.sleep(LOOK)
        self.divide_and_heal()
        time.sleep(LOOK)
        return self.judge()

    def write_configurations(self):
        ports = free_ports(5)
        addresses = [f"127.0.0.1:{port}" for port in ports[:4]]
        for node, address in zip((1, 2, 3, 4), addresses):
            peers = ", ".join(f'"{other}"' for other in addresses if other != address)
            state = self.place / f"state{node}"
            state.mkdir()
            (self.place / f"node{node}.toml").write_text(
                f'cluster = "demo-{os.getpid()}"\n'
                f'[node]\nid = {node}\n'
                f'[state]\ndir = "{state}"\n'
                f'[transport]\nbind = "{address}"\npeers = [{peers}]\n'
                f'multicast = "{MULTICAST_GROUP}:{ports[4]}"\n'
                # So that the demo may divide the network; never set in earnest.
                f'allow_faults = true\n'
                f'[client]\nlisten = "{self.sockets[node]}"\nlisten_mode = "0600"\n')

    def meet(self):
        for daemon in self.daemons:
            daemon.start()
        self.say("three daemons run: nodes 1, 2 and 3")
        for member in self.members:
            member.start()
        everybody = {member: 0 for member in self.members}
        self.await_view([1, 2, 3, 4], everybody, "all four members are in one view")
        view = self.members[0].view_of([1, 2, 3, 4], 0)
        self.say("ada, ben, cyd and dan are in one view of group \"demo\": " + show_members(view))

    def burst(self):
        started = time.monotonic()
        self.tell_all(f"send {BURST}")
        total = BURST * len(self.members)
        told = 0
        while told < total:
            self.until(lambda: self.least_delivered() > told, "messages are delivered")
            told = self.least_delivered()
            if told % 5000 == 0:
                self.say(f"  {told:,} of {total:,} messages delivered at every member")
        seconds = time.monotonic() - started
        self.figures["burst"] = {"messages": total, "seconds": round(seconds, 3)}
        self.say(f"{total:,} messages, agreed and safe in turn, reached all four in {seconds:.2f} s")

    def least_delivered(self):
        """In thousands, as the members tell it."""
        return min(max((event["delivered"] for event in member.since(0, "progress")), default=0)
                   for member in self.members)

    def kill_and_restart(self):
        victim, client = self.daemons[2], self.members[2]
        survivors = [member for member in self.members if member is not client]
        marks = self.marks()
        moment = victim.kill()
        self.say("daemon 3 was killed with SIGKILL, while all four were sending", moment)
        self.await_view([1, 2, 4], {member: marks[member] for member in survivors},
                        "the survivors get a view without node 3")
        self.until(lambda: client.since(marks[client], "suspended"), "cyd notices")
        gone = client.since(marks[client], "suspended")[0]
        self.figures["killed"] = self.show_views([1, 2, 4], survivors, marks, moment, "the kill", [
            (gone["t"], f"  cyd (node 3): its daemon is gone, noticed after "
                        f"{ms(gone['t'] - moment)}; it waits and looks for it")])
        time.sleep(LOOK)

        marks = self.marks()
        moment = time.monotonic_ns()
        victim.start()
        self.say("daemon 3 was started again", moment)
        self.await_view([1, 2, 3, 4], marks, "all four are in one view again")
        back = client.since(marks[client], "resumed")[0]
        self.figures["restarted"] = self.show_views(
            [1, 2, 3, 4], self.members, marks, moment, "the start", [
                (back["t"], "  cyd (node 3): connected again by itself after "
                            f"{ms(back['t'] - moment)}, as {short(back['self'][0])}, "
                            "and rejoined")])

    def divide_and_heal(self):
        halves = [[1, 2], [3, 4]]
        marks = self.marks()
        moment = time.monotonic_ns()
        self.order({node: ["isolate", *map(str, half)] for half in halves for node in half})
        self.say("the network was divided: nodes 1 and 2 | nodes 3 and 4", moment)
        for half in halves:
            inside = {member: marks[member] for member in self.members if member.node in half}
            self.await_view(half, inside, f"nodes {half} get a view of their own")
        self.figures["divided"] = [
            figure for half in halves for figure in self.show_views(
                half, [member for member in self.members if member.node in half], marks, moment,
                "the cut")]
        self.say("  both halves go on, each with an order of its own")
        time.sleep(LOOK)

        marks = self.marks()
        moment = time.monotonic_ns()
        self.order({node: ["heal"] for node in self.sockets})
        self.say("the network was healed", moment)
        self.await_view([1, 2, 3, 4], marks, "all four are in one view again")
        self.figures["healed"] = self.show_views(
            [1, 2, 3, 4], self.members, marks, moment, "the healing")

    def await_view(self, nodes, marks, what):
        self.until(lambda: all(member.view_of(nodes, mark) for member, mark in marks.items()), what)

    def show_views(self, nodes, members, marks, moment, since, further=()):
        """Tells of the view of these nodes that each of the members got, and of what else there is,
        by the times that the members wrote; gives the figures."""
        views = [(member, member.view_of(nodes, marks[member])) for member in members]
        told = [(view["t"],
                 f"  {member.name} (node {member.node}): view of {len(view['members'])}, "
                 f"{ms(view['t'] - moment)} after {since}, cause {view['cause']}: {view['reason']}")
                for member, view in views]
        for at, text in sorted([*told, *further]):
            self.say(text, at)
        return [{"member": member.name, "ms": round((view["t"] - moment) / 1e6, 3),
                 "cause": view["cause"], "reason": view["reason"], "members": view["members"],
                 "id": view["id"]} for member, view in views]

    def judge(self):
        self.tell_all("stop")
        reports = self.settle()
        found = verdict.judge({member.name: member.events for member in self.members}, reports)
        self.show()
        self.show(verdict.picture(found))
        self.show(verdict.table(found))
        self.show(verdict.sentence(found))
        self.figures.update(verdict.figures(found))
        return not found.differences

    def settle(self):
        """Everything that was sent has come to its end, and is the same everywhere twice in a row."""
        limit = time.monotonic() + WAIT_MAX
        before = None
        while True:
            reports = {member.name: member.report() for member in self.members}
            now = [(report.get("view"), report["delivered"]) for report in reports.values()]
            done = all(report["settled"] == report["sent"] and not report["waiting"]
                       for report in reports.values())
            if done and now == before or time.monotonic() > limit:
                return reports
            before = now
            time.sleep(0.1)

    def end(self):
        # Whoever is impatient must not keep processes and files from being cleared away.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for one in [*self.members, *self.daemons]:
            one.end()
        shutil.rmtree(self.place, ignore_errors=True)


def private_directory():
    place = pathlib.Path(tempfile.mkdtemp(prefix="anasazi-demo-"))
    if len(str(place)) > 80:  # the path of a socket has at most 107 bytes
        place.rmdir()
        place = pathlib.Path(tempfile.mkdtemp(prefix="anasazi-demo-", dir="/tmp"))
    return place


def free_ports(count):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def end(process):
    """Ends a process that this one started: first it is asked to."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(LEAVE_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_lines(path, count=8):
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join("    " + line for line in lines[-count:]) or "    (none)"


def node_of(member):
    return int(member.split("/")[0])


def short(member):
    """Node and session, as the console shows them."""
    node, session = member.split("/")
    return f"{node}/{int(session, 16) & 0xffffff:x}"


def show_members(view):
    return " ".join(short(member) for member in view["members"])


def ms(nanoseconds):
    return f"{nanoseconds / 1e6:.1f} ms"


def interrupt(_number, _frame):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bin", required=True, help="folder with anasazid and anasazi")
    parser.add_argument("--member", required=True, help="the program made from demo/member.c")
    parser.add_argument("--json", action="store_true",
                        help="print the result as JSON; the story goes to standard error")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    demo = Demo(arguments)
    try:
        is_right = demo.run()
    except (Trouble, subprocess.TimeoutExpired) as trouble:
        demo.show(f"FAILED: {trouble}\n{demo.describe()}")
        demo.figures["trouble"] = str(trouble)
        is_right = False
    except KeyboardInterrupt:
        demo.show("interrupted")
        return 130
    finally:
        demo.end()
    if arguments.json:
        print(json.dumps({"ok": is_right, **demo.figures}))
    return 0 if is_right else 1


INTRODUCTION = """\
Four programs join one group and send to it at the same time. Each is served by an engine; the
engines order all messages, and tell the same story to all four. All on this machine, on loopback:

    ada --- shared memory --- daemon 1 ---+
    ben --- shared memory --- daemon 2 ---+--- UDP on 127.0.0.1
    cyd --- shared memory --- daemon 3 ---+
    dan, with an engine in a thread ------+    (node 4)
"""

if __name__ == "__main__":
    sys.exit(main())
