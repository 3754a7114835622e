"""Start, stop and kill one Ray head on this machine, by Ray's own command line: nothing of Ray is imported here."""

import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from siad.apps.local.child import ServerProcess, accepts, free_ports
from siad.runtime.ray_address import LOOPBACK_ENVIRONMENT

READY_S = 90.0  # on a busy machine; 7 s on an idle one
# Ray gives up after 30 s, however busy the machine, and where another program was quicker on one of its ports
TRIES = 3
OBJECT_STORE_BYTES = 200 * 2**20  # references flow through Ray, pixels do not
# Ray would wait 30 s for other nodes to take over what runs here; there are none
_AT_ONCE = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
_PORTS = (
    "port",
    "ray-client-server-port",
    "object-manager-port",
    "node-manager-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
    "runtime-env-agent-port",
)


class RayNode:
    """One head with this machine's resources.

    Args:
        data: folder of its log. What Ray keeps while it runs lies in a short temporary folder: the path of a Unix
            socket may have 107 characters.
        cpus: logical CPUs that it shares out; a scorer takes half of one, a training worker one.
    """

    def __init__(self, data: Path, *, cpus: int = 2) -> None:
        self._data, self._cpus = data, cpus
        self._child = ServerProcess("Ray", data / "ray.log")
        self._port: int | None = None
        self._scratch: Path | None = None

    @property
    def address(self) -> str:
        """What RAY_ADDRESS wants; known once it was started."""
        assert self._port is not None, "not started yet"
        return f"127.0.0.1:{self._port}"

    def environment(self) -> dict[str, str]:
        """What a program on this machine needs to find it."""
        return {"RAY_ADDRESS": self.address, **LOOPBACK_ENVIRONMENT}

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child.alive

    def start(self) -> None:
        """Start it and wait until it answers; again after it fell, at the same address, with nothing in it.

        Raises:
            RuntimeError: there is no `ray`, or it did not come up; says why.
        """
        for tries_left in reversed(range(TRIES)):
            self._clear()
            self._child.start(self._arguments(), env={**LOOPBACK_ENVIRONMENT, **_AT_ONCE})
            try:
                self._child.wait_until(self._answers, timeout_s=READY_S)
            except RuntimeError:
                if not tries_left:
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop it and all that runs in it."""
        self._child.stop()
        self._clear()

    def kill(self) -> None:
        """End it with -9, and all that runs in it."""
        self._child.kill()
        self._clear()

    def _arguments(self) -> list[str]:
        """What to start: on new ports, but for the head's, and in a new folder."""
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        if self._port is not None and not accepts(self._port):
            ports["port"] = self._port
        self._port = ports["port"]
        self._scratch = Path(tempfile.mkdtemp(prefix="siad-ray-"))
        return [
            find_ray(),
            "start",
            "--head",
            "--block",
            "--node-ip-address=127.0.0.1",
            "--include-dashboard=false",
            "--disable-usage-stats",
            f"--num-cpus={self._cpus}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--temp-dir={self._scratch}",
            *(f"--{name}={port}" for name, port in ports.items()),
        ]

    def _answers(self) -> bool:
        return self._port is not None and accepts(self._port) and "Ray runtime started" in self._child.log.read_text()

    def _clear(self) -> None:
        """End what the last head left running, which all names its folder, and remove the folder."""
        if self._scratch is None:
            return
        for pid in _processes_naming(str(self._scratch)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch = None


def find_ray() -> str:
    """The program, beside this Python, else from PATH.

    Raises:
        RuntimeError: there is none.
    """
    beside = Path(sys.executable).with_name("ray")
    found = str(beside) if beside.exists() else shutil.which("ray")
    if found is None:
        msg = "no `ray` beside this Python nor on PATH: pip install 'ray[serve,train]', or set RAY_ADDRESS to your own"
        raise RuntimeError(msg)
    return found


def _processes_naming(word: str) -> list[int]:
    """Processes that have ``word`` on their command line or in their environment; ours, no others."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if word.encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found
