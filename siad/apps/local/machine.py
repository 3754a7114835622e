"""One machine with broker, store, Ray and all stages.

Servers whose address the environment gives (SIAD_BUS_BOOTSTRAP, SIAD_STORE_BUCKET, RAY_ADDRESS) are used as they are
and never stopped. The others are started here, on loopback, with their data in one folder, so that a second start
continues with it.
"""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from siad.apps.local.bus_choice import ADDRESS, BusKind, choose_bus, mark_in_use, why_no_kafka_here
from siad.apps.local.connection import remove_connection, write_connection
from siad.apps.local.data_folder import STARTED_FILE, describe_absence
from siad.apps.local.kafka.node import KafkaNode
from siad.apps.local.log_excerpt import describe_exit
from siad.apps.local.ports import PortRequest, choose_ports
from siad.apps.local.processes import ProgramSpec, SupervisedProgram
from siad.apps.local.ray_node import RayNode
from siad.apps.local.stage_settings import STAGES, check_settings, client_url, port_requests
from siad.apps.local.weed import WeedNode
from siad.runtime.bus.embedded.file import check_whole
from siad.runtime.bus.settings import path_of

BUCKET = "siad"
DATA = Path("var/siad")
STAGE_PORTS: Mapping[str, int] = {
    "ingest": 8400,
    "scorer": 8401,
    "labeler": 8402,
    "console": 8405,
    "trainer": 8403,
    "inference": 8404,
}
PROJECTION = "SIAD_CONSOLE_DATABASE_URL"
CACHE = "SIAD_INFERENCE_CACHE_DIR"
INGEST_URL = "SIAD_CONSOLE_INGEST_URL"
STATE_FILE = "machine.json"  # addresses of the stages; read by `siad status`, `siad line`, `siad send`

Notify = Callable[[str], None]  # shows one line of progress


@dataclass(frozen=True, slots=True)
class _Starting:
    """A node that starts, and what its address is needed for."""

    name: str
    address: Callable[[], Mapping[str, str]]  # settings of the stages, known after the start
    text: str  # says where it is, with names of these settings


class ServerNode(Protocol):
    """A third-party server that runs as a child process."""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        ...

    def start(self) -> None:
        """Start it and wait until it is ready.

        A restart keeps its ports and data.
        """
        ...

    def stop(self) -> None:
        """Stop it in order."""
        ...


@dataclass(slots=True)
class Machine:
    """Servers and stages of this machine, by name."""

    data: Path
    extra: Mapping[str, str] = field(default_factory=dict)  # settings for the stages, over the defaults
    bus: BusKind = BusKind.AUTO  # after the start, the bus in use
    nodes: dict[str, ServerNode] = field(default_factory=dict)
    stages: dict[str, SupervisedProgram] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    _requests: dict[str, PortRequest] = field(default_factory=dict)
    _starters: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(3, "starts"))

    def url(self, stage: str) -> str:
        """Address of a stage for clients on this machine."""
        return client_url(self._requests[stage].host, self.ports[stage])

    def check_settings(self, notify: Notify) -> None:
        """Check the settings of every stage, once.

        Raises:
            ValueError: settings are refused; names all of them, of every stage.
        """
        if not self._requests:
            settings = check_settings(os.environ, self.extra, notify)
            self._requests = port_requests(os.environ, settings, STAGE_PORTS)

    def check(self, notify: Notify) -> None:
        """Check settings and ports before anything is started.

        Raises:
            ValueError: settings are refused; names all of them, of every stage.
            OSError: a port that a setting names can't be used; names its holder.
        """
        self.check_settings(notify)
        choose_ports(self._requests, lambda _: None)  # told when they are chosen

    def start_nodes(self, notify: Notify) -> None:
        """Start broker, store and Ray side by side.

        Those that the environment names are not started.

        The kernel ends each node with the thread that started it: these threads live until ``stop_nodes``.

        Raises:
            RuntimeError: a node did not start; says why.
        """
        starts = {}
        for one in [*self._start_bus(notify), *self._start_store_and_ray(notify)]:
            notify(f"{one.name}: starting")
            starts[self._starters.submit(self.nodes[one.name].start)] = one
        for start in as_completed(starts):
            start.result()
            one = starts[start]
            address = one.address()
            self.env.update(address)
            notify(f"{one.name}: {one.text.format(**address)}")

    def prepare_stages(self, notify: Notify) -> None:
        """Choose ports and settings of the stages; write all addresses."""
        self.ports = choose_ports(self._requests, notify)
        for name in STAGES:
            self.env[f"SIAD_{name.upper()}_HTTP_PORT"] = str(self.ports[name])
        if not os.environ.get(PROJECTION):
            self.env[PROJECTION] = f"sqlite:///{(self.data / 'console').resolve()}/projection.sqlite"
        if not os.environ.get(CACHE):
            self.env[CACHE] = str((self.data / "inference").resolve())
        self.env["SIAD_LABELER_SCORER_URL"] = self.url("scorer")
        if not os.environ.get(INGEST_URL):
            self.env[INGEST_URL] = self.url("ingest")
        self.env["SIAD_LABELER_SCORER_PORT"] = str(self.ports["scorer"])
        self.env.update(self.extra)
        for name in STAGE_PORTS:
            module = "services.labeler.scorer" if name == "scorer" else f"services.{name}"
            ready = f"{self.url(name)}/{'healthz' if name == 'scorer' else 'readyz'}"
            log = self.data / "logs" / f"{name}.log"
            program = ProgramSpec(name=name, args=("-m", module), env=self.env, ready_url=ready, log=log)
            self.stages[name] = SupervisedProgram(program, on_exit=partial(_report_exit, notify=notify))
        state = {name: self.url(name) for name in STAGE_PORTS} | {"bus": self.bus}
        if ray := self.env.get("RAY_ADDRESS") or os.environ.get("RAY_ADDRESS"):
            state["ray"] = ray
        (self.data / STARTED_FILE).unlink(missing_ok=True)  # of a machine that was killed
        (self.data / STATE_FILE).write_text(json.dumps(state, indent=2) + "\n")
        write_connection(self.data, {**os.environ, **self.env})

    def note_started(self) -> None:
        """Note for other commands that every stage was ready."""
        (self.data / STARTED_FILE).touch()

    async def run_stages(self) -> None:
        """Keep every stage running until ``stop_stages``."""
        await asyncio.gather(*(stage.run() for stage in self.stages.values()))

    async def stop_stages(self) -> None:
        """Stop stages upstream-first, so that in-flight work drains."""
        for name in STAGE_PORTS:
            await self.stages[name].stop()

    def stop_nodes(self, notify: Notify) -> None:
        """Stop the nodes that ``start_nodes`` started, in reverse order."""
        for name, node in reversed(self.nodes.items()):
            notify(f"stopping {name}")
            node.stop()
        self._starters.shutdown()  # a start that was interrupted may still have made its process
        for node in self.nodes.values():
            node.stop()
        for file in (STATE_FILE, STARTED_FILE):
            (self.data / file).unlink(missing_ok=True)
        remove_connection(self.data)

    def restart_nodes(self, notify: Notify) -> None:
        """Start again every node whose process has ended."""
        for name, node in self.nodes.items():
            if not node.alive:
                notify(f"{name} ended unexpectedly; starting it again")
                node.start()

    def _start_bus(self, notify: Notify) -> list[_Starting]:
        choice = choose_bus(self.bus, self.data, os.environ, why_no_kafka=lambda: why_no_kafka_here(notify))
        self.bus = choice.kind
        notify(f"bus: {choice.description}")
        if os.environ.get(ADDRESS):
            return []
        if choice.address is not None:
            check_whole(path_of(choice.address))
            self.env[ADDRESS] = choice.address
            mark_in_use(self.data, choice.kind)
            return []
        kafka = KafkaNode(self.data / choice.kind, notify=notify)

        def address() -> dict[str, str]:
            mark_in_use(self.data, choice.kind)
            return {ADDRESS: kafka.bootstrap}

        self.nodes["broker"] = kafka
        return [_Starting("broker", address, f"Apache Kafka at {{{ADDRESS}}}")]

    def _start_store_and_ray(self, notify: Notify) -> list[_Starting]:
        starting = []
        if bucket := os.environ.get("SIAD_STORE_BUCKET"):
            notify(f"store: yours, bucket {bucket}")
        else:
            weed = self.nodes["store"] = WeedNode(self.data / "store")
            address = partial(weed.environment, BUCKET)
            starting.append(_Starting("store", address, "SeaweedFS at {SIAD_STORE_ENDPOINT_URL}"))
        if address_of_ray := os.environ.get("RAY_ADDRESS"):
            notify(f"Ray: yours, at {address_of_ray}")
        else:
            ray = self.nodes["ray"] = RayNode(self.data / "ray")
            starting.append(_Starting("ray", ray.environment, "one head at {RAY_ADDRESS}"))
        return starting


def _report_exit(stage: SupervisedProgram, *, notify: Notify) -> None:
    """Report that a stage ended, with the reason first."""
    program = stage.program
    text = describe_exit(program.name, stage.last_exit, program.log, start=stage.log_start)
    notify(f"{text}\n  It is started again")


def read_state(data: Path) -> dict[str, str]:
    """Addresses of the stages of the `siad up` on ``data``, by stage.

    Raises:
        FileNotFoundError: `siad up` does not run on that folder.
        ValueError: the file is damaged, or of another version.
    """
    path = data / STATE_FILE
    try:
        state = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(describe_absence(data, path)) from error
    except ValueError:
        state = None
    if not isinstance(state, dict) or not {*STAGE_PORTS, "bus"} <= state.keys():
        msg = f"{path} is damaged or of another version of SIAD; nothing was done. Stop `siad up` and start it again"
        raise ValueError(msg)
    return {str(name): str(value) for name, value in state.items()}
