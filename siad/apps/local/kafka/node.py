"""Start, stop and kill one Apache Kafka node: KRaft, loopback only, data in one folder."""

import fcntl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from siad.apps.local.child import STOP_S, ServerProcess, accepts, free_ports
from siad.apps.local.kafka.jars import find_jars, why_unavailable

READY_S = 120.0  # on a busy machine; 3 s on an idle one
Say = Callable[[str], None]


class KafkaNode:
    """One broker that is its own controller.

    Args:
        data: folder of its log, ports and settings; a second start carries on with them.
        port: where clients connect; default a free one, then kept.
        say: told what takes long.
    """

    def __init__(self, data: Path, port: int | None = None, *, say: Say = lambda _: None) -> None:
        self._data = data
        self._wanted, self._port = port, port
        self._say = say
        self._child = ServerProcess("Kafka", data / "kafka.log")

    @property
    def bootstrap(self) -> str:
        """Where clients connect; known once it was started."""
        assert self._port is not None, "not started yet"
        return f"127.0.0.1:{self._port}"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child.alive

    @property
    def pid(self) -> int | None:
        """Its process; None while it does not run."""
        return self._child.pid

    def start(self) -> None:
        """Start it and wait until it answers; again after it fell, on the same ports and data.

        Raises:
            RuntimeError: there is no Java or no jars, the folder or the port is in use, or it did not come up.
        """
        if reason := why_unavailable():
            raise RuntimeError(reason)
        jars = find_jars(self._say)
        self._data.mkdir(parents=True, exist_ok=True)
        with self._hold_data() as lock:
            port, controller = self._ports()
            properties = self._data / "server.properties"
            settings = render_settings(port=port, controller=controller, log_dir=self._data / "log")
            properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
            if not (self._data / "log" / "meta.properties").exists():
                self._format(jars, properties)
            args = _java(jars, "-Xmx256m", "kafka.Kafka", str(properties))
            self._child.start(args, env={"LOG_DIR": str(self._data)}, pass_fds=[lock])
        self._child.wait_until(lambda: accepts(port), timeout_s=READY_S)
        self._port = port

    def stop(self) -> None:
        """Stop it in good order."""
        self._child.stop()

    def kill(self) -> None:
        """End it with -9, as a power cut would."""
        self._child.kill()

    @contextmanager
    def _hold_data(self) -> Iterator[int]:
        """Lock the folder; the node inherits the lock, so it is held while that lives, whatever becomes of us."""
        with (self._data / "lock").open("w") as lock:
            end_s = time.monotonic() + STOP_S  # one whose parent was killed may be about to end
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > end_s:
                        msg = f"another Kafka node runs on {self._data}; stop it, or give this one a folder of its own"
                        raise RuntimeError(msg) from error
                    time.sleep(0.2)
            yield lock.fileno()

    def _ports(self) -> tuple[int, int]:
        """Client and controller port: the wanted or kept ones, so that a restart is found where it was."""
        if self._wanted is not None and accepts(self._wanted):
            msg = f"port {self._wanted} is taken by another program; stop that, or choose another port"
            raise RuntimeError(msg)
        kept = self._data / "ports"
        port, controller = fresh = free_ports(2)
        if kept.exists():
            before = map(int, kept.read_text().split())
            port, controller = (new if accepts(old) else old for old, new in zip(before, fresh, strict=True))
        port = self._wanted or port
        kept.write_text(f"{port} {controller}\n")
        return port, controller

    def _format(self, jars: Path, properties: Path) -> None:
        """Prepare an empty data folder; ``=`` because an id may begin with a dash."""
        cluster = f"--cluster-id={uuid.uuid4().hex[:22]}"
        args = _java(jars, "-Xmx128m", "kafka.tools.StorageTool", "format", cluster, "-c", str(properties))
        done = subprocess.run(args, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            msg = f"Kafka could not format {self._data / 'log'}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
            raise RuntimeError(msg)


def render_settings(*, port: int, controller: int, log_dir: Path) -> Mapping[str, str | int]:
    """What ``server.properties`` says: one node, loopback only, nothing made by accident."""
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
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
        "offsets.retention.minutes": 30 * 24 * 60,  # a line may stand still for weeks
    }


def _java(jars: Path, heap: str, *args: str) -> list[str]:
    """Small and quick to start: the quick compiler alone halves the CPU time of a start, on cores that others want."""
    return ["java", heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", *args]
