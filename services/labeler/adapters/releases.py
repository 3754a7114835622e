"""Which teacher serves: the registry's pointers, and the word of them on the bus."""

from datetime import datetime
from typing import NamedTuple

from siad.core.errors import CorruptError, TransientError
from siad.core.events import TeacherReleased, WeightsKind
from siad.core.fit_settings import FitSettings
from siad.core.ids import WeightsId
from siad.core.images import DECODER_VERSION
from siad.core.preprocess import PREPROCESS_VERSION
from siad.core.topics import TEACHER
from siad.runtime import trace
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.bus.port import Message, Producer
from siad.runtime.codec import encode
from siad.runtime.registry import Pointer, Registry
from siad.runtime.state import StateTable


class Made(NamedTuple):
    """How a teacher was made."""

    normals: int  # that it was fitted on
    settings: FitSettings | None  # by which; None: nobody wrote it down
    captures: tuple[str, ...] = ()  # those normals


class TeacherReleases:
    """Moves a teacher's pointer in the store, and tells of it on the bus."""

    def __init__(self, blobs: AsyncBlobs, producer: Producer) -> None:
        self._blobs, self._registry, self._producer = blobs, Registry(blobs.blobs), producer
        self._made: dict[str, Made] = {}  # weights never change, so they are asked once

    async def pointer(self, line: str, product: str) -> Pointer | None:
        """Where the teacher's pointer stands."""
        return await self._blobs.run(self._registry.pointer, WeightsKind.TEACHER, line, product)

    async def made(self, pointer: Pointer) -> "Made":
        """How a teacher was made; on no normals where this code can't open it, and it must be fitted anew."""
        if pointer.weights not in self._made:
            manifest = await self._blobs.run(self._registry.manifest, pointer.line, pointer.product, pointer.weights)
            can_open = (manifest.decoder_version, manifest.preprocess_version) == (DECODER_VERSION, PREPROCESS_VERSION)
            normals = len(manifest.normals) if can_open else 0
            self._made[pointer.weights] = Made(normals, FitSettings.of_manifest(manifest), manifest.normals)
        return self._made[pointer.weights]

    async def point(
        self, weights: WeightsId, *, expected: Pointer | None, line: str, product: str, at: datetime
    ) -> Pointer:
        """Let a teacher serve.

        Raises:
            ConflictError: the pointer is no longer where it was seen.
        """
        manifest = await self._blobs.run(self._registry.manifest, line, product, weights)
        return await self._blobs.run(self._registry.point, manifest, expected=expected, released_at=at)

    async def announce(self, pointer: Pointer) -> None:
        """Tell where a teacher's pointer stands."""
        event = TeacherReleased(
            line=pointer.line,
            product=pointer.product,
            revision=pointer.revision,
            weights=pointer.weights,
            released_at=pointer.released_at,
        )
        place = f"{pointer.line}/{pointer.product}"
        span = trace.CURRENT.get() or trace.Span.root()
        await self._producer.publish([trace.stamped(Message(topic=TEACHER.name, key=place, value=encode(event)), span)])


class KnownTeachers:
    """The teacher of a line and product: by the bus, and before the first one by the store.

    A capture that is skipped is left to the backfill, which looks at what was received before the pointer moved. So a
    capture may only be skipped by somebody who has looked at the pointer itself: news of it may be late.
    """

    def __init__(self, table: StateTable[TeacherReleased], blobs: AsyncBlobs) -> None:
        self._table, self._blobs, self._registry = table, blobs, Registry(blobs.blobs)

    async def current(self, line: str, product: str) -> WeightsId | None:
        """The teacher now; None before the first.

        Raises:
            TransientError: the pointer can't be read; whoever damaged it has to mend it.
        """
        if (event := self._table.lookup(f"{line}/{product}")) is not None:
            return event.weights
        try:
            pointer = await self._blobs.run(self._registry.pointer, WeightsKind.TEACHER, line, product)
        except CorruptError as error:
            raise TransientError(str(error)) from error
        return None if pointer is None else pointer.weights
