"""Where the pointers stand: told by the state topics, and read from the store should an event have gone missing."""

import asyncio
from collections.abc import Callable

import structlog

from services.inference.domain.releases import ReleasePointer
from siad.contracts import keys
from siad.contracts.errors import CorruptError, TransientError
from siad.contracts.events import SegmenterReleased, SegmenterStatus, TeacherReleased, WeightsKind
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.registry import Registry

log = structlog.get_logger()

KINDS = (WeightsKind.TEACHER, WeightsKind.SEGMENTER)
Learn = Callable[[ReleasePointer], None]


def release_of_teacher(event: TeacherReleased) -> ReleasePointer:
    """What a teacher's event says."""
    place = Place(event.line, event.product)
    return ReleasePointer(place=place, kind=WeightsKind.TEACHER, revision=event.revision, weights=event.weights)


def release_of_segmenter(event: SegmenterReleased) -> ReleasePointer:
    """What a segmenter's event says; a status that we don't know yet is not one to serve by."""
    return ReleasePointer(
        place=Place(event.line, event.product),
        kind=WeightsKind.SEGMENTER,
        revision=event.revision,
        weights=event.weights,
        withdrawn=event.status is not SegmenterStatus.SERVING,
    )


def release_of_pointer(pointer: Pointer) -> ReleasePointer:
    """What a pointer in the store says."""
    return ReleasePointer(
        place=pointer.place,
        kind=pointer.kind,
        revision=pointer.revision,
        weights=pointer.weights,
        withdrawn=pointer.status is not SegmenterStatus.SERVING,
    )


class PointerPoller:
    """Reads the pointers that have moved since the last look; a quiet look is two listings."""

    def __init__(self, blobs: AsyncBlobs, learn: Learn) -> None:
        self._blobs = blobs
        self._registry = Registry(blobs.blobs)
        self._learn = learn
        self._seen: dict[str, str] = {}  # key -> etag
        self._read = asyncio.Event()

    async def wait_read(self) -> None:
        """Return once every pointer was read."""
        await self._read.wait()

    async def check(self) -> None:
        """For the ready probe: raise TransientError until every pointer was read once."""
        if not self._read.is_set():
            msg = "the pointers in the store were not read yet"
            raise TransientError(msg)

    async def look(self) -> None:
        """Look once.

        Raises:
            TransientError: the store is away; what was known stays.
        """
        for kind in KINDS:
            for release in await self._blobs.run(self._moved, kind):
                self._learn(release)
        self._read.set()

    async def run(self, stop: asyncio.Event, *, every_s: float) -> None:
        """Look again and again until ``stop``."""
        while not stop.is_set():
            try:
                await self.look()
            except TransientError as error:
                log.warning("pointers_not_read", reason=str(error), retry_s=every_s)
            try:
                async with asyncio.timeout(every_s):
                    await stop.wait()
            except TimeoutError:
                continue

    def _moved(self, kind: WeightsKind) -> list[ReleasePointer]:
        found = []
        for info in self._blobs.blobs.list(keys.weights_pointers_prefix(kind.value)):
            if self._seen.get(info.key) == info.etag:
                continue
            place = keys.place_of_weights_pointer(info.key)
            try:
                pointer = self._registry.pointer(kind, place)
            except CorruptError as error:
                log.error("pointer_refused", key=info.key, reason=str(error))
                pointer = None
            self._seen[info.key] = info.etag
            if pointer is not None:
                found.append(release_of_pointer(pointer))
        return found
