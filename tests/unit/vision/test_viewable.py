"""Images as browsers show them."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from siad.vision.viewable import SampleWindow, make_thumbnail, make_viewable


@pytest.mark.parametrize(("extension", "media_type"), [(".png", "image/png"), (".jpg", "image/jpeg")])
def test_what_browsers_show_stays_as_it_is(extension: str, media_type: str) -> None:
    data = bytes(cv2.imencode(extension, np.full((8, 8), 90, np.uint8))[1])
    assert make_viewable(data) == (data, media_type)


def test_a_tall_dark_tiff_is_shown_in_eight_bits() -> None:
    samples = np.linspace(100, 900, 60 * 20).reshape(60, 20).astype(np.uint16)
    done, tiff = cv2.imencode(".tiff", samples)
    assert done
    png, media_type = make_viewable(bytes(tiff))
    assert media_type == "image/png"
    shown = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown is not None
    assert (shown.shape[:2], shown.dtype) == ((60, 20), np.uint8)
    assert (int(shown.min()), int(shown.max())) == (0, 255)
    assert np.all(np.diff(shown.reshape(1200, -1)[:, 0].astype(int)) >= 0)


def pixels(data: bytes) -> NDArray[np.uint8]:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found, np.uint8)


def test_a_window_spreads_the_samples_between_its_ends() -> None:
    samples = np.arange(0, 6400, 100)
    data = bytes(cv2.imencode(".png", samples.astype(np.uint16).reshape(8, 8))[1])
    png, media_type = make_viewable(data, SampleWindow(1000, 3550))
    shown = pixels(png).reshape(64, -1)[:, 0]
    assert media_type == "image/png"
    assert np.array_equal(shown, np.clip((samples - 1000) // 10, 0, 255))
    bright = bytes(cv2.imencode(".png", np.array([[10, 20, 30]], np.uint8))[1])
    shown = pixels(make_viewable(bright, SampleWindow(10, 30))[0]).reshape(3, -1)[:, 0]
    assert shown.tolist() == [0, 128, 255]


@pytest.mark.parametrize(("low", "high"), [(5, 5), (9, 3), (-1, 5), (0, 65_536)])
def test_a_window_without_samples_is_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="holds no samples"):
        SampleWindow(low, high)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1000, 500), (256, 128)), ((3, 4096), (1, 256)), ((1, 1), (1, 1)), ((200, 100), (200, 100))],
)
def test_thumbnails_are_small_and_never_enlarged(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    draw = np.random.default_rng(1).integers(20_000, 30_000, shape, np.uint16)
    jpeg = make_thumbnail(bytes(cv2.imencode(".png", draw)[1]))
    assert jpeg.startswith(b"\xff\xd8")
    assert pixels(jpeg).shape[:2] == expected
