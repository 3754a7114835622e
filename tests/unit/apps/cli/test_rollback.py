"""`siad rollback` and `siad runs`: what they print, and how they fail."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.contracts.codec import decode
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.documents import LineState, write_line
from siad.contracts.events import SegmenterReleased, SegmenterStatus, WeightsKind
from siad.contracts.keys import capture_key, deletion_key, line_pointer_key
from siad.contracts.topics import SEGMENTER, TEACHER
from siad.runtime.access.audit_log import read_days
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.store.quarantine import Quarantine
from tests.events import NOON, make_line_changed
from tests.unit.apps.cli.plant import MemoryPlant
from tests.unit.audit.test_rollback import released
from tests.unit.audit.test_taint import D, Plant
from tests.unit.trainer.test_trainer_brake import put_brake
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


def audited(plant: MemoryPlant) -> list[tuple[str, str, str]]:
    """Entries of today's audit log, the oldest first."""
    entries = list(read_days(plant.blobs, datetime.now(UTC), days=1))[::-1]
    return [(one.action.value, one.subject, one.detail) for one in entries]


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
        (["rollback", "l"], "line 'l' is unknown"),
        (["rollback", "L"], "LINE 'L' is not a valid name"),
        (["rollback", "l", "--to", "xyz"], "'xyz' is not an id"),
        (["runs", "list", "l"], "line 'l' is unknown; no line is registered yet"),
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
    assert audited(plant) == [("run-requested", "l/p", "request 1")]
    asyncio.run(freeze_another(world))
    assert "is open; nothing was requested" in siad("runs", "start", "l").stderr
    assert "run l.p.000002 is cancelled" in siad("runs", "cancel", "l").stdout
    assert audited(plant)[1:] == [("run-cancelled", "run l.p.000002", "")]
    assert "cancelled by an operator" in siad("runs", "list", "l").stdout


@pytest.mark.parametrize(
    ("learning", "is_gone", "said"),
    [
        ("off", False, "learning was switched off; switch it on again: siad line put l --learning auto"),
        ("auto", True, "the line was ended"),
    ],
)
def test_a_run_that_would_not_start_is_not_requested(
    plant: MemoryPlant, learning: str, is_gone: bool, said: str
) -> None:
    world = asyncio.run(trained())
    plant.blobs = world.blobs
    state = LineState(settings=make_line_changed(line="l", product="p", learning=learning), is_gone=is_gone)
    plant.blobs.put(line_pointer_key("l"), write_line(state))
    done = siad("runs", "start", "l")
    assert (done.exit_code, done.stderr) == (1, f"no run of l/p would start; nothing was requested: {said}\n")
    assert not list(plant.blobs.list("run-requests/"))


def test_the_brake_refuses_a_request_with_its_reason(plant: MemoryPlant) -> None:
    world = asyncio.run(trained())
    plant.blobs = world.blobs
    asyncio.run(put_brake(world, is_on=True))
    assert "nothing was requested: 13 of the last 25 captures are marked" in siad("runs", "start", "l").stderr


def test_why_names_an_unknown_line(plant: MemoryPlant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("siad.apps.cli.runs.read_state", lambda _: {"trainer": "http://trainer"})
    monkeypatch.setattr("siad.apps.cli.runs.httpx.get", lambda *_, **__: httpx.Response(200, json={"runs": []}))
    plant.blobs.put(line_pointer_key("press-3"), b"{}")
    unknown = siad("runs", "why", "nope", "--data", str(tmp_path))
    assert (unknown.exit_code, unknown.stderr) == (1, "line 'nope' is unknown; registered lines: press-3\n")
    known = siad("runs", "why", "press-3", "--data", str(tmp_path))
    assert (known.exit_code, "no run before it has a teacher" in known.stdout) == (0, True)


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


def test_lineage_of_a_deleted_capture_says_when_and_what_learned_from_it(
    plant: MemoryPlant, lineage_plant: Plant
) -> None:
    deletion = CaptureDeletion(
        capture_id=D, line="l", product="p", image_id="i", image_uri="s3://b/i", received_at=NOON, forgotten_at=NOON
    )
    plant.blobs.put(deletion_key("l", D), deletion.to_json())
    plant.blobs.delete(capture_key("l", D))
    shown = siad("lineage", D[:8])
    assert shown.exit_code == 0, shown.output
    assert "was deleted on request at 2026-05-04 12:00:00 UTC" in shown.stdout
    assert lineage_plant.segmenters[1] in shown.stdout


def test_a_repeated_taint_says_since_when(plant: MemoryPlant, lineage_plant: Plant) -> None:
    arguments = ("taint", lineage_plant.teachers[0], "--because")
    assert siad(*arguments, "odd parts", "--yes").stdout.endswith("done; trainer and labeler go on without it\n")
    again = siad(*arguments, "again")
    assert again.exit_code == 0, again.output
    [last] = again.stdout.splitlines()[-1:]
    assert last.startswith("already in quarantine since 20")
    assert last.endswith(" UTC: odd parts; a run without it was requested again")


def test_log_events_of_a_command_are_not_printed(plant: MemoryPlant, lineage_plant: Plant) -> None:
    done = siad("taint", lineage_plant.teachers[0], "--because", "odd parts", "--yes")
    assert done.exit_code == 0
    assert "[info" not in done.output


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


def test_learning_is_held_with_a_reason_and_resumed(plant: MemoryPlant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siad.apps.cli.runs.user", lambda: "ann")
    world = asyncio.run(trained())
    plant.blobs = world.blobs
    assert "is not held; nothing was changed" in siad("runs", "resume", "l").stderr
    assert "learning is held" in siad("runs", "hold", "l", "--because", "new lamp").stdout
    refused = siad("runs", "start", "l").stderr
    assert "ann holds it" in refused
    assert "new lamp" in refused
    assert "siad runs resume l" in refused
    assert "learning is resumed" in siad("runs", "resume", "l").stdout
    assert audited(plant) == [("learning-held", "l/p", "new lamp"), ("learning-resumed", "l/p", "")]
    assert "request 1" in siad("runs", "start", "l").stdout
