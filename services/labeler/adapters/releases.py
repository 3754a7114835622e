"""Releases of teachers: pointers in the store, announced on the bus."""

from datetime import datetime

from siad.contracts.codec import encode
from siad.contracts.events import TeacherReleased, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.topics import TEACHER
from siad.runtime import trace
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.bus.port import Message, Producer
from siad.runtime.store.registry import Registry


class RegistryTeachers:
    """Moves and announces the pointers of teachers."""

    def __init__(self, blobs: AsyncBlobs, producer: Producer) -> None:
        self._blobs, self._registry, self._producer = blobs, Registry(blobs.blobs), producer

    async def pointer(self, place: Place) -> Pointer | None:
        """Return the pointer to the teacher; None before the first release."""
        return await self._blobs.run(self._registry.pointer, WeightsKind.TEACHER, place.line, place.product)

    async def manifest(self, pointer: Pointer) -> Manifest:
        """Read the manifest of the weights that a pointer names."""
        return await self._blobs.run(self._registry.manifest, pointer.line, pointer.product, pointer.weights)

    async def point(self, place: Place, weights: WeightsId, *, expected: Pointer | None, at: datetime) -> Pointer:
        """Put stored weights in service."""
        manifest = await self._blobs.run(self._registry.manifest, place.line, place.product, weights)
        return await self._blobs.run(self._registry.point, manifest, expected=expected, released_at=at)

    async def announce(self, pointer: Pointer) -> None:
        """Publish the pointer's position; return once the broker has acknowledged it."""
        event = TeacherReleased(
            line=pointer.line,
            product=pointer.product,
            revision=pointer.revision,
            weights=pointer.weights,
            released_at=pointer.released_at,
        )
        key = f"{pointer.line}/{pointer.product}"
        span = trace.CURRENT.get() or trace.TraceSpan.root()
        await self._producer.publish([trace.stamped(Message(topic=TEACHER.name, key=key, value=encode(event)), span)])
