"""Corrections by people, from the bus to the training set."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.trainer import handlers
from services.trainer.adapters.ledger import ParquetLedger
from services.trainer.domain.corrections import CorrectionRow, correction_of
from services.trainer.domain.freeze import freeze
from services.trainer.domain.ledger import LedgerRow, corrections_of, fresh_captures, fresh_corrections, rows_of
from services.trainer.domain.plan import plan
from services.trainer.domain.training_set import (
    FreezePolicy,
    MemberRole,
    MemberUse,
    NormalCapture,
    TrainingMember,
    TrainingSet,
)
from services.trainer.job.evidence import kind_of
from services.trainer.job.store import read_training_set
from siad.contracts.codec import encode
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection, latest_corrections
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.errors import TransientError
from siad.contracts.ids import CaptureId, ImageId
from siad.contracts.json_codec import write_json
from siad.contracts.keys import deletion_key
from siad.contracts.place import Place
from siad.contracts.release_evidence import EvidenceKind
from siad.erasure.deletions import AsyncDeletions
from siad.erasure.rows import erase_rows
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.port import Record, TopicPartition
from siad.runtime.consumer.routes import Batch
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import IMMORTAL
from tests.unit.trainer import test_trainer_ledger as masks
from tests.unit.trainer.test_trainer_plan import POLICIES, World
from tests.unit.trainer.test_training_set import NOON, POLICY, name, normals, row, rows

GOOD, DEFECT, UNSURE = CorrectionVerdict.GOOD, CorrectionVerdict.DEFECT, CorrectionVerdict.UNSURE
LP = Place("l", "p")


def correction(
    number: int, verdict: CorrectionVerdict, *, revision: int = 1, outlined: bool = True
) -> CaptureCorrected:
    """A person's word about the capture of that number."""
    drawn = verdict is DEFECT and outlined
    given = row(number, score=1.0)
    return CaptureCorrected(
        line="l",
        product="p",
        capture_id=CaptureId(given.capture_id),
        image_id=ImageId(given.image_id),
        image_uri=given.image_uri,
        serial="",
        captured_at=given.captured_at,
        received_at=given.received_at,
        revision=revision,
        verdict=verdict,
        mask_uri=f"s3://b/corrections/l/{given.capture_id}/{revision}.png" if drawn else "",
        mask_sha256="ef" * 32 if drawn else "",
        weights="a" * 64,
        score=1.0,
        threshold=2.0,
        author="maria",
        corrected_at=NOON + timedelta(seconds=number),
        selection=Selection.NEAREST,
    )


def corrected(*events: CaptureCorrected) -> list[CorrectionRow]:
    return [correction_of(event) for event in events]


def frozen(
    corrections: Iterable[CorrectionRow],
    *,
    given: list[LedgerRow] | None = None,
    good: list[NormalCapture] | None = None,
    policy: FreezePolicy = POLICY,
) -> TrainingSet:
    chosen = freeze(
        rows() if given is None else given,
        normals() if good is None else good,
        corrections,
        teachers=["t1"],
        policy=policy,
    )
    assert isinstance(chosen, TrainingSet), chosen
    return chosen


def member(chosen: TrainingSet, number: int) -> TrainingMember | None:
    return next((one for one in chosen.members if one.capture_id == name(number)), None)


def training_number(start: int = 0, *, modulo: int | None = None) -> int:
    """The first number whose corrected capture is trained on; with ``modulo``, the remainder by three."""
    for number in range(start, start + 1000):
        found = member(frozen(corrected(correction(number, GOOD))), number)
        assert found is not None
        if found.use is MemberUse.TRAIN and modulo in (None, number % 3):
            return number
    raise AssertionError


def held_out_number() -> int:
    for number in range(0, 3000, 3):
        found = member(frozen(corrected(correction(number, GOOD))), number)
        if found is not None and found.use is MemberUse.CHECK:
            return number
    raise AssertionError


def test_a_correction_beats_the_mask_of_every_teacher() -> None:
    marked, passed = training_number(modulo=0), training_number(modulo=1)
    chosen = frozen(corrected(correction(marked, GOOD), correction(passed, DEFECT)))
    good, defect = member(chosen, marked), member(chosen, passed)
    assert good is not None
    assert defect is not None
    assert (good.role, good.mask_uri, good.weight, good.revision) == (MemberRole.NORMAL, "", 1.0, 1)
    assert (defect.role, defect.weight) == (MemberRole.DEFECT, 1.0)
    assert "corrections/" in defect.mask_uri


def test_a_correction_beats_what_the_sender_said() -> None:
    chosen = frozen(corrected(correction(-1, DEFECT), correction(-2, UNSURE)))
    found = member(chosen, -1)
    assert found is not None
    assert found.role is MemberRole.DEFECT
    assert member(chosen, -2) is None
    assert chosen.count(MemberRole.NORMAL) == 18


def test_of_several_corrections_the_highest_revision_counts_in_whatever_order() -> None:
    number = training_number(modulo=1)
    said = corrected(
        correction(number, DEFECT, revision=1),
        correction(number, UNSURE, revision=2),
        correction(number, GOOD, revision=3),
    )
    for seed in range(6):
        random.Random(seed).shuffle(said)
        found = member(frozen([*said, *said]), number)
        assert found is not None
        assert (found.role, found.revision) == (MemberRole.NORMAL, 3)
    assert latest_corrections(said)[name(number)].revision == 3


def test_a_capture_called_unsure_leaves_the_set() -> None:
    clear = next(n for n in range(0, 150, 3) if member(frozen([]), n) is not None)
    assert member(frozen(corrected(correction(clear, UNSURE))), clear) is None


def test_a_defect_without_outline_trains_on_the_teachers_marks_at_half_the_weight() -> None:
    marked = training_number(modulo=0)
    found = member(frozen(corrected(correction(marked, DEFECT, outlined=False))), marked)
    assert found is not None
    assert found.has_pixels
    assert "masks/" in found.mask_uri
    assert found.weight == 0.5


def test_a_defect_without_outline_or_marks_has_no_pixels() -> None:
    passed, held_out = training_number(modulo=1), held_out_number()
    chosen = frozen(corrected(correction(passed, DEFECT, outlined=False), correction(held_out, DEFECT, outlined=False)))
    for number in (passed, held_out):  # the teacher's marks are no reference to measure a candidate by
        found = member(chosen, number)
        assert found is not None
        assert found.role is MemberRole.DEFECT
        assert not found.has_pixels


def test_three_in_ten_corrected_captures_are_held_out_for_the_check_alone() -> None:
    said = corrected(*(correction(number, GOOD) for number in range(1000, 3000)))
    policy = replace(POLICY, corrections_max=2000, members_max=4000)
    uses = Counter(one.use for one in frozen(said, policy=policy).members if one.is_corrected)
    assert uses[MemberUse.CALIBRATE] == 0
    assert uses[MemberUse.CHECK] / 2000 == pytest.approx(0.3, abs=0.03)


def test_a_corrected_capture_is_never_held_out_after_a_teachers_label_of_it_was_trained_on() -> None:
    before = {one.capture_id: one.use for one in frozen([]).members if one.role is not MemberRole.NORMAL}
    after = frozen(corrected(*(correction(number, GOOD) for number in range(1, 150, 3))))
    held_out = {one.capture_id for one in after.members if one.is_corrected and one.use is MemberUse.CHECK}
    assert held_out & before.keys()
    assert all(before[capture] is not MemberUse.TRAIN for capture in held_out & before.keys())


def test_of_very_many_corrections_the_last_are_taken() -> None:
    said = corrected(*(correction(number, GOOD) for number in range(1000, 1300)))
    chosen = frozen(said)
    assert sum(one.is_corrected for one in chosen.members) == POLICY.corrections_max
    assert member(chosen, 1299) is not None
    assert len(chosen.members) <= POLICY.members_max


def test_of_very_many_corrections_rare_ones_of_the_past_stay() -> None:
    rare = [correction(number, DEFECT) for number in range(1000, 1004)]
    said = corrected(*rare, *(correction(number, GOOD) for number in range(1004, 1300)))
    chosen = frozen(said)
    assert sum(one.is_corrected for one in chosen.members) == POLICY.corrections_max
    assert all(member(chosen, number) is not None for number in (*range(1000, 1004), *range(1210, 1300)))
    newest = frozen(said, policy=replace(POLICY, older_share=0.0))
    assert all(member(newest, number) is None for number in range(1000, 1004))


def test_sets_without_corrections_keep_their_digest() -> None:
    [first, *_] = frozen([]).members
    assert b"revision" not in write_json((first,))
    assert TrainingSet(members=(replace(first, revision=1),)).digest != TrainingSet(members=(first,)).digest


# From the bus to the ledger.

PARTITION = TopicPartition("siad.correction.v1", 0)


def batch(*events: CaptureCorrected, first: int = 10, at: TopicPartition = PARTITION) -> Batch[CaptureCorrected]:
    records = tuple(
        Record(topic_partition=at, offset=first + index, key=b"l/0", value=encode(one))
        for index, one in enumerate(events)
    )
    return Batch(topic_partition=at, first=first, last=first + len(events) - 1, records=records, decoded=events)


def takers(blobs: MemoryBlobs) -> dict[str, Any]:
    store = AsyncBlobs(blobs)
    return {"ledger": ParquetLedger(store), "deletions": AsyncDeletions(store)}


async def test_corrections_come_back_beside_pseudo_masks() -> None:
    blobs = MemoryBlobs()
    events = (correction(1, DEFECT), correction(2, GOOD), correction(2, UNSURE, revision=2))
    await handlers.on_pseudo_masks(masks.batch(masks.event(1), masks.event(2)), **masks.takers(blobs))
    assert await handlers.on_capture_corrected(batch(*events), **takers(blobs)) == []
    files = await ParquetLedger(AsyncBlobs(blobs)).read(LP)
    assert sorted(corrections_of(files), key=lambda one: (one.capture_id, one.revision)) == sorted(
        corrected(*events), key=lambda one: (one.capture_id, one.revision)
    )
    assert len(rows_of(files)) == 2


async def test_a_repeat_of_corrections_writes_the_same_bytes_and_counts_once() -> None:
    blobs = MemoryBlobs()
    events = (correction(1, DEFECT), correction(2, GOOD))
    await handlers.on_capture_corrected(batch(*events), **takers(blobs))
    [info] = blobs.list("ledger/")
    first = blobs.get(info.key).data
    await handlers.on_capture_corrected(batch(*events), **takers(blobs))
    assert blobs.get(info.key).data == first
    await handlers.on_capture_corrected(batch(events[1], first=11), **takers(blobs))  # cut elsewhere
    files = await ParquetLedger(AsyncBlobs(blobs)).read(LP)
    assert fresh_corrections(files, since=None) == 2
    assert fresh_captures(files, since=None) == 0


async def test_several_answers_to_one_capture_count_once() -> None:
    blobs = MemoryBlobs()
    first, second = correction(1, DEFECT), correction(2, GOOD)
    await handlers.on_capture_corrected(batch(first, second), **takers(blobs))
    revised = [replace(first, revision=revision) for revision in (2, 3)]
    await handlers.on_capture_corrected(batch(*revised, first=20), **takers(blobs))
    assert fresh_corrections(await ParquetLedger(AsyncBlobs(blobs)).read(LP), since=None) == 2


async def test_corrections_that_were_sent_again_by_an_operator_are_read_too() -> None:
    blobs = MemoryBlobs()
    await handlers.on_capture_corrected(
        batch(correction(1, GOOD), at=TopicPartition("siad.trainer.retry.v1", 0)), **takers(blobs)
    )
    assert len(corrections_of(await ParquetLedger(AsyncBlobs(blobs)).read(LP))) == 1


async def test_corrections_wait_for_the_store() -> None:
    with pytest.raises(TransientError):
        await handlers.on_capture_corrected(batch(correction(1, GOOD)), **takers(MemoryBlobs(down=True)))


async def test_very_many_pseudo_masks_push_no_correction_out() -> None:
    blobs = MemoryBlobs()
    await handlers.on_capture_corrected(batch(correction(1, GOOD)), **takers(blobs))
    ledger = ParquetLedger(AsyncBlobs(blobs), rows_max=2)
    for first in range(0, 6, 2):
        taken = masks.batch(masks.event(first), masks.event(first + 1), first=first)
        await handlers.on_pseudo_masks(taken, **masks.takers(blobs, ledger))
    assert len(corrections_of(await ledger.read(LP))) == 1


async def test_corrections_of_a_forgotten_capture_are_neither_written_nor_read() -> None:
    blobs = MemoryBlobs()
    event = correction(1, GOOD)
    await handlers.on_capture_corrected(batch(event, correction(2, GOOD)), **takers(blobs))
    deletion = CaptureDeletion(
        line="l", product="p", capture_id=event.capture_id, image_id=event.image_id, image_uri=event.image_uri,
        received_at=event.received_at, forgotten_at=NOON,
    )  # fmt: skip
    blobs.put(deletion_key("l", event.capture_id), deletion.to_json())
    await handlers.on_capture_corrected(batch(event, first=20), **takers(blobs))
    [info] = blobs.list("ledger/")
    ledger = ParquetLedger(AsyncBlobs(blobs))
    assert [one.capture_id for one in corrections_of(await ledger.read(LP))] == [name(2)]
    left = erase_rows(blobs.get(info.key).data, {event.capture_id}, written_at=NOON)
    assert left is not None
    blobs.put(info.key, left)
    assert [one.capture_id for one in corrections_of(await ledger.read(LP))] == [name(2)]


# From the ledger to a run.


async def say(world: World, *events: CaptureCorrected, first: int = 0) -> None:
    await handlers.on_capture_corrected(batch(*events, first=first), **takers(world.blobs))


async def test_ten_corrections_start_another_run_and_nine_do_not() -> None:
    world = await World().begin()
    process = world.process()
    await world.settle(process)
    world.clock.advance(601)
    await say(world, *(correction(number, GOOD) for number in range(1, 10)))
    assert await world.settle(process) == []
    await say(world, *(correction(number, GOOD) for number in range(1, 10)), first=9)  # the same once more
    assert await world.settle(process) == []
    await say(world, correction(10, GOOD), first=18)
    assert "FreezeTrainingSet" in await world.settle(process)
    last = (await world.state()).runs[-1].spec
    members = read_training_set(world.blobs, "l", "p", last.training_set).members
    assert sum(one.is_corrected for one in members) == 10
    world.clock.advance(601)
    assert await world.settle(process) == []  # they are new once


async def test_corrections_alone_start_no_run_that_lacks_captures() -> None:
    world = await World().begin(captures=0)
    await say(world, *(correction(number, GOOD) for number in range(20)))
    assert await world.settle() == []
    assert "clear defects" in plan(await world.state(), world.clock.now(), POLICIES).waits_for


async def test_a_crash_at_any_write_leaves_corrections_to_the_next_process() -> None:
    writes = 0
    while True:
        world = await World().begin()
        await world.settle()
        world.clock.advance(601)
        await say(world, *(correction(number, DEFECT) for number in range(1, 31, 3)))
        world.blobs.lives = writes
        try:
            await world.settle()
        except ProcessKilled:
            world.blobs.lives = IMMORTAL
            await world.settle()
        else:
            break
        runs = (await world.state()).runs
        assert len(runs) == 2
        members = read_training_set(world.blobs, "l", "p", runs[-1].spec.training_set).members
        assert sum(one.is_corrected for one in members) == 10
        writes += 1
    assert writes >= 5


@pytest.mark.parametrize(("verdict", "kind"), [(GOOD, EvidenceKind.GOOD), (DEFECT, EvidenceKind.DEFECT)])
def test_the_gate_knows_a_held_out_correction_from_what_a_teacher_drew(
    verdict: CorrectionVerdict, kind: EvidenceKind
) -> None:
    number = held_out_number()
    before, after = member(frozen([]), number), member(frozen(corrected(correction(number, verdict))), number)
    assert before is None or kind_of(before) is EvidenceKind.STREAM
    assert after is not None
    assert kind_of(after) is kind
