"""Every kind of image file: right pixels, or a refusal that names what it holds."""

import numpy as np
import pytest

from siad.vision.images import ImageError, decode_image, describe_image
from tests.image_files import ImageFile, image_files

READ = [file for file in image_files() if file.pixels is not None]
REFUSED = [file for file in image_files() if file.pixels is None]


@pytest.mark.parametrize("file", READ, ids=[file.name for file in READ])
def test_pixels_are_right(file: ImageFile) -> None:
    assert file.pixels is not None
    image, info = decode_image(file.data), describe_image(file.data)
    assert image.dtype == file.pixels.dtype
    assert image.shape == file.pixels.shape == (info.height_px, info.width_px, info.channels)
    assert info.bits == 8 * image.dtype.itemsize
    assert int(np.abs(image.astype(int) - file.pixels.astype(int)).max()) <= file.tolerance


@pytest.mark.parametrize("file", REFUSED, ids=[file.name for file in REFUSED])
def test_a_refusal_names_what_the_file_holds(file: ImageFile) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(file.data)
    assert caught.value.reason in ("unsupported", "not-an-image")
    assert file.refusal in str(caught.value)


@pytest.mark.parametrize("file", READ, ids=[file.name for file in READ])
def test_a_declared_depth_is_told(file: ImageFile) -> None:
    declares = "declared" in file.holds or (file.format == "TIFF" and file.bits.isdigit() and 8 < int(file.bits) < 16)
    assert describe_image(file.data).significant_bits == (int(file.bits.split()[0]) if declares else 0)
