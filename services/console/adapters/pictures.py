"""Images and masks that the console's page shows, from the store."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from siad.contracts import keys
from siad.contracts.documents import read_receipt
from siad.contracts.errors import MissingError
from siad.erasure.deletions import AsyncDeletions
from siad.runtime.blobs.aio import AsyncBlobs
from siad.vision.viewable import SampleWindow, make_thumbnail, make_viewable

T = TypeVar("T")


class StoredPictures:
    """The port ``Pictures``."""

    def __init__(self, blobs: AsyncBlobs, deletions: AsyncDeletions, *, decoders: int = 2) -> None:
        self._blobs, self._deletions = blobs, deletions
        self._turns = asyncio.Semaphore(decoders)  # each may hold a decoded image

    async def image(self, line: str, capture_id: str, window: SampleWindow | None) -> tuple[bytes, str] | None:
        """Read an image as a browser shows it, and its media type."""
        return await self._shown(line, capture_id, partial(make_viewable, window=window))

    async def thumbnail(self, line: str, capture_id: str) -> bytes | None:
        """Make a small JPEG of an image."""
        return await self._shown(line, capture_id, make_thumbnail)

    async def _shown(self, line: str, capture_id: str, make: Callable[[bytes], T]) -> T | None:
        """Read an image and convert it; None where it is gone."""
        try:
            receipt = read_receipt((await self._blobs.get(keys.capture_key(line, capture_id))).data)
            if (await self._deletions.read(line)).covers(capture_id, receipt.received_at):
                return None
            async with self._turns:
                data = await self._blobs.get_verified(self._blobs.key_of(receipt.image_uri), sha256=receipt.image_id)
                return await asyncio.to_thread(make, data)
        except MissingError:
            return None

    async def mask(self, line: str, capture_id: str, name: str) -> bytes | None:
        """Read a mask of a stage or a person.

        Its name is the last part of its address, without ``.png``.
        """
        found = await self._read(keys.mask_key(line, capture_id, name))
        if found is not None or "." in name:
            return found
        return await self._read(keys.correction_mask_key(line, capture_id, name))

    async def score_map(self, line: str, capture_id: str, weights: str) -> bytes | None:
        """Read the map of scores by some weights, else the last one."""
        found = await self._read(keys.score_map_key(line, capture_id, weights))
        if found is not None:
            return found
        below = await self._blobs.list_all(keys.masks_prefix(line, capture_id))
        maps = [info for info in below if info.key.endswith(keys.SCORE_MAP)]
        return await self._read(max(maps, key=lambda info: info.modified_at).key) if maps else None

    async def _read(self, key: str) -> bytes | None:
        try:
            return (await self._blobs.get(key)).data
        except MissingError:
            return None
