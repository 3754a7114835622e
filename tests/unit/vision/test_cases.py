"""Files that were read wrong: each gives its right values, or is refused with what it holds.

The masks among them are read by ``siad evaluate``; the image of one pixel is judged against the normals of a line.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.vision.depth import scale_to_full_range
from siad.vision.images import ImageError, decode_image, describe_image

CASES: Final = Path(__file__).parents[2] / "cases"
EXPECTED: Final[dict[str, Any]] = json.loads((CASES / "expected.json").read_text(encoding="utf-8"))
READ: Final = {name: right for name, right in EXPECTED.items() if isinstance(right, dict)}
REFUSED: Final = {
    "jp2k_in_tiff.tif": ("unsupported", ["compression 34712 (JPEG 2000)"]),
    "cmyk16.tif": ("unsupported", ["CMYK", "16 bits"]),
    "multipage3.tif": ("unsupported", ["3 images"]),
    "tiff8_strip_garbled_zlib.tif": ("damaged", ["strip 3 of 6"]),
    "jpeg_half_scan_eoi.jpg": ("damaged", ["premature end of data segment"]),
    "jpeg_garbled.jpg": ("damaged", ["premature end of data segment"]),
    "rgba_transparent_black.png": ("unsupported", ["30.8%", "transparent"]),
    "jls.jls": ("unsupported", ["JPEG-LS"]),
}
ELSEWHERE: Final = {"gray4.tif", "one_pixel.png"}  # their right value is a sentence


def read(name: str) -> NDArray[Any]:
    return decode_image((CASES / name).read_bytes())


def eight_bits(image: NDArray[Any]) -> NDArray[Any]:
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


@pytest.mark.parametrize("name", sorted(READ.keys() - REFUSED.keys()))
def test_a_file_that_is_read_has_its_right_values(name: str) -> None:
    right = READ[name]
    image = read(name)
    if name == "mono12_in16.png":  # it does not declare its depth; its line does
        image = np.asarray(scale_to_full_range(image, 12))
    values = np.squeeze(eight_bits(image))
    assert list(values.shape) == right["shape"]
    assert float(values.mean()) == pytest.approx(right["mean8"], abs=0.5)
    assert values[10, 10].tolist() == right["px_10_10"]
    assert values[70, 100].tolist() == right["px_70_100"]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_file_that_is_refused_is_refused_by_name(name: str) -> None:
    reason, texts = REFUSED[name]
    with pytest.raises(ImageError) as caught:
        read(name)
    assert caught.value.reason == reason
    for text in texts:
        assert text in str(caught.value)


def test_four_bits_are_scaled_to_eight() -> None:
    assert float(read("gray4.tif").mean()) == pytest.approx(101.2, abs=0.05)


def test_the_full_size_page_is_taken_and_said() -> None:
    info = describe_image((CASES / "thumb_first.tif").read_bytes())
    assert (info.width_px, info.height_px, info.pages) == (130, 90, 2)
    assert info.note == "page 2 of 2 was used: the other is a reduced copy"


def test_every_case_has_a_test() -> None:
    names = {path.name for path in CASES.iterdir()} - {"README.md", "expected.json"}
    known = READ.keys() | REFUSED.keys() | ELSEWHERE
    assert {name for name in names if not name.startswith("mask_")} == known
