"""Refits on the stream and on corrections: what is learned, what is compared, what is released."""

from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from services.labeler.domain.fitting import NORMALS_MAX
from services.labeler.domain.refits import (
    GOODS_MAX,
    NORMALS_HELD_OUT_MAX,
    STREAM_MAX,
    choose_captures,
    is_held_out,
    judge_refit,
    stream_step,
    with_balance,
)
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection, latest_corrections
from siad.contracts.events import Intent, PseudoMaskCreated
from siad.contracts.ids import CaptureId, WeightsId, sha256_hex
from siad.contracts.keys import correction_key, refit_key, stream_scores_key
from siad.contracts.quarantine import QuarantineRecord, TaintedKind, correction_name
from siad.contracts.refits import RefitCause, RefitRecord
from siad.contracts.release_evidence import GateEvidence
from siad.contracts.stream_scores import ROWS_MAX, StreamScore, StreamScores
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.quarantine import Quarantine
from tests.events import NOON
from tests.thresholds import make_threshold_set
from tests.unit.labeler.test_labeler_forgets import forget
from tests.unit.labeler.world import LINE, PLACE, PRODUCT, World, capture
from tests.unit.vision.test_gate import SCORES, evidence

LEVEL = evidence(SCORES)
WORSE = evidence(SCORES[::-1])


def row(number: int, score: float, *, weights: str = "1" * 12) -> StreamScore:
    return StreamScore(
        capture_id=capture(number).capture_id,
        received_at=NOON + timedelta(minutes=number),
        weights=weights,
        score=score,
        threshold=2.0,
        defect_ratio=0.0,
        regions=0,
    )


def corrected(number: int, verdict: CorrectionVerdict, *, revision: int = 1) -> CaptureCorrected:
    shown = capture(number)
    return CaptureCorrected(
        capture_id=shown.capture_id,
        image_id=shown.image_id,
        image_uri=shown.image_uri,
        line=LINE,
        product=PRODUCT,
        serial="",
        captured_at=shown.captured_at,
        received_at=shown.received_at,
        revision=revision,
        verdict=verdict,
        mask_uri="",
        mask_sha256="",
        weights="",
        score=0.0,
        threshold=0.0,
        author="someone",
        corrected_at=NOON + timedelta(minutes=number),
        selection=Selection.NEAREST,
    )


@pytest.mark.parametrize(
    ("captures", "step"),
    [(49, 0), (50, 50), (99, 50), (100, 100), (200, 200), (499, 200), (500, 500), (1999, 1000), (100_000, 64_000)],
)
def test_refits_come_at_steps_and_then_at_every_doubling(captures: int, step: int) -> None:
    assert stream_step(captures) == step


def test_the_lowest_half_is_learned_and_three_in_ten_captures_never() -> None:
    rows = [row(number, number / 100) for number in range(100)]
    chosen = choose_captures(rows, {}, known=set(), learns_stream=True)
    low = {one.capture_id for one in rows[:50]}
    assert set(chosen.stream) == {name for name in low if not is_held_out(name)}
    assert set(chosen.held_out) == {one.capture_id for one in rows if is_held_out(one.capture_id)}
    assert 20 <= len(chosen.held_out) <= 40
    assert choose_captures(rows, {}, known=set(), learns_stream=False).stream == ()


def test_no_reject_is_learned_without_an_answer_however_many_goods_are_answered() -> None:
    rows = [row(number, number / 20) for number in range(60)]  # from the 40th on they are rejected
    goods = latest_corrections(corrected(number, CorrectionVerdict.GOOD) for number in range(25))
    chosen = choose_captures(rows, goods, known=set(), learns_stream=True)
    half = {one.capture_id for one in rows[:30]}  # of all captures, the answered ones too
    assert set(chosen.stream) == {name for name in half - set(goods) if not is_held_out(name)}
    assert chosen.stream
    rejects = [replace(one, score=one.score + 3) for one in rows]  # the line as a whole is rejected
    assert choose_captures(rejects, {}, known=set(), learns_stream=True).stream == ()


def test_a_capture_that_any_teacher_rejected_is_not_learned() -> None:
    rows = [row(number, number / 100) for number in range(60)]
    learned = choose_captures(rows, {}, known=set(), learns_stream=True).stream
    by_others = [replace(one, weights="0" * 12, score=2.0) for one in rows if one.capture_id == learned[0]]
    again = choose_captures([*by_others, *rows], {}, known=set(), learns_stream=True).stream
    assert set(again) == set(learned[1:])


@pytest.mark.parametrize(("captures", "is_learned"), [(49, False), (50, True)])
def test_a_short_stream_is_not_learned_whatever_the_cause(captures: int, is_learned: bool) -> None:
    rows = [row(number, number / 100) for number in range(captures)]
    assert bool(choose_captures(rows, {}, known=set(), learns_stream=True).stream) is is_learned


def test_what_is_learned_is_bounded() -> None:
    rows = [row(number, number / 100) for number in range(ROWS_MAX)]
    goods = latest_corrections(corrected(2000 + number, CorrectionVerdict.GOOD) for number in range(200))
    chosen = choose_captures(rows, goods, known=set(), learns_stream=True)
    assert (len(chosen.stream), len(chosen.goods)) == (STREAM_MAX, GOODS_MAX)


def test_corrected_captures_normals_and_deleted_ones_are_not_of_the_stream() -> None:
    rows = [row(number, number / 100) for number in range(100)]
    verdicts = (CorrectionVerdict.GOOD, CorrectionVerdict.DEFECT, CorrectionVerdict.UNSURE)
    corrections = latest_corrections(corrected(number, verdicts[number % 3]) for number in range(30))
    known = {rows[number].capture_id for number in range(30, 35)}
    chosen = choose_captures(rows, corrections, known=known, learns_stream=True)
    assert not {*chosen.stream, *chosen.held_out} & {*corrections, *known}
    learned = {one.capture_id for one in chosen.goods}
    assert learned == {n for n, one in corrections.items() if one.verdict is verdicts[0] and not is_held_out(n)}
    assert {one.verdict for one in chosen.corrected} == {verdicts[0], verdicts[1]}
    assert not learned & {one.capture_id for one in chosen.corrected}


def test_near_duplicates_of_held_out_captures_are_not_learned_and_a_part_is_on_one_side() -> None:
    rows = [replace(row(number, number / 100), image_hash=sha256_hex(str(number).encode())) for number in range(100)]
    learned = choose_captures(rows, {}, known=set(), learns_stream=True).stream
    held_out = next(one for one in rows if is_held_out(one.capture_id))
    twins = [replace(one, image_hash=held_out.image_hash) if one.capture_id == learned[0] else one for one in rows]
    assert learned[0] not in choose_captures(twins, {}, known=set(), learns_stream=True).stream
    parts = [replace(one, serial=f"part-{number // 5}", image_hash="") for number, one in enumerate(rows)]
    chosen = choose_captures(parts, {}, known=set(), learns_stream=True)
    sides = [{one.serial for one in parts if one.capture_id in side} for side in (chosen.stream, chosen.held_out)]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_the_latest_revision_counts() -> None:
    first, second = corrected(1, CorrectionVerdict.GOOD), corrected(1, CorrectionVerdict.DEFECT, revision=2)
    assert latest_corrections([second, first]) == {first.capture_id: second}


def test_scores_of_several_processes_are_merged_and_bounded() -> None:
    stored = StreamScores().merged(tuple(row(number, 1.0) for number in range(900)))
    again = stored.merged(tuple(row(number, 2.0) for number in range(800, 1100)))
    assert again.captures == 1100
    assert len(again.rows) == ROWS_MAX
    assert {one.score for one in again.rows if one.received_at >= NOON + timedelta(minutes=800)} == {2.0}
    other = again.merged((row(1099, 3.0, weights="2" * 12),))  # drawn again by a later teacher
    assert other.captures == 1100


@pytest.mark.parametrize("cause", RefitCause)
def test_the_gate_decides_unless_a_refit_must_be_released(cause: RefitCause) -> None:
    refused = judge_refit(cause, WORSE)
    assert judge_refit(cause, LEVEL).accepted
    assert refused.accepted is bool(cause.must_release)
    assert "correlation -1.000" in refused.text
    nothing = judge_refit(cause, None)
    assert nothing.accepted is (bool(cause.must_release) or cause in (RefitCause.NORMALS, RefitCause.GOODS))


def mask(number: int, score: float, weights: WeightsId) -> PseudoMaskCreated:
    shown = capture(number)
    return PseudoMaskCreated(
        capture_id=shown.capture_id,
        image_id=shown.image_id,
        image_uri=shown.image_uri,
        line=LINE,
        product=PRODUCT,
        captured_at=shown.captured_at,
        received_at=shown.received_at,
        mask_uri="s3://siad/masks/1.png",
        mask_sha256="0" * 64,
        weights=weights,
        score=score,
        threshold=2.0,
        defect_ratio=0.0,
        regions=(),
        confidence=1.0,
    )


def quarantine(world: World, kind: TaintedKind, subject: str) -> None:
    """An operator has tainted it."""
    Quarantine(world.blobs).put(
        QuarantineRecord(
            line=LINE, kind=kind, subject=subject, root=subject, reason="it was a mistake", tainted_at=NOON
        )
    )


async def line_with_stream(captures: int, *, evidence_of: GateEvidence | None) -> World:
    """A line with a first teacher, whose captures of the stream are all scored."""
    world = World()
    world.add_normals(10)
    await world.settle()
    world.serve.evidence = "" if evidence_of is None else evidence_of.to_json().decode()
    for number in range(captures):
        world.add(capture(number, minutes=2 + number / 10))
        world.stream.note(mask(number, number / captures, world.teacher().weights))
    await world.stream.store()
    return world


async def test_a_level_refit_on_the_stream_is_released_with_its_record() -> None:
    world = await line_with_stream(60, evidence_of=LEVEL)
    assert await world.settle() == ["FitTeacher"]
    order = world.serve.orders[-1]
    assert len(order["normals"]) == 10
    low = {capture(number).capture_id for number in range(30)}
    assert {one["capture_id"] for one in order["stream"]} == {name for name in low if not is_held_out(name)}
    assert {one["kind"] for one in order["held_out"]} == {"stream"}
    assert world.teacher().stream_normals == tuple(one["capture_id"] for one in order["stream"])
    assert [told.revision for told in world.releases()] == [1, 2]
    record = RefitRecord.from_json(MemoryBlobs.get(world.blobs, refit_key(LINE, PRODUCT, 2)).data)
    assert (record.cause, record.counts.stream, record.decision.accepted) == (RefitCause.STREAM, 60, True)
    assert record.evidence == LEVEL


async def test_what_a_threshold_set_since_rejects_is_not_learned() -> None:
    world = await line_with_stream(60, evidence_of=LEVEL)
    weights = world.teacher().weights
    world.thresholds.by_weights[weights] = make_threshold_set(weights, image_threshold=10 / 60)
    await world.settle()
    under = {capture(number).capture_id for number in range(10)}
    assert {one["capture_id"] for one in world.serve.orders[-1]["stream"]} == {n for n in under if not is_held_out(n)}


async def test_a_capture_whose_answer_is_in_quarantine_is_not_learned() -> None:
    world = await line_with_stream(60, evidence_of=LEVEL)
    one = corrected(next(n for n in range(30) if not is_held_out(capture(n).capture_id)), CorrectionVerdict.GOOD)
    MemoryBlobs.put(world.blobs, correction_key(LINE, one.capture_id, 1), one.to_json())
    quarantine(world, TaintedKind.CORRECTION, correction_name(one.capture_id, 1))
    await world.settle()
    order = world.serve.orders[-1]
    named = {shown["capture_id"] for group in ("normals", "goods", "stream", "held_out") for shown in order[group]}
    assert order["stream"]
    assert one.capture_id not in named


async def test_a_worse_refit_is_declined_once_and_not_fitted_again_after_a_restart() -> None:
    world = await line_with_stream(60, evidence_of=WORSE)
    served = world.pointer()
    with structlog.testing.capture_logs() as logs:
        assert await world.settle() == ["FitTeacher"]
    assert world.pointer() == served
    [entry] = [entry for entry in logs if entry["event"] == "refit_declined"]
    assert "correlation -1.000, under 0.9" in entry["reason"]
    record = RefitRecord.from_json(MemoryBlobs.get(world.blobs, refit_key(LINE, PRODUCT, 2)).data)
    assert not record.decision.accepted
    world.restart()
    assert await world.settle() == ["AnnounceTeacher"]
    assert len(world.serve.orders) == 2


async def test_what_a_release_lost_counts_against_the_next() -> None:
    assert LEVEL.candidate.probes is not None
    lower = replace(LEVEL.candidate.probes, pixel_ap=0.598, merits_without=(1.498,) * 6 + (1.4981,) * 6)
    theirs = replace(LEVEL.candidate.probes, merits_without=(1.5, 1.52, 1.48) * 4)
    lost = replace(
        LEVEL, candidate=replace(LEVEL.candidate, probes=lower), serving=replace(LEVEL.serving, probes=theirs)
    )
    world = await line_with_stream(60, evidence_of=lost)
    await world.settle()
    for number in range(60, 500):
        world.stream.note(mask(number, number / 500, world.teacher().weights))
        if number in (110, 220, 499):
            await world.stream.store()
            await world.settle()
    records = [
        RefitRecord.from_json(MemoryBlobs.get(world.blobs, refit_key(LINE, PRODUCT, number)).data)
        for number in (2, 3, 4)
    ]
    assert [one.decision.accepted for one in records] == [True, True, False]
    balances = [0.0 if one.evidence is None else one.evidence.merit_balance for one in records]
    assert balances == pytest.approx([0.0, -0.002, -0.004])
    assert "earlier releases -0.004" in records[2].decision.text
    assert with_balance(lost, replace(records[2], cause=RefitCause.SETTINGS)).merit_balance == 0.0


async def test_ten_confirmed_captures_are_learned_and_the_held_out_ones_compare() -> None:
    world = await line_with_stream(45, evidence_of=LEVEL)
    for number in range(10):
        one = corrected(number, CorrectionVerdict.GOOD)
        MemoryBlobs.put(world.blobs, correction_key(LINE, one.capture_id, 1), one.to_json())
    defect = corrected(44, CorrectionVerdict.DEFECT)
    MemoryBlobs.put(world.blobs, correction_key(LINE, defect.capture_id, 1), defect.to_json())
    MemoryBlobs.put(world.blobs, correction_key(LINE, CaptureId("f" * 32), 1), b"{")  # is logged and left out
    assert await world.settle() == ["FitTeacher"]
    order = world.serve.orders[-1]
    goods = {capture(number).capture_id for number in range(10)}
    assert {one["capture_id"] for one in order["goods"]} == {name for name in goods if not is_held_out(name)}
    kinds = {one["capture_id"]: one["kind"] for one in order["held_out"]}
    assert kinds[defect.capture_id] == "defect"
    assert {name for name, kind in kinds.items() if kind == "good"} == {n for n in goods if is_held_out(n)}


async def test_a_line_without_stream_is_refitted_on_more_normals_without_comparison() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    world.add_normals(20)
    assert await world.settle() == ["FitTeacher"]
    record = RefitRecord.from_json(MemoryBlobs.get(world.blobs, refit_key(LINE, PRODUCT, 2)).data)
    assert record.decision.accepted
    assert "too few inspected captures" in record.decision.text


async def test_normals_that_no_fit_takes_are_compared_on() -> None:
    world = await line_with_stream(60, evidence_of=LEVEL)
    world.add_normals(2 * NORMALS_MAX)
    wrong = replace(corrected(0, CorrectionVerdict.DEFECT), capture_id=capture(200, intent=Intent.NORMAL).capture_id)
    MemoryBlobs.put(world.blobs, correction_key(LINE, wrong.capture_id, 1), wrong.to_json())
    drawn = replace(corrected(40, CorrectionVerdict.DEFECT), selection=Selection.RANDOM)
    MemoryBlobs.put(world.blobs, correction_key(LINE, drawn.capture_id, 1), drawn.to_json())
    await world.settle()
    order = world.serve.orders[-1]
    held_out = [one for one in order["held_out"] if one["kind"] == "normal"]
    assert len(held_out) == NORMALS_HELD_OUT_MAX
    names = {one["capture_id"] for one in held_out}
    assert not names & {one["capture_id"] for one in order["normals"]}
    assert wrong.capture_id not in names
    assert {one["capture_id"] for one in order["held_out"] if one["is_drawn"]} == {drawn.capture_id}


async def test_damaged_scores_begin_anew() -> None:
    world = await line_with_stream(60, evidence_of=LEVEL)
    MemoryBlobs.put(world.blobs, stream_scores_key(LINE, PRODUCT), b"{")
    assert await world.settle() == []
    world.stream.note(mask(100, 1.0, world.teacher().weights))
    await world.stream.store()
    assert (await world.stream.read(PLACE)).captures == 1


async def test_a_deleted_capture_of_the_stream_has_the_teacher_fitted_without_it() -> None:
    world = await line_with_stream(60, evidence_of=LEVEL)
    await world.settle()
    world.serve.evidence = WORSE.to_json().decode()
    gone = world.teacher().stream_normals[0]
    [one] = [shown for shown in map(capture, range(60)) if shown.capture_id == gone]
    forget(world, one)
    assert await world.settle() == ["FitTeacher"]  # released although the gate objects: the memory holds the capture
    assert gone not in world.teacher().stream_normals
    assert world.teacher().stream_normals


def test_a_normal_is_no_capture_of_the_stream() -> None:
    assert capture(1, intent=Intent.NORMAL).capture_id != capture(1).capture_id
    assert replace(row(1, 3.0), threshold=0.0).ratio == 3.0
