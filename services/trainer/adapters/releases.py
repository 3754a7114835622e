"""Which weights serve: the registry's pointers, and the word of them on the bus."""

from datetime import datetime

from siad.contracts.codec import encode
from siad.contracts.events import SegmenterReleased, WeightsKind
from siad.contracts.manifest import Manifest
from siad.contracts.pointer import Pointer
from siad.contracts.topics import SEGMENTER
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.bus.port import Message, Producer
from siad.runtime.store.registry import Registry


class RegistryReleases:
    """Moves pointers in the store, and tells of them on the bus."""

    def __init__(self, blobs: AsyncBlobs, producer: Producer) -> None:
        self._blobs = blobs
        self._registry = Registry(blobs.blobs)
        self._producer = producer

    async def teachers(self) -> list[Pointer]:
        """Every teacher that a line and product have."""
        return await self._blobs.run(self._registry.pointers, WeightsKind.TEACHER)

    async def pointer(self, kind: WeightsKind, line: str, product: str) -> Pointer | None:
        """What a line and product have of one kind now."""
        return await self._blobs.run(self._registry.pointer, kind, line, product)

    async def manifest(self, weights: Pointer) -> Manifest:
        """What is known of the weights that a pointer names.

        Raises:
            MissingError, CorruptError: it can't be read.
        """
        return await self._blobs.run(self._registry.manifest, weights.line, weights.product, weights.weights)

    async def point(self, weights: str, *, expected: Pointer | None, line: str, product: str, at: datetime) -> Pointer:
        """Let a segmenter serve.

        Raises:
            ConflictError: the pointer is no longer where it was seen.
        """
        manifest = await self._blobs.run(self._registry.manifest, line, product, weights)
        return await self._blobs.run(self._registry.point, manifest, expected=expected, released_at=at)

    async def announce(self, pointer: Pointer) -> None:
        """Tell where a segmenter's pointer stands."""
        event = SegmenterReleased(
            line=pointer.line,
            product=pointer.product,
            revision=pointer.revision,
            weights=pointer.weights,
            released_at=pointer.released_at,
            status=pointer.status,
        )
        key = f"{pointer.line}/{pointer.product}"
        await self._producer.publish([Message(topic=SEGMENTER.name, key=key, value=encode(event))])
