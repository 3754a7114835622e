"""Thresholds that answers and the stream move: set once, published, healed after a crash."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from services.console.adapters.thresholds import StoredThresholds
from services.console.domain.corrections import CorrectionRequest
from services.console.domain.review import ReviewRequest
from services.console.domain.thresholds import STREAM_EVERY, ComputeThreshold, scores_by_weights
from services.console.handlers import ConsolePorts, last_judged, on_correction, on_estimates, on_review
from services.console.reconcile import ThresholdReconciler
from siad.contracts.codec import decode
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection, ThresholdSet
from siad.contracts.deletion import CaptureDeletion, LineDeletion
from siad.contracts.events import LineChanged
from siad.contracts.ids import CaptureId, WeightsId, image_id_of
from siad.contracts.keys import deletion_key, line_deletion_key, manifest_key, threshold_key
from siad.contracts.labelling import is_drawn
from siad.contracts.manifest import Manifest, RateEstimate
from siad.contracts.topics import THRESHOLD
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.port import Producer
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import IMMORTAL
from siad.vision.calibration import calibrate
from tests.events import NOON, make_line_changed
from tests.manifests import make_manifest
from tests.unit.console.world import (
    LINE_NAME,
    PRODUCT,
    Plant,
    at_noon,
    image_png,
    make_ports,
    name_of,
    pseudo_mask,
    put_capture,
    read_thresholds,
    verdict,
)

BUDGET = 0.05
HELD_OUT = tuple(float(one) for one in np.exp(np.random.default_rng(1).normal(0.6, 0.35, 10)))
START = calibrate(HELD_OUT, budget=BUDGET, is_left_one_out=True)
TEACHER: Manifest = make_manifest(
    line=LINE_NAME,
    product=PRODUCT,
    held_out_scores=HELD_OUT,
    image_threshold=START.threshold,
    false_rejects=RateEstimate(budget=BUDGET, estimated=0.05, low=0.01, high=0.2),
)
WEIGHTS = TEACHER.weights
UNIT = f"console/{LINE_NAME}/{PRODUCT}"


@dataclass
class Lines:
    """The present settings of lines."""

    settings: dict[str, LineChanged] = field(default_factory=dict)

    def lookup(self, key: str) -> LineChanged | None:
        return self.settings.get(key)


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.create()
    MemoryBlobs.put(plant.blobs, manifest_key(LINE_NAME, PRODUCT, WEIGHTS), TEACHER.to_json())
    return plant


def keeper_of(plant: Plant, producer: Producer, lines: Lines | None = None) -> ThresholdReconciler:
    """A new process, whose topics are read."""
    store = AsyncBlobs(plant.blobs, workers=1)
    ports = make_ports(plant.blobs, producer, plant.clock)
    return ThresholdReconciler(thresholds=StoredThresholds(store, producer), lines=lines or Lines(), ports=ports)


async def keep(keeper: ThresholdReconciler) -> int:
    """Plan and act until nothing is left to do; how many actions that took."""
    taken = 0
    while actions := keeper.plan(await keeper.observe(UNIT), NOON):
        for action in actions:
            await keeper.act(UNIT, action)
        taken += len(actions)
        assert taken < 10
    return taken


def published(plant: Plant) -> list[ThresholdSet]:
    return [decode(ThresholdSet, record.value) for record in plant.bus.records(THRESHOLD.name)]


def stored(plant: Plant) -> ThresholdSet:
    return ThresholdSet.from_json(MemoryBlobs.get(plant.blobs, threshold_key(LINE_NAME, PRODUCT, WEIGHTS)).data)


def judge(ports: ConsolePorts, scores: Sequence[float], *, first: int = 0) -> None:
    for number, score in enumerate(scores, first):
        ports.window.add_verdict(verdict(number, score, weights=WEIGHTS))


def answer(ports: ConsolePorts, number: int, said: CorrectionVerdict, *, revision: int = 1, **fields: object) -> None:
    entry = ports.window.find(LINE_NAME, name_of(number))
    correction = CaptureCorrected(
        capture_id=CaptureId(name_of(number)), image_id=image_id_of(image_png()), image_uri="s3://siad/images/x.png",
        line=LINE_NAME, product=PRODUCT, serial="", captured_at=NOON, received_at=NOON, revision=revision, verdict=said,
        mask_uri="", mask_sha256="", weights=WEIGHTS,
        score=0.0 if entry is None or entry.finding is None else entry.finding.score, threshold=2.0, author="ann",
        corrected_at=NOON, selection=Selection.NEAREST,
    )  # fmt: skip
    ports.book.add(replace(correction, **fields), is_published=True)  # type: ignore[arg-type]


async def test_without_answers_and_with_a_short_stream_the_manifest_decides(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        keeper = keeper_of(plant, producer)
        judge(keeper.ports, HELD_OUT)
        assert await keep(keeper) == 1, "computed once, not set"
        assert published(plant) == []


async def test_an_answer_moves_the_threshold_of_exactly_the_weights_that_scored(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        keeper = keeper_of(plant, producer)
        judge(keeper.ports, [START.threshold * 1.1, *HELD_OUT])
        keeper.ports.window.add_pseudo_mask(pseudo_mask(0, 7.0, weights=WEIGHTS))
        answer(keeper.ports, 0, CorrectionVerdict.GOOD)
        await keep(keeper)
        [found] = published(plant)
        assert found == stored(plant)
        assert (found.weights, found.revision, found.answers, found.normals) == (WEIGHTS, 1, 1, 10)
        assert found.image_threshold > START.threshold
        assert 0 < found.low < found.estimated < found.high < 1
        assert found.reason == (
            "chosen by the budget (5.00%), from 10 held-out normals and 1 answer (1 good, 0 defective)"
        )
        assert await keep(keeper) == 0, "the same answers give no other threshold"


async def test_a_withdrawn_answer_gives_the_threshold_of_the_normals_back(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        keeper = keeper_of(plant, producer)
        judge(keeper.ports, [START.threshold * 1.1])
        answer(keeper.ports, 0, CorrectionVerdict.GOOD)
        await keep(keeper)
        answer(keeper.ports, 0, CorrectionVerdict.UNSURE, revision=2)
        await keep(keeper)
        assert [one.revision for one in published(plant)] == [1, 2]
        assert stored(plant).image_threshold == pytest.approx(START.threshold, rel=1e-6)
        assert stored(plant).answers == 0


async def test_the_stream_moves_the_threshold_every_so_many_captures(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        keeper = keeper_of(plant, producer)
        low = [score * 0.6 for score in HELD_OUT]
        judge(keeper.ports, (low * 12)[: 2 * STREAM_EVERY])
        await keep(keeper)
        first = stored(plant)
        assert first.stream_captures == 2 * STREAM_EVERY
        assert -0.16 < math.log(first.image_threshold / START.threshold) < -0.05
        judge(keeper.ports, low, first=2 * STREAM_EVERY)
        assert await keep(keeper) == 0, "ten captures are too few to compute again"
        judge(keeper.ports, (low * 5)[:STREAM_EVERY], first=3 * STREAM_EVERY)
        await keep(keeper)
        assert stored(plant).image_threshold < first.image_threshold


async def test_a_miss_cost_of_the_line_chooses_the_rule(plant: Plant) -> None:
    lines = Lines({LINE_NAME: make_line_changed(line=LINE_NAME, product=PRODUCT, miss_cost=50.0)})
    async with plant.bus.producer() as producer:
        keeper = keeper_of(plant, producer, lines)
        judge(keeper.ports, HELD_OUT)
        await keep(keeper)
        assert stored(plant).reason.startswith("chosen by the cost (a miss costs 50 false rejects)")
        lines.settings[LINE_NAME] = replace(lines.settings[LINE_NAME], miss_cost=0.0, revision=2)
        await keep(keeper)
        assert stored(plant).reason.startswith("chosen by the budget")
        assert stored(plant).image_threshold == pytest.approx(START.threshold, rel=1e-6)


@pytest.mark.parametrize("lives", [0, 1])
async def test_a_process_killed_between_store_and_topic_leaves_one_threshold(plant: Plant, lives: int) -> None:
    class Broken:
        async def publish(self, messages: object) -> None:
            raise ProcessKilled

    first = keeper_of(plant, Broken())
    judge(first.ports, [START.threshold * 1.1])
    answer(first.ports, 0, CorrectionVerdict.GOOD)
    plant.blobs.lives = lives
    with pytest.raises(ProcessKilled):
        await keep(first)
    plant.blobs.lives = IMMORTAL
    async with plant.bus.producer() as producer:
        second = keeper_of(plant, producer)
        judge(second.ports, [START.threshold * 1.1])
        answer(second.ports, 0, CorrectionVerdict.GOOD)
        await keep(second)
        assert published(plant) == [stored(plant)]
        assert stored(plant).revision == 1


async def test_a_threshold_that_another_process_moved_is_not_overwritten(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        slow, fast = keeper_of(plant, producer), keeper_of(plant, producer)
        for keeper in (slow, fast):
            judge(keeper.ports, [START.threshold * 1.1, START.threshold * 1.2])
            answer(keeper.ports, 0, CorrectionVerdict.GOOD)
        [late] = slow.plan(await slow.observe(UNIT), NOON)
        answer(fast.ports, 1, CorrectionVerdict.GOOD)
        await keep(fast)
        assert isinstance(late, ComputeThreshold)
        await slow.act(UNIT, late)
        assert (stored(plant).answers, stored(plant).revision) == (2, 1)


def test_an_answer_counts_only_for_weights_that_scored_its_capture(plant: Plant) -> None:
    ports = make_ports(plant.blobs, producer=None, clock=plant.clock)  # type: ignore[arg-type]
    newer = WeightsId("9c" * 32)
    ports.window.add_verdict(verdict(0, 1.5, weights=WEIGHTS))
    ports.window.add_verdict(verdict(1, 30.0, weights=newer))
    answer(ports, 0, CorrectionVerdict.GOOD)
    answer(ports, 1, CorrectionVerdict.DEFECT, weights=newer)
    answer(ports, 2, CorrectionVerdict.GOOD, product="lid", weights=newer, score=3.0)
    found = scores_by_weights(ports.window.of_line(LINE_NAME), ports.book.latest(LINE_NAME))
    assert set(found) == {newer}, "the weights before are no longer in service"
    assert [(one.score, one.verdict) for one in found[newer].answers] == [(30.0, CorrectionVerdict.DEFECT)]
    assert found[newer].stream == (30.0,)


def test_doubtful_captures_are_no_part_of_a_teachers_stream(plant: Plant) -> None:
    ports = make_ports(plant.blobs, producer=None, clock=plant.clock)  # type: ignore[arg-type]
    segmenter = WeightsId("9c" * 32)
    drawn = [number for number in range(200) if is_drawn(name_of(number), 0.1)]
    for number in range(200):
        ports.window.add_verdict(verdict(number, 0.5, weights=segmenter))
        ports.window.add_pseudo_mask(pseudo_mask(number, 1.0 if number in drawn else 9.0, weights=WEIGHTS))
    answer(ports, next(number for number in range(200) if number not in drawn), CorrectionVerdict.GOOD)
    found = scores_by_weights(ports.window.of_line(LINE_NAME), ports.book.latest(LINE_NAME), labelled_share=0.1)
    assert found[WEIGHTS].stream == (1.0,) * len(drawn)
    assert found[WEIGHTS].seen == len(drawn)
    assert [one.score for one in found[WEIGHTS].answers] == [9.0], "an answer counts wherever the score comes from"
    assert found[segmenter].seen == 200


def test_a_capture_that_one_teacher_judged_and_labelled_is_counted_once(plant: Plant) -> None:
    ports = make_ports(plant.blobs, producer=None, clock=plant.clock)  # type: ignore[arg-type]
    ports.window.add_verdict(verdict(0, 1.5, weights=WEIGHTS))
    ports.window.add_pseudo_mask(pseudo_mask(0, 1.5, weights=WEIGHTS))
    ports.window.add_pseudo_mask(pseudo_mask(1, 1.2, weights=WEIGHTS))  # not judged yet
    found = scores_by_weights(ports.window.of_line(LINE_NAME), {}, labelled_share=0.1)
    assert found[WEIGHTS].stream == (1.5, 1.2)


async def test_an_erased_line_has_the_manifests_threshold_again(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        keeper = keeper_of(plant, producer)
        judge(keeper.ports, HELD_OUT)
        for number in range(6):
            answer(keeper.ports, number, CorrectionVerdict.GOOD)
        await keep(keeper)
        before = stored(plant)
        await read_thresholds(plant.bus, keeper.ports)
        record = LineDeletion(line=LINE_NAME, before_at=at_noon(1000), forgotten_at=at_noon(1001))
        MemoryBlobs.put(plant.blobs, line_deletion_key(LINE_NAME), record.to_json())
        plant.clock.advance(60)  # deletions are read again
        MemoryBlobs.delete(plant.blobs, threshold_key(LINE_NAME, PRODUCT, WEIGHTS))
        assert await keeper.names() == [UNIT]
        assert await keep(keeper) == 1
        assert plant.bus.records(THRESHOLD.name)[-1].value is None
        assert await keep(keeper) == 0, "the withdrawal is on its way, and is not repeated"
        await read_thresholds(plant.bus, keeper.ports)
        assert await keeper.names() == []
        later = [verdict(number, HELD_OUT[number % 10], weights=WEIGHTS) for number in range(2000, 2010)]
        for event in later:
            keeper.ports.window.add_verdict(event)
        for number in range(2000, 2006):
            answer(keeper.ports, number, CorrectionVerdict.GOOD, received_at=at_noon(number))
        await keep(keeper)
    assert before.revision == 1
    assert decode(ThresholdSet, plant.bus.records(THRESHOLD.name)[-1].value) == stored(plant)


async def test_answers_about_erased_captures_no_longer_count(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        keeper = keeper_of(plant, producer)
        judge(keeper.ports, HELD_OUT)
        for number in range(6):
            answer(keeper.ports, number, CorrectionVerdict.GOOD)
        await keep(keeper)
        for number in range(3):
            receipt = put_capture(plant.blobs, number)
            deletion = CaptureDeletion.of(receipt, at=plant.clock.now())
            MemoryBlobs.put(plant.blobs, deletion_key(LINE_NAME, name_of(number)), deletion.to_json())
        plant.clock.advance(60)
        await keep(keeper)
    assert stored(plant).answers == 3


async def test_people_are_asked_about_the_threshold_that_is_set(plant: Plant) -> None:
    async with plant.bus.producer() as producer:
        keeper = keeper_of(plant, producer)
        judge(keeper.ports, [1.0 + 0.1 * number for number in range(20)])
        threshold = ThresholdSet(
            line=LINE_NAME, product=PRODUCT, weights=WEIGHTS, revision=1, image_threshold=1.25, budget=0.05,
            estimated=0.05, low=0.01, high=0.2, normals=10, stream_captures=0, answers=5, reason="", set_at=NOON,
        )  # fmt: skip
        await keeper.thresholds.announce(threshold)
        await read_thresholds(plant.bus, keeper.ports)
        shown = await on_review(ReviewRequest(line=LINE_NAME, count=10), keeper.ports)
        near = [item.finding.score for item in shown.items if item.selection is Selection.NEAREST]
        assert {round(score, 1) for score in near[:4]} <= {1.0, 1.1, 1.2, 1.3, 1.4, 1.5}
        assert {item.finding.threshold for item in shown.items} == {1.25}
        given = await last_judged(LINE_NAME, PRODUCT, 20, keeper.ports)  # as the plant received them
        assert {one.verdict.threshold for one in given if one.verdict} == {2.0}
        put_capture(plant.blobs, 3)
        request = CorrectionRequest(
            line=LINE_NAME, capture_id=name_of(3), verdict=CorrectionVerdict.GOOD, author="ann",
            selection=Selection.RANDOM,
        )  # fmt: skip
        taken = await on_correction(request, keeper.ports)
        assert taken.correction.score == pytest.approx(1.3)
        assert taken.correction.threshold == 1.25
        (found,) = await on_estimates(LINE_NAME, keeper.ports)
    assert found.false_rejects is not None
    assert (found.false_rejects.count, found.threshold) == (1, 1.25)
