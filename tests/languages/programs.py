"""Programs that are typed to and read from, and the daemons behind them."""

import pathlib
import queue
import socket
import subprocess
import sys
import threading
import time

SECONDS_MAX = 20


class Program:
    """A program whose lines can be waited for; it ends with this object at the latest."""

    running = []

    def __init__(self, command):
        self.name = " ".join(pathlib.Path(str(word)).name for word in command[:3])
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.printed = queue.Queue(), []
        threading.Thread(target=self._read, daemon=True).start()
        self.running.append(self)

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def type(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def expect(self, text, times=1, only="", from_line=""):
        """The lines up to the one with this text in it, for as many times: those with `only` in
        them, and from the first one on that begins with `from_line`."""
        deadline, taken = time.monotonic() + SECONDS_MAX, []
        while times:
            line = self._line(deadline, f"no {text!r}")
            if line is None:
                self._fail(f"it ended without {text!r}")
            if only in line and (taken or line.startswith(from_line)):
                taken.append(line)
            times -= text in line
        return taken

    def rest(self):
        """Ends its input and waits for its end, which must be a good one: its further lines."""
        self.process.stdin.close()
        deadline, taken = time.monotonic() + SECONDS_MAX, []
        while (line := self._line(deadline, "it does not end")) is not None:
            taken.append(line)
        code = self.process.wait(SECONDS_MAX)
        if code:
            self._fail(f"it ended with {code}")
        self.running.remove(self)
        return taken

    def _line(self, deadline, complaint):
        try:
            line = self.lines.get(timeout=max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            self._fail(f"{complaint} within {SECONDS_MAX} s")
        if line is not None:
            self.printed.append(line)
        return line

    def _fail(self, why):
        sys.exit(f"{self.name}: {why}; it printed:\n" + "\n".join(self.printed))

    @classmethod
    def end_all(cls):
        for program in cls.running:
            program.process.kill()
            program.process.wait()


class Cluster:
    """Daemons of a cluster of their own on this host; a context manager."""

    def __init__(self, release, place, names):
        self.release, self.place, self.names = release, place, names
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def url(self, name):
        return f"shm:{self.place / name}.sock"

    def __enter__(self):
        for name in self.names:
            settings = [f"cluster=test-{self.port}",
                        f"transport.multicast=239.192.77.9:{self.port}",
                        f"client.listen={self.place / name}.sock", "log.level=error"]
            Program([self.release / "anasazid",
                     *(word for setting in settings for word in ("--set", setting))])
        deadline = time.monotonic() + SECONDS_MAX
        while not all((self.place / f"{name}.sock").exists() for name in self.names):
            if time.monotonic() > deadline:
                sys.exit("the daemons do not serve clients")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        Program.end_all()
