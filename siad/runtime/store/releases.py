"""Releases of weights: pointers in the store, announced on the bus."""

from datetime import datetime

from siad.contracts.codec import encode
from siad.contracts.events import SegmenterReleased, TeacherReleased, WeightsKind
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.topics import SEGMENTER, TEACHER
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.bus.port import Message, Producer
from siad.runtime.store.registry import Registry


class ReleasePublisher:
    """Reads, moves and announces the pointers of teachers and segmenters."""

    def __init__(self, blobs: AsyncBlobs, producer: Producer) -> None:
        self._blobs, self._registry, self._producer = blobs, Registry(blobs.blobs), producer

    async def pointers(self, kind: WeightsKind) -> list[Pointer]:
        """Read every pointer of one kind; log and omit unreadable ones."""
        return await self._blobs.run(self._registry.pointers, kind)

    async def pointer(self, kind: WeightsKind, place: Place) -> Pointer | None:
        """Read a pointer; None before the first release.

        Raises:
            CorruptError: the object at its key is not this pointer.
        """
        return await self._blobs.run(self._registry.pointer, kind, place)

    async def manifest(self, pointer: Pointer) -> Manifest:
        """Read the manifest of the weights that a pointer names.

        Raises:
            MissingError, CorruptError: it can't be read.
        """
        return await self._blobs.run(self._registry.manifest, pointer.place, pointer.weights)

    async def point(self, place: Place, weights: str, *, expected: Pointer | None, at: datetime) -> Pointer:
        """Put stored weights in service.

        Raises:
            ConflictError: another process moved the pointer since ``expected`` was read.
            MissingError, CorruptError: the manifest of the weights can't be read.
        """
        manifest = await self._blobs.run(self._registry.manifest, place, weights)
        return await self._blobs.run(self._registry.point, manifest, expected=expected, released_at=at)

    async def announce(self, pointer: Pointer) -> None:
        """Publish a pointer, and return once the broker has acknowledged it."""
        await self._producer.publish([release_message(pointer)])


def release_event(pointer: Pointer) -> TeacherReleased | SegmenterReleased:
    """Build the event of a pointer."""
    if pointer.kind is WeightsKind.TEACHER:
        return TeacherReleased(
            line=pointer.line,
            product=pointer.product,
            revision=pointer.revision,
            weights=pointer.weights,
            released_at=pointer.released_at,
        )
    return SegmenterReleased(
        line=pointer.line,
        product=pointer.product,
        revision=pointer.revision,
        weights=pointer.weights,
        released_at=pointer.released_at,
        status=pointer.status,
    )


def release_message(pointer: Pointer) -> Message:
    """Build the record of a pointer's event; its key is the place."""
    topic = TEACHER if pointer.kind is WeightsKind.TEACHER else SEGMENTER
    return Message(topic=topic.name, key=str(pointer.place), value=encode(release_event(pointer)))
