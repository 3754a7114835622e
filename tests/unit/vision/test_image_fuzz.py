"""Damaged image files of every kind: refused, or read with pixels that are the file's.

What is promised, of any bytes: a decoded image or an ``ImageError`` (or ``OutOfMemoryError``), of at most the pixels
allowed. A file that was cut, with or without an end marker put behind it, is refused or has all its pixels. Where the
format has checksums (PNG, deflate in TIFF) the same holds for every damage. Elsewhere a changed bit may give another
valid file.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.contracts.errors import OutOfMemoryError
from siad.vision.formats.tiff_layout import read_page
from siad.vision.images import ImageError, decode_image, describe_image
from tests.fuzzing import INPUTS, long_fuzz
from tests.image_files import ImageFile, image_files

PIXELS_MAX: Final = 40_000
FORMATS: Final = ("JPEG", "PNG", "BMP", "TIFF", "WebP")
READ: Final = {
    name: [file for file in image_files() if file.format == name and file.pixels is not None] for name in FORMATS
}
ANY: Final = {name: [file for file in image_files() if file.format == name] for name in FORMATS}
END_OF_JPEG: Final = b"\xff\xd9"


def decoded(data: bytes) -> NDArray[Any] | None:
    """The pixels, or None where the file is refused; the description never contradicts them."""
    try:
        image = decode_image(data, pixels_max=PIXELS_MAX)
    except (ImageError, OutOfMemoryError):
        return None
    info = describe_image(data, pixels_max=PIXELS_MAX)
    assert image.shape == (info.height_px, info.width_px, info.channels)
    assert image.dtype == (np.uint8 if info.bits == 8 else np.uint16)
    assert image.shape[0] * image.shape[1] <= PIXELS_MAX
    return image


def require_right_or_refused(data: bytes, file: ImageFile) -> None:
    image = decoded(data)
    if image is not None:
        np.testing.assert_array_equal(image, decode_image(file.data))


def with_flips(random: Random, data: bytes, start: int, stop: int) -> bytes:
    """Up to eight changed bits from ``start`` to ``stop``."""
    damaged = bytearray(data)
    for place in random.sample(range(8 * start, 8 * stop), min(random.randint(1, 8), 8 * (stop - start))):
        damaged[place // 8] ^= 1 << place % 8
    return bytes(damaged)


FIELDS: Final = (b"\0\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\1\0", b"\0\1", b"\x7f\xff\xff\xff")


def with_damage(random: Random, data: bytes, other: bytes) -> bytes:
    """Changed bits, a part overwritten, removed or put in twice, or a part of another file put in."""
    start = random.randrange(len(data))
    stop = min(len(data), start + random.randint(1, 64))
    before, part, after = data[:start], data[start:stop], data[stop:]
    damages: list[Callable[[], bytes]] = [
        lambda: with_flips(random, data, 0, len(data)),
        lambda: with_flips(random, data, 0, min(len(data), 200)),  # headers are small and decide most
        lambda: before + random.choice([b"\0", b"\xff", b"\x80"]) * len(part) + after,
        lambda: before + random.choice(FIELDS) + after,
        lambda: before + after,
        lambda: before + part + part + after,
        lambda: before + other[random.randint(0, len(other)) :],
    ]
    return random.choice(damages)()


def for_every_seed(check: Callable[[Random], None]) -> None:
    """Run a check on ``INPUTS`` seeds; hypothesis would take ten times as long as decoding."""
    for seed in range(INPUTS):
        try:
            check(Random(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


@long_fuzz
@pytest.mark.parametrize("name", FORMATS)
def test_damage_never_crashes(name: str) -> None:
    def check(random: Random) -> None:
        file, other = random.choices(ANY[name], k=2)
        decoded(with_damage(random, file.data, other.data))

    for_every_seed(check)


@long_fuzz
@pytest.mark.parametrize("name", FORMATS)
def test_a_cut_file_is_refused_or_has_all_its_pixels(name: str) -> None:
    def check(random: Random) -> None:
        file = random.choice(READ[name])
        cut = file.data[: random.randrange(len(file.data))]
        require_right_or_refused(cut, file)
        if name == "JPEG":
            require_right_or_refused(cut + END_OF_JPEG, file)

    for_every_seed(check)


@long_fuzz
def test_a_damaged_png_is_refused_or_has_all_its_pixels() -> None:
    def check(random: Random) -> None:
        file = random.choice(READ["PNG"])
        require_right_or_refused(with_damage(random, file.data, file.data), file)

    for_every_seed(check)


@long_fuzz
def test_damaged_deflate_in_tiff_is_refused_or_gives_all_its_pixels() -> None:
    files = [file for file in READ["TIFF"] if file.is_checked]
    grids = [read_page(file.data).grid for file in files]

    def check(random: Random) -> None:
        file, grid = random.choice(list(zip(files, grids, strict=True)))
        start, size = random.choice(list(zip(grid.starts, grid.sizes, strict=True)))
        require_right_or_refused(with_flips(random, file.data, start, start + size), file)

    for_every_seed(check)


@long_fuzz
def test_any_bytes_are_refused_or_read() -> None:
    starts = [b"", *(files[0].data[:8] for files in ANY.values())]

    def check(random: Random) -> None:
        decoded(random.choice(starts) + random.randbytes(random.randrange(64)))

    for_every_seed(check)
