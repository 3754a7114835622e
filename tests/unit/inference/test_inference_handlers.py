"""What a capture is told: the reasons for UNKNOWN, and what a verdict carries."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from services.inference.domain.judge import CaptureJudgement, FetchedImage, Prediction, UnknownReason, label_of
from services.inference.domain.releases import ReleasePointer
from services.inference.handlers import StreamDependencies, on_dead_letter, on_image_stored
from siad.contracts.codec import decode, encode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import Decision, ImageStored, Intent, LineChanged, Origin, VerdictGiven, WeightsKind
from siad.contracts.ids import CaptureId, ImageId, WeightsId
from siad.contracts.normals_profile import MisfitReason, SizeRule
from siad.contracts.place import Place
from siad.runtime.testing.clock import FakeClock
from siad.vision.decide import decide
from siad.vision.images import Image
from siad.vision.masks import IGNORE
from siad.vision.plausibility import Misfit
from siad.vision.threshold_in_use import ThresholdInUse, threshold_in_use
from tests.manifests import make_manifest
from tests.thresholds import make_threshold_set

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RELEASE = ReleasePointer(
    place=Place("line-1", "cell"), kind=WeightsKind.SEGMENTER, revision=3, weights=WeightsId("ab" * 32)
)
THRESHOLD: ThresholdInUse = threshold_in_use(make_manifest(), make_threshold_set(RELEASE.weights, image_threshold=0.8))
EVENT = ImageStored(
    capture_id=CaptureId("0f" * 16),
    image_id=ImageId("1e" * 32),
    image_uri="s3://siad/images/line-1/2026-01-01/x.png",
    size_bytes=100,
    line="line-1",
    product="cell",
    line_revision=7,
    captured_at=NOON - timedelta(seconds=3),
    received_at=NOON,
    intent=Intent.INSPECT,
    serial="A-1",
)


@dataclass
class World:
    """Every port of the handler; what it is asked for takes time, as told."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(NOON + timedelta(seconds=2)))
    score: float = 1.0
    unprepared: UnknownReason | None = None
    gone: bool = False
    erased: bool = False
    deadline_s: float = 0.0
    fetch_takes_s: float = 0.25
    score_takes_s: float = 0.5
    fails: Exception | None = None
    sizes: str = ""
    misfit: Misfit | None = None
    darkness: str = ""
    is_unsure: bool = False  # about the pixel beside the defect
    rules: list[SizeRule] = field(default_factory=list)
    diary: list[str] = field(default_factory=list)

    async def settings(self, line: str, revision: int) -> LineChanged:
        self.diary.append(f"settings {line} {revision}")
        return LineChanged(
            line=line,
            revision=revision,
            product="cell",
            false_reject_budget=0.05,
            shards=1,
            deadline_s=self.deadline_s,
            changed_at=NOON,
            sizes=self.sizes,
        )

    async def fetch(self, event: ImageStored) -> FetchedImage:
        self.diary.append("fetch")
        if self.fails:
            raise self.fails
        self.clock.advance(self.fetch_takes_s)
        return FetchedImage(image_HWC=np.zeros((4, 5, 1), np.uint8), decode_s=0.0625)

    async def prepare(self, place: Place) -> UnknownReason | None:
        return self.unprepared

    async def predict(self, image: Image, place: Place, *, sizes: SizeRule = SizeRule.NORMALS) -> Prediction | None:
        self.rules.append(sizes)
        self.diary.append(f"predict {place.line} {place.product}")
        self.clock.advance(self.score_takes_s)
        if self.gone:
            return None
        map_HW = np.full(image.shape[:2], 0.1, np.float32)
        map_HW[1, 2] = self.score
        if self.misfit is not None:
            return Prediction(finding=self.misfit, release=RELEASE, threshold=THRESHOLD, score_s=self.score_takes_s)
        finding = decide(map_HW, image_threshold=0.8, pixel_threshold=0.5, spread=1.0)
        if self.is_unsure:
            finding.pseudo_mask_HW[1, 1] = IGNORE
        return Prediction(
            finding=finding,
            release=RELEASE,
            threshold=THRESHOLD,
            score_s=self.score_takes_s,
            runner="openvino",
            pixel_threshold=0.5,
            darkness=self.darkness,
        )

    async def store(self, mask_HW: NDArray[np.uint8], *, event: ImageStored, judgement: CaptureJudgement) -> str:
        self.diary.append(f"mask {mask_HW.tolist()[1]}")
        self.clock.advance(0.125)
        return f"s3://siad/masks/{event.line}/{event.capture_id}/{judgement.weights}.png"

    def judge(self, event: ImageStored = EVENT) -> list[VerdictGiven]:
        ports = StreamDependencies(lines=self, images=self, predictors=self, masks=self, erased=self, clock=self.clock)
        return asyncio.run(on_image_stored(event, ports))

    async def unless_erased(
        self, event: ImageStored, handle: Callable[[], Awaitable[list[VerdictGiven]]]
    ) -> list[VerdictGiven]:
        return [] if self.erased else await handle()


def test_a_defect_is_rejected_with_mask_regions_and_times() -> None:
    world = World(score=1.0)
    (verdict,) = world.judge()
    (region,) = verdict.regions
    assert region.area_px == 1
    assert verdict == VerdictGiven(
        capture_id=EVENT.capture_id,
        image_id=EVENT.image_id,
        image_uri=EVENT.image_uri,
        line="line-1",
        product="cell",
        line_revision=7,
        captured_at=EVENT.captured_at,
        received_at=NOON,
        serial="A-1",
        decision=Decision.REJECT,
        reason="",
        score=1.0,
        threshold=0.8,
        regions=(region,),
        mask_uri=f"s3://siad/masks/line-1/{EVENT.capture_id}/{RELEASE.weights}.png",
        weights=RELEASE.weights,
        weights_kind=WeightsKind.SEGMENTER,
        origin=Origin.STREAM,
        judged_at=NOON + timedelta(seconds=2.875),
        wait_s=2.0,
        fetch_s=0.25,
        score_s=0.5,
        threshold_revision=3,
        false_rejects=0.04,
        false_rejects_low=0.01,
        false_rejects_high=0.1,
        advice="20 more normals would sharpen it",
        runner="openvino",
        pixel_threshold=0.5,
        decode_s=0.0625,
        mask_s=0.125,
    )
    assert world.diary == ["settings line-1 7", "fetch", "predict line-1 cell", "mask [0, 0, 255, 0, 0]"]


def test_a_good_part_passes_and_stores_no_mask() -> None:
    world = World(score=0.7)
    (verdict,) = world.judge()
    assert (verdict.decision, verdict.mask_uri, verdict.regions) == (Decision.PASS, "", ())
    assert verdict.score == pytest.approx(0.7)
    assert not any(line.startswith("mask") for line in world.diary)


def test_a_score_on_the_threshold_is_a_defect() -> None:
    (verdict,) = World(score=float(np.float32(0.8))).judge()
    assert verdict.decision is Decision.REJECT


def test_normals_get_no_verdict() -> None:
    world = World()
    assert world.judge(replace(EVENT, intent=Intent.NORMAL)) == []
    assert world.diary == []


def test_an_intent_of_a_newer_writer_is_judged_like_any_other() -> None:
    assert len(World().judge(replace(EVENT, intent=Intent.UNSPECIFIED))) == 1


def test_without_weights_nothing_is_fetched_and_the_verdict_is_unknown() -> None:
    world = World(unprepared=UnknownReason.NO_WEIGHTS)
    (verdict,) = world.judge()
    assert (verdict.decision, verdict.reason, verdict.weights) == (Decision.UNKNOWN, "no-weights", "")
    assert "fetch" not in world.diary


def test_weights_withdrawn_in_the_meantime_are_no_weights() -> None:
    (verdict,) = World(gone=True).judge()
    assert (verdict.decision, verdict.reason) == (Decision.UNKNOWN, "no-weights")


@pytest.mark.parametrize(
    ("deadline_s", "reason", "fetched"),
    [(0.0, "", True), (1.9, "late", False), (2.0, "", True), (2.6, "late", True), (2.75, "", True)],
)
def test_the_deadline_counts_from_receipt_to_judgement(deadline_s: float, reason: str, fetched: bool) -> None:
    world = World(deadline_s=deadline_s)
    if deadline_s == 2.0:  # exactly in time, and so is the rest
        world.fetch_takes_s = world.score_takes_s = 0.0
    (verdict,) = world.judge()
    assert verdict.reason == reason
    assert (verdict.decision is Decision.UNKNOWN) == bool(reason)
    assert ("fetch" in world.diary) == fetched


def test_a_late_defect_is_unknown_and_stores_no_mask() -> None:
    world = World(deadline_s=2.5, score=1.0)
    (verdict,) = world.judge()
    assert (verdict.decision, verdict.mask_uri, verdict.score) == (Decision.UNKNOWN, "", 0.0)
    assert not any(line.startswith("mask") for line in world.diary)


@pytest.mark.parametrize("fate", [PoisonError("no image"), TransientError("store away")])
def test_what_the_store_raises_keeps_its_fate(fate: Exception) -> None:
    with pytest.raises(type(fate)):
        World(fails=fate).judge()


def test_a_buried_capture_is_unknown() -> None:
    (verdict,) = on_dead_letter(EVENT, clock=FakeClock(NOON + timedelta(seconds=9)))
    assert (verdict.decision, verdict.reason, verdict.wait_s) == (Decision.UNKNOWN, "undecodable", 9.0)


def test_a_buried_normal_is_told_nothing() -> None:
    assert on_dead_letter(replace(EVENT, intent=Intent.NORMAL), clock=FakeClock()) == []


def test_clocks_that_disagree_give_no_negative_wait() -> None:
    (verdict,) = World(clock=FakeClock(NOON - timedelta(seconds=5))).judge()
    assert verdict.wait_s == 0.0


@pytest.mark.parametrize(
    "world", [World(score=1.0), World(score=0.1), World(unprepared=UnknownReason.NO_WEIGHTS)], ids=["r", "p", "u"]
)
def test_every_verdict_survives_the_wire(world: World) -> None:
    (verdict,) = world.judge()
    assert decode(VerdictGiven, encode(verdict)) == verdict


@pytest.mark.parametrize("reason", MisfitReason)
def test_an_image_that_does_not_fit_the_normals_is_unknown_for_that_reason(reason: MisfitReason) -> None:
    (verdict,) = World(misfit=Misfit(reason, "the image has 1x1 px")).judge()
    assert (verdict.decision, verdict.reason) == (Decision.UNKNOWN, reason.value)
    assert verdict.detail == "the image has 1x1 px"
    assert (verdict.weights, verdict.score, verdict.regions, verdict.mask_uri) == ("", 0.0, (), "")
    assert label_of(verdict.decision, verdict.reason) == reason.value


@pytest.mark.parametrize(
    ("sizes", "rule"), [("", SizeRule.NORMALS), ("normals", SizeRule.NORMALS), ("any", SizeRule.ANY)]
)
def test_the_size_rule_is_that_of_the_settings_that_the_capture_names(sizes: str, rule: SizeRule) -> None:
    world = World(sizes=sizes)
    world.judge()
    assert world.rules == [rule]


def test_a_dark_image_is_judged_and_logged() -> None:
    with capture_logs() as logs:
        (verdict,) = World(score=0.1, darkness="the brightest value is 2.0% of white").judge()
        World(score=0.1).judge()
    assert verdict.decision is Decision.PASS
    dark = [one for one in logs if one["event"] == "image_dark"]
    assert [(one["log_level"], one["reason"]) for one in dark] == [("warning", "the brightest value is 2.0% of white")]


def test_the_mask_of_a_verdict_has_no_unsure_pixels() -> None:
    world = World(is_unsure=True)
    world.judge()
    assert world.diary[-1] == "mask [0, 0, 255, 0, 0]"
