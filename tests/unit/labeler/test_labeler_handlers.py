"""One capture in, at most one pseudo-mask out."""

from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from services.labeler.adapters.teachers import KnownTeachers
from services.labeler.handlers import on_image_stored
from services.labeler.ports import DrawnMask
from siad.contracts.errors import TransientError
from siad.contracts.events import ImageStored, Intent, Region, TeacherReleased
from siad.contracts.ids import WeightsId
from siad.contracts.keys import weights_pointer_key
from siad.contracts.normals_profile import MisfitReason, SizeRule
from siad.contracts.topics import TEACHER
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.state_table import StateTable
from siad.vision.plausibility import Misfit, MisfitError
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


class AnySize:
    """Lines that accept images of every size."""

    async def size_rule(self, event: ImageStored) -> SizeRule:
        return SizeRule.ANY


async def test_an_inspected_capture_gets_the_mask_of_its_lines_teacher() -> None:
    event = capture(1)
    [mask] = await on_image_stored(event, teachers=OneTeacher(weights_of(1)), scorer=Pen(), lines=AnySize())
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
        assert await on_image_stored(event, teachers=OneTeacher(weights_of(1)), scorer=pen, lines=AnySize()) == []
    [log] = logs
    assert (log["event"], log["capture_id"], log["reason"]) == ("capture_left_out", event.capture_id, "depth")
    assert log["detail"] == "the image is a file of 8 bits"


async def test_the_size_rule_of_the_line_is_passed_on() -> None:
    pen = Pen()
    await on_image_stored(capture(1), teachers=OneTeacher(weights_of(1)), scorer=pen, lines=AnySize())
    assert pen.rules == [SizeRule.ANY]


async def test_a_capture_that_comes_before_the_teacher_is_left_to_the_backfill() -> None:
    pen = Pen()
    assert await on_image_stored(capture(1), teachers=OneTeacher(), scorer=pen, lines=AnySize()) == []
    assert pen.drawn == []


@pytest.mark.parametrize("intent", [Intent.NORMAL, Intent.UNSPECIFIED])
async def test_only_inspected_captures_are_labelled(intent: Intent) -> None:
    pen = Pen()
    assert (
        await on_image_stored(
            capture(1, intent=intent), teachers=OneTeacher(weights_of(1)), scorer=pen, lines=AnySize()
        )
        == []
    )
    assert pen.drawn == []


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
