"""Expired objects of a line in the store, and their deletion."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

import structlog

from siad.contracts import keys
from siad.contracts.documents import TrainingSetMembers, read_receipt
from siad.contracts.errors import MissingError
from siad.contracts.expiry import NEVER, Expiry
from siad.erasure import metrics
from siad.erasure.expiry_plan import (
    AdvanceExpiry,
    DeleteObjects,
    ExpiredObject,
    LineInventory,
    RetainedObjects,
    RetentionPolicy,
)
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs, PutCondition

log = structlog.get_logger()

ABREAST: Final = 4  # deletions at a time: uploads need the store, too


class StoredExpiry:
    """The mark of a line."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def read(self, line: str) -> tuple[Expiry, str | None]:
        """The expiry mark and its tag; without a mark nothing has expired."""
        try:
            blob = await self._blobs.get(keys.expiry_key(line))
        except MissingError:
            return Expiry(), None
        return Expiry.from_json(blob.data), blob.etag

    async def move(self, line: str, to: Expiry) -> None:
        """Move the mark on; never back.

        Raises:
            ConflictError: another process moved it at the same time.
        """
        expiry, etag = await self.read(line)
        data = expiry.moved_on(to).to_json()
        json_ = "application/json"
        await self._blobs.put(keys.expiry_key(line), data, content_type=json_, condition=PutCondition(etag))


class InventoryStore:
    """Looks through a line, and removes what a plan says."""

    def __init__(self, blobs: AsyncBlobs, policy: RetentionPolicy) -> None:
        self._blobs, self._policy, self._expiry = blobs, policy, StoredExpiry(blobs)
        self._normals: dict[str, str] = {}  # key of a normal -> key of its image; both are written once
        self._waits: dict[str, tuple[str, ...]] = {}

    async def look(self, line: str, now: datetime) -> LineInventory:
        """List expired objects; retained ones are read only if needed."""
        expiry, _ = await self._expiry.read(line)
        wanted = expiry.moved_on(self._policy.at(now))
        kept = RetainedObjects()
        if await self._blobs.run(_aged, self._blobs.blobs, line, wanted, kept, 1):
            kept = await self._blobs.run(self._kept, line)
            self._say_wait(line, kept.unknown)
        most = self._policy.removals_max + 1  # one more, to see whether that is all
        aged = await self._blobs.run(_aged, self._blobs.blobs, line, wanted, kept, most)
        return LineInventory(expiry=expiry, wanted=wanted, aged=aged, kept=kept)

    async def move_mark(self, line: str, action: AdvanceExpiry) -> None:
        """Say what may be gone."""
        await self._expiry.move(line, action.expiry)
        log.info("expiry_moved", line=line, images_from=action.expiry.images_from.isoformat())

    async def remove(self, line: str, action: DeleteObjects) -> None:
        """Delete in small batches, one kind after the other."""
        for kind in ("masks", "images", "captures"):
            named = [key for key in action.keys if keys.kind_of(key) == kind]
            for start in range(0, len(named), ABREAST):
                await asyncio.gather(*(self._blobs.delete(key) for key in named[start : start + ABREAST]))
            if named:
                metrics.EXPIRED.labels(line, kind).inc(len(named))
        log.info("expired", line=line, objects=len(action.keys), is_all=action.is_all)

    def _kept(self, line: str) -> RetainedObjects:
        """Normals, and members of training sets."""
        blobs = self._blobs.blobs
        named = [info.key for info in blobs.list(keys.normals_prefix(line))]
        for key in named:
            if key not in self._normals:
                self._normals[key] = blobs.key_of(read_receipt(blobs.get(key).data).image_uri)
        images = {self._normals[key] for key in named}
        captures = {keys.name_of(key) for key in named}
        stored = [info.key for info in blobs.list(keys.training_sets_prefix(line))]
        listed = {training_set: key for key in stored if (training_set := keys.members_of(key)) is not None}
        for key in listed.values():
            members = TrainingSetMembers.from_json(blobs.get(key).data)
            images |= {blobs.key_of(uri) for uri in members.images}
            captures |= set(members.captures)
        sets = {key: keys.training_set_of(key) for key in stored}
        unknown = tuple(key for key, found in sets.items() if found is not None and found not in listed)
        return RetainedObjects(images=frozenset(images), captures=frozenset(captures), unknown=unknown)

    def _say_wait(self, line: str, unknown: tuple[str, ...]) -> None:
        if unknown and self._waits.get(line) != unknown:
            log.warning(
                "retention_waits", line=line, training_sets=list(unknown), why="the trainer lists their members"
            )
        self._waits[line] = unknown


def _aged(blobs: Blobs, line: str, expiry: Expiry, kept: RetainedObjects, count_max: int) -> tuple[ExpiredObject, ...]:
    """Objects older than the mark that may be deleted, by kind."""
    kinds = (_aged_masks, _aged_images, _aged_receipts)
    return tuple(islice((one for kind in kinds for one in kind(blobs, line, expiry) if kept.frees(one)), count_max))


def _aged_masks(blobs: Blobs, line: str, expiry: Expiry) -> Iterator[ExpiredObject]:
    if expiry.masks_from > NEVER:
        for info in blobs.list(keys.masks_prefix(line)):
            if info.modified_at.date() < expiry.masks_from:
                yield ExpiredObject(info.key, capture=keys.capture_of_mask(info.key))


def _aged_images(blobs: Blobs, line: str, expiry: Expiry) -> Iterator[ExpiredObject]:
    """List expired images; keys hold the day, so newer ones are skipped."""
    if expiry.images_from > NEVER:
        for info in blobs.list(keys.images_prefix(line)):
            if keys.day_of_image(info.key) >= expiry.images_from:
                return
            yield ExpiredObject(info.key, capture="")


def _aged_receipts(blobs: Blobs, line: str, expiry: Expiry) -> Iterator[ExpiredObject]:
    """A receipt is written when its capture comes, and never again."""
    if expiry.receipts_from > NEVER:
        for info in blobs.list(keys.captures_prefix(line)):
            if info.modified_at.date() < expiry.receipts_from:
                yield ExpiredObject(info.key, capture=keys.name_of(info.key))
