"""Decoding against Pillow, which wrote the files and reads them by other code than OpenCV's."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from imagecodecs import PngError
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from siad.contracts.errors import OutOfMemoryError
from siad.vision.formats import png
from siad.vision.images import ImageError, decode_image, describe_image

ALL = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")


def picture(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Pillow.Image:
    """Smooth colours, each corner its own, so that JPEG keeps them and a turn shows."""
    columns, rows = np.meshgrid(np.linspace(0, 200, size[0]), np.linspace(0, 200, size[1]))
    pixels = np.stack([columns, rows, 255 - columns], axis=2).astype(np.uint8)
    return Pillow.fromarray(pixels).convert(mode)


def write(image: Pillow.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    if file_format in ("JPEG", "WEBP"):
        options.setdefault("quality", 95)
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def turned(file_format: str, orientation: int) -> bytes:
    if file_format == "TIFF":
        return write(picture(), file_format, tiffinfo={274: orientation})
    exif = Pillow.Exif()
    exif[274] = orientation
    return write(picture(), file_format, exif=exif.tobytes())


def reason_of(data: bytes, **limits: int) -> str:
    with pytest.raises(ImageError) as caught:
        describe_image(data, **limits)
    with pytest.raises(ImageError) as again:
        decode_image(data, **limits)
    assert again.value.reason == caught.value.reason
    return caught.value.reason


def png16(pixels: NDArray[np.uint16]) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


@pytest.mark.parametrize("file_format", ALL)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_are_those_that_pillow_reads(file_format: str, mode: str) -> None:
    data = write(picture(mode), file_format)
    image, info = decode_image(data), describe_image(data)
    expected = np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB" if image.shape[2] == 3 else "L"))
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected.reshape(image.shape)).max() <= 4  # two JPEG decoders
    assert (info.height_px, info.width_px, info.channels) == image.shape
    assert info.channels == (1 if mode == "L" and file_format != "WEBP" else 3)  # WebP knows no grey
    assert (info.format, info.bits) == (file_format.lower(), 8)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_exactly_once(file_format: str, orientation: int) -> None:
    data = turned(file_format, orientation)
    upright = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))).convert("RGB"))
    image, info = decode_image(data), describe_image(data)
    assert image.shape == upright.shape == (info.height_px, info.width_px, 3)
    assert np.abs(image.astype(int) - upright).max() <= 8


@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_of_16_bit_pixels_is_applied_once(orientation: int) -> None:
    pixels = np.arange(0, 48 * 32 * 32, 32, dtype=np.uint16).reshape(32, 48)
    turn = {3: 2, 6: -1}[orientation]
    data = write(Pillow.fromarray(pixels), "TIFF", tiffinfo={274: orientation})
    np.testing.assert_array_equal(decode_image(data)[:, :, 0], np.rot90(pixels, turn))
    plain, exif = png16(pixels), Pillow.Exif()
    exif[274] = orientation
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    np.testing.assert_array_equal(decode_image(plain[:33] + chunk + plain[33:])[:, :, 0], np.rot90(pixels, turn))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_every_bit(file_format: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (20, 30), dtype=np.uint16)
    data = write(Pillow.fromarray(pixels), file_format)
    image = decode_image(data)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image[:, :, 0], pixels)
    assert describe_image(data).bits == 16


def test_16_bit_colour_comes_in_rgb_order() -> None:
    bgr = np.zeros((4, 4, 3), np.uint16)
    bgr[..., 0] = 60_000  # blue
    image = decode_image(png16(bgr))
    assert image[0, 0].tolist() == [0, 0, 60_000]


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 3), ("LA", 1), ("P", 3), ("1", 1)])
def test_opaque_alpha_is_dropped_and_palettes_are_resolved(mode: str, channels: int) -> None:
    image = picture(mode)
    data = write(image, "PNG")
    expected = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    np.testing.assert_array_equal(decode_image(data), expected.reshape(32, 48, channels))
    assert describe_image(data).channels == channels


@pytest.mark.parametrize(("file_format", "mode"), [("TIFF", "P"), ("TIFF", "RGBA"), ("BMP", "P")])
def test_odd_kinds_of_pixels_become_colour(file_format: str, mode: str) -> None:
    data = write(picture(mode), file_format)
    expected = np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(decode_image(data).astype(int) - expected).max() <= 8


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiffs_are_read(compression: str) -> None:
    data = write(picture(), "TIFF", compression=compression)
    np.testing.assert_array_equal(decode_image(data), np.asarray(picture()))


def test_a_progressive_jpeg_with_a_thumbnail_and_restarts_is_whole() -> None:
    exif = b"Exif\0\0" + write(picture(size=(8, 8)), "JPEG")  # a block that itself ends with an end-of-image marker
    data = write(picture(size=(160, 120)), "JPEG", progressive=True, exif=exif, restart_marker_rows=1)
    assert describe_image(data + b"junk").width_px == 160


@pytest.mark.parametrize("file_format", ALL)
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_short_is_truncated(file_format: str, keep: float) -> None:
    data = write(picture(size=(160, 120)), file_format)
    assert reason_of(data[: int(len(data) * keep)]) == "truncated"


@pytest.mark.parametrize("file_format", ALL)
def test_no_length_of_any_file_crashes(file_format: str) -> None:
    data = write(picture(size=(16, 16)), file_format)
    for length in range(len(data) - 1):  # a TIFF's last byte may be padding
        if file_format == "BMP" and length >= len(data) - 2:
            continue
        with pytest.raises(ImageError):
            describe_image(data[:length])


@pytest.mark.parametrize("file_format", ALL)
def test_no_flipped_byte_crashes(file_format: str) -> None:
    data = bytearray(write(picture(size=(16, 16)), file_format))
    for place in range(min(len(data), 160)):
        data[place] ^= 0xFF
        try:
            assert decode_image(bytes(data), pixels_max=10_000).size <= 30_000
        except ImageError as error:
            assert error.reason  # noqa: PT017 - either way is right
        data[place] ^= 0xFF


@pytest.mark.parametrize("data", [b"", b"hello", b"\x93NUMPY\x01\0", b"%PDF-1.7"])
def test_other_bytes_are_not_an_image(data: bytes) -> None:
    assert reason_of(data) == "not-an-image"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    assert reason_of(bomb) == "too-large"


def test_the_limit_counts_pixels() -> None:
    data = write(picture(), "PNG")
    assert describe_image(data, pixels_max=48 * 32).width_px == 48
    assert reason_of(data, pixels_max=48 * 32 - 1) == "too-large"


def test_a_png_with_a_changed_byte_is_damaged() -> None:
    data = bytearray(write(picture(), "PNG"))
    data[60] ^= 1
    assert reason_of(bytes(data)) == "damaged"


def test_what_is_not_pixels_of_8_or_16_bit_is_unsupported() -> None:
    assert reason_of(write(Pillow.fromarray(np.zeros((8, 8), np.float32)), "TIFF")) == "unsupported"
    frames = [picture(), picture().transpose(Pillow.Transpose.ROTATE_180)]
    assert reason_of(write(frames[0], "WEBP", save_all=True, append_images=frames[1:])) == "unsupported"


def test_a_good_image_that_finds_no_memory_is_not_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(picture(), "PNG")
    monkeypatch.setattr(png, "png_decode", lambda _: np.empty((10**9, 10**6)))
    with pytest.raises(OutOfMemoryError, match="decoding an image of 48x32 px"):
        decode_image(data)

    def without_memory(_: bytes) -> None:
        msg = "png_read_image: Out of memory"
        raise PngError(msg)

    monkeypatch.setattr(png, "png_decode", without_memory)
    with pytest.raises(OutOfMemoryError, match="Out of memory"):
        decode_image(data)


SCARCE = """
import os, resource, sys
from pathlib import Path
from siad.contracts.errors import OutOfMemoryError
from siad.vision.images import decode_image
for name in sys.argv[1:]:
    image = Path(name).read_bytes()
    if os.fork():  # each in a process of its own: what one frees, another may use
        os.wait()
        continue
    present = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for more in (2, 20):
        resource.setrlimit(resource.RLIMIT_AS, (present + more * 2**20, resource.RLIM_INFINITY))
        try:
            decode_image(image)
        except OutOfMemoryError:
            print(name, flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_an_image_that_does_not_fit_into_memory_is_not_damaged(tmp_path: Path) -> None:
    names = []
    for file_format in ("BMP", "JPEG", "PNG", "TIFF", "WEBP"):
        names.append(str(tmp_path / file_format))
        Path(names[-1]).write_bytes(
            write(Pillow.new("RGB", (4000, 4000)), file_format)
        )  # 48 MB decoded: over what malloc reuses
    done = subprocess.run([sys.executable, "-c", SCARCE, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert set(done.stdout.split()) == set(names)
