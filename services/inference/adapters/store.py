"""Images and masks in the store.

Shape suffixes: H = image height, W = image width.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from services.inference.domain.judge import CaptureJudgement, FetchedImage
from siad.contracts import keys
from siad.contracts.errors import CorruptError, MissingError, PoisonError
from siad.contracts.events import ImageStored
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import get_verified
from siad.runtime.clock import Clock
from siad.vision.images import ImageError, decode_image
from siad.vision.masks import encode_mask


class StoredImages:
    """The port ``ImageSource``, in the store's threads.

    Decoding takes as long as reading.
    """

    def __init__(self, blobs: AsyncBlobs, *, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    async def fetch(self, event: ImageStored) -> FetchedImage:
        """Read, verify and decode the image of a capture.

        Raises:
            PoisonError: it is missing, differs from its digest, or does not decode.
        """
        return await self._blobs.run(self._fetch, event)

    def _fetch(self, event: ImageStored) -> FetchedImage:
        try:
            key = self._blobs.key_of(event.image_uri)
            return _decode(get_verified(self._blobs.blobs, key, sha256=event.image_id), self._clock)
        except (MissingError, CorruptError, ImageError, ValueError) as error:
            msg = f"image {event.image_uri} of capture {event.capture_id} can't be judged: {error}"
            raise PoisonError(msg) from error


class DecodingThreads:
    """The port ``ImageDecoder``, in threads of its own.

    Those of the store may all wait for a store that does not answer.
    """

    def __init__(self, threads: int, *, clock: Clock) -> None:
        self._executor, self._clock = ThreadPoolExecutor(threads, thread_name_prefix="decode"), clock

    async def decode(self, data: bytes) -> FetchedImage:
        """Decode one image; ImageError where the bytes are none."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, _decode, data, self._clock)

    def close(self) -> None:
        """Stop the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class StoredMasks:
    """The port ``MaskStore``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def store(self, mask_HW: NDArray[np.uint8], *, event: ImageStored, judgement: CaptureJudgement) -> str:
        """Write the mask of a capture, and return its address.

        A repeat writes equal bytes, since the key holds all that the mask depends on: capture, weights and the revision
        of their threshold.
        """
        revision = judgement.threshold.revision
        key = keys.verdict_mask_key(event.line, event.capture_id, judgement.weights, revision)
        await self._blobs.run(self._store, key, mask_HW)
        return self._blobs.uri(key)

    def _store(self, key: str, mask_HW: NDArray[np.uint8]) -> None:
        self._blobs.blobs.put(key, encode_mask(mask_HW), content_type="image/png")


def _decode(data: bytes, clock: Clock) -> FetchedImage:
    began_s = clock.monotonic()
    image_HWC = decode_image(data)
    return FetchedImage(image_HWC=image_HWC, decode_s=clock.monotonic() - began_s)
