"""Servers of others that we run as children: they log to a file, and never outlive us."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

STOP_S = 15.0  # to end in good order; past that it is killed
TAIL_LINES = 15
FIRST_PORT = 20_000  # Ray gives its workers those below
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(slots=True)
class ServerProcess:
    """One server process of somebody else's.

    Start it from a thread that lives as long as the server shall: the kernel ends it with the thread that started it.
    """

    name: str
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """Its process; None while it does not run."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, args: Sequence[str], *, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()) -> None:
        """Start it; what it prints goes to its log, anew each time. The last time's log is kept beside it.

        Args:
            args: the program and what it is told.
            env: settings beside our own.
            pass_fds: open files that it holds from now on, such as a lock.

        Raises:
            FileNotFoundError: there is no such program.
        """
        assert not self.alive, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                args,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                start_new_session=True,  # Ctrl-C is ours to pass on, in order
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock
            )

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it ended, or did not answer in time (it is stopped then); with the end of its log.
        """
        end_s = time.monotonic() + timeout_s
        while not is_ready():
            if not self.alive:
                code = self._process.returncode if self._process else None
                msg = f"{self.name} ended with {code} while it started; its log {self.log} ends:\n{self.tail()}"
                raise RuntimeError(msg)
            if time.monotonic() > end_s:
                self.stop()
                msg = f"{self.name} gave no answer in {timeout_s:g} s and was stopped; {self.log} ends:\n{self.tail()}"
                raise RuntimeError(msg)
            time.sleep(0.1)

    def stop(self, *, within_s: float = STOP_S) -> None:
        """End it in good order, or kill it where it does not end; harmless where it does not run."""
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with -9, it and what it started."""
        if self._process is None or not self.alive:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def tail(self) -> str:
        """The end of its log."""
        if not self.log.exists():
            return "(nothing)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def die_with_parent() -> None:
    """Run in a child before its program: if the parent dies, by -9 too, the kernel ends the child."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    """Ports that are free on loopback now, all different.

    They lie below those that the kernel hands out by itself: a server that is down for a while, as after a kill, must
    find nobody on its port when it is back.

    Raises:
        OSError: there are not so many.
    """
    found: list[int] = []
    with ExitStack() as held:
        for port in _candidates(count):
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(int(probe.getsockname()[1]))
            if len(found) == count:
                return found
    msg = f"no {count} free ports on loopback"
    raise OSError(msg)


def _candidates(count: int) -> Iterator[int]:
    """Ports to try, in no order; at last those that the kernel chooses."""
    kernels = Path("/proc/sys/net/ipv4/ip_local_port_range")
    low = int(kernels.read_text().split()[0]) if kernels.exists() else FIRST_PORT
    # two programs that seeded alike must not choose alike
    yield from random.SystemRandom().sample(range(FIRST_PORT, low), max(0, low - FIRST_PORT))
    yield from repeat(0, count)


def accepts(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
