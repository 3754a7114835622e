"""One Apache Kafka node: KRaft, loopback only, one data folder."""

import fcntl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from siad.apps.local.kafka.jars import find_jars, why_unavailable
from siad.apps.local.ports import free_ports, is_listening
from siad.apps.local.server_process import STOP_S, ServerProcess

READY_S = 120.0  # on a busy machine; 3 s on an idle one
_TAIL_CHARS = 1000
NO_SETTINGS: Final[Mapping[str, str | int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Listener:
    """A port of the broker."""

    name: str
    port: int
    protocol: Literal["PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"]


class KafkaNode:
    """One broker that is its own controller.

    Args:
        data: folder of log, ports and settings; a second start continues with them.
        port: where clients connect; default a free port, then kept.
        notify: shows progress of slow steps.
        listeners: further listeners, on ports of loopback.
        settings: of server.properties besides the node's own, such as certificates of those listeners.
    """

    def __init__(
        self,
        data: Path,
        port: int | None = None,
        *,
        notify: Callable[[str], None] = lambda _: None,
        listeners: Sequence[Listener] = (),
        settings: Mapping[str, str | int] = NO_SETTINGS,
    ) -> None:
        self._data, self._listeners, self._settings = data, listeners, settings
        self._requested_port, self._port = port, port
        self._notify = notify
        self._process = ServerProcess("Kafka", data / "kafka.log")

    @property
    def bootstrap(self) -> str:
        """Address for clients; known after the start."""
        assert self._port is not None, "not started yet"
        return f"127.0.0.1:{self._port}"

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.alive

    @property
    def pid(self) -> int | None:
        """Process id; None while the node does not run."""
        return self._process.pid

    def start(self) -> None:
        """Start the node and wait until it is ready.

        A restart keeps its ports and data.

        Raises:
            RuntimeError: Java or the jars are missing, the folder or the port is in use, or the node did not become
                ready.
        """
        if reason := why_unavailable():
            raise RuntimeError(reason)
        jars = find_jars(self._notify)
        self._data.mkdir(parents=True, exist_ok=True)
        with self._lock_data() as lock:
            port, controller = self._choose_ports()
            properties = self._data / "server.properties"
            plain = Listener("PLAINTEXT", port, "PLAINTEXT")
            rendered = render_settings([plain, *self._listeners], controller=controller, log_dir=self._data / "log")
            settings = {**rendered, **self._settings}
            properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
            if not (self._data / "log" / "meta.properties").exists():
                self._format(jars, properties)
            args = _java(jars, "-Xmx256m", "kafka.Kafka", str(properties))
            self._process.start(args, env={"LOG_DIR": str(self._data)}, pass_fds=[lock])
        self._process.wait_until(lambda: is_listening(port), timeout_s=READY_S)
        self._port = port

    def stop(self) -> None:
        """Stop in order."""
        self._process.stop()

    def kill(self) -> None:
        """Kill with SIGKILL, as a power failure would."""
        self._process.kill()

    @contextmanager
    def _lock_data(self) -> Iterator[int]:
        """Lock the folder.

        The node inherits the lock and holds it for as long as it runs.
        """
        with (self._data / "lock").open("w") as lock:
            end_s = time.monotonic() + STOP_S  # a node whose parent was killed may be ending
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > end_s:
                        msg = f"another Kafka node runs on {self._data}; stop it, or give this one another folder"
                        raise RuntimeError(msg) from error
                    time.sleep(0.2)
            yield lock.fileno()

    def _choose_ports(self) -> tuple[int, int]:
        """Client and controller port: the requested or kept ones.

        So clients find a restarted node at its address.
        """
        if self._requested_port is not None and is_listening(self._requested_port):
            msg = f"port {self._requested_port} is in use by another program; stop it, or choose another port"
            raise RuntimeError(msg)
        kept = self._data / "ports"
        port, controller = fresh = free_ports(2)
        if kept.exists():
            before = map(int, kept.read_text().split())
            port, controller = (new if is_listening(old) else old for old, new in zip(before, fresh, strict=True))
        port = self._requested_port or port
        kept.write_text(f"{port} {controller}\n")
        return port, controller

    def _format(self, jars: Path, properties: Path) -> None:
        """Prepare an empty data folder."""
        cluster = f"--cluster-id={uuid.uuid4().hex[:22]}"  # with "=", because an id may begin with a dash
        args = _java(jars, "-Xmx128m", "kafka.tools.StorageTool", "format", cluster, "-c", str(properties))
        done = subprocess.run(args, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            output = done.stdout[-_TAIL_CHARS:] + done.stderr[-_TAIL_CHARS:]
            msg = f"Kafka could not format its data folder {self._data / 'log'}; nothing was started: {output}"
            raise RuntimeError(msg)


def render_settings(listeners: Sequence[Listener], *, controller: int, log_dir: Path) -> Mapping[str, str | int]:
    """Content of ``server.properties``: one node, loopback only, no automatic topics.

    Args:
        listeners: what clients connect to; the node itself uses the first.
        controller: port of the controller.
        log_dir: folder of the topics.
    """
    addresses = ",".join(f"{one.name}://127.0.0.1:{one.port}" for one in listeners)
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{addresses},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": addresses,
        "inter.broker.listener.name": listeners[0].name,
        "listener.security.protocol.map": ",".join(
            ["CONTROLLER:PLAINTEXT", *(f"{one.name}:{one.protocol}" for one in listeners)]
        ),
        "log.dirs": str(log_dir),
        "auto.create.topics.enable": "false",
        # one node can't replicate
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # few internal partitions start faster
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 2,
        "share.coordinator.state.topic.num.partitions": 2,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "offsets.retention.minutes": 30 * 24 * 60,  # a line may be idle for weeks
    }


def _java(jars: Path, heap: str, *args: str) -> list[str]:
    """Command line for a small, fast start.

    The C1 compiler alone halves the CPU time of a start.
    """
    return ["java", heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", *args]
