"""PNG, read by libpng after every chunk's checksum was verified.

libpng refuses pixels that end early or fail the checksum of zlib. It resolves palettes, widens 1, 2 and 4 bits to 8,
turns a transparent colour into alpha, and ignores gamma and colour profiles, as all readers here do.

Source: W3C PNG 3rd edition, with APNG.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from imagecodecs import PngError, png_decode
from numpy.typing import NDArray

from siad.vision.formats.errors import damaged, several, truncated, unsupported
from siad.vision.formats.header import Header
from siad.vision.formats.samples import is_scaled, scale_samples
from siad.vision.formats.tags import exif_orientation
from siad.vision.memory_errors import is_out_of_memory

START: Final = b"\x89PNG\r\n\x1a\n"
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type
_FIRST_FRAME: Final = b"fcTL before IDAT"  # the image is part of its animation


def read_header(data: bytes) -> Header:
    """Parse one file up to its end chunk, and verify checksums."""
    chunks = _chunks(data)
    kind, body = next(chunks)
    if kind == b"CgBI":
        msg = "a PNG in Apple's own variant (chunk CgBI)"
        raise unsupported(msg)
    if kind != b"IHDR":
        msg = f"a PNG that begins with chunk {_name(kind)} in place of IHDR"
        raise damaged(msg)
    width, height, bits, colour = struct.unpack_from(">IIBB", body)
    if bits not in _DEPTHS.get(colour, ()):
        msg = f"a PNG of colour type {colour} with {bits} bits"
        raise damaged(msg)
    bodies: dict[bytes, bytes] = {}
    for kind, body in chunks:
        if kind == b"fcTL" and b"IDAT" not in bodies:
            bodies[_FIRST_FRAME] = body
        bodies.setdefault(kind, body)
    if b"IDAT" not in bodies:
        msg = "a PNG without pixels (chunk IDAT)"
        raise damaged(msg)
    _require_one_image(bodies)
    return Header(
        format="png",
        width_px=width,
        height_px=height,
        channels=3 if colour & 2 else 1,
        bits=max(bits, 8),
        orientation=exif_orientation(bodies.get(b"eXIf", b"")),
        significant_bits=_significant_bits(bodies.get(b"sBIT", b""), colour) if bits == 16 else 0,
    ).checked()


def decode(data: bytes, header: Header) -> NDArray[Any]:
    """Decode the pixels.

    Returns:
        uint8 or uint16 [H, W, C], C 1 (grey) or 3 (RGB), and one more where the file has alpha or a transparent colour.

    Raises:
        ImageError: the compressed pixels are damaged, or do not fill the size of the header.
    """
    try:
        pixels: NDArray[Any] = png_decode(data)
    except PngError as error:
        if is_out_of_memory(error):
            raise
        msg = f"libpng reports of the PNG of {len(data)} bytes: {error}"
        raise damaged(msg) from error
    pixels = pixels.reshape(header.height_px, header.width_px, -1)
    bits = header.significant_bits
    if not bits or pixels.dtype != np.uint16 or _is_scaled(pixels, bits):
        return pixels
    return scale_samples(pixels, bits)


def _is_scaled(pixels: NDArray[np.uint16], bits: int) -> bool:
    """Whether samples use all 16 bits.

    The specification demands it, whatever number of bits chunk sBIT states.

    Cameras also write them unscaled, below 2**bits. A dark image may be below it either way; the low bits tell.
    """
    return int(pixels.max()) >= 2**bits or is_scaled(pixels, bits)


def _require_one_image(bodies: Mapping[bytes, bytes]) -> None:
    """Refuse an animation, unless the image is its only frame."""
    if b"acTL" not in bodies:
        return
    (frames,) = struct.unpack_from(">I", bodies[b"acTL"])
    images = frames if _FIRST_FRAME in bodies else frames + 1
    if images > 1:
        msg = f"an animated PNG of {images} images"
        raise several(msg)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of every chunk up to the last.

    The body of the pixels is empty: they are many bytes, and are read by libpng.
    """
    at, kind = len(START), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise truncated(data, f"chunk {_name(kind)}")
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != checksum:
            msg = f"PNG chunk {_name(kind)} at byte {at} fails its checksum"
            raise damaged(msg)
        yield kind, b"" if kind in (b"IDAT", b"fdAT") else data[at + 8 : end - 4]
        at = end


def _name(kind: bytes) -> str:
    return kind.decode("latin-1")


def _significant_bits(body: bytes, colour: int) -> int:
    """Read how many bits the sensor gave.

    0 where the colours differ or all bits are significant.
    """
    samples = set(body[: 3 if colour & 2 else 1])
    bits = samples.pop() if len(samples) == 1 else 16
    return bits if 1 <= bits < 16 else 0
