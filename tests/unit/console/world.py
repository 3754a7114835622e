"""A console over a bus and a store in memory, with captures that ingest stored and stages judged."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import cv2
import numpy as np

from services.console.adapters.masks import DecodingMaskReader
from services.console.adapters.projection.database import Database
from services.console.adapters.projection.store import SqlProjection
from services.console.adapters.publisher import BusEventPublisher
from services.console.adapters.quarantine import StoredQuarantine
from services.console.adapters.serving import StoredServing
from services.console.adapters.store import StoredCaptures, StoredCorrections
from services.console.adapters.thresholds import ThresholdsOnTopic
from services.console.adapters.trainings import StoredTrainings
from services.console.domain.book import CorrectionBook, ShownCaptures
from services.console.domain.captures import CaptureWindow
from services.console.handlers import ConsolePorts
from siad.contracts import keys
from siad.contracts.codec import decode
from siad.contracts.corrections import CaptureCorrected, ThresholdSet
from siad.contracts.documents import write_receipt
from siad.contracts.events import (
    Decision,
    ImageStored,
    Intent,
    LineChanged,
    Origin,
    PseudoMaskCreated,
    VerdictGiven,
    WeightsKind,
)
from siad.contracts.ids import CaptureId, WeightsId, image_id_of
from siad.contracts.topics import CORRECTION, LINE, THRESHOLD, TOPICS
from siad.erasure.deletions import AsyncDeletions
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Producer
from siad.runtime.state_table import StateTable
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.mortal import MortalBlobs
from tests.events import NOON, make_image_stored

LINE_NAME, PRODUCT = "press-1", "cap"
WEIGHTS: Final = WeightsId("5e" * 32)
OTHER: Final = WeightsId("6f" * 32)
WIDTH, HEIGHT = 40, 30


def name_of(number: int) -> str:
    """Capture id of a test's capture."""
    return f"{number:032x}"


def image_png() -> bytes:
    """A grey image of 40x30 px."""
    return bytes(cv2.imencode(".png", np.full((HEIGHT, WIDTH), 90, np.uint8))[1])


def mask_png(size: tuple[int, int] = (HEIGHT, WIDTH), *, value: int = 255) -> bytes:
    """A mask with one square of a value."""
    mask_HW = np.zeros(size, np.uint8)
    mask_HW[5:10, 5:10] = value
    return bytes(cv2.imencode(".png", mask_HW)[1])


def verdict(number: int, score: float = 1.0, **fields: Any) -> VerdictGiven:
    """A verdict on a capture; the threshold is 2."""
    at = NOON + timedelta(seconds=number)
    event = VerdictGiven(
        capture_id=CaptureId(name_of(number)), image_id=image_id_of(image_png()), image_uri="s3://siad/images/x.png",
        line=LINE_NAME, product=PRODUCT, line_revision=1, captured_at=at, received_at=at, serial=f"n{number}",
        decision=Decision.REJECT if score >= 2 else Decision.PASS, reason="", score=score, threshold=2.0, regions=(),
        mask_uri="", weights=WEIGHTS, weights_kind=WeightsKind.TEACHER, origin=Origin.STREAM, judged_at=at,
        wait_s=0.0, fetch_s=0.0, score_s=0.0,
    )  # fmt: skip
    return replace(event, **fields)


def pseudo_mask(number: int, score: float = 1.0, **fields: Any) -> PseudoMaskCreated:
    """A pseudo-mask of a capture; the threshold is 2."""
    at = NOON + timedelta(seconds=number)
    event = PseudoMaskCreated(
        capture_id=CaptureId(name_of(number)), image_id=image_id_of(image_png()), image_uri="s3://siad/images/x.png",
        line=LINE_NAME, product=PRODUCT, captured_at=at, received_at=at, mask_uri="s3://siad/masks/x.png",
        mask_sha256="3f" * 32, weights=WEIGHTS, score=score, threshold=2.0, defect_ratio=0.0, regions=(),
        confidence=1.0,
    )  # fmt: skip
    return replace(event, **fields)


def put_capture(blobs: Blobs, number: int, **fields: Any) -> ImageStored:
    """Store image and receipt of a capture, as ingest does."""
    data, at = image_png(), NOON + timedelta(seconds=number)
    image_id = image_id_of(data)
    key = keys.image_key(LINE_NAME, at, image_id, "png")
    blobs.put(key, data)
    receipt = make_image_stored(
        capture_id=CaptureId(name_of(number)), image_id=image_id, image_uri=blobs.uri(key), size_bytes=len(data),
        line=LINE_NAME, product=PRODUCT, captured_at=at, received_at=at, intent=Intent.INSPECT, serial=f"n{number}",
    )  # fmt: skip
    receipt = replace(receipt, **fields)
    blobs.put(keys.capture_key(LINE_NAME, receipt.capture_id), write_receipt(receipt))
    return receipt


def memory_projection() -> SqlProjection:
    """An empty projection in memory."""
    database = Database("")
    database.upgrade()
    return SqlProjection(database)


def make_ports(
    blobs: MemoryBlobs, producer: Producer, clock: FakeClock, projection: SqlProjection | None = None
) -> ConsolePorts:
    """The ports of a new process, which knows nothing yet."""
    store = AsyncBlobs(blobs, workers=1)
    captures = StoredCaptures(store, AsyncDeletions(store, clock=clock))
    return ConsolePorts(
        captures=captures,
        corrections=StoredCorrections(store),
        erased=captures,
        quarantine=StoredQuarantine(store, clock=clock),
        serving=StoredServing(store),
        trainings=StoredTrainings(store),
        masks=DecodingMaskReader(threads=1),
        publisher=BusEventPublisher(producer, StateTable(LINE, LineChanged, stage="console")),
        projection=projection or memory_projection(),
        window=CaptureWindow(1000),
        book=CorrectionBook(),
        shown=ShownCaptures(),
        thresholds=ThresholdsOnTopic(StateTable(THRESHOLD, ThresholdSet, stage="console")),
        clock=clock,
    )


async def read_thresholds(bus: MemoryBus, ports: ConsolePorts) -> None:
    """Bring the console's thresholds up to date with the topic."""
    assert isinstance(ports.thresholds, ThresholdsOnTopic)
    async with bus.state(THRESHOLD.name) as reader:
        ports.thresholds._table._replace(await reader.snapshot())


@dataclass(slots=True)
class Plant:
    """One store and one broker; processes come and go."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    blobs: MortalBlobs = field(default_factory=MortalBlobs)
    clock: FakeClock = field(default_factory=FakeClock)

    async def create(self) -> None:
        """Create the topics."""
        await self.bus.create_topics(TOPICS)

    def published(self) -> list[CaptureCorrected]:
        """Every correction on the bus, in order."""
        return [decode(CaptureCorrected, record.value) for record in self.bus.records(CORRECTION.name)]

    def records(self) -> list[CaptureCorrected]:
        """Every correction in the store."""
        infos = [info.key for info in self.blobs.list(keys.corrections_prefix()) if info.key.endswith(".json")]
        return [CaptureCorrected.from_json(MemoryBlobs.get(self.blobs, key).data) for key in infos]


def at_noon(seconds: float) -> datetime:
    """A moment after noon."""
    return NOON + timedelta(seconds=seconds)
