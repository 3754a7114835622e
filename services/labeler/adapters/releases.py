"""Which teacher serves: the registry's pointers, and the word of them on the bus."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import structlog

from siad.contracts.codec import encode
from siad.contracts.documents import read_receipt
from siad.contracts.errors import CorruptError, MissingError, TransientError
from siad.contracts.events import TeacherReleased, WeightsKind
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import WeightsId
from siad.contracts.keys import normal_key
from siad.contracts.manifest import Manifest
from siad.contracts.pointer import Pointer
from siad.contracts.topics import TEACHER
from siad.runtime import trace
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.bus.port import Message, Producer
from siad.runtime.state_table import StateTable
from siad.runtime.store.registry import Registry
from siad.vision.images import DECODER_VERSION
from siad.vision.preprocess import PREPROCESS_VERSION
from siad.vision.promise import promise_of

log = structlog.get_logger()


class FitRecord(NamedTuple):
    """How a teacher was made."""

    normals: int  # that it was fitted on
    settings: FitSettings | None  # by which; None: nobody wrote it down
    captures: tuple[str, ...] = ()  # those normals


class TeacherReleases:
    """Moves a teacher's pointer in the store, and tells of it on the bus."""

    def __init__(self, blobs: AsyncBlobs, producer: Producer) -> None:
        self._blobs, self._registry, self._producer = blobs, Registry(blobs.blobs), producer
        self._made: dict[str, FitRecord] = {}  # weights never change, so they are asked once

    async def pointer(self, line: str, product: str) -> Pointer | None:
        """Where the teacher's pointer stands."""
        return await self._blobs.run(self._registry.pointer, WeightsKind.TEACHER, line, product)

    async def made(self, pointer: Pointer) -> "FitRecord":
        """How a teacher was made; on no normals where this code can't open it, and it must be fitted anew."""
        if pointer.weights not in self._made:
            manifest = await self._blobs.run(self._registry.manifest, pointer.line, pointer.product, pointer.weights)
            can_open = (manifest.decoder_version, manifest.preprocess_version) == (DECODER_VERSION, PREPROCESS_VERSION)
            normals = len(manifest.normals) if can_open else 0
            self._made[pointer.weights] = FitRecord(normals, FitSettings.of_manifest(manifest), manifest.normals)
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
        span = trace.CURRENT.get() or trace.TraceSpan.root()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherFacts:
    """What people should know of a teacher in service, as its manifest has it."""

    line: str
    product: str
    weights: str
    method: str
    normals: int  # that it was fitted on
    promise: str  # what may be expected of false rejects; empty where nobody wrote down what was asked for
    left_out: tuple[str, ...]  # captures among the normals that looked like defects and taught nothing
    doubted: tuple[str, ...]  # captures that may be defects: what they alone show taught nothing
    serials: Mapping[str, str]  # of both, by capture: what the part is called; not those that are gone


class ServingTeachers:
    """What the manifests say of the teachers that the bus has told of."""

    def __init__(self, table: StateTable[TeacherReleased], blobs: AsyncBlobs) -> None:
        self._table, self._blobs, self._registry = table, blobs, Registry(blobs.blobs)
        self._known: dict[str, TeacherFacts] = {}  # weights never change, so they are read once

    async def facts(self) -> list[TeacherFacts]:
        """Of each line and product, by name; a manifest that can't be read is logged and left out.

        Raises:
            TransientError: the store is away.
        """
        events = sorted(self._table.values().values(), key=lambda event: (event.line, event.product))
        found = [one for one in await asyncio.gather(*map(self._facts, events)) if one is not None]
        self._known = {one.weights: one for one in found}  # what serves no more is forgotten
        return found

    async def _facts(self, event: TeacherReleased) -> TeacherFacts | None:
        if (known := self._known.get(event.weights)) is not None:
            return known
        try:
            manifest = await self._blobs.run(self._registry.manifest, event.line, event.product, event.weights)
        except (CorruptError, MissingError) as error:
            log.error("teacher_unread", line=event.line, product=event.product, reason=str(error))
            return None
        return TeacherFacts(
            line=event.line,
            product=event.product,
            weights=event.weights,
            method=manifest.method,
            normals=len(manifest.normals),
            promise=promise_of(manifest),
            left_out=manifest.left_out,
            doubted=manifest.doubted,
            serials=await self._blobs.run(self._serials, manifest),
        )

    def _serials(self, manifest: Manifest) -> dict[str, str]:
        """What the parts are called that a person should look at; a normal that was deleted since has no name."""
        found = {}
        for capture_id in (*manifest.left_out, *manifest.doubted):
            with suppress(MissingError, CorruptError):
                key = normal_key(manifest.line, manifest.product, capture_id)
                found[capture_id] = read_receipt(self._blobs.blobs.get(key).data).serial
        return {capture_id: serial for capture_id, serial in found.items() if serial}
