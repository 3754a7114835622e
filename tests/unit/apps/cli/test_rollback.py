"""`siad rollback` and `siad runs`: what they print, and how they fail."""

import asyncio
import json

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.contracts.codec import decode
from siad.contracts.events import SegmenterReleased, SegmenterStatus, WeightsKind
from siad.contracts.topics import SEGMENTER, TEACHER
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.store.quarantine import Quarantine
from tests.unit.apps.cli.plant import MemoryPlant
from tests.unit.audit.test_rollback import released
from tests.unit.audit.test_taint import D, Plant
from tests.unit.trainer.test_trainer_plan import World


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> MemoryPlant:
    plant = MemoryPlant()
    asyncio.run(plant.bus.create_topics([SEGMENTER, TEACHER]))
    for module in ("rollback", "runs"):
        monkeypatch.setattr(f"siad.apps.cli.{module}.connect", lambda _: plant.connection)
    return plant


def siad(*args: str) -> Result:
    return CliRunner().invoke(app, [*args])


def announced(bus: MemoryBus) -> list[SegmenterReleased]:
    return [decode(SegmenterReleased, record.value) for record in bus.records(SEGMENTER.name)]


def test_a_rollback_is_printed_and_announced(plant: MemoryPlant) -> None:
    released(plant.blobs, WeightsKind.TEACHER, 1.0)
    a, b = released(plant.blobs, WeightsKind.SEGMENTER, 1.0, 2.0)
    done = siad("rollback", "l")
    assert done.exit_code == 0, done.output
    assert f"l/p: segmenter {a[:12]} judges from now on; segmenter {b[:12]} was left" in done.stdout
    [event] = announced(plant.bus)
    assert (event.weights, event.revision, event.status) == (a, 3, SegmenterStatus.SERVING)


def test_back_to_the_teacher_as_json(plant: MemoryPlant) -> None:
    [teacher] = released(plant.blobs, WeightsKind.TEACHER, 1.0)
    [only] = released(plant.blobs, WeightsKind.SEGMENTER, 1.0)
    done = siad("rollback", "l", "--to", teacher[:8], "--json")
    assert json.loads(done.stdout) == {
        "line": "l", "product": "p", "kind": "teacher", "left": only, "weights": teacher, "revision": 2,
    }  # fmt: skip
    assert announced(plant.bus)[0].status is SegmenterStatus.WITHDRAWN


def test_a_rollback_without_broker_is_stored(plant: MemoryPlant, monkeypatch: pytest.MonkeyPatch) -> None:
    released(plant.blobs, WeightsKind.TEACHER, 1.0)
    released(plant.blobs, WeightsKind.SEGMENTER, 1.0, 2.0)
    plant.bus = MemoryBus()  # without topics
    done = siad("rollback", "l")
    assert done.exit_code == 0, done.output
    assert "not announced yet" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["rollback", "l"], "line l has no weights"),
        (["rollback", "L"], "LINE 'L' is not a valid name"),
        (["rollback", "l", "--to", "xyz"], "'xyz' is not an id"),
        (["runs", "list", "l"], "line l has no weights"),
        (["runs", "why", "l", "--data", "/nowhere"], "siad up"),
    ],
)
def test_what_cannot_be_done_is_said(plant: MemoryPlant, arguments: list[str], reason: str) -> None:
    done = siad(*arguments)
    assert done.exit_code == 1
    assert reason in done.stderr


async def trained() -> World:
    world = await World().begin()
    await world.settle()
    return world


def test_runs_are_listed_shown_requested_and_cancelled(plant: MemoryPlant, monkeypatch: pytest.MonkeyPatch) -> None:
    world = asyncio.run(trained())
    plant.blobs = world.blobs
    listed = siad("runs", "list", "l")
    assert "l.p.000001" in listed.stdout
    assert "accepted" in listed.stdout
    assert json.loads(siad("runs", "list", "l", "--json").stdout)[0]["outcome"] == "accepted"
    shown = siad("runs", "show", "l", "--run", "1").stdout
    assert "15 epochs, 30 s on cpu" in shown
    assert "has no run '7'" in siad("runs", "show", "l", "--run", "7").stderr
    assert "request 1" in siad("runs", "start", "l").stdout
    assert "no run of l/p is open" in siad("runs", "cancel", "l").stderr
    asyncio.run(freeze_another(world))
    assert "is open; nothing was requested" in siad("runs", "start", "l").stderr
    assert "run l.p.000002 is cancelled" in siad("runs", "cancel", "l").stdout
    assert "cancelled by an operator" in siad("runs", "list", "l").stdout


async def freeze_another(world: World) -> None:
    await world.label(150, 300)
    process = world.process()
    for action in process.plan(await process.observe("trainer/l/p"), world.clock.now()):
        await process.act("trainer/l/p", action)


@pytest.fixture
def lineage_plant(plant: MemoryPlant, monkeypatch: pytest.MonkeyPatch) -> Plant:
    monkeypatch.setattr("siad.apps.cli.lineage.connect", lambda _: plant.connection)
    found = Plant()
    plant.blobs = found.blobs
    return found


def test_lineage_of_weights_and_of_a_capture(plant: MemoryPlant, lineage_plant: Plant) -> None:
    _, two, _ = lineage_plant.segmenters
    shown = siad("lineage", two[:10]).stdout
    assert "segmenter (feature-memory) of l/p" in shown
    assert f"{D}-1" in shown
    assert lineage_plant.teachers[1] in shown
    found = json.loads(siad("lineage", lineage_plant.teachers[1], "--json").stdout)
    assert [one["weights"] for one in found["descendants"]] == [two]
    receipt = plant.put_capture("e" * 32, line="l")
    plant.put_mask(receipt, lineage_plant.teachers[0])
    shown = siad("lineage", "eeee").stdout
    [mask] = [line for line in shown.splitlines() if line.startswith("pseudo-mask")]
    assert mask.endswith(lineage_plant.teachers[0])


def test_a_taint_is_shown_asked_for_and_done(plant: MemoryPlant, lineage_plant: Plant) -> None:
    one, two, three = lineage_plant.segmenters
    teacher = lineage_plant.teachers[0]
    asked = CliRunner().invoke(app, ["taint", teacher, "--because", "odd parts"], input="n\n")
    assert asked.exit_code == 1
    assert "nothing was changed" in asked.stdout
    assert Quarantine(plant.blobs).read("l").is_empty
    done = siad("taint", teacher, "--because", "odd parts", "--yes")
    assert done.exit_code == 0, done.output
    assert f"back to {two[:12]}" in done.stdout
    assert Quarantine(plant.blobs).read("l").weights == {teacher, one, three}
    assert announced(plant.bus)[-1].weights == two
    assert list(plant.blobs.list("run-requests/l/p/"))
    assert "in quarantine" in siad("rollback", "l", "--to", one[:10]).stderr
    assert "--because is empty" in siad("taint", teacher, "--because", " ", "--yes").stderr
