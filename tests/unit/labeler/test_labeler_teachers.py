"""What the labeler tells of the teachers in service."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from services.labeler.adapters.teachers import ServingTeachers
from siad.contracts.codec import encode
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.documents import LineState, write_receipt
from siad.contracts.events import Intent, TeacherReleased
from siad.contracts.keys import correction_key, line_pointer_key, manifest_key, normal_key
from siad.contracts.manifest import Manifest
from siad.contracts.normals_profile import MisfitReason, OddNormal
from siad.contracts.quarantine import QuarantineRecord, TaintedKind
from siad.contracts.topics import TEACHER
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message
from siad.runtime.state_table import StateTable
from siad.runtime.store.quarantine import Quarantine
from siad.runtime.testing.mortal import MortalBlobs
from tests.events import NOON, make_line_changed
from tests.manifests import PROFILE
from tests.unit.labeler.test_labeler_refits import corrected
from tests.unit.labeler.world import LINE, PRODUCT, capture, manifest_of

FITTED = replace(
    manifest_of(["a", "b", "c"]),
    metrics=(("false_reject_budget", 0.05),),
    left_out=("a",),
    doubted=("c",),
)
SIZE_ODD, GREY_ODD = (
    OddNormal(capture_id=name * 32, own="6x4 px, grey", others="the other 9: 9x9 px, colour", differs_in=reasons)
    for name, reasons in (("a", (MisfitReason.SIZE,)), ("b", (MisfitReason.SIZE, MisfitReason.CHANNELS)))
)
OTHER = replace(manifest_of(["d", "e"]), product="lid")


class Plant:
    """A store, a bus, and a labeler's table of teachers."""

    def __init__(self) -> None:
        self.blobs, self.bus = MortalBlobs(), MemoryBus()
        self.table = StateTable(TEACHER, TeacherReleased, stage="labeler")
        self.teachers = ServingTeachers(self.table, AsyncBlobs(self.blobs))

    def put(self, manifest: Manifest) -> None:
        self.blobs.put(manifest_key(manifest.line, manifest.product, manifest.weights), manifest.to_json())

    async def tell(self, *manifests: Manifest, revision: int = 1) -> None:
        """The bus says that these serve."""
        await self.bus.create_topics([TEACHER])
        events = [
            TeacherReleased(
                line=one.line, product=one.product, revision=revision, weights=one.weights, released_at=NOON
            )
            for one in manifests
        ]
        messages = [Message(topic=TEACHER.name, key=f"{e.line}/{e.product}", value=encode(e)) for e in events]
        async with self.bus.producer() as producer:
            await producer.publish(messages)
        stop = asyncio.Event()
        following = asyncio.create_task(self.table.follow(self.bus, stop))
        await _until(lambda: all(one.weights in {e.weights for e in self.table.values().values()} for one in manifests))
        stop.set()
        async with self.bus.producer() as producer:
            await producer.publish([Message(topic=TEACHER.name, key="other", value=None)])  # wakes the reader
        await following


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not there():
            await asyncio.sleep(0.01)


async def test_a_teacher_is_told_of_with_its_promise_and_its_odd_normals() -> None:
    plant = Plant()
    plant.put(FITTED)
    await plant.tell(FITTED)
    [told] = await plant.teachers.facts()
    assert (told.line, told.product, told.weights, told.normals) == (LINE, PRODUCT, FITTED.weights, 3)
    assert "48 more normals would allow a promise of 5.00%" in told.promise
    assert (told.left_out, told.doubted) == (("a",), ("c",))
    assert told.serials == {}
    assert told.profile == ""


async def test_a_teacher_says_what_its_normals_are() -> None:
    plant, profiled = Plant(), replace(FITTED, profile=PROFILE)
    plant.put(profiled)
    await plant.tell(profiled)
    [told] = await plant.teachers.facts()
    assert told.profile == "256x192 px, grey, 12 of 16 bits"


async def test_odd_normals_are_called_by_the_serials_of_their_parts() -> None:
    plant = Plant()
    parts = [capture(number, intent=Intent.NORMAL) for number in range(4)]
    odd, gone, nameless, broken = (part.capture_id for part in parts)
    manifest = replace(manifest_of([odd, gone, nameless, broken]), left_out=(odd, gone), doubted=(nameless, broken))
    plant.put(manifest)
    for part in (replace(parts[0], serial="cap-0017"), parts[2]):
        plant.blobs.put(normal_key(LINE, PRODUCT, part.capture_id), write_receipt(part))
    plant.blobs.put(normal_key(LINE, PRODUCT, broken), b"{")
    await plant.tell(manifest)
    [told] = await plant.teachers.facts()
    assert told.serials == {odd: "cap-0017"}


@pytest.mark.parametrize(("sizes", "told"), [("", [SIZE_ODD, GREY_ODD]), ("any", [GREY_ODD])])
async def test_normals_unlike_the_rest_are_told_unless_the_line_accepts_every_size(
    sizes: str, told: list[OddNormal]
) -> None:
    plant, manifest = Plant(), replace(FITTED, odd_normals=(SIZE_ODD, GREY_ODD))
    plant.put(manifest)
    settings = make_line_changed(line=LINE, product=PRODUCT, sizes=sizes)
    plant.blobs.put(line_pointer_key(LINE), LineState(settings=settings).to_json())
    part = replace(capture(1, intent=Intent.NORMAL), serial="cap-0017")
    plant.blobs.put(normal_key(LINE, PRODUCT, SIZE_ODD.capture_id), write_receipt(part))
    await plant.tell(manifest)
    [facts] = await plant.teachers.facts()
    assert list(facts.odd_normals) == told
    assert facts.serials == {SIZE_ODD.capture_id: "cap-0017"}


async def test_a_manifest_is_read_once_until_another_teacher_serves() -> None:
    plant, next_one = Plant(), replace(FITTED, doubted=())
    for manifest in (FITTED, next_one, OTHER):
        plant.put(manifest)
    await plant.tell(FITTED, OTHER)
    for _ in range(3):
        assert [one.product for one in await plant.teachers.facts()] == [PRODUCT, "lid"]
    assert sum(key.startswith("weights/") for key in plant.blobs.reads) == 2
    await plant.tell(next_one, revision=2)
    assert (await plant.teachers.facts())[0].doubted == ()
    assert sum(key.startswith("weights/") for key in plant.blobs.reads) == 3


async def test_a_manifest_that_is_not_there_does_not_hide_the_others() -> None:
    plant = Plant()
    plant.put(OTHER)
    await plant.tell(FITTED, OTHER)
    assert [one.product for one in await plant.teachers.facts()] == ["lid"]


async def test_a_teacher_in_quarantine_and_odd_captures_with_answers_are_told() -> None:
    plant, answer = Plant(), corrected(1, CorrectionVerdict.GOOD)
    of_stream = capture(2).capture_id
    manifest = replace(manifest_of(["a", answer.capture_id]), left_out=("a", answer.capture_id, of_stream))
    plant.put(manifest)
    await plant.tell(manifest)
    [told] = await plant.teachers.facts()
    assert (told.quarantine, told.answered, told.of_stream) == ("", (), (of_stream,))
    plant.blobs.put(correction_key(LINE, answer.capture_id, 1), answer.to_json())
    record = QuarantineRecord(
        line=LINE, kind=TaintedKind.WEIGHTS, subject=manifest.weights, root="x", reason="wrong parts", tainted_at=NOON
    )
    Quarantine(plant.blobs).put(record)
    [told] = await plant.teachers.facts()
    assert (told.quarantine, told.answered) == ("wrong parts", (answer.capture_id,))
    undone = corrected(1, CorrectionVerdict.DEFECT, revision=2)
    plant.blobs.put(correction_key(LINE, answer.capture_id, 2), undone.to_json())
    assert (await plant.teachers.facts())[0].answered == ()
