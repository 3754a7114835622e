"""Live probes: what is drawn, what counts, and that the stream goes first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from services.inference.adapters.probes import LiveProbes
from services.inference.domain.judge import CaptureJudgement, Prediction, UnknownReason
from services.inference.domain.probes import NEWEST, PassedCapture, ProbeResult, ProbeTally, is_probed, put_defect
from services.inference.domain.releases import ReleasePointer
from siad.contracts.errors import TransientError
from siad.contracts.events import Decision, ImageStored, WeightsKind
from siad.contracts.ids import CaptureId, WeightsId
from siad.contracts.normals_profile import MisfitReason, SizeRule
from siad.contracts.place import Place
from siad.runtime.clock import SYSTEM_CLOCK
from siad.vision.decide import decide
from siad.vision.images import Image
from siad.vision.plausibility import Misfit, find_misfit, profile_normals
from siad.vision.threshold_in_use import ThresholdInUse
from tests.events import make_image_stored
from tests.synthetic import part_image

PLACE = Place("probed-1", "cell")
THRESHOLD = ThresholdInUse(image_threshold=0.5, revision=2)
RELEASE = ReleasePointer(place=PLACE, kind=WeightsKind.TEACHER, revision=1, weights=WeightsId("ab" * 32))


@dataclass
class Weights:
    """Find a change of the image that is large enough; or fail as told."""

    normal_HWC: Image
    least: float = 0.0  # difference that is found
    release: ReleasePointer = RELEASE
    fails: Exception | None = None
    misfit: Misfit | None = None
    asked: list[Image] = field(default_factory=list)

    async def prepare(self, place: Place) -> UnknownReason | None:
        raise AssertionError("a probe loads no weights")

    async def predict(self, image: Image, place: Place, *, sizes: SizeRule = SizeRule.NORMALS) -> Prediction | None:
        self.asked.append(image)
        if self.fails is not None:
            raise self.fails
        change_HW = np.abs(image.astype(np.float32) - self.normal_HWC).max(2)
        score = 1.0 if change_HW.max() > self.least else 0.0
        map_HW = np.full(image.shape[:2], score, np.float32)
        finding = self.misfit or decide(map_HW, image_threshold=0.5, pixel_threshold=0.5, spread=1.0)
        return Prediction(finding=finding, release=self.release, threshold=THRESHOLD, score_s=0.0)


def event(number: int, line: str = PLACE.line) -> ImageStored:
    return make_image_stored(capture_id=CaptureId(f"{number:032x}"), line=line, product=PLACE.product)


def passed(weights: str = RELEASE.weights) -> CaptureJudgement:
    return CaptureJudgement(decision=Decision.PASS, threshold=THRESHOLD, weights=weights)


@asynccontextmanager
async def running(probes: LiveProbes) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(probes.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("siad_inference_probes_total", {"line": PLACE.line, "outcome": outcome}) or 0.0


def recall(defects: str, bound: str) -> float | None:
    labels = {"line": PLACE.line, "product": PLACE.product, "defects": defects, "bound": bound}
    return REGISTRY.get_sample_value("siad_inference_probe_recall_ratio", labels)


async def until(outcome: str, count: float) -> None:
    async with asyncio.timeout(10):
        while counted(outcome) < count:
            await asyncio.sleep(0.005)


async def test_probes_are_found_or_missed_and_their_share_has_an_interval() -> None:
    normal = part_image(1)
    weights = Weights(normal)
    found, missed = counted("found"), counted("missed")
    probes = LiveProbes(weights, share=1.0, clock=SYSTEM_CLOCK)
    async with running(probes):
        for number in range(9):
            probes.offer(event(number), normal, passed(), sizes=SizeRule.NORMALS)
            await until("found", found + number + 1)
        weights.least = 300.0
        for number in range(3):
            probes.offer(event(9 + number), normal, passed(), sizes=SizeRule.NORMALS)
            await until("missed", missed + number + 1)
    assert all(not np.array_equal(image, normal) for image in weights.asked)
    assert np.array_equal(normal, part_image(1)), "the capture itself is left as it is"
    shares = [(recall(kind, "low"), recall(kind, "estimate"), recall(kind, "high")) for kind in ("clear", "faint")]
    known = [share for share in shares if share[1] is not None]
    assert known
    assert all(0 <= low <= share <= high <= 1 for low, share, high in known)  # type: ignore[operator]


async def test_other_weights_begin_anew() -> None:
    normal = part_image(1)
    weights = Weights(normal, least=300.0)
    probes = LiveProbes(weights, share=1.0, clock=SYSTEM_CLOCK)
    async with running(probes):
        missed = counted("missed")
        for number in range(6):
            probes.offer(event(number), normal, passed(), sizes=SizeRule.NORMALS)
            await until("missed", missed + number + 1)
        weights.release, weights.least = replace(RELEASE, weights=WeightsId("cd" * 32)), 0.0
        dropped = counted("dropped")
        probes.offer(event(7), normal, passed(), sizes=SizeRule.NORMALS)  # judged by the weights before
        await until("dropped", dropped + 1)
        found = counted("found")
        probes.offer(event(8), normal, passed("cd" * 32), sizes=SizeRule.NORMALS)
        await until("found", found + 1)
    assert [one for one in (recall("clear", "estimate"), recall("faint", "estimate")) if one is not None] == [1.0]


async def test_the_stream_goes_first_and_what_waits_is_bounded() -> None:
    normal = part_image(1)
    weights = Weights(normal)
    probes = LiveProbes(weights, share=1.0, clock=SYSTEM_CLOCK)
    dropped, found = counted("dropped"), counted("found")
    async with running(probes):
        with probes.judging():
            for number in range(10):
                probes.offer(event(number), normal, passed(), sizes=SizeRule.NORMALS)
                await asyncio.sleep(0.02)
            assert weights.asked == []
            assert counted("dropped") >= dropped + 8
        await until("found", found + 1)


@pytest.mark.parametrize(
    "judgement", [CaptureJudgement.unknown(UnknownReason.LATE), CaptureJudgement(decision=Decision.REJECT)]
)
async def test_only_passed_captures_are_probed(judgement: CaptureJudgement) -> None:
    weights = Weights(part_image(1))
    probes = LiveProbes(weights, share=1.0, clock=SYSTEM_CLOCK)
    async with running(probes):
        probes.offer(event(1), part_image(1), judgement, sizes=SizeRule.NORMALS)
        await asyncio.sleep(0.1)
    assert weights.asked == []


@pytest.mark.parametrize(
    "change",
    [
        {"fails": TransientError("memory ran out")},
        {"fails": RuntimeError("a bug")},
        {"misfit": Misfit(MisfitReason.DEPTH, "too deep")},
    ],
)
async def test_a_probe_that_fails_is_dropped_and_the_next_is_judged(change: dict[str, object]) -> None:
    normal = part_image(1)
    weights = Weights(normal)
    probes = LiveProbes(weights, share=1.0, clock=SYSTEM_CLOCK)
    dropped, found = counted("dropped"), counted("found")
    for name, value in change.items():
        setattr(weights, name, value)
    async with running(probes):
        probes.offer(event(1), normal, passed(), sizes=SizeRule.NORMALS)
        await until("dropped", dropped + 1)
        weights.fails = weights.misfit = None
        probes.offer(event(2), normal, passed(), sizes=SizeRule.NORMALS)
        await until("found", found + 1)


def test_the_share_is_drawn_and_none_of_0() -> None:
    ids = [f"{number:032x}" for number in range(20_000)]
    assert abs(sum(is_probed(one, 0.01) for one in ids) - 200) < 60
    assert not any(is_probed(one, 0.0) for one in ids)
    assert all(is_probed(one, 1.0) for one in ids)


def capture_of(image_HWC: Image, number: int) -> PassedCapture:
    return PassedCapture(
        place=PLACE, capture_id=CaptureId(f"{number:032x}"), image_HWC=image_HWC, sizes=SizeRule.NORMALS,
        weights=RELEASE.weights, threshold_revision=0,
    )  # fmt: skip


def test_copies_of_12_bits_still_fit_the_normals_and_show_their_defect() -> None:
    deep: NDArray[np.uint16] = part_image(1).astype(np.uint16) * 16
    profile = profile_normals([deep], 12)
    for number in range(12):
        defect = put_defect(capture_of(deep, number))
        assert defect is not None
        assert find_misfit(profile, defect.image_HWC) is None
        changed_HW = np.abs(defect.image_HWC.astype(int) - deep).max(2) > 16
        assert changed_HW[cv2.dilate(defect.mask_HW, np.ones((9, 9), np.uint8)) == 0].mean() < 0.01
        assert changed_HW[defect.mask_HW > 0].any()


def test_an_image_too_small_for_a_defect_has_no_probe() -> None:
    assert put_defect(capture_of(np.zeros((15, 40, 1), np.uint8), 1)) is None


def test_a_tally_keeps_the_newest() -> None:
    tally = ProbeTally("w", 0)
    for number in range(NEWEST + 10):
        tally.add(ProbeResult(is_clear=True, is_found=number >= 10))
    assert (tally.share(clear=True).found, tally.share(clear=True).defects) == (NEWEST, NEWEST)
    assert tally.share(clear=False).defects == 0
