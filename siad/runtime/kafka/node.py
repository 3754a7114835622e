"""Start, stop and kill one Apache Kafka node: KRaft, loopback only, data in one folder."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from siad.runtime.child import Child, accepts, free_ports

VERSION = "4.3.1"  # as in pom.xml
READY_S = 60.0  # on a busy machine; 3 s on an idle one
FETCH_S = 600.0  # for Maven, over a slow line
POM = Path(__file__).with_name("pom.xml")


class KafkaNode:
    """One broker that is its own controller.

    Args:
        data: folder of its log, ports and settings; a second start carries on with them.
        port: where clients connect; default a free one, then kept.
    """

    def __init__(self, data: Path, port: int | None = None) -> None:
        self._data = data
        self._port = port
        self._child = Child("Kafka", data / "kafka.log")

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
            RuntimeError: there is no Java or no jars, or it did not come up; says why.
        """
        if reason := why_unavailable():
            raise RuntimeError(reason)
        jars = find_jars()
        self._data.mkdir(parents=True, exist_ok=True)
        port, controller = self._ports()
        self._port = port
        properties = self._data / "server.properties"
        settings = render_settings(port=port, controller=controller, log_dir=self._data / "log")
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        if not (self._data / "log" / "meta.properties").exists():
            self._format(jars, properties)
        env = {"LOG_DIR": str(self._data)}
        self._child.start(_java(jars, "-Xmx384m", "kafka.Kafka", str(properties)), env=env)
        self._child.wait_until(lambda: accepts(port), timeout_s=READY_S)

    def stop(self) -> None:
        """Stop it in good order."""
        self._child.stop()

    def kill(self) -> None:
        """End it with -9, as a power cut would."""
        self._child.kill()

    def _ports(self) -> tuple[int, int]:
        """Client and controller port: the kept ones, so that a restart is found where it was."""
        kept = self._data / "ports"
        if kept.exists():
            port, controller = map(int, kept.read_text().split())
            port = self._port or port
            if self.alive or not (accepts(port) or accepts(controller)):
                return port, controller
        port, controller = free_ports(2)
        port = self._port or port
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


def why_unavailable() -> str | None:
    """Why no node can be started here; None where one can."""
    if (java := shutil.which("java")) is None:
        return "no Java on PATH: Apache Kafka needs Java 17 or later; install it, or set SIAD_BUS_BOOTSTRAP to your own"
    if (major := _java_major(java)) < 17:
        return f"{java} is Java {major}; Apache Kafka {VERSION} needs Java 17 or later"
    if "KAFKA_HOME" in os.environ:
        libs = Path(os.environ["KAFKA_HOME"]) / "libs"
        return None if libs.is_dir() else f"KAFKA_HOME has no folder {libs}; point it at an unpacked Apache Kafka"
    if _complete(_cache()) or shutil.which("mvn"):
        return None
    return "no KAFKA_HOME, and no Maven (mvn) on PATH to fetch Apache Kafka's jars; install one of the two"


def find_jars() -> Path:
    """The folder of Kafka's jars; fetched by Maven where neither KAFKA_HOME nor the cache has them.

    Raises:
        RuntimeError: Maven could not fetch them; says what it printed.
    """
    if home := os.environ.get("KAFKA_HOME"):
        return Path(home) / "libs"
    cache = _cache()
    if _complete(cache):
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        shutil.copy(POM, scratch)
        args = ["mvn", "-q", "-B", "-f", f"{scratch}/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
        done = subprocess.run(args, capture_output=True, text=True, check=False, cwd=scratch, timeout=FETCH_S)
        if done.returncode != 0:
            msg = f"Maven could not fetch Apache Kafka {VERSION}: {done.stdout[-2000:]}{done.stderr[-500:]}"
            raise RuntimeError(msg)
        if not _complete(cache):  # somebody else may have been faster
            (Path(scratch) / "jars").rename(cache)
    return cache


def _cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return root / "siad" / f"kafka-{VERSION}"


def _complete(folder: Path) -> bool:
    return (folder / f"kafka_2.13-{VERSION}.jar").exists()


def _java(jars: Path, heap: str, *args: str) -> list[str]:
    return ["java", heap, "-XX:+UseSerialGC", "-cp", f"{jars}/*", *args]


def _java_major(java: str) -> int:
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    for word in said.split():
        if word.startswith('"'):
            first, *rest = word.strip('"').split(".")
            return int(rest[0] if first == "1" and rest else first.split("-")[0])
    return 0
