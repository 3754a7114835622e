"""Fits around a quarantine, and what the stage tells of fits."""

import structlog

from services.labeler.domain.fit_notes import FitNote
from services.labeler.ports import FitOrder, FitRefusedError, FittedTeacher
from siad.contracts.events import Intent
from siad.contracts.keys import (
    refit_key,
)
from siad.contracts.place import Place
from siad.contracts.quarantine import QuarantineRecord, TaintedKind
from siad.contracts.refits import RefitCause, RefitRecord
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.quarantine import Quarantine
from tests.events import NOON
from tests.unit.labeler.world import LINE, PRODUCT, World, capture, manifest_of


async def test_a_teacher_is_fitted_again_without_a_normal_in_quarantine() -> None:
    world = World()
    world.add_normals(12)
    await world.settle()
    tainted = world.teacher().normals[0]
    Quarantine(world.blobs).put(
        QuarantineRecord(
            line=LINE, kind=TaintedKind.CAPTURE, subject=tainted, root=tainted, reason="odd", tainted_at=NOON
        )
    )
    assert "FitTeacher" in await world.settle()
    assert tainted not in world.teacher().normals
    assert len(world.teacher().normals) == 11
    record = RefitRecord.from_json(MemoryBlobs.get(world.blobs, refit_key(LINE, PRODUCT, 2)).data)
    assert record.cause is RefitCause.QUARANTINED
    assert "holds what is left of a capture in quarantine" in record.text
    assert world.works.notes.all() == []


async def test_a_teacher_that_too_few_normals_can_replace_keeps_serving_and_says_so() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    tainted = world.teacher().normals[0]
    Quarantine(world.blobs).put(
        QuarantineRecord(
            line=LINE, kind=TaintedKind.CAPTURE, subject=tainted, root=tainted, reason="odd", tainted_at=NOON
        )
    )
    with structlog.testing.capture_logs() as logs:
        assert await world.settle() == []
        await world.observe()
    text = (
        "the teacher in service holds what is left of a capture in quarantine, and a new one needs 10 normals, of "
        "which 9 are left; send 1 more"
    )
    assert [entry["reason"] for entry in logs if entry["event"] == "refit_waits"] == [text]
    [note] = world.notes.all()
    assert (note.line, note.product, note.short_of, note.refused, note.since) == (LINE, PRODUCT, text, "", None)
    world.add_normals(11)
    assert await world.settle() == ["FitTeacher"]
    assert tainted not in world.teacher().normals
    assert world.notes.all() == []


async def test_a_fit_is_told_while_it_is_under_way_and_a_refused_one_until_there_is_more_to_fit_on() -> None:
    world = World()
    world.add_normals(10)
    seen: list[FitNote] = []

    class Watched:
        async def fit(self, place: Place, order: FitOrder) -> FittedTeacher:
            seen.extend(world.notes.all())
            raise FitRefusedError("they are no images")

    fitter, world.works.fitter = world.works.fitter, Watched()
    await world.settle()
    assert [(note.since, note.cause) for note in seen] == [(world.clock.now(), "first")]
    [note] = world.notes.all()
    assert (note.since, note.refused) == (None, "they are no images")
    world.works.fitter = fitter
    world.add_normals(11)
    await world.settle()
    assert world.notes.all() == []


async def test_a_teacher_in_quarantine_is_not_released() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    first = world.teacher()
    barred = manifest_of([capture(number, intent=Intent.NORMAL).capture_id for number in range(20)]).weights
    Quarantine(world.blobs).put(
        QuarantineRecord(line=LINE, kind=TaintedKind.WEIGHTS, subject=barred, root="x", reason="odd", tainted_at=NOON)
    )
    world.add_normals(20)
    assert "FitTeacher" in await world.settle()
    assert world.teacher() == first
