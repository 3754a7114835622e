"""One capture in, at most one pseudo-mask out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.labeler.adapters.teachers import KnownTeachers
from services.labeler.handlers import LabelPorts, find_doubtful, on_image_stored
from services.labeler.ports import DrawnMask
from siad.contracts.errors import TransientError
from siad.contracts.events import Decision, ImageStored, Intent, Region, TeacherReleased, VerdictGiven, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.keys import weights_pointer_key
from siad.contracts.labelling import is_drawn
from siad.contracts.normals_profile import MisfitReason, SizeRule
from siad.contracts.place import Place
from siad.contracts.topics import TEACHER
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.state_table import StateTable
from siad.vision.plausibility import Misfit, MisfitError
from tests.unit.apps.cli.events import verdict
from tests.unit.labeler.world import LINE, PRODUCT, World, capture, manifest_of, weights_of

DRAWN = DrawnMask(
    mask_uri="s3://siad/m.png",
    mask_sha256="b" * 64,
    score=3.0,
    threshold=2.0,
    defect_ratio=0.25,
    regions=(Region(points=(0, 0, 4, 0, 4, 4), area_px=9, peak_score=3.0),),
    confidence=0.5,
)


@dataclass
class OneTeacher:
    """The same for every line."""

    weights: WeightsId | None = None

    async def current(self, line: str, product: str) -> WeightsId | None:
        return self.weights


@dataclass
class Pen:
    """Draws the same mask on everything."""

    misfit: Misfit | None = None
    drawn: list[str] = field(default_factory=list)
    rules: list[SizeRule] = field(default_factory=list)

    async def draw(self, event: ImageStored, *, weights: WeightsId, sizes: SizeRule = SizeRule.NORMALS) -> DrawnMask:
        self.rules.append(sizes)
        if self.misfit is not None:
            raise MisfitError(self.misfit)
        self.drawn.append(event.capture_id)
        return DRAWN


@dataclass
class Lines:
    """Lines that accept images of every size, and the receipts of some captures."""

    share: float = 0.1
    stored: list[ImageStored] = field(default_factory=list)

    async def size_rule(self, event: ImageStored) -> SizeRule:
        return SizeRule.ANY

    async def labelled_share(self, line: str, revision: int) -> float:
        return self.share

    async def receipts(self, line: str, captures: Sequence[str]) -> list[ImageStored]:
        return [one for one in self.stored if one.capture_id in captures]


@dataclass
class Segmenters:
    """One for every line, or none."""

    is_serving: bool = False
    spreads: float | None = 0.1
    not_labelled: int = 0

    def serves(self, place: Place) -> bool:
        return self.is_serving

    async def spread(self, place: Place, weights: str) -> float | None:
        return self.spreads

    def count_not_labelled(self, line: str) -> None:
        self.not_labelled += 1


def ports(pen: Pen, weights: WeightsId | None = None, **changes: Any) -> LabelPorts:
    given = {"teachers": OneTeacher(weights), "segmenters": Segmenters(), "scorer": pen, "lines": Lines()}
    return LabelPorts(**{**given, **changes})


def judged(event: ImageStored, score: float, **changes: Any) -> VerdictGiven:
    """A segmenter's verdict, at a threshold of 1."""
    about = {name: getattr(event, name) for name in ("capture_id", "image_id", "image_uri", "line", "product")}
    given = verdict(1, score, kind=WeightsKind.SEGMENTER)
    return replace(given, **about, **changes)


async def test_an_inspected_capture_gets_the_mask_of_its_lines_teacher() -> None:
    event = capture(1)
    [mask] = await on_image_stored(event, ports(Pen(), weights_of(1)))
    assert (mask.capture_id, mask.image_id, mask.line, mask.product) == (
        *(event.capture_id, event.image_id),
        *(LINE, PRODUCT),
    )
    assert (mask.weights, mask.score, mask.threshold) == (weights_of(1), 3.0, 2.0)
    assert (mask.regions, mask.defect_ratio, mask.mask_uri) == (DRAWN.regions, 0.25, DRAWN.mask_uri)
    assert mask.confidence == DRAWN.confidence
    assert (mask.captured_at, mask.received_at) == (event.captured_at, event.received_at)


async def test_a_capture_that_does_not_fit_its_line_gets_no_mask_and_is_logged() -> None:
    pen = Pen(misfit=Misfit(MisfitReason.DEPTH, "the image is a file of 8 bits"))
    event = capture(1)
    with capture_logs() as logs:
        assert await on_image_stored(event, ports(pen, weights_of(1))) == []
    [log] = logs
    assert (log["event"], log["capture_id"], log["reason"]) == ("capture_left_out", event.capture_id, "depth")
    assert log["detail"] == "the image is a file of 8 bits"


async def test_the_size_rule_of_the_line_is_passed_on() -> None:
    pen = Pen()
    await on_image_stored(capture(1), ports(pen, weights_of(1)))
    assert pen.rules == [SizeRule.ANY]


async def test_a_capture_that_comes_before_the_teacher_is_left_to_the_backfill() -> None:
    pen = Pen()
    assert await on_image_stored(capture(1), ports(pen)) == []
    assert pen.drawn == []


@pytest.mark.parametrize("intent", [Intent.NORMAL, Intent.UNSPECIFIED])
async def test_only_inspected_captures_are_labelled(intent: Intent) -> None:
    pen = Pen()
    assert await on_image_stored(capture(1, intent=intent), ports(pen, weights_of(1))) == []
    assert pen.drawn == []


DRAWN_CAPTURE, LEFT_CAPTURE = (
    next(one for one in map(capture, range(100)) if is_drawn(one.capture_id, 0.1) is drawn) for drawn in (True, False)
)


async def test_while_a_segmenter_serves_only_drawn_captures_are_labelled_as_they_come() -> None:
    pen = Pen()
    serving = ports(pen, weights_of(1), segmenters=Segmenters(is_serving=True))
    assert await on_image_stored(LEFT_CAPTURE, serving) == []
    assert len(await on_image_stored(DRAWN_CAPTURE, serving)) == 1
    everything = ports(pen, weights_of(1), segmenters=Segmenters(is_serving=True), lines=Lines(share=1.0))
    assert len(await on_image_stored(LEFT_CAPTURE, everything)) == 1
    assert pen.drawn == [DRAWN_CAPTURE.capture_id, LEFT_CAPTURE.capture_id]


@pytest.mark.parametrize(
    ("given", "is_doubtful"),
    [
        (judged(LEFT_CAPTURE, 0.5), False),
        (judged(LEFT_CAPTURE, 0.91), True),  # less than one spread under the threshold
        (judged(LEFT_CAPTURE, 0.89), False),
        (judged(LEFT_CAPTURE, 1.0), True),
        (judged(LEFT_CAPTURE, 9.0), True),
        (judged(LEFT_CAPTURE, 0.0, decision=Decision.UNKNOWN, reason="late"), True),
        (judged(LEFT_CAPTURE, 0.0, decision=Decision.UNKNOWN, reason="size"), False),
        (judged(LEFT_CAPTURE, 0.0, decision=Decision.UNKNOWN, reason="undecodable"), False),
    ],
)
async def test_what_a_segmenter_doubts_is_labelled_after_its_verdict(given: VerdictGiven, is_doubtful: bool) -> None:
    segmenters = Segmenters(is_serving=True)
    serving = ports(Pen(), weights_of(1), segmenters=segmenters, lines=Lines(stored=[LEFT_CAPTURE]))
    assert await find_doubtful(given, serving) == (LEFT_CAPTURE if is_doubtful else None)
    assert segmenters.not_labelled == (not is_doubtful)


async def test_a_doubt_labels_nothing_twice_and_nothing_that_is_gone() -> None:
    known = Lines(stored=[LEFT_CAPTURE, DRAWN_CAPTURE])
    serving = ports(Pen(), weights_of(1), segmenters=Segmenters(is_serving=True), lines=known)
    assert await find_doubtful(judged(DRAWN_CAPTURE, 9.0), serving) is None  # labelled as it came
    of_teacher = judged(LEFT_CAPTURE, 9.0, weights_kind=WeightsKind.TEACHER)
    assert await find_doubtful(of_teacher, ports(Pen(), weights_of(1), lines=known)) is None  # likewise
    assert await find_doubtful(of_teacher, serving) == LEFT_CAPTURE  # left to its verdict, then the segmenter went
    known.stored.clear()
    assert await find_doubtful(judged(LEFT_CAPTURE, 9.0), serving) is None


async def test_where_the_spread_cannot_be_read_every_verdict_is_a_doubt() -> None:
    segmenters = Segmenters(is_serving=True, spreads=None)
    serving = ports(Pen(), weights_of(1), segmenters=segmenters, lines=Lines(stored=[LEFT_CAPTURE]))
    assert await find_doubtful(judged(LEFT_CAPTURE, 0.1), serving) == LEFT_CAPTURE


async def test_the_store_is_asked_for_the_teacher_while_the_bus_has_told_of_none() -> None:
    world = World()
    table = StateTable(TEACHER, TeacherReleased, stage="labeler")
    known = KnownTeachers(table, AsyncBlobs(world.blobs))
    assert await known.current(LINE, PRODUCT) is None
    pointer = world.release(manifest_of(["a" * 32] * 10))
    assert await known.current(LINE, PRODUCT) == pointer.weights
    MemoryBlobs.put(world.blobs, weights_pointer_key("teacher", LINE, PRODUCT), b"torn")
    with pytest.raises(TransientError):
        await known.current(LINE, PRODUCT)
