"""Nodes of `siad up` start side by side, and all of them end with the machine."""

import threading
from pathlib import Path
from typing import Any

import pytest

from siad.apps.local import machine as module
from siad.apps.local.bus_choice import BusKind
from siad.apps.local.machine import Machine


class MeetingNode:
    """A node that is ready once the others have begun to start too."""

    meeting = threading.Barrier(3)
    bootstrap = address = "127.0.0.1:1"

    def __init__(self, *_: Any, **__: Any) -> None:
        self.alive = False

    def environment(self, *_: Any) -> dict[str, str]:
        return {"SIAD_STORE_ENDPOINT_URL": "http://127.0.0.1:2", "RAY_ADDRESS": self.address}

    def start(self) -> None:
        self.meeting.wait(5)
        self.alive = True

    def stop(self) -> None:
        self.alive = False


class BrokenNode(MeetingNode):
    """A node that does not start."""

    def start(self) -> None:
        msg = "Ray ended with 1 while it started"
        raise RuntimeError(msg)


class LateNode(MeetingNode):
    """A node whose process appears while the machine is being stopped."""

    stopping = threading.Event()

    def start(self) -> None:
        self.stopping.wait(5)
        self.alive = True

    def stop(self) -> None:
        self.stopping.set()
        self.alive = False


def make_machine(monkeypatch: pytest.MonkeyPatch, data: Path, **nodes: type[MeetingNode]) -> Machine:
    for name in ("SIAD_BUS_BOOTSTRAP", "SIAD_STORE_BUCKET", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("KafkaNode", "WeedNode", "RayNode"):
        monkeypatch.setattr(module, name, nodes.get(name, MeetingNode))
    return Machine(data, bus=BusKind.KAFKA)


def test_broker_store_and_ray_start_side_by_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine, notes = make_machine(monkeypatch, tmp_path), list[str]()
    machine.start_nodes(notes.append)  # one after another they would never meet
    assert all(node.alive for node in machine.nodes.values())
    assert {"SIAD_BUS_BOOTSTRAP", "SIAD_STORE_ENDPOINT_URL", "RAY_ADDRESS"} <= machine.env.keys()
    assert (tmp_path / "kafka" / "in-use").exists()
    machine.stop_nodes(notes.append)
    assert not any(node.alive for node in machine.nodes.values())


def test_a_node_that_does_not_start_is_reported_and_no_other_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nodes = {"KafkaNode": LateNode, "WeedNode": LateNode, "RayNode": BrokenNode}
    machine = make_machine(monkeypatch, tmp_path, **nodes)
    with pytest.raises(RuntimeError, match="Ray ended with 1"):
        machine.start_nodes(lambda _: None)
    machine.stop_nodes(lambda _: None)
    assert not any(node.alive for node in machine.nodes.values())
