"""`siad up` restarts nodes that ended, without blocking the event loop."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from siad.apps.local import run
from siad.apps.local.machine import STAGE_PORTS, Machine
from siad.apps.local.processes import SupervisedProgram


@dataclass
class EndedNode:
    """A node whose process has ended, and starts after some failures; each start takes a while."""

    failures: int = 0
    takes_s: float = 0.0
    alive: bool = False
    starts: list[str] = field(default_factory=list)  # in which thread

    def start(self) -> None:
        self.starts.append(threading.current_thread().name)
        time.sleep(self.takes_s)
        if len(self.starts) <= self.failures:
            msg = "Ray ended with 1 while it started"
            raise RuntimeError(msg)
        self.alive = True

    def stop(self) -> None:
        self.alive = False


class Stage:
    """A stage that runs until it is stopped."""

    is_stopped = False

    async def run(self) -> None:
        while not self.is_stopped:
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self.is_stopped = True


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CHECK_NODES_S", 0.001)
    monkeypatch.setattr(run, "RETRY_NODES_S", 0.002)


async def keep_until_up(node: EndedNode, notes: list[str]) -> int:
    """Turns of the event loop until the node is up."""
    machine, turns = Machine(Path(), nodes={"ray": node}), 0
    with ThreadPoolExecutor(1, "nodes") as thread:
        keeping = asyncio.create_task(run.keep_nodes(machine, notes.append, thread))
        async with asyncio.timeout(5):
            while not node.alive and not keeping.done():
                await asyncio.sleep(0.005)
                turns += 1
        keeping.cancel()
    return turns


async def test_a_slow_restart_does_not_block_the_loop() -> None:
    node = EndedNode(takes_s=0.2)
    notes: list[str] = []
    turns = await keep_until_up(node, notes)
    assert node.starts == ["nodes_0"]
    assert notes == ["ray ended unexpectedly; starting it again"]
    assert turns > 10


async def test_a_failed_restart_is_reported_and_retried() -> None:
    node = EndedNode(failures=2)
    notes: list[str] = []
    await keep_until_up(node, notes)
    assert len(node.starts) == 3
    assert sum("ended with 1" in line and "trying again" in line for line in notes) == 2


def test_a_node_in_its_restart_is_stopped_with_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    node = EndedNode(takes_s=0.3)
    machine = Machine(
        tmp_path, nodes={"ray": node}, stages={name: cast("SupervisedProgram", Stage()) for name in STAGE_PORTS}
    )
    monkeypatch.setattr(Machine, "start_nodes", lambda *_: None)
    monkeypatch.setattr(Machine, "prepare_stages", lambda *_: None)
    monkeypatch.setattr(Machine, "check", lambda *_: None)

    async def work(_: Machine) -> None:
        while not node.starts:
            await asyncio.sleep(0.005)

    run.run_machine(machine, work, notify=lambda _: None)
    assert node.starts
    assert not node.alive
