"""Masks of annotation tools: read right, or refused by what they hold."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from siad.apps.lab.evaluate.mask_file import MaskFileError, decode_annotation, read_masks
from siad.apps.lab.evaluate.mask_marks import MaskError
from siad.vision.images import ImageError
from tests.unit.apps.lab.annotations import (
    ENCODINGS,
    VOC,
    classes,
    encoded,
    grey,
    layered,
    painted,
    palette_png,
    pillow,
    png,
)

CASES = Path(__file__).parents[4] / "tests/cases"
TRUTH = np.zeros((40, 60), np.bool_)
TRUTH[5:15, 8:30] = TRUTH[22:34, 40:52] = True


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_every_encoding_is_read_or_refused_as_it_should_be(name: str) -> None:
    encoding = ENCODINGS[name]
    data = encoding.encode(TRUTH, np.random.default_rng(1))
    if encoding.is_refused:
        with pytest.raises((MaskError, ImageError)):
            decode_annotation(data, TRUTH.shape)
    else:
        assert np.array_equal(decode_annotation(data, TRUTH.shape).mask_HW > 0, TRUTH)


@pytest.mark.parametrize("path", sorted(CASES.glob("mask_*_000_mask.*")), ids=lambda path: path.name)
def test_the_given_masks_are_the_truth_or_refused(path: Path) -> None:
    truth = cv2.imread(str(CASES / "mask_truth_000.png"), cv2.IMREAD_GRAYSCALE)
    assert truth is not None
    assert np.count_nonzero(truth) == 263
    if "transposed" in path.name:
        with pytest.raises(MaskFileError, match=r"is 192x256 px, its image 256x192 px: width and height are swapped"):
            read_masks([path], truth.shape)
    else:
        assert np.array_equal(read_masks([path], truth.shape).mask_HW, truth)


def test_several_masks_of_an_image_are_united(tmp_path: Path) -> None:
    parts = [np.where(classes(TRUTH, np.random.default_rng(0)) == number, 1, 0).astype(np.uint8) for number in (1, 2)]
    paths = [tmp_path / f"{number}.png" for number in (0, 1)]
    for path, part in zip(paths, parts, strict=True):
        path.write_bytes(png(part))
    found = read_masks(paths, TRUTH.shape)
    assert np.array_equal(found.mask_HW, grey(TRUTH, 255))
    assert found.style == "png, grey, two values, several united"


MOVED = np.roll(TRUTH, 9, axis=0) & ~TRUTH
BESIDE = np.zeros((40, 60), np.bool_)
BESIDE[5:15, 34:40] = True
RAMP = np.arange(2400, dtype=np.uint8).reshape(40, 60)
REFUSED = {
    "inverted": (png(grey(~TRUTH, 255)), r"marks 84\.8% of the image and its border, as an inverted mask does"),
    "numbers from one": (png(grey(TRUTH, 1) + np.uint8(1)), r"has no black pixel \(0\): its values are 1, 2"),
    "grey ground": (
        png(painted(TRUTH, (0, 0, 246)) + np.uint8(9)),
        r"has no black pixel \(0\): its colours are \(9, 9, 9\), \(255, 9, 9\)",
    ),
    "void": (png(grey(TRUTH, 255) + grey(MOVED, 2)), "the values 0, 2, 255, of which 255 may mean"),
    "a pseudo-mask": (png(grey(TRUTH, 255) + grey(MOVED, 128)), "the values 0, 128, 255, of which 128 may mean"),
    "void of a palette": (palette_png(grey(TRUTH, 255) + grey(MOVED, 1), VOC), "255 may mean that the pixel"),
    "palette with two readings": (
        palette_png(np.where(TRUTH, 3, RAMP % 2).astype(np.uint8), (9, 0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 0)),
        r"a palette \(0 \(9, 0, 0\), 1 \(0, 0, 0\), 3 \(8, 8, 0\)\) whose numbers and colours disagree",
    ),
    "a black class": (
        palette_png(classes(TRUTH, np.random.default_rng(0)), (0, 0, 0, 0, 0, 0, 255, 255, 255)),
        r"a palette \(0 \(0, 0, 0\), 1 \(0, 0, 0\), 2 \(255, 255, 255\)\) whose numbers and colours disagree",
    ),
    "alpha and colour": (
        png(np.dstack([painted(TRUTH, (9, 9, 9)), grey(np.roll(TRUTH, 3), 255)])),
        "364 opaque pixels, [0-9]+ of them not black: transparency and colour disagree",
    ),
    "nothing opaque": (png(np.dstack([RAMP, RAMP, RAMP, grey(TRUTH, 0)])), "is transparent everywhere"),
    "red and white jpeg": (encoded(painted(TRUTH, (0, 0, 255)) + painted(MOVED, (255, 255, 255)), ".jpg"), "several"),
    "blue jpeg": (
        encoded(painted(TRUTH, (255, 0, 0)), ".jpg", 1, 75),
        "in a dark colour, whose edges are lost in noise",
    ),
    "white and blue jpeg": (
        encoded(painted(TRUTH, (255, 255, 255)) + painted(BESIDE, (255, 0, 0)), ".jpg"),
        "in several colours, [0-9]+ pixels of them dark",
    ),
    "poor jpeg": (encoded(grey(TRUTH, 255) + grey(MOVED[::-1], 255), ".jpg", 1, 4), "heavy losses|soft levels"),
    "numbers in a jpeg": (encoded(grey(TRUTH, 12), ".jpg"), "values up to 1[0-9] are lost in noise; save it as PNG"),
    "swapped": (png(grey(TRUTH, 255).T.copy()), "is 40x60 px, its image 60x40 px: width and height are swapped"),
    "cropped": (png(grey(TRUTH[:, :50], 255)), "is 50x40 px, its image 60x40 px: another aspect ratio"),
    "ramp": (png(RAMP), "has soft levels of brightness, as a photo"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_what_the_mask_holds_and_how_to_save_it(name: str) -> None:
    data, said = REFUSED[name]
    with pytest.raises(MaskError, match=said):
        decode_annotation(data, TRUTH.shape)


def test_whole_and_empty_masks_are_read() -> None:
    assert decode_annotation(png(grey(TRUTH, 0)), TRUTH.shape).mask_HW.max() == 0
    assert decode_annotation(png(grey(TRUTH | True, 255)), TRUTH.shape).mask_HW.min() == 255
    assert decode_annotation(png(layered(TRUTH & False, (0, 0, 0))), TRUTH.shape).mask_HW.max() == 0


def test_a_thin_soft_stroke_is_not_taken_for_a_class() -> None:
    stroke = np.zeros((40, 60), np.uint8)
    cv2.line(stroke, (5, 5), (50, 30), 255, 1, cv2.LINE_AA)
    with pytest.raises(MaskError, match="levels of brightness"):
        decode_annotation(png(stroke), (40, 60))


def test_the_orientation_of_a_mask_is_applied_to_its_palette_too() -> None:
    numbers = Pillow.fromarray(grey(TRUTH.T.copy(), 1), "P")
    numbers.putpalette([90, 90, 90, 255, 0, 0] + [0] * 762)
    exif = Pillow.Exif()
    exif[0x0112] = 5
    out = io.BytesIO()
    numbers.save(out, "PNG", exif=exif)
    assert np.array_equal(decode_annotation(out.getvalue(), TRUTH.shape).mask_HW > 0, TRUTH)


def test_a_smaller_mask_is_scaled_by_nearest_neighbour() -> None:
    small = np.ascontiguousarray(TRUTH[::2, ::2])
    found = decode_annotation(pillow(Pillow.fromarray(small)), TRUTH.shape)
    assert np.array_equal(found.mask_HW > 0, np.kron(small, np.ones((2, 2), np.bool_)))
    assert found.style.endswith("of another size: scaled")
