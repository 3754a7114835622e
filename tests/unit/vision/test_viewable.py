"""Images as browsers show them."""

import cv2
import numpy as np
import pytest

from siad.vision.viewable import make_viewable


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
