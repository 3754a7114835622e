"""Broker, store, Ray and stages, supervised, except those that a kill keeps down."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from siad.apps.local.kafka.node import KafkaNode
from siad.apps.local.ray_node import RayNode
from siad.apps.local.weed import WeedNode
from tests.e2e.chaos.schedule import RESTART_S, Blow
from tests.e2e.conftest import describe
from tests.e2e.harness import Plant, StageProcess

READY_S = 240.0  # from the start of a victim to its readiness, on a machine that others use too
PROGRESS_S = 120.0  # from its readiness to the first thing done
LOOK_S = 0.2
# a run in the long version, small, for it shares the cores; none in the short
# A refused candidate gets a successor while the stream lasts.
TRAINING = {"captures_min": "250", "cooldown_s": "5", "input_px": "64", "train_s": "15"}
NO_TRAINING = {"captures_min": "1000000"}


class Node(Protocol):
    """A third-party server."""

    def start(self) -> None:
        """Start it and wait until it is ready."""
        ...

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        ...

    def stop(self) -> None:
        """Stop it in order."""
        ...


@dataclass(frozen=True, slots=True)
class Fall:
    """A process that ended without being killed by the schedule."""

    name: str
    code: int | None
    tail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Recovery of a killed process; seconds from the kill."""

    victim: str
    at_s: float
    down_s: float
    started_s: float  # when it was started again
    ready_s: float | None  # when it, and all that needs it, could do its work; None: not within the bound
    progress_s: float | None  # when the first thing was done that needs it; None: not within the bound
    others: tuple[str, ...]  # who was down when it was hit


@dataclass(slots=True)
class Site:
    """Broker, store, Ray and stages, each by its name."""

    folder: Path
    trains: bool
    nodes: dict[str, Node] = field(default_factory=dict)
    plant: Plant = field(default_factory=lambda: Plant(Path(), {}))
    store_env: Mapping[str, str] = field(default_factory=dict)
    bootstrap: str = ""
    falls: list[Fall] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    # the kernel ends a server with the thread that started it, so these live as long as the site
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(3, "nodes"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Site"]:
        """Start all inside the block, supervise it, and stop it afterwards."""
        try:
            await self._start()
            keeping = asyncio.create_task(self._keep())
            try:
                yield self
            finally:
                keeping.cancel()
                await asyncio.gather(*(stage.stop() for stage in self.plant.stages.values()), return_exceptions=True)
        finally:
            for name in ("ray", "store", "broker"):
                if name in self.nodes:
                    await self._in_thread(self.nodes[name].stop if name == "ray" else self.nodes[name].kill)
            self._threads.shutdown()

    async def strike(self, blow: Blow, *, began_s: float, progress: Callable[[float], bool]) -> Recovery:
        """Kill a process, restart it on schedule, and measure its recovery.

        Args:
            blow: who, and for how long.
            began_s: when the stream began, monotonic.
            progress: whether something that needs the victim was done after a moment (monotonic).
        """
        others = tuple(sorted(self.held))
        killed_s = time.monotonic()
        self.held.add(blow.victim)
        try:
            await self._kill(blow.victim)
            await asyncio.sleep(blow.down_s)
            started_s = time.monotonic()
            await self._restart(blow.victim)
        finally:
            self.held.discard(blow.victim)
        ready_s = await _moment(lambda: self.is_back(blow.victim), READY_S)

        async def moved() -> bool:
            return progress(started_s) or (blow.victim == "trainer" and await self._has_done("trainer"))

        progress_s = await _moment(moved, PROGRESS_S)
        return Recovery(
            victim=blow.victim,
            at_s=round(killed_s - began_s, 1),
            down_s=blow.down_s,
            started_s=round(started_s - killed_s, 1),
            ready_s=None if ready_s is None else round(ready_s - killed_s, 1),
            progress_s=None if progress_s is None else round(progress_s - killed_s, 1),
            others=others,
        )

    async def is_back(self, victim: str) -> bool:
        """Whether a stage is ready; for broker, store and Ray, whether their dependents are."""
        leaning = {"ray": ("scorer", "labeler")}.get(victim, tuple(self.plant.stages))
        names = (victim,) if victim in self.plant.stages else leaning
        answers = [await _answers(self.plant[name], self.plant[name].ready_path) for name in names]
        return all(answers)

    async def not_well(self) -> dict[str, str]:
        """Stages that are not ready, with their readiness response."""
        said = {}
        for name, stage in self.plant.stages.items():
            for path in {stage.ready_path, "/healthz"}:
                if not await _answers(stage, path):
                    said[f"{name}{path}"] = stage.tail()[-2000:]
        return said

    async def _start(self) -> None:
        kafka, weed, ray = KafkaNode(self.folder / "kafka"), WeedNode(self.folder / "store"), RayNode(self.folder)
        self.nodes = {"broker": kafka, "store": weed, "ray": ray}
        await asyncio.gather(*(self._in_thread(node.start) for node in self.nodes.values()))
        self.bootstrap = kafka.bootstrap
        self.store_env = weed.environment("chaos")
        env = {
            "SIAD_BUS_BOOTSTRAP": kafka.bootstrap,
            "SIAD_BUS_SESSION_TIMEOUT_S": "4",  # a member that was killed is missed soon
            **ray.environment(),
            **self.store_env,
        }
        self.plant = describe(self.folder, env)
        self.plant.add("trainer", **(TRAINING if self.trains else NO_TRAINING))
        for stage in self.plant.stages.values():
            stage.start()
        for stage in self.plant.stages.values():
            await stage.wait_ready()

    async def _keep(self) -> None:
        """Restart processes that ended unexpectedly."""
        while True:
            for stage in self.plant.stages.values():
                if stage.name not in self.held and not stage.alive:
                    self.falls.append(Fall(stage.name, stage.exit_code, stage.tail()))
                    await asyncio.sleep(RESTART_S)
                    if stage.name not in self.held and not stage.alive:
                        stage.start()
            await asyncio.sleep(LOOK_S)

    async def _kill(self, victim: str) -> None:
        if victim in self.nodes:
            await self._in_thread(self.nodes[victim].kill)
        elif self.plant[victim].alive:
            self.plant[victim].kill()

    async def _restart(self, victim: str) -> None:
        if victim in self.nodes:
            await self._in_thread(self.nodes[victim].start)
        else:
            self.plant[victim].start()

    async def _has_done(self, stage: str) -> bool:
        try:
            found = await self.plant[stage].metrics()
        except httpx.TransportError:
            return False
        return any(value > 0 for name, value in found.items() if name.startswith("siad_records_done_total"))

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, work)


async def _answers(stage: StageProcess, path: str) -> bool:
    try:
        return (await stage.get(path)).status_code == 200
    except httpx.TransportError:
        return False


async def _moment(is_true: Callable[[], Awaitable[bool]], timeout_s: float) -> float | None:
    """Time at which the condition held, monotonic; None after the timeout."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if await is_true():
            return time.monotonic()
        await asyncio.sleep(LOOK_S)
    return None
