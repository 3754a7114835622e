"""Ingest cut off at every step, and a repeat that heals it. Each step is a call to the store or the broker.

A step has two moments: before its effect, and after it but before its answer. The process dies at one of them; then
another one starts on the same store and broker, and the sender repeats its request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from services.ingest.adapters.image_validator import DecodingImageValidator
from services.ingest.adapters.publisher import BusEventPublisher
from services.ingest.adapters.store import LineRevisions, StoredCaptures
from services.ingest.domain.lines import LineChangeRequest, Preconditions
from services.ingest.domain.uploads import UploadClaim
from services.ingest.handlers import (
    AcceptedImage,
    LineChangeResult,
    LineDependencies,
    Upload,
    announce,
    on_line_delete,
    on_line_put,
    on_upload,
)
from services.ingest.ports import EventPublisher
from services.ingest.reconcile import LineReconciler
from siad.contracts.codec import decode
from siad.contracts.documents import read_line, read_receipt
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.topics import IMAGE, LINE, TOPICS
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob, PutCondition
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message, Producer
from siad.runtime.state_table import StateTable
from siad.runtime.testing.clock import FakeClock


class Killed(BaseException):
    """The process is dead."""


@dataclass(slots=True)
class Fate:
    """Counts moments; dies at one."""

    die_at: int | None = None
    moments: int = 0

    def moment(self) -> None:
        if self.moments == self.die_at:
            self.die_at = None  # the next process lives
            raise Killed
        self.moments += 1


class MortalBlobs(MemoryBlobs):
    """A store whose reader and writer may die."""

    fate = Fate()

    def get(self, key: str) -> Blob:
        self.fate.moment()
        return super().get(key)

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        condition: PutCondition | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        self.fate.moment()
        etag = super().put(key, data, content_type=content_type, condition=condition, tags=tags)
        self.fate.moment()
        return etag


@dataclass(slots=True)
class MortalProducer:
    """A producer that may die."""

    producer: Producer
    fate: Fate

    async def publish(self, messages: Sequence[Message]) -> None:
        self.fate.moment()
        await self.producer.publish(messages)
        self.fate.moment()


@dataclass(slots=True)
class World:
    """One store, one broker; processes come and go."""

    bus: MemoryBus
    blobs: MortalBlobs = field(default_factory=MortalBlobs)
    clock: FakeClock = field(default_factory=FakeClock)

    async def put_line(
        self, wish: LineChangeRequest, *, if_match: str | None = None, die_at: int | None = None
    ) -> LineChangeResult:
        async with self.bus.producer() as producer:
            news = self._start(producer, die_at)
            self.clock.advance(1)
            lines = LineRevisions(AsyncBlobs(self.blobs, workers=1))
            conditions = Preconditions(if_match=if_match)
            return await on_line_put(
                "press-1", wish, conditions, LineDependencies(lines=lines, publisher=news, clock=self.clock)
            )

    async def delete_line(self, *, die_at: int | None = None) -> None:
        async with self.bus.producer() as producer:
            news = self._start(producer, die_at)
            lines = LineRevisions(AsyncBlobs(self.blobs, workers=1))
            await on_line_delete(
                "press-1", Preconditions(), LineDependencies(lines=lines, publisher=news, clock=self.clock)
            )

    async def upload(
        self, settings: LineChanged, data: bytes, claim: UploadClaim, *, die_at: int | None = None
    ) -> AcceptedImage:
        validator = DecodingImageValidator(threads=1, pixels_max=10_000)
        try:
            async with self.bus.producer() as producer:
                news = self._start(producer, die_at)
                self.clock.advance(86_400)  # a repeat may come on another day
                upload = Upload(data=data, claim=claim, received_at=self.clock.now())
                captures = StoredCaptures(AsyncBlobs(self.blobs, workers=1))
                return await on_upload(upload, settings, validator=validator, captures=captures, publisher=news)
        finally:
            validator.close()

    async def restart(self) -> None:
        """A process starts, and announces what it finds."""
        async with self.bus.producer() as producer:
            news = self._start(producer, None)
            table = StateTable(LINE, LineChanged, stage="ingest")
            await self._fill(table)
            works = LineReconciler(LineRevisions(AsyncBlobs(self.blobs, workers=1)), table, news)
            for name in await works.names():
                for action in works.plan(await works.observe(name), self.clock.now()):
                    await works.act(name, action)
            await works.check()

    async def _fill(self, table: StateTable[LineChanged]) -> None:
        async with self.bus.state(LINE.name) as reader:
            table._replace(await reader.snapshot())

    def _start(self, producer: Producer, die_at: int | None) -> EventPublisher:
        fate = self.blobs.fate = Fate(die_at)
        return BusEventPublisher(MortalProducer(producer, fate))

    def images_told(self) -> list[ImageStored]:
        """Every image announced so far."""
        return [decode(ImageStored, record.value) for record in self.bus.records(IMAGE.name)]

    def receipts(self) -> list[ImageStored]:
        """Every receipt in the store."""
        return [read_receipt(self.blobs.get(info.key).data) for info in self.blobs.list("captures/")]

    def told(self) -> LineChanged | None:
        """The line as the last message says."""
        value = self.bus.records(LINE.name)[-1].value
        return None if value is None else decode(LineChanged, value)


@pytest.fixture
async def world() -> World:
    bus = MemoryBus()
    await bus.create_topics(TOPICS)
    return World(bus)


@pytest.fixture
def image() -> bytes:
    return cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()


UPLOADS = [
    (claim, die_at)
    for claim, moments in (
        (UploadClaim(), 7),  # receipt read, image, receipt, event
        (UploadClaim(idempotency_key="k"), 7),
        (UploadClaim(intent=Intent.NORMAL), 11),  # and image tagged, normal
    )
    for die_at in range(moments)
]


@pytest.mark.parametrize(("claim", "die_at"), UPLOADS)
async def test_an_upload_cut_off_anywhere_is_healed_by_a_repeat(
    world: World, image: bytes, claim: UploadClaim, die_at: int
) -> None:
    settings = (await world.put_line(LineChangeRequest(product="lid"))).settings
    with pytest.raises(Killed):
        await world.upload(settings, image, claim, die_at=die_at)
    for event in world.images_told() + world.receipts():  # whatever names an image finds it
        assert world.blobs.get(world.blobs.key_of(event.image_uri)).data == image
    accepted = await world.upload(settings, image, claim)
    again = await world.upload(settings, image, claim)
    (receipt,) = world.receipts()
    assert accepted.receipt == again.receipt == receipt
    assert world.blobs.get(world.blobs.key_of(receipt.image_uri)).data == image
    assert set(world.images_told()) == {receipt}
    assert len(list(world.blobs.list("normals/press-1/lid/"))) == (claim.intent is Intent.NORMAL)


@pytest.mark.parametrize(("intent", "moments"), [(Intent.INSPECT, 7), (Intent.NORMAL, 11)])
async def test_an_upload_has_so_many_moments(world: World, image: bytes, intent: Intent, moments: int) -> None:
    settings = (await world.put_line(LineChangeRequest(product="lid"))).settings
    await world.upload(settings, image, UploadClaim(intent=intent))
    assert world.blobs.fate.moments == moments


@pytest.mark.parametrize("healing", ["repeat", "restart"])
@pytest.mark.parametrize("die_at", range(8))
async def test_a_change_cut_off_anywhere_is_healed_by_a_repeat_or_a_start(
    world: World, die_at: int, healing: str
) -> None:
    await world.put_line(LineChangeRequest(product="lid"))
    with pytest.raises(Killed):
        await world.put_line(LineChangeRequest(product="cup"), if_match='"1"', die_at=die_at)
    if healing == "repeat":
        await world.put_line(LineChangeRequest(product="cup"), if_match='"1"')
    await world.restart()
    pointer = read_line(world.blobs.get("pointers/lines/press-1.json").data)
    assert world.told() == pointer.settings
    assert pointer.settings.product == "cup" or (healing == "restart" and die_at < 4)
    assert read_line(world.blobs.get(f"lines/press-1/{pointer.settings.revision}.json").data) == pointer


async def test_a_change_and_an_end_have_eight_moments(world: World) -> None:
    await world.put_line(LineChangeRequest(product="lid"))
    await world.put_line(LineChangeRequest(product="cup"))
    assert world.blobs.fate.moments == 1 + 2 + 2 + 2 + 1  # pointer read, revision, pointer, event, pointer read
    await world.delete_line()
    assert world.blobs.fate.moments == 8


@pytest.mark.parametrize("die_at", range(8))
async def test_an_end_cut_off_anywhere_is_healed_by_a_repeat(world: World, die_at: int) -> None:
    await world.put_line(LineChangeRequest(product="lid"))
    with pytest.raises(Killed):
        await world.delete_line(die_at=die_at)
    await world.delete_line()
    assert world.told() is None
    assert read_line(world.blobs.get("pointers/lines/press-1.json").data).is_gone


async def test_an_old_word_that_comes_last_is_followed_by_a_newer_one(world: World) -> None:
    """A replica reads the pointer, falls asleep, and says what it read after another has changed the line."""
    await world.put_line(LineChangeRequest(product="lid"))
    old = read_line(world.blobs.get("pointers/lines/press-1.json").data)
    await world.put_line(LineChangeRequest(product="cup"))
    async with world.bus.producer() as producer:
        news = world._start(producer, None)
        await announce(old, lines=LineRevisions(AsyncBlobs(world.blobs, workers=1)), publisher=news)
    told = world.told()
    assert told is not None
    assert told.product == "cup"
