"""Everything on one machine: broker, store, Ray and the stages, started in order and stopped in order.

What an address is given for (SIAD_BUS_BOOTSTRAP, SIAD_STORE_BUCKET, RAY_ADDRESS) is yours and is left alone; the
rest is started here, on loopback, with its data under one folder, so that a second start carries on.
"""

import asyncio
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from siad.apps.local.kafka.node import KafkaNode
from siad.apps.local.processes import ProgramSpec, SupervisedProgram
from siad.apps.local.ray_node import RayNode
from siad.apps.local.reach import forget_reach, write_reach
from siad.apps.local.weed import WeedNode
from siad.apps.local.which_bus import ADDRESS, BusKind, choose_bus, mark_begun, why_no_kafka_here
from siad.runtime.bus.embedded.file import check_whole
from siad.runtime.bus.settings import path_of

BUCKET = "siad"
DATA = Path("var/siad")
STAGE_PORTS: Mapping[str, int] = {"ingest": 8400, "scorer": 8401, "labeler": 8402, "trainer": 8403, "inference": 8404}
STATE_FILE = "machine.json"  # where everything listens; read by `siad status`, `siad line`, `siad send`

Say = Callable[[str], None]


class ServerNode(Protocol):
    """A server of somebody else's that we run."""

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        ...

    def start(self) -> None:
        """Start it and wait until it answers; again after it fell, on the same ports and data."""
        ...

    def stop(self) -> None:
        """Stop it in order."""
        ...


@dataclass(slots=True)
class Machine:
    """What runs here, by name."""

    data: Path
    extra: Mapping[str, str] = field(default_factory=dict)  # settings for the stages, over the defaults
    bus: BusKind = BusKind.AUTO  # what carries the events; once started no longer AUTO
    nodes: dict[str, ServerNode] = field(default_factory=dict)
    stages: dict[str, SupervisedProgram] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def url(self, stage: str) -> str:
        """Where a stage listens."""
        return f"http://127.0.0.1:{self.ports[stage]}"

    def start_nodes(self, say: Say) -> None:
        """Start broker, store and Ray where no address was given for them.

        Call it from the main thread: the kernel ties the life of what is started here to the thread that did it.
        """
        self._start_bus(say)
        if bucket := os.environ.get("SIAD_STORE_BUCKET"):
            say(f"store: yours, bucket {bucket}")
        else:
            weed = WeedNode(self.data / "store")
            self._start("store", weed, say)
            self.env.update(weed.environment(BUCKET))
            say(f"store: SeaweedFS at {self.env['SIAD_STORE_ENDPOINT_URL']}")
        if address := os.environ.get("RAY_ADDRESS"):
            say(f"Ray: yours, at {address}")
        else:
            ray = RayNode(self.data / "ray")
            self._start("ray", ray, say)
            self.env.update(ray.environment())
            say(f"Ray: one head at {ray.address}")

    def prepare_stages(self) -> None:
        """Choose ports and settings; write down where everything will listen."""
        self.ports = {name: _free_port(preferred) for name, preferred in STAGE_PORTS.items()}
        for name in ("ingest", "labeler", "trainer", "inference"):
            self.env[f"SIAD_{name.upper()}_HTTP_PORT"] = str(self.ports[name])
        self.env["SIAD_LABELER_SCORER_URL"] = self.url("scorer")
        self.env["SIAD_LABELER_SCORER_PORT"] = str(self.ports["scorer"])
        self.env.update(self.extra)
        for name in STAGE_PORTS:
            module = "services.labeler.scorer" if name == "scorer" else f"services.{name}"
            ready = f"{self.url(name)}/{'healthz' if name == 'scorer' else 'readyz'}"
            log = self.data / "logs" / f"{name}.log"
            program = ProgramSpec(name=name, args=("-m", module), env=self.env, ready_url=ready, log=log)
            self.stages[name] = SupervisedProgram(program)
        state = {name: self.url(name) for name in STAGE_PORTS} | {"bus": self.bus}
        (self.data / STATE_FILE).write_text(json.dumps(state, indent=2) + "\n")
        write_reach(self.data, {**os.environ, **self.env})

    async def run_stages(self) -> None:
        """Keep every stage running until ``stop_stages``."""
        await asyncio.gather(*(stage.run() for stage in self.stages.values()))

    async def stop_stages(self) -> None:
        """Stop right to left's opposite: first what takes in, last what judges, so that little is left half done."""
        for name in STAGE_PORTS:
            await self.stages[name].stop()

    def stop_nodes(self, say: Say) -> None:
        """Stop what ``start_nodes`` started, the last first."""
        for name, node in reversed(self.nodes.items()):
            say(f"stopping {name}")
            node.stop()
        (self.data / STATE_FILE).unlink(missing_ok=True)
        forget_reach(self.data)

    def revive_nodes(self, say: Say) -> None:
        """Start again what fell."""
        for name, node in self.nodes.items():
            if not node.alive:
                say(f"{name} fell; starting it again")
                node.start()

    def _start_bus(self, say: Say) -> None:
        chosen = choose_bus(self.bus, self.data, os.environ, why_no_kafka=lambda: why_no_kafka_here(say))
        self.bus = chosen.kind
        say(f"bus: {chosen.said}")
        if os.environ.get(ADDRESS):
            return
        if chosen.address is not None:
            check_whole(path_of(chosen.address))
            self.env[ADDRESS] = chosen.address
        else:
            kafka = KafkaNode(self.data / chosen.kind, say=say)
            self._start("broker", kafka, say)
            self.env[ADDRESS] = kafka.bootstrap
            say(f"broker: Apache Kafka at {kafka.bootstrap}")
        mark_begun(self.data, chosen.kind)

    def _start(self, name: str, node: ServerNode, say: Say) -> None:
        say(f"{name}: starting")
        self.nodes[name] = node
        node.start()


def read_state(data: Path) -> dict[str, str]:
    """Where everything listens, by stage.

    Raises:
        FileNotFoundError: nothing runs on that folder.
    """
    path = data / STATE_FILE
    if not path.exists():
        msg = f"nothing runs on {data}: {path} is not there; start it with `siad up`, or name its folder with --data"
        raise FileNotFoundError(msg)
    state: dict[str, str] = json.loads(path.read_text())
    return state


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the data folder, so that two machines never run on one.

    Raises:
        BlockingIOError: another one runs on it.
    """
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"another `siad up` or `siad demo` runs on {data}; stop it first, or give this one its own --data"
            raise BlockingIOError(msg) from error
        yield


def _free_port(preferred: int) -> int:
    """``preferred`` where it is free on loopback, else any that is."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    msg = "no free port on loopback"
    raise OSError(msg)
