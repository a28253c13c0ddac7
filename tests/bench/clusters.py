"""The clusters that are measured: one daemon on each host, and how a program reaches it."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

from hosts import Namespaces, Trouble

START_S_MAX = 60
END_S_MAX = 5
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Cluster:
    """Daemons that were started, and end with it."""

    def __init__(self, place, hosts):
        self.place, self.hosts = place, hosts
        self.daemons = []

    def start(self):
        try:
            for index in range(self.hosts.count):
                self._start(index)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for daemon in self.daemons:
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons = []

    def kill(self, index):
        """Ends a daemon without warning; returns when (CLOCK_MONOTONIC, nanoseconds)."""
        moment = time.monotonic_ns()
        self.daemons[index].kill()
        self.daemons[index].wait()
        return moment

    def start_at_once(self):
        """Starts all, and waits for them together."""
        self.start()

    def start_again(self, index):
        """Starts a daemon that was killed."""
        self._start(index)

    def cpu_s(self):
        """Processor time of all daemons so far."""
        for index, daemon in enumerate(self.daemons):
            if daemon.poll() is not None:
                raise Trouble(f"{self.name} {index + 1} ended; {self._last_words(index)}")
        return sum(cpu_s(daemon.pid) for daemon in self.daemons)

    def environment(self, _index):
        """What the program on a host needs to know."""
        return dict(os.environ)

    def _start(self, index):
        raise NotImplementedError

    def _run(self, index, command):
        with open(self._log(index), "ab") as output:
            daemon = subprocess.Popen(
                self.hosts.command(index, command), stdin=subprocess.DEVNULL, stdout=output,
                stderr=output)
        self.daemons[index:index + 1] = [daemon]

    def _until(self, is_so, index, what):
        limit = time.monotonic() + START_S_MAX
        daemon = self.daemons[index]
        while not is_so():
            if daemon.poll() is not None or time.monotonic() > limit:
                raise Trouble(f"{self.name} {index + 1} {what}; {self._last_words(index)}")
            time.sleep(0.02)

    def _last_words(self, index):
        return "it says:\n" + self._log(index).read_text(errors="replace")[-2000:]

    def _log(self, index):
        return self.place / f"{self.name}{index + 1}.log"


class Anasazi(Cluster):
    """One anasazid on each host."""

    name = "anasazi"
    backend = "anasazi_backend.h"
    knows_safe = True

    def __init__(self, place, hosts, release):
        super().__init__(place, hosts)
        self.release = release
        ports = free_ports(hosts.count + 1)
        self.addresses, self.group_port = hosts.addresses(ports[:-1]), ports[-1]
        # Whose daemons belong together.
        self.cluster = f"bench-{self.name}-{os.getpid()}-{ports[-1]}"

    def environment(self, index):
        return {**os.environ, "ANASAZI_URL": f"shm:{self._socket(index)}"}

    def _socket(self, index):
        return self.place / f"node{index + 1}.sock"

    def start_at_once(self):
        try:
            for index in range(self.hosts.count):
                self._begin(index)
            for index in range(self.hosts.count):
                self._until(self._socket(index).exists, index, "does not start")
        except BaseException:
            self.stop()
            raise

    def _start(self, index):
        self._begin(index)
        self._until(self._socket(index).exists, index, "does not start")

    def _begin(self, index):
        # One of a killed daemon says nothing about the next.
        self._socket(index).unlink(missing_ok=True)
        self._run(index, [self.release / "anasazid", "--config", self._config(index)])

    def _seal(self):
        """These hosts have their network for themselves."""
        return '[seal]\nmode = "checksum"\n'

    def _config(self, index):
        others = ", ".join(f'"{a}"' for a in self.addresses if a != self.addresses[index])
        config = self.place / f"node{index + 1}.toml"
        config.write_text(
            f'cluster = "{self.cluster}"\n[node]\nid = {index + 1}\n'
            f'[transport]\nbind = "{self.addresses[index]}"\npeers = [{others}]\n'
            f'multicast = "239.192.77.1:{self.group_port}"\n{self._seal()}'
            f'[client]\nlisten = "{self._socket(index)}"\nlisten_mode = "0600"\n')
        return config


class InProcess(Anasazi):
    """No daemons: an engine in each program."""

    name = "in-process"

    def start(self):
        """The programs start it."""

    def environment(self, index):
        return {**os.environ, "ANASAZI_URL": "inproc:bench",
                "BENCH_CONFIG": str(self._config(index))}


class InLoop(InProcess):
    """An engine in each program, which turns it in its own loop: one thread."""

    name = "in-loop"

    def environment(self, index):
        others = {name: value for name, value in os.environ.items() if name != "ANASAZI_URL"}
        return {**others, "BENCH_CONFIG": str(self._config(index))}


class Corosync(Cluster):
    """One corosync on each host: knet, without encryption. For root, in namespaces, where it has
    its names to itself."""

    name = "corosync"
    backend = "corosync_backend.h"
    knows_safe = False

    @staticmethod
    def obstacle(hosts):
        """Why it cannot be measured, if it cannot."""
        if not isinstance(hosts, Namespaces):
            return "corosync is measured in network namespaces only, as root"
        if not shutil.which("corosync"):
            return "no corosync (Debian: corosync)"
        if not pathlib.Path("/usr/include/corosync/cpg.h").exists():
            return "no corosync/cpg.h (Debian: libcpg-dev)"
        return None

    def stop(self):
        pids = [daemon.pid for daemon in self.daemons]
        super().stop()
        for pid in pids:
            forget(pid)

    def kill(self, index):
        moment = super().kill(index)
        forget(self.daemons[index].pid)
        return moment

    def _crypto(self, _folder):
        return " crypto_cipher: none\n crypto_hash: none\n"

    def _start(self, index):
        nodes = "".join(
            f"node {{\n nodeid: {i + 1}\n name: n{i + 1}\n"
            f" ring0_addr: {Namespaces.address(i)}\n}}\n" for i in range(self.hosts.count))
        folder = self.place / f"corosync{index + 1}"
        for name in ("lib", "run"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        config = folder / "corosync.conf"
        config.write_text(
            "totem {\n version: 2\n cluster_name: bench\n transport: knet\n"
            f"{self._crypto(folder)}}}\n"
            f"logging {{\n to_logfile: yes\n logfile: {folder}/log\n to_syslog: no\n}}\n"
            f"quorum {{\n}}\nnodelist {{\n{nodes}}}\n")
        # It has one state and one run directory per machine: each gets its own.
        script = (f"mount --bind {folder}/lib /var/lib/corosync && mount --bind {folder}/run /run "
                  f"&& exec corosync -f -c {config}")
        self._run(index, ["unshare", "-m", "sh", "-c", script])


def forget(pid):
    """Removes the shared memory that a Corosync leaves behind."""
    for pattern in (f"qb-corosync-{pid}-*", f"qb-{pid}-*"):
        for path in pathlib.Path("/dev/shm").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def memory(pid):
    """Of a process in KiB: its own, and all that is resident, what it shares with others too."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines()
           if line.startswith(("VmRSS", "RssAnon"))}
    return {"own": kib["RssAnon"], "resident": kib["VmRSS"]}


def free_ports(count):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
