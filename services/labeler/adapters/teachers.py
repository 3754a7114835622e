"""Teachers in service: weights for the handler, descriptions for operators."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import structlog

from services.labeler import metrics
from services.labeler.adapters.learning_records import StoredCorrections, StoredRefits
from services.labeler.domain.refits import why_no_stream
from services.labeler.domain.teacher_facts import TeacherFacts
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.documents import read_receipt
from siad.contracts.errors import CorruptError, MissingError, TransientError
from siad.contracts.events import TeacherReleased, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.keys import normal_key
from siad.contracts.learning import LearningMode, why_not_learning
from siad.contracts.manifest import Manifest
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.contracts.quarantine import TaintedKind
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.state_table import StateTable
from siad.runtime.store.brakes import StoredBrakes, StoredHolds
from siad.runtime.store.lines import StoredLines
from siad.runtime.store.quarantine import Quarantine
from siad.runtime.store.registry import Registry
from siad.vision.odd_normals import without_wanted_sizes
from siad.vision.promise import promise_of

log = structlog.get_logger()


class KnownTeachers:
    """Teacher of a line, from the state topic or the store.

    The store is read while the topic names no teacher, because its record may arrive late.

    A skipped capture is left to the backfill, which labels what was received before the pointer moved. The topic may
    lag behind the pointer, so a capture may be skipped only after the pointer itself was read.
    """

    def __init__(self, table: StateTable[TeacherReleased], blobs: AsyncBlobs) -> None:
        self._table, self._blobs, self._registry = table, blobs, Registry(blobs.blobs)

    async def current(self, line: str, product: str) -> WeightsId | None:
        """Return the weights in service; None before the first.

        Raises:
            TransientError: the store is unavailable, or the pointer in it is damaged.
        """
        if (event := self._table.lookup(str(Place(line, product)))) is not None:
            return event.weights
        try:
            pointer = await self._blobs.run(self._registry.pointer, WeightsKind.TEACHER, Place(line, product))
        except CorruptError as error:
            msg = f"captures of {line}/{product} wait until the pointer to its teacher is repaired: {error}"
            raise TransientError(msg) from error
        if pointer is None:
            metrics.SKIPPED.labels(line).inc()
            return None
        return pointer.weights


class ServingTeachers:
    """Description of the teachers that the state topic names, from their manifests."""

    def __init__(self, table: StateTable[TeacherReleased], blobs: AsyncBlobs) -> None:
        self._table, self._blobs, self._registry = table, blobs, Registry(blobs.blobs)
        self._lines, self._brakes, self._refits = StoredLines(blobs), StoredBrakes(blobs), StoredRefits(blobs)
        self._holds = StoredHolds(blobs)
        self._quarantine, self._corrections = Quarantine(blobs.blobs), StoredCorrections(blobs)
        self._cache: dict[str, TeacherFacts] = {}  # by weights, which never change

    async def facts(self) -> list[TeacherFacts]:
        """Describe every teacher in service; log and omit unreadable manifests.

        Raises:
            TransientError: the store is unavailable.
        """
        events = sorted(self._table.values().values(), key=lambda event: (event.line, event.product))
        facts = [facts for facts in await asyncio.gather(*map(self._facts, events)) if facts is not None]
        self._cache = {teacher.weights: teacher for teacher in facts}  # without those that no longer serve
        return list(await asyncio.gather(*map(self._with_learning, facts)))

    async def _with_learning(self, facts: TeacherFacts) -> TeacherFacts:
        """Add what depends on the line's settings, and the latest fit."""
        place = Place(facts.line, facts.product)
        try:
            settings = await self._lines.settings(place.line)
            mode = LearningMode.of("" if settings is None else settings.learning)
            sizes = SizeRule.of("" if settings is None else settings.sizes)
            brake, hold = await self._brakes.read(place), await self._holds.read(place)
            paused = why_not_learning(mode, brake, line=place.line, hold=hold)
            last = await self._refits.last(place)
            tainted = await self._blobs.run(self._quarantine.record, facts.line, TaintedKind.WEIGHTS, facts.weights)
            answers = await self._corrections.latest(place) if facts.left_out or facts.doubted else {}
        except CorruptError as error:
            log.error("learning_unread", line=place.line, product=place.product, reason=str(error))
            return facts
        goods = {name for name, answer in answers.items() if answer.verdict is CorrectionVerdict.GOOD}
        return replace(
            facts,
            learning_paused=paused,
            last_fit="" if last is None else last.text,
            odd_normals=without_wanted_sizes(facts.odd_normals, sizes),
            quarantine="" if tainted is None else tainted.reason,
            answered=tuple(name for name in (*facts.left_out, *facts.doubted) if name in goods),
        )

    async def _facts(self, event: TeacherReleased) -> TeacherFacts | None:
        if (cached := self._cache.get(event.weights)) is not None:
            return cached
        try:
            manifest = await self._blobs.run(self._registry.manifest, Place(event.line, event.product), event.weights)
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
            profile="" if manifest.profile is None else str(manifest.profile),
            of_stream=tuple(name for name in (*manifest.left_out, *manifest.doubted) if name not in manifest.normals),
            serials=await self._blobs.run(self._serials, manifest),
            odd_normals=manifest.odd_normals,
            no_stream=why_no_stream(manifest.method),
        )

    def _serials(self, manifest: Manifest) -> dict[str, str]:
        """Read the serials of the parts to check, without deleted normals."""
        serials = {}
        odd = [one.capture_id for one in manifest.odd_normals]
        for capture_id in (*manifest.left_out, *manifest.doubted, *odd):
            with suppress(MissingError, CorruptError):
                key = normal_key(manifest.line, manifest.product, capture_id)
                serials[capture_id] = read_receipt(self._blobs.blobs.get(key).data).serial
        return {capture_id: serial for capture_id, serial in serials.items() if serial}
