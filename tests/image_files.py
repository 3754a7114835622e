"""Image files of every format, depth and kind, with the pixels that are right or the words of their refusal.

``docs.generator`` decodes them for the table of the reference, and the tests of decoding compare and damage them.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.image_writers import bmp, chunk, packed, png, tiff, tiff_tags

HEIGHT_PX, WIDTH_PX = 24, 35


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """One file."""

    format: str  # as users say it
    holds: str  # colour and kind
    bits: str  # of a sample, as stored
    data: bytes
    pixels: NDArray[Any] | None = None  # [H, W, C]; None where the file is refused
    refusal: str = ""  # words of the message
    tolerance: int = 0  # lossy: of each pixel
    is_checked: bool = False  # its format has a checksum of the pixels

    @property
    def name(self) -> str:
        """Short name for test reports."""
        return f"{self.format} {self.holds} {self.bits}"


def samples(bits: int, channels: int = 1) -> NDArray[Any]:
    """Samples [H, W, C] that use every bit."""
    rows, columns = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    plane = (rows * 1031 + columns * 257 + rows * columns * 3) % 2**bits
    planes = [np.roll(plane, 5 * channel, axis=1) for channel in range(channels)]
    return np.stack(planes, axis=2).astype(np.uint8 if bits <= 8 else np.uint16)


def smooth() -> NDArray[np.uint8]:
    """A picture that lossy coding keeps: uint8 [H, W, 3]."""
    rows, columns = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    return np.stack([rows * 8, columns * 6, 200 - rows * 3], axis=2).astype(np.uint8)


def scaled(stored: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples of ``bits`` bits at the full range of 8 or 16 bits."""
    full = 255 if bits <= 8 else 65535
    right: NDArray[Any] = np.rint(stored.astype(float) * full / (2**bits - 1))
    return right.astype(np.uint8 if bits <= 8 else np.uint16)


@lru_cache(maxsize=1)
def image_files() -> tuple[ImageFile, ...]:
    """All files, in the order of the reference."""
    return (*_jpegs(), *_pngs(), *_bmps(), *_tiffs(), *_tiffs_refused(), *_webps(), *_others())


def pillow(image: NDArray[Any], file_format: str, mode: str | None = None, **options: Any) -> bytes:
    """Encode with Pillow."""
    buffer = io.BytesIO()
    picture = Pillow.fromarray(image)
    (picture.convert(mode) if mode else picture).save(buffer, file_format, **options)
    return buffer.getvalue()


def tifffile_of(image: NDArray[Any], **options: Any) -> bytes:
    """Encode with tifffile."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image, **options)
    return buffer.getvalue()


def _jpegs() -> Iterator[ImageFile]:
    picture, grey = smooth(), smooth()[:, :, :1]

    def file(holds: str, data: bytes, pixels: NDArray[Any] | None = picture, refusal: str = "", bits: str = "8") -> Any:
        return ImageFile(format="JPEG", holds=holds, bits=bits, data=data, pixels=pixels, refusal=refusal, tolerance=12)

    yield file("grey", pillow(grey[:, :, 0], "JPEG", quality=95), grey)
    yield file("YCbCr, baseline", pillow(picture, "JPEG", quality=95))
    yield file("YCbCr, progressive", pillow(picture, "JPEG", quality=95, progressive=True))
    yield file("YCbCr, restart markers", pillow(picture, "JPEG", quality=95, restart_marker_rows=1))
    yield file("RGB", pillow(picture, "JPEG", quality=95, keep_rgb=True))
    several = io.BytesIO()
    first, second = Pillow.fromarray(picture), Pillow.fromarray(255 - picture)
    first.save(several, "MPO", save_all=True, append_images=[second], quality=95)
    yield file("several images (MPO): the first", several.getvalue())
    yield file("CMYK", pillow(picture, "JPEG", "CMYK"), None, "CMYK JPEG")
    deep = imagecodecs.jpeg8_encode(samples(12)[:, :, 0], bitspersample=12)
    yield file("grey", bytes(deep), None, "JPEG of 12 bits", "12")
    yield file("lossless", bytes(imagecodecs.ljpeg_encode(grey[:, :, 0])), None, "lossless JPEG")


def _pngs() -> Iterator[ImageFile]:
    def file(holds: str, bits: str, data: bytes, pixels: NDArray[Any] | None, refusal: str = "") -> ImageFile:
        return ImageFile(
            format="PNG", holds=holds, bits=bits, data=data, pixels=pixels, refusal=refusal, is_checked=True
        )

    for bits in (1, 2, 4, 8, 16):
        stored = samples(bits)
        yield file("grey", str(bits), png(stored, bits, 0), scaled(stored, bits))
        yield file("grey, interlaced", str(bits), png(stored, bits, 0, is_interlaced=True), scaled(stored, bits))
    for bits in (8, 16):
        yield file("RGB", str(bits), png(samples(bits, 3), bits, 2), samples(bits, 3))
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    for bits in (1, 2, 4, 8):
        palette = chunk(b"PLTE", colours[: 2**bits].tobytes())
        yield file("palette", str(bits), png(samples(bits), bits, 3, before=palette), colours[samples(bits)[:, :, 0]])
    for bits in (10, 12, 14):
        declared = chunk(b"sBIT", bytes([bits]))
        stored = samples(bits)
        yield file("grey, declared (sBIT), unscaled", f"{bits} in 16", png(stored, 16, 0, before=declared),
                   scaled(stored, bits))  # fmt: skip
        yield file("grey, declared (sBIT), scaled", f"{bits} in 16", png(scaled(stored, bits), 16, 0, before=declared),
                   scaled(stored, bits))  # fmt: skip
    opaque = np.full((HEIGHT_PX, WIDTH_PX, 1), 255, np.uint8)
    pierced = opaque.copy()
    pierced[:3] = 0
    yield file("RGB, opaque alpha", "8", png(np.dstack([samples(8, 3), opaque]), 8, 6), samples(8, 3))
    yield file("RGB, transparent pixels", "8", png(np.dstack([samples(8, 3), pierced]), 8, 6), None, "transparent")
    key = chunk(b"tRNS", b"\0\0")
    yield file("grey, transparent colour", "8", png(samples(8), 8, 0, before=key), None, "transparent")
    frames = [Pillow.fromarray(smooth()), Pillow.fromarray(255 - smooth())]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    yield file("animated", "8", buffer.getvalue(), None, "animated PNG of 2 images")


def _bmps() -> Iterator[ImageFile]:
    def file(holds: str, bits: str, data: bytes, pixels: NDArray[Any] | None, refusal: str = "") -> ImageFile:
        return ImageFile(format="BMP", holds=holds, bits=bits, data=data, pixels=pixels, refusal=refusal)

    def padded(rows: list[bytes]) -> bytes:
        return b"".join(row + b"\0" * (-len(row) % 4) for row in rows)

    grey = b"".join(bytes([value] * 3) + b"\0" for value in range(256))
    for bits in (1, 4, 8):
        stored, step = samples(bits), 255 // (2**bits - 1)
        table = b"".join(bytes([value * step] * 3) + b"\0" for value in range(2**bits))
        data = bmp(padded(packed(stored[::-1], bits)), (WIDTH_PX, HEIGHT_PX, bits, 0), tables=table)
        yield file("palette of greys", str(bits), data, stored * step)
    colours = np.random.default_rng(1).integers(0, 256, (256, 4), dtype=np.uint8)
    data = bmp(padded(packed(samples(8)[::-1], 8)), (WIDTH_PX, HEIGHT_PX, 8, 0), tables=colours.tobytes())
    yield file("palette of colours", "8", data, colours[:, 2::-1][samples(8)[:, :, 0]])
    rgb = samples(8, 3)
    rows = padded([row.tobytes() for row in rgb[::-1, :, ::-1]])
    yield file("RGB", "24", bmp(rows, (WIDTH_PX, HEIGHT_PX, 24, 0)), rgb)
    rows = padded([row.tobytes() for row in rgb[:, :, ::-1]])
    yield file("RGB, rows from the top", "24", bmp(rows, (WIDTH_PX, -HEIGHT_PX, 24, 0)), rgb)
    filled = np.dstack([rgb[:, :, ::-1], samples(8)])
    yield file("RGB and a byte without meaning", "32", bmp(filled[::-1].tobytes(), (WIDTH_PX, HEIGHT_PX, 32, 0)), rgb)
    words = samples(16)[::-1, :, 0]
    fields = np.dstack([words >> 11, words >> 5 & 63, words & 31])[::-1]
    masks = np.array([0xF800, 0x07E0, 0x001F], "<u4").tobytes()
    right = np.dstack([scaled(fields[:, :, 0], 5), scaled(fields[:, :, 1], 6), scaled(fields[:, :, 2], 5)])
    data = bmp(padded([row.astype("<u2").tobytes() for row in words]), (WIDTH_PX, HEIGHT_PX, 16, 3), tables=masks)
    yield file("bit fields 5-6-5", "16", data, right)
    data = bmp(b"\x04\x01\x00\x01", (4, 1, 8, 1), tables=grey)
    yield file("RLE8", "8", data, None, "RLE8")
    yield file("OS/2", "8", data[:14] + b"\x0c" + data[15:], None, "OS/2")


_WORDS: Final = ("white is zero", "grey", "RGB")


def _tiffs() -> Iterator[ImageFile]:
    def file(holds: str, bits: str, data: bytes, pixels: NDArray[Any], **more: Any) -> ImageFile:
        return ImageFile(format="TIFF", holds=holds, bits=bits, data=data, pixels=pixels, **more)

    for bits in range(1, 17):
        for photometric, channels in ((1, 1), (0, 1), (2, 3)):
            stored = samples(bits, channels)
            rows = packed(stored, bits)
            if bits == 16:
                rows = [row.astype("<u2").tobytes() for row in stored]
            data = tiff([(tiff_tags(stored, bits, photometric), [b"".join(rows)])])
            right = scaled(stored if photometric else 2**bits - 1 - stored, bits)
            yield file(_WORDS[photometric], str(bits), data, right)
    for bits in (10, 12, 14):
        stored = samples(bits)
        words = stored.astype(">u2").tobytes()
        data = tiff([(tiff_tags(stored, bits, 1), [words])], order=">")
        yield file("grey, in words of 16 bits", str(bits), data, scaled(stored, bits))
        data = tiff([(tiff_tags(stored, 16, 1, t281=2**bits - 1), [stored.astype("<u2").tobytes()])])
        yield file("grey, declared (MaxSampleValue)", f"{bits} in 16", data, scaled(stored, bits))
    colours = np.random.default_rng(2).integers(0, 65536, (256, 3))
    for bits in (1, 2, 4, 8):
        stored = samples(bits)
        tags = tiff_tags(stored, bits, 3) | {320: colours[: 2**bits].T.ravel().tolist()}
        right = (colours >> 8).astype(np.uint8)[stored[:, :, 0]]
        yield file("palette", str(bits), tiff([(tags, [b"".join(packed(stored, bits))])]), right)
    for coding in ("lzw", "deflate", "packbits", "zstd"):
        for bits in (8, 16):
            stored = samples(bits, 3)
            data = tifffile_of(stored, photometric="rgb", compression=coding, rowsperstrip=7)
            yield file(f"RGB, {coding}", str(bits), data, stored, is_checked=coding == "deflate")
    rgb = samples(16, 3)
    data = tifffile_of(rgb, photometric="rgb", compression="deflate", predictor=2, tile=(16, 16), bigtiff=True)
    yield file("RGB, BigTIFF, tiles, predictor", "16", data, rgb, is_checked=True)
    data = tifffile_of(np.moveaxis(rgb, 2, 0), photometric="rgb", planarconfig="separate", byteorder=">")
    yield file("RGB in planes", "16", data, rgb)
    for name in ("rgb", "minisblack"):
        picture = smooth() if name == "rgb" else smooth()[:, :, 0]
        data = tifffile_of(picture, photometric=name, compression="jpeg", compressionargs={"level": 95})
        yield file(
            f"{'RGB' if name == 'rgb' else 'grey'}, JPEG",
            "8",
            data,
            picture.reshape(HEIGHT_PX, WIDTH_PX, -1),
            tolerance=12,
        )
    small = np.ascontiguousarray(samples(8)[::4, ::4, 0])
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(small, photometric="minisblack", subfiletype=1)
        writer.write(samples(8)[:, :, 0], photometric="minisblack")
    yield file("grey, with a reduced copy", "8", buffer.getvalue(), samples(8))


def _tiffs_refused() -> Iterator[ImageFile]:
    def file(holds: str, bits: str, data: bytes, refusal: str) -> ImageFile:
        return ImageFile(format="TIFF", holds=holds, bits=bits, data=data, refusal=refusal)

    grey, rgb = samples(8)[:, :, 0], samples(8, 3)
    yield file("several pages", "8", tifffile_of(np.stack([grey] * 3), photometric="minisblack"), "3 images")
    yield file("ImageJ stack", "8", tifffile_of(np.stack([grey] * 3), imagej=True), "3 images")
    yield file("grey", "32", tifffile_of(grey.astype(np.uint32), photometric="minisblack"), "grey of 1x32 bits")
    yield file("grey, signed", "16", tifffile_of(grey.astype(np.int16), photometric="minisblack"), "signed")
    yield file("grey, floating-point", "32", tifffile_of(grey.astype(np.float32)), "floating-point")
    cmyk = np.dstack([rgb, grey])
    yield file("CMYK", "8", tifffile_of(cmyk, photometric="separated"), "CMYK of 4x8 bits")
    yield file("CMYK", "16", tifffile_of(cmyk.astype(np.uint16), photometric="separated"), "CMYK of 4x16 bits")
    yield file(
        "camera raw (DNG)",
        "8",
        tifffile_of(grey, photometric="cfa", extratags=[(50706, 1, 4, b"\1\4\0\0", True)]),
        "DNG",
    )
    yield file("colour filter array", "8", tifffile_of(grey, photometric="cfa"), "colour filter array")
    for coding in ("jpeg2000", "jpegxl", "webp", "lerc"):
        name = {"jpeg2000": "JPEG 2000", "jpegxl": "JPEG XL", "webp": "WebP", "lerc": "LERC"}[coding]
        yield file(f"RGB, {name}", "8", tifffile_of(rgb, photometric="rgb", compression=coding), name)
    fax = np.where(grey > 127, 255, 0).astype(np.uint8)
    yield file("grey, CCITT group 4", "1", pillow(fax, "TIFF", "1", compression="group4"), "CCITT group 4")
    pierced = np.dstack([rgb, np.where(grey > 99, 255, 0).astype(np.uint8)])
    data = tifffile_of(pierced, photometric="rgb", extrasamples=["unassalpha"])
    yield file("RGB, transparent pixels", "8", data, "transparent")


def _webps() -> Iterator[ImageFile]:
    def file(holds: str, data: bytes, pixels: NDArray[Any] | None, refusal: str = "", tolerance: int = 0) -> ImageFile:
        return ImageFile(
            format="WebP", holds=holds, bits="8", data=data, pixels=pixels, refusal=refusal, tolerance=tolerance
        )

    picture, exact = smooth(), samples(8, 3)
    yield file("lossy", pillow(picture, "WEBP", quality=95), picture, tolerance=16)
    yield file("lossless", pillow(exact, "WEBP", lossless=True), exact)
    pierced = np.dstack([exact, samples(8)])
    yield file("transparent pixels", pillow(pierced, "WEBP", lossless=True), None, "transparent")
    frames = [Pillow.fromarray(picture), Pillow.fromarray(255 - picture)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    yield file("animated", buffer.getvalue(), None, "animated WebP")


def _others() -> Iterator[ImageFile]:
    picture = smooth()
    array = io.BytesIO()
    np.save(array, picture)
    files = {
        "GIF": pillow(picture, "GIF"),
        "JPEG 2000": pillow(picture, "JPEG2000"),
        "JPEG XL": bytes(imagecodecs.jpegxl_encode(picture)),
        "JPEG XR": bytes(imagecodecs.jpegxr_encode(picture)),
        "JPEG-LS": bytes(imagecodecs.jpegls_encode(picture)),
        "AVIF": bytes(imagecodecs.avif_encode(picture)),
        "portable bitmap": pillow(picture, "PPM"),
        "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "PDF": pillow(picture, "PDF"),
        "ZIP": b"PK\x03\x04" + bytes(40),
        "NumPy": array.getvalue(),
        "HTML": b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        "JSON": b'{"error": "no image"}',
        "empty": b"",
    }
    for name, data in files.items():
        yield ImageFile(format=name, holds="", bits="", data=data, refusal=name)
