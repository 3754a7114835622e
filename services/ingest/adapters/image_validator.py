"""Image validator in a small thread pool.

The pool is small because a decoded image may take a hundred times the memory of its file.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from services.ingest.ports import ValidatedImage
from siad.contracts.ids import image_id_of
from siad.vision.images import decode_image, describe_image


class DecodingImageValidator:
    """The port ``ImageValidator``.

    Args:
        threads: images decoded at once.
        pixels_max: of one image.
    """

    def __init__(self, *, threads: int, pixels_max: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="pixels")
        self._pixels_max = pixels_max

    async def validate(self, data: bytes) -> ValidatedImage:
        """Compute an image's id, and decode it once."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._validate, data)

    def _validate(self, data: bytes) -> ValidatedImage:
        info = describe_image(data, pixels_max=self._pixels_max)
        decode_image(data, pixels_max=self._pixels_max)
        return ValidatedImage(image_id_of(data), info)

    def close(self) -> None:
        """Close the thread pool."""
        self._executor.shutdown(wait=False, cancel_futures=True)
