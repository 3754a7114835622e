"""One Ray head on this machine, started by Ray's own command line.

Ray is not imported here.
"""

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from siad.apps.local.ports import free_ports, is_listening
from siad.apps.local.server_process import ServerProcess, find_program
from siad.runtime.priority import make_session_give_way
from siad.runtime.ray_address import LOOPBACK_ENVIRONMENT

READY_S = 90.0  # on a busy machine; 7 s on an idle one
# Ray gives up after 30 s, also on a busy machine, and when another program takes one of its ports first
TRIES = 3
SESSION_NICE = 10  # of Ray against the stages: pseudo-masks, fits and training wait, verdicts do not
OBJECT_STORE_BYTES = 200 * 2**20  # only references pass through Ray, no images
# Ray would wait 30 s for other nodes to take over its tasks; there are none
_NO_DRAIN = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
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
    """One Ray head with this machine's resources.

    Args:
        data: folder of its log. Ray's session files are in a temporary folder with a short path, because the path of a
            Unix socket is limited to 107 characters.
        cpus: logical CPUs that Ray allocates; a scorer takes half of one, a training worker one.
    """

    def __init__(self, data: Path, *, cpus: int = 2) -> None:
        self._data, self._cpus = data, cpus
        self._process = ServerProcess("Ray", data / "ray.log")
        self._port: int | None = None
        self._scratch: Path | None = None
        self._is_stopped = False

    @property
    def address(self) -> str:
        """Value for RAY_ADDRESS; known after the start."""
        assert self._port is not None, "not started yet"
        return f"127.0.0.1:{self._port}"

    def environment(self) -> dict[str, str]:
        """Variables with which a program on this machine connects to the head."""
        return {"RAY_ADDRESS": self.address, **LOOPBACK_ENVIRONMENT}

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.alive

    def start(self) -> None:
        """Start the head and wait until it is ready.

        A restart keeps its address, but not its tasks.

        Raises:
            RuntimeError: `ray` is not installed, or the head did not become ready; says why.
        """
        self._is_stopped = False
        for tries_left in reversed(range(TRIES)):
            self._clear()
            self._process.start(self._arguments(), env={**LOOPBACK_ENVIRONMENT, **_NO_DRAIN})
            try:
                self._process.wait_until(self._is_ready, timeout_s=READY_S)
            except RuntimeError:
                if self._is_stopped or not tries_left:
                    raise
            else:
                if self._process.pid is not None:
                    make_session_give_way(self._process.pid, SESSION_NICE)
                return

    def stop(self) -> None:
        """Stop the head and every process of it.

        A start in another thread gives up.
        """
        self._is_stopped = True
        self._process.stop()
        self._clear()

    def kill(self) -> None:
        """Kill the head and every process of it with SIGKILL."""
        self._process.kill()
        self._clear()

    def _arguments(self) -> list[str]:
        """Command line with new ports and a new temporary folder.

        A known port of the head is kept.
        """
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        if self._port is not None and not is_listening(self._port):
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

    def _is_ready(self) -> bool:
        if self._port is None or not is_listening(self._port):
            return False
        return "Ray runtime started" in self._process.log.read_text()

    def _clear(self) -> None:
        """Kill processes that the last head left, and its folder.

        They are found by the name of the folder.
        """
        if self._scratch is None:
            return
        for pid in _processes_naming(str(self._scratch)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch = None


def find_ray() -> str:
    """Path of the `ray` program.

    Raises:
        RuntimeError: it is not installed.
    """
    remedy = "no Ray was started. Install it with pip install 'ray[serve,train]', or set RAY_ADDRESS to your own"
    return find_program("ray", remedy=remedy)


def _processes_naming(text: str) -> list[int]:
    """Other processes with ``text`` on their command line or in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if text.encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found
