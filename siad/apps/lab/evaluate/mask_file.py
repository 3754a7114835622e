"""Reading of mask files: decoded layers, and the size of the image.

Shape suffixes: H = height, W = width, C = channels.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from siad.apps.files import link_reason_of, printable, read_stable
from siad.apps.lab.evaluate.mask_marks import MaskError, MaskLayers, marks_of
from siad.vision.images import ImageError, decode_image, decode_with_alpha, describe_image

_PNG = b"\x89PNG\r\n\x1a\n"
_PALETTE = 3  # colour type of a PNG


class MaskFileError(ValueError):
    """A mask file that can't be used.

    The message begins with its name.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"mask {printable(path)} {why}")
        self.path, self.why = path, why


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskReading:
    """A mask at the size of its image."""

    mask_HW: NDArray[np.uint8]  # 0 good, 255 defect
    style: str  # how it was read, for users


def read_masks(paths: Sequence[Path], size_px: tuple[int, int]) -> MaskReading:
    """Read the masks of one image, and unite them.

    Args:
        paths: at least one.
        size_px: height and width of the image.

    Raises:
        MaskFileError: one of them can't be read.
    """
    readings = [_read(path, size_px) for path in paths]
    return MaskReading(
        mask_HW=np.max([one.mask_HW for one in readings], axis=0),
        style="; ".join(sorted({one.style for one in readings})) + ("" if len(paths) == 1 else ", several united"),
    )


def _read(path: Path, size_px: tuple[int, int]) -> MaskReading:
    try:
        return decode_annotation(read_stable(path), size_px)
    except OSError as error:
        raise MaskFileError(path, f"can't be read: {link_reason_of(path, error)}") from error
    except MaskError as error:
        raise MaskFileError(path, str(error)) from error
    except ImageError as error:
        raise MaskFileError(path, f"can't be read: {error}") from error


def decode_annotation(data: bytes, size_px: tuple[int, int]) -> MaskReading:
    """Decode a mask of an annotation tool.

    Args:
        data: a file of any format that images have.
        size_px: height and width of the image. A mask of another size and the same aspect ratio is scaled by nearest
            neighbour.

    Raises:
        ImageError: the bytes can't be decoded.
        MaskError: the content has more than one meaning, or the size does not fit.
    """
    image_HWC, alpha_HW = decode_with_alpha(data)
    note = _require_fit((image_HWC.shape[0], image_HWC.shape[1]), size_px)
    found = marks_of(
        MaskLayers(image_HWC=image_HWC, alpha_HW=alpha_HW, index_HW=_palette_numbers(data), is_lossy=_is_lossy(data))
    )
    mask_HW = np.where(found.marked_HW, 255, 0).astype(np.uint8)
    if mask_HW.shape != size_px:
        mask_HW = np.asarray(cv2.resize(mask_HW, size_px[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    return MaskReading(mask_HW=mask_HW, style=f"{describe_image(data).format}, {found.style}{note}")


def _require_fit(mask_px: tuple[int, int], image_px: tuple[int, int]) -> str:
    """Refuse a mask of another aspect ratio.

    Returns:
        A note, if the mask is to be scaled.
    """
    if mask_px == image_px:
        return ""
    if _is_scaled(mask_px, image_px):
        return ", of another size: scaled"
    text = f"is {mask_px[1]}x{mask_px[0]} px, its image {image_px[1]}x{image_px[0]} px"
    if _is_scaled(mask_px[::-1], image_px):
        msg = f"{text}: width and height are swapped; rotate the mask as the image is"
        raise MaskError(msg)
    msg = f"{text}: another aspect ratio; save the mask at the size of its image"
    raise MaskError(msg)


def _is_scaled(mask_px: tuple[int, int], image_px: tuple[int, int]) -> bool:
    """Whether one size is the other times a factor, to a pixel."""
    (height, width), (image_height, image_width) = mask_px, image_px
    return (
        abs(round(image_height * width / image_width) - height) == 0
        or abs(round(image_width * height / image_height) - width) == 0
    )


def _is_lossy(data: bytes) -> bool:
    """Whether a file is JPEG, or WebP with losses (RFC 9649)."""
    return data.startswith(b"\xff\xd8") or (data.startswith(b"RIFF") and _has_lossy_frame(data))


def _has_lossy_frame(data: bytes) -> bool:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"VP8 ":
            return True
        at += 8 + length + length % 2
    return False


def _palette_numbers(data: bytes) -> NDArray[np.uint8] | None:
    """Numbers of a PNG's palette, [H, W]; None where it has none.

    They are read as the grey values of a copy whose palette is removed, because decoders resolve palettes.
    """
    if not data.startswith(_PNG) or data[25] != _PALETTE:
        return None
    header = bytearray(data[16:29])
    bits, header[9] = header[8], 0
    kept = [
        _chunk(b"IHDR", bytes(header)),
        *(_chunk(kind, body) for kind, body in _chunks(data) if kind in (b"eXIf", b"IDAT")),
    ]
    grey_HW = decode_image(b"".join((_PNG, *kept, _chunk(b"IEND", b""))))[:, :, 0]
    return np.asarray(grey_HW // (255 // (2**bits - 1)), np.uint8)  # libpng widens 1, 2 and 4 bits to 8


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
