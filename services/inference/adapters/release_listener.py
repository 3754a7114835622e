"""Release pointers, from state topics and, for missed events, the store."""

import asyncio
from collections.abc import Callable
from typing import Final

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

KINDS: Final = (WeightsKind.TEACHER, WeightsKind.SEGMENTER)
OnRelease = Callable[[ReleasePointer], None]


class ReleaseListener:
    """Passes released teachers and segmenters on, from their events."""

    def __init__(self, on_release: OnRelease) -> None:
        self._on_release = on_release

    def on_teacher(self, _: str, event: TeacherReleased | None) -> None:
        """Forward a teacher's event; a tombstone changes nothing: the pointer decides."""
        if event is not None:
            self._on_release(release_of_teacher(event))

    def on_segmenter(self, _: str, event: SegmenterReleased | None) -> None:
        """Pass on a segmenter's event."""
        if event is not None:
            self._on_release(release_of_segmenter(event))


def release_of_teacher(event: TeacherReleased) -> ReleasePointer:
    """Read the pointer in a teacher's event."""
    place = Place(event.line, event.product)
    return ReleasePointer(place=place, kind=WeightsKind.TEACHER, revision=event.revision, weights=event.weights)


def release_of_segmenter(event: SegmenterReleased) -> ReleasePointer:
    """Read the pointer in a segmenter's event.

    A status unknown to this version counts as withdrawn.
    """
    return ReleasePointer(
        place=Place(event.line, event.product),
        kind=WeightsKind.SEGMENTER,
        revision=event.revision,
        weights=event.weights,
        withdrawn=event.status is not SegmenterStatus.SERVING,
    )


def release_of_pointer(pointer: Pointer) -> ReleasePointer:
    """Read a pointer of the store."""
    return ReleasePointer(
        place=pointer.place,
        kind=pointer.kind,
        revision=pointer.revision,
        weights=pointer.weights,
        withdrawn=pointer.status is not SegmenterStatus.SERVING,
    )


class PointerPoller:
    """Polls pointers in the store; an unchanged poll costs two listings."""

    def __init__(self, blobs: AsyncBlobs, on_release: OnRelease) -> None:
        self._blobs = blobs
        self._registry = Registry(blobs.blobs)
        self._on_release = on_release
        self._etags: dict[str, str] = {}  # by key
        self._is_read = asyncio.Event()
        self.gone: frozenset[tuple[WeightsKind, Place]] = frozenset()  # pointers that were deleted since they were read

    async def wait_read(self) -> None:
        """Return once every pointer was read."""
        await self._is_read.wait()

    async def check(self) -> None:
        """Readiness: raise TransientError until every pointer was read once."""
        if not self._is_read.is_set():
            msg = "the release pointers are not read from the store yet"
            raise TransientError(msg)

    async def poll(self) -> None:
        """Read the pointers once.

        Raises:
            TransientError: the store is unavailable; known releases stay.
        """
        for kind in KINDS:
            for release in await self._blobs.run(self._moved, kind):
                self._on_release(release)
        self._is_read.set()

    async def run(self, stop: asyncio.Event, *, every_s: float) -> None:
        """Poll until ``stop``."""
        while not stop.is_set():
            try:
                await self.poll()
            except TransientError as error:
                log.warning("pointers_not_read", reason=str(error), retry_s=every_s)
            try:
                async with asyncio.timeout(every_s):
                    await stop.wait()
            except TimeoutError:
                continue

    def _moved(self, kind: WeightsKind) -> list[ReleasePointer]:
        """Read the pointers whose etag changed; log and omit unreadable ones."""
        found, prefix = [], keys.weights_pointers_prefix(kind.value)
        infos = list(self._blobs.blobs.list(prefix))
        deleted = {key for key in self._etags if key.startswith(prefix)} - {info.key for info in infos}
        others = frozenset(one for one in self.gone if one[0] is not kind)
        self.gone = others | {(kind, keys.place_of_weights_pointer(key)) for key in deleted}
        for info in infos:
            if self._etags.get(info.key) == info.etag:
                continue
            place = keys.place_of_weights_pointer(info.key)
            try:
                pointer = self._registry.pointer(kind, place)
            except CorruptError as error:
                log.error("pointer_refused", key=info.key, reason=str(error))
                pointer = None
            self._etags[info.key] = info.etag
            if pointer is not None:
                found.append(release_of_pointer(pointer))
        return found
