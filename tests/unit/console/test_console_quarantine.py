"""What is in quarantine: the console neither shows, counts nor takes it."""

import pytest

from services.console.domain.corrections import CorrectionRefusedError, CorrectionRequest, RefusalReason
from services.console.domain.review import ReviewRequest
from services.console.handlers import on_correction, on_estimates, on_review
from siad.contracts.corrections import CorrectionVerdict, Selection
from siad.contracts.keys import manifest_key
from siad.contracts.quarantine import QuarantineRecord, TaintedKind, correction_name
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.quarantine import Quarantine
from tests.events import NOON
from tests.unit.console.test_console_thresholds import START, TEACHER, WEIGHTS, answer, judge, keep, keeper_of, stored
from tests.unit.console.world import LINE_NAME, PRODUCT, Plant, name_of, put_capture


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.create()
    MemoryBlobs.put(plant.blobs, manifest_key(LINE_NAME, PRODUCT, WEIGHTS), TEACHER.to_json())
    return plant


def taint(plant: Plant, kind: TaintedKind, subject: str) -> None:
    record = QuarantineRecord(
        line=LINE_NAME, kind=kind, subject=subject, root=subject, reason="wrong parts", tainted_at=NOON
    )
    Quarantine(plant.blobs).put(record)
    plant.clock.advance(60)  # the quarantine is read again


def request(number: int, verdict: CorrectionVerdict = CorrectionVerdict.GOOD) -> CorrectionRequest:
    return CorrectionRequest(line=LINE_NAME, capture_id=name_of(number), verdict=verdict, author="ann")


@pytest.mark.parametrize(
    ("kind", "subject"),
    [(TaintedKind.CAPTURE, name_of(0)), (TaintedKind.CORRECTION, correction_name(name_of(0), 1))],
)
async def test_a_tainted_answer_counts_for_no_threshold_and_no_estimate(
    plant: Plant, kind: TaintedKind, subject: str
) -> None:
    async with plant.bus.producer() as producer:
        keeper = keeper_of(plant, producer)
        judge(keeper.ports, [START.threshold * 1.1, 1.0, 1.1])
        for number in (0, 1):
            answer(keeper.ports, number, CorrectionVerdict.GOOD, selection=Selection.RANDOM)
        await keep(keeper)
        assert stored(plant).answers == 2
        taint(plant, kind, subject)
        await keep(keeper)
        assert (stored(plant).answers, stored(plant).revision) == (1, 2)
        (found,) = await on_estimates(LINE_NAME, keeper.ports)
        assert (found.answers, found.unsure) == (1, 1 if kind is TaintedKind.CORRECTION else 0)


async def test_a_tainted_capture_is_neither_shown_nor_answered(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        ports = keeper_of(plant, producer).ports
        judge(ports, [1.0, 1.1])
        put_capture(plant.blobs, 0)
        taint(plant, TaintedKind.CAPTURE, name_of(0))
        review = await on_review(ReviewRequest(line=LINE_NAME, count=10), ports)
        assert ([item.entry.capture_id for item in review.items], review.captures) == ([name_of(1)], 1)
        with pytest.raises(CorrectionRefusedError, match="is in quarantine") as refused:
            await on_correction(request(0), ports)
        assert refused.value.reason is RefusalReason.IN_QUARANTINE
        assert plant.records() == []


async def test_a_tainted_correction_is_corrected_again_even_by_the_same_answer(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        ports = keeper_of(plant, producer).ports
        put_capture(plant.blobs, 0)
        await on_correction(request(0), ports)
        assert not (await on_correction(request(0), ports)).is_new
        taint(plant, TaintedKind.CORRECTION, correction_name(name_of(0), 1))
        again = await on_correction(request(0), ports)
        assert (again.is_new, again.correction.revision) == (True, 2)
        assert not (await on_correction(request(0), ports)).is_new
