"""What the network carries without any protocol: multicast in runs of datagrams, from all hosts to
all others at once, and from one."""

import json
import os
import pathlib
import subprocess

from clusters import free_ports
from hosts import Trouble

HERE = pathlib.Path(__file__).resolve().parent
GROUP = "239.192.77.9"
DATAGRAM_LEN = 1400
SECONDS = 1.0


def measure(hosts, place, rounds):
    """Megabytes a second into the slowest of the hosts: {senders: the best of some rounds}."""
    program = place / "raw"
    subprocess.run([os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Wextra", HERE / "raw.c", "-o",
                    program, "-lpthread"], check=True, timeout=120)
    counts = (1, hosts.count)
    return {count: max(one_round(hosts, program, count) for _ in range(rounds))
            for count in counts}


def one_round(hosts, program, senders):
    port = free_ports(1)[0]
    addresses = [name.split(":")[0] for name in hosts.addresses([0] * hosts.count)]
    programs = [subprocess.Popen(
        hosts.command(index, [str(program), address, GROUP, str(port), str(DATAGRAM_LEN),
                              str(SECONDS), "send" if index < senders else "receive"]),
        stdout=subprocess.PIPE, text=True) for index, address in enumerate(addresses)]
    outputs = [one.communicate(timeout=60)[0] for one in programs]
    if any(one.returncode for one in programs):
        raise Trouble("the raw limit cannot be measured")
    into = [json.loads(output)["mb_s"] for output in outputs]
    # Nobody hears itself.
    return min(into[1:] if senders == 1 else into)
