"""A plant in memory for commands that read broker and store."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import cv2
import numpy as np

from siad.apps.local.connection import PlantConnection
from siad.contracts import keys
from siad.contracts.codec import encode
from siad.contracts.documents import write_receipt
from siad.contracts.events import ImageStored, Intent, VerdictGiven
from siad.contracts.ids import CaptureId, image_id_of
from siad.contracts.topics import VERDICT
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message
from siad.vision.masks import encode_mask

LINE, PRODUCT = "press-3", "cap-28mm"
RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def png(value: int = 120, size: tuple[int, int] = (40, 60)) -> bytes:
    """An image of one grey."""
    return bytes(cv2.imencode(".png", np.full((*size, 3), value, np.uint8))[1])


@dataclass
class MemoryPlant:
    """Broker and store in memory, with captures as ingest stores them."""

    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    bus: MemoryBus = field(default_factory=lambda: MemoryBus(partitions=3))

    def __post_init__(self) -> None:
        asyncio.run(self.bus.create_topics([VERDICT]))

    @property
    def connection(self) -> PlantConnection:
        return PlantConnection(self.bus, self.blobs)

    def put_capture(
        self, capture_id: str, *, data: bytes | None = None, line: str = LINE, intent: Intent = Intent.INSPECT
    ) -> ImageStored:
        """Store one image and its receipt."""
        image = png() if data is None else data
        image_id = image_id_of(image)
        key = keys.image_key(line, RECEIVED, image_id, "png")
        self.blobs.put(key, image)
        receipt = ImageStored(
            capture_id=CaptureId(capture_id), image_id=image_id, image_uri=self.blobs.uri(key), size_bytes=len(image),
            line=line, product=PRODUCT, line_revision=1, captured_at=RECEIVED, received_at=RECEIVED, intent=intent,
            serial="A[1]",
        )  # fmt: skip
        self.blobs.put(keys.capture_key(line, capture_id), write_receipt(receipt))
        self.blobs.put(keys.line_pointer_key(line), b"{}")
        return receipt

    def put_mask(self, receipt: ImageStored, weights: str) -> str:
        """Store a mask with one defect; its address."""
        mask = np.zeros((40, 60), np.uint8)
        mask[10:20, 10:30] = 255
        key = keys.mask_key(receipt.line, receipt.capture_id, weights)
        self.blobs.put(key, encode_mask(mask))
        return self.blobs.uri(key)

    def publish(self, verdicts: Sequence[VerdictGiven]) -> None:
        """Publish verdicts."""

        async def run() -> None:
            async with self.bus.producer() as producer:
                messages = [Message(topic=VERDICT.name, key=f"{one.line}/0", value=encode(one)) for one in verdicts]
                await producer.publish(messages)

        asyncio.run(run())
