"""Free ports on loopback, for the servers and stages of one machine."""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path

FIRST_PORT = 20_000  # Ray gives its workers the ports below


def free_ports(count: int) -> list[int]:
    """Choose ports that are free on loopback now, all different.

    They are below the range from which the kernel assigns ports to outgoing connections: otherwise a connection could
    take the port of a server while that server restarts.

    Raises:
        OSError: fewer than ``count`` ports are free.
    """
    found: list[int] = []
    with ExitStack() as probes:
        for port in _candidates(count):
            probe = probes.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(int(probe.getsockname()[1]))
            if len(found) == count:
                return found
    msg = f"fewer than {count} ports are free on loopback; nothing was started. Stop other programs"
    raise OSError(msg)


def free_port(preferred: int) -> int:
    """Choose ``preferred`` if it is free on loopback, else any free port.

    Raises:
        OSError: no port is free.
    """
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    msg = "no port is free on loopback; nothing was started. Stop other programs"
    raise OSError(msg)


def is_listening(port: int) -> bool:
    """Whether a server listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _candidates(count: int) -> Iterator[int]:
    """Ports to try in random order; last, ports that the kernel chooses."""
    kernel_range = Path("/proc/sys/net/ipv4/ip_local_port_range")
    low = int(kernel_range.read_text().split()[0]) if kernel_range.exists() else FIRST_PORT
    # SystemRandom: two programs that seeded `random` alike must not choose the same ports
    yield from random.SystemRandom().sample(range(FIRST_PORT, low), max(0, low - FIRST_PORT))
    yield from repeat(0, count)
