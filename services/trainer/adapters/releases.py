"""Releases of segmenters: pointers in the store, announced on the bus."""

from datetime import datetime

from siad.contracts.codec import encode
from siad.contracts.events import SegmenterReleased, WeightsKind
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.topics import SEGMENTER
from siad.runtime import trace
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.bus.port import Message, Producer
from siad.runtime.store.registry import Registry


class RegistryReleases:
    """Reads the pointers of weights; moves and announces those of segmenters."""

    def __init__(self, blobs: AsyncBlobs, producer: Producer) -> None:
        self._blobs = blobs
        self._registry = Registry(blobs.blobs)
        self._producer = producer

    async def teachers(self) -> list[Pointer]:
        """List the pointer of every teacher in service."""
        return await self._blobs.run(self._registry.pointers, WeightsKind.TEACHER)

    async def pointer(self, kind: WeightsKind, place: Place) -> Pointer | None:
        """Return the pointer to weights of one kind; None before the first."""
        return await self._blobs.run(self._registry.pointer, kind, place.line, place.product)

    async def manifest(self, pointer: Pointer) -> Manifest:
        """Read the manifest of the weights that a pointer names."""
        return await self._blobs.run(self._registry.manifest, pointer.line, pointer.product, pointer.weights)

    async def point(self, place: Place, weights: str, *, expected: Pointer | None, at: datetime) -> Pointer:
        """Put a stored segmenter in service."""
        manifest = await self._blobs.run(self._registry.manifest, place.line, place.product, weights)
        return await self._blobs.run(self._registry.point, manifest, expected=expected, released_at=at)

    async def announce(self, pointer: Pointer) -> None:
        """Publish the pointer's position; return once the broker has acknowledged it."""
        event = SegmenterReleased(
            line=pointer.line,
            product=pointer.product,
            revision=pointer.revision,
            weights=pointer.weights,
            released_at=pointer.released_at,
            status=pointer.status,
        )
        key = f"{pointer.line}/{pointer.product}"
        span = trace.CURRENT.get() or trace.TraceSpan.root()
        message = Message(topic=SEGMENTER.name, key=key, value=encode(event))
        await self._producer.publish([trace.stamped(message, span)])
