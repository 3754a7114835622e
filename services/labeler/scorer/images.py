"""Images of captures, read from the store by the scorer."""

import numpy as np
from numpy.typing import NDArray

from siad.contracts.errors import MissingError
from siad.runtime.blobs.port import Blobs, get_verified
from siad.vision.images import Image, decode_image, describe_image
from siad.vision.masks import decode_mask
from siad.vision.memory_errors import out_of_memory_named


def fetch_image(blobs: Blobs, uri: str, image_id: str) -> Image:
    """Read, verify and decode one image.

    Raises:
        MissingError: there is no such object, or its address is in another bucket.
        CorruptError: its bytes are not those of ``image_id``.
        ImageError: its bytes are not an image.
        TransientError: the store is unavailable or denies access, or memory ran out.
    """
    data = _read(blobs, uri, image_id)
    with out_of_memory_named(f"decoding {uri}"):
        return decode_image(data)


def fetch_normal(blobs: Blobs, uri: str, image_id: str) -> tuple[Image, int]:
    """Read one image to fit on, and its declared depth.

    Returns:
        The image, and significant bits of its samples; 0 where the file declares none.

    Raises:
        As ``fetch_image``.
    """
    data = _read(blobs, uri, image_id)
    with out_of_memory_named(f"decoding {uri}"):
        return decode_image(data), describe_image(data).significant_bits


def fetch_mask(blobs: Blobs, uri: str, sha256: str) -> NDArray[np.uint8]:
    """Read the mask of a corrected defect: uint8 [H, W].

    Raises:
        MissingError, CorruptError, TransientError: as ``fetch_image``.
        ValueError: it is no mask.
    """
    return decode_mask(_read(blobs, uri, sha256), may_ignore=True)


def _read(blobs: Blobs, uri: str, image_id: str) -> bytes:
    try:
        key = blobs.key_of(uri)
    except ValueError as error:
        raise MissingError(str(error)) from error
    with out_of_memory_named(f"reading {uri}"):
        return get_verified(blobs, key, sha256=image_id)
