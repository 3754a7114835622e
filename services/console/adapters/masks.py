"""Mask reader in a small thread pool.

The pool is small because a decoded mask may take a hundred times the memory of its file.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from services.console.ports import MaskImage
from siad.contracts.ids import sha256_hex
from siad.vision.headers import TOO_LARGE, ImageError
from siad.vision.images import describe_image
from siad.vision.masks import DEFECT, decode_mask, encode_mask

SIDE_MAX_PX: Final = 8192  # of a mask


class DecodingMaskReader:
    """The port ``MaskReader``."""

    def __init__(self, *, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="masks")

    async def read_mask(self, data: bytes) -> MaskImage:
        """Decode a mask, and encode it as it is stored."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, read_mask, data)

    async def read_size(self, image: bytes) -> tuple[int, int]:
        """Width and height of an image, upright; px."""
        info = await asyncio.get_running_loop().run_in_executor(self._executor, describe_image, image)
        return info.width_px, info.height_px

    def close(self) -> None:
        """Close the thread pool."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def read_mask(data: bytes) -> MaskImage:
    """Decode a mask of a bounded size, and encode it canonically.

    Raises:
        ImageError: the bytes are no mask; too-large, where a side is too long.
    """
    info = describe_image(data)
    if max(info.width_px, info.height_px) > SIDE_MAX_PX:
        size = f"{info.width_px}x{info.height_px} px"
        raise ImageError(TOO_LARGE, f"a mask of {size}; a side may have at most {SIDE_MAX_PX} px")
    mask_HW = decode_mask(data, may_ignore=True)
    png = encode_mask(mask_HW)
    height, width = mask_HW.shape
    return MaskImage(
        png=png,
        sha256=sha256_hex(png),
        width_px=width,
        height_px=height,
        defect_px=int(np.count_nonzero(mask_HW == DEFECT)),
    )
