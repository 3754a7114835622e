"""Expired objects of a line in the store, and their deletion."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import date, datetime
from itertools import islice
from typing import Final

import structlog

from siad.contracts import keys
from siad.contracts.documents import TrainingSetMembers, read_receipt
from siad.contracts.errors import MissingError
from siad.contracts.expiry import NEVER, Expiry
from siad.contracts.key_parts import kind_of
from siad.erasure import metrics
from siad.erasure.expiry_plan import (
    AdvanceExpiry,
    ExpiredObject,
    ExpireObjects,
    LineInventory,
    RetainedObjects,
    RetentionPolicy,
)
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs, PutCondition

log = structlog.get_logger()

DELETES_MAX: Final = 4  # concurrent deletions: uploads need the store too


class StoredExpiry:
    """Expiry marks in the store."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def read(self, line: str) -> tuple[Expiry, str | None]:
        """Read the mark and its etag; without a mark nothing has expired."""
        try:
            blob = await self._blobs.get(keys.expiry_key(line))
        except MissingError:
            return Expiry(), None
        return Expiry.from_json(blob.data), blob.etag

    async def advance(self, line: str, to: Expiry) -> None:
        """Advance the mark; it never moves back.

        Raises:
            ConflictError: another process advanced it at the same time.
        """
        expiry, etag = await self.read(line)
        data = expiry.moved_on(to).to_json()
        await self._blobs.put(
            keys.expiry_key(line), data, content_type="application/json", condition=PutCondition(etag)
        )


class InventoryStore:
    """Lists the expired objects of a line and deletes them."""

    def __init__(self, blobs: AsyncBlobs, policy: RetentionPolicy) -> None:
        self._blobs, self._policy, self._expiry = blobs, policy, StoredExpiry(blobs)
        self._normals: dict[str, str] = {}  # key of a normal marker -> key of its image; both are write-once
        self._unknown: dict[str, tuple[str, ...]] = {}  # training sets that hold up a line, as last logged

    async def read(self, line: str, now: datetime) -> LineInventory:
        """List expired objects; retained ones are read only where something has expired."""
        expiry, _ = await self._expiry.read(line)
        wanted = expiry.moved_on(self._policy.at(now))
        retained = RetainedObjects()
        if await self._blobs.run(_expired, self._blobs.blobs, line, wanted, retained, 1):
            retained = await self._blobs.run(self._retained, line)
            self._log_unknown(line, retained.unknown)
        count_max = self._policy.objects_max + 1  # one more shows whether that is all
        expired = await self._blobs.run(_expired, self._blobs.blobs, line, wanted, retained, count_max)
        return LineInventory(expiry=expiry, wanted=wanted, expired=expired, retained=retained)

    async def advance(self, line: str, action: AdvanceExpiry) -> None:
        """Advance the line's mark."""
        await self._expiry.advance(line, action.expiry)
        log.info("expiry_moved", line=line, images_from=action.expiry.images_from.isoformat())

    async def expire(self, line: str, action: ExpireObjects) -> None:
        """Delete in small batches, one kind after the other."""
        for kind in ("masks", "images", "corrections", "captures"):
            names = [key for key in action.keys if kind_of(key) == kind]
            for start in range(0, len(names), DELETES_MAX):
                await asyncio.gather(*(self._blobs.delete(key) for key in names[start : start + DELETES_MAX]))
            if names:
                metrics.EXPIRED.labels(line, kind).inc(len(names))
        log.info("expired", line=line, objects=len(action.keys), is_all=action.is_all)

    def _retained(self, line: str) -> RetainedObjects:
        """Read normals and members of training sets."""
        blobs = self._blobs.blobs
        markers = [info.key for info in blobs.list(keys.normals_prefix(line))]
        for key in markers:
            if key not in self._normals:
                self._normals[key] = blobs.key_of(read_receipt(blobs.get(key).data).image_uri)
        images = {self._normals[key] for key in markers}
        captures = {keys.name_of(key) for key in markers}
        stored = [info.key for info in blobs.list(keys.training_sets_prefix(line))]
        listed = {training_set: key for key in stored if (training_set := keys.members_of(key)) is not None}
        for key in listed.values():
            members = TrainingSetMembers.from_json(blobs.get(key).data)
            images |= {blobs.key_of(uri) for uri in members.images}
            captures |= set(members.captures)
        sets = {key: keys.training_set_of(key) for key in stored}
        unknown = tuple(key for key, found in sets.items() if found is not None and found not in listed)
        return RetainedObjects(images=frozenset(images), captures=frozenset(captures), unknown=unknown)

    def _log_unknown(self, line: str, unknown: tuple[str, ...]) -> None:
        if unknown and self._unknown.get(line) != unknown:
            reason = "their members are not listed yet; the trainer lists them when it runs"
            log.warning("retention_waits", line=line, training_sets=list(unknown), why=reason)
        self._unknown[line] = unknown


def _expired(
    blobs: Blobs, line: str, expiry: Expiry, retained: RetainedObjects, count_max: int
) -> tuple[ExpiredObject, ...]:
    """Objects older than the mark that may be deleted, by kind."""
    kinds = (_expired_masks, _expired_images, _expired_corrections, _expired_receipts)
    found = (expired for kind in kinds for expired in kind(blobs, line, expiry) if retained.allows(expired))
    return tuple(islice(found, count_max))


def _expired_masks(blobs: Blobs, line: str, expiry: Expiry) -> Iterator[ExpiredObject]:
    return _written_before(blobs, keys.masks_prefix(line), expiry.masks_from, keys.capture_of_mask)


def _expired_images(blobs: Blobs, line: str, expiry: Expiry) -> Iterator[ExpiredObject]:
    """List expired images; keys are ordered by day, which ends the listing."""
    if expiry.images_from > NEVER:
        for info in blobs.list(keys.images_prefix(line)):
            if keys.day_of_image(info.key) >= expiry.images_from:
                return
            yield ExpiredObject(info.key, capture="")


def _expired_corrections(blobs: Blobs, line: str, expiry: Expiry) -> Iterator[ExpiredObject]:
    """List corrections that are older than receipts may be.

    Their captures are older still, so no correction follows that could take the number of an expired one.
    """
    return _written_before(blobs, keys.corrections_prefix(line), expiry.receipts_from, keys.capture_of_correction)


def _expired_receipts(blobs: Blobs, line: str, expiry: Expiry) -> Iterator[ExpiredObject]:
    """List expired receipts; a receipt is written once, when its capture arrives."""
    return _written_before(blobs, keys.captures_prefix(line), expiry.receipts_from, keys.name_of)


def _written_before(
    blobs: Blobs, prefix: str, first_day: date, capture_of: Callable[[str], str]
) -> Iterator[ExpiredObject]:
    if first_day > NEVER:
        for info in blobs.list(prefix):
            if info.modified_at.date() < first_day:
                yield ExpiredObject(info.key, capture=capture_of(info.key))
