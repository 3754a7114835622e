"""Free ports on loopback, for the servers and stages of one machine."""

import errno
import random
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

FIRST_PORT = 20_000  # Ray gives its workers the ports below
_LISTEN: Final = "0A"  # state of a listening socket in /proc/net/tcp
_TRIES: Final = 20


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRequest:
    """Port of one server: a fixed one, or a preferred one."""

    setting: str  # name of the setting that fixes it
    preferred: int
    fixed: int | None = None  # as the setting has it; 0: any free port
    host: str = "127.0.0.1"


def choose_ports(requests: Mapping[str, PortRequest], notify: Callable[[str], None]) -> dict[str, int]:
    """Choose a free port for each server, by its name.

    A fixed port must be free; in place of a preferred one that is taken, a free one is chosen and reported.

    Raises:
        OSError: a fixed port is taken, may not be used, or is requested twice; names setting and holder.
    """
    _refuse_doubles(requests)
    chosen = {name: one.fixed for name, one in requests.items() if one.fixed}
    for name, one in requests.items():
        if one.fixed:
            if reason := why_not_free(one.host, one.fixed):
                msg = (
                    f"{one.setting}={one.fixed}: {reason}; nothing was started. Free the port, set {one.setting} to "
                    "another one, or unset it: then a free port is chosen"
                )
                raise OSError(msg)
            continue
        reason = why_not_free(one.host, one.preferred)
        if one.fixed is None and one.preferred not in chosen.values() and not reason:
            chosen[name] = one.preferred
            continue
        chosen[name] = _any_port(one.host, chosen.values())
        if one.fixed is None:
            why = reason or f"port {one.preferred} is requested for another stage"
            notify(f"{name}: {why}; using port {chosen[name]}. {one.setting} fixes the port")
    return {name: chosen[name] for name in requests}


def _refuse_doubles(requests: Mapping[str, PortRequest]) -> None:
    fixed = [one for one in requests.values() if one.fixed]
    for one in fixed:
        same = [other.setting for other in fixed if other.fixed == one.fixed]
        if len(same) > 1:
            msg = f"{' and '.join(same)} are both {one.fixed}; nothing was started. Give each a port of its own"
            raise OSError(msg)


def why_not_free(host: str, port: int) -> str:
    """Say why a server can't listen on a port; empty if free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            return f"port {port} is reserved for the system and this user may not listen on it"
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                holder = holder_of(port)
                return f"port {port} is taken by {holder or 'another program'}"
            return f"this machine can't listen on {host}:{port} ({error.strerror or error})"
    return ""


def holder_of(port: int) -> str:
    """Name and process id of the program that listens on a port.

    Empty where the system does not tell, as for processes of other users.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening_sockets(port)}
    for folder in Path("/proc").glob("[0-9]*") if sockets else ():
        with suppress(OSError):
            if any(str(link.readlink()) in sockets for link in (folder / "fd").iterdir()):
                return f"{(folder / 'comm').read_text().strip()} (process {folder.name})"
    return ""


def _listening_sockets(port: int) -> Iterator[str]:
    """Inodes of sockets that listen on a port (proc(5), /proc/net/tcp)."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for row in Path(table).read_text().splitlines()[1:]:
                fields = row.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _any_port(host: str, taken: Collection[int]) -> int:
    """Choose a free port; OSError if there is none."""
    for _ in range(_TRIES):
        (port,) = free_ports(1)
        if port not in taken and not why_not_free(host, port):
            return port
    msg = f"no port is free on {host}; nothing was started. Stop other programs"
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
