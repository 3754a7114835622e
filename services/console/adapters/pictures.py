"""Images and masks that the console's page shows, from the store."""

import asyncio
from typing import Final

from siad.contracts import keys
from siad.contracts.documents import read_receipt
from siad.contracts.errors import MissingError
from siad.erasure.deletions import AsyncDeletions
from siad.runtime.blobs.aio import AsyncBlobs
from siad.vision.viewable import make_viewable

VERDICT_SUFFIX: Final = ".verdict"


class StoredPictures:
    """The port ``Pictures``."""

    def __init__(self, blobs: AsyncBlobs, deletions: AsyncDeletions, *, decoders: int = 2) -> None:
        self._blobs, self._deletions = blobs, deletions
        self._turns = asyncio.Semaphore(decoders)  # each may hold a decoded image

    async def image(self, line: str, capture_id: str) -> tuple[bytes, str] | None:
        """Read an image as a browser shows it, and its media type."""
        try:
            receipt = read_receipt((await self._blobs.get(keys.capture_key(line, capture_id))).data)
            if (await self._deletions.read(line)).covers(capture_id, receipt.received_at):
                return None
            async with self._turns:
                data = await self._blobs.get_verified(self._blobs.key_of(receipt.image_uri), sha256=receipt.image_id)
                return await asyncio.to_thread(make_viewable, data)
        except MissingError:
            return None

    async def mask(self, line: str, capture_id: str, name: str) -> bytes | None:
        """Read a mask by the last part of its address, without ``.png``."""
        weights = name.removesuffix(VERDICT_SUFFIX)
        key = keys.verdict_mask_key if name.endswith(VERDICT_SUFFIX) else keys.mask_key
        try:
            return (await self._blobs.get(key(line, capture_id, weights))).data
        except MissingError:
            return None
