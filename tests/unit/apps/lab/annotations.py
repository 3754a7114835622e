"""Masks as annotation tools write them: one truth, many encodings."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

Truth = NDArray[np.bool_]
VOC = (0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0)  # palette of PASCAL VOC, of many tools


def lay(root: Path, *names: str, data: bytes = b"") -> Path:
    """Make files of some bytes, with their folders."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def random_truth(rng: np.random.Generator) -> Truth:
    """Some blobs, none of them thin, which cover less than half of an image."""
    height, width = (int(side) for side in rng.integers(24, 80, 2))
    width += width == height  # nothing tells that a square mask is transposed
    canvas = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        x, y = int(rng.integers(4, width - 4)), int(rng.integers(4, height - 4))
        size = int(rng.integers(3, max(4, min(height, width) // 6)))
        if rng.random() < 0.5:
            cv2.circle(canvas, (x, y), size, 1, -1)
        else:
            cv2.rectangle(canvas, (x - size, y - size), (x + size, y + size // 2), 1, -1)
    return canvas > 0


def pillow(picture: Pillow.Image, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **how)
    return out.getvalue()


def png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    return encoded(pixels, ".png")


def encoded(pixels: NDArray[np.uint8] | NDArray[np.uint16], suffix: str, *flags: int) -> bytes:
    """Encode [H, W], or [H, W, 3 or 4] in the order of OpenCV."""
    done, data = cv2.imencode(suffix, pixels, flags)
    assert done
    return data.tobytes()


def grey(truth: Truth, value: int, dtype: type = np.uint8) -> NDArray[np.uint8]:
    return np.asarray(np.where(truth, value, 0), dtype)


def classes(truth: Truth, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A number from 1 for each blob."""
    _, labels = cv2.connectedComponents(truth.astype(np.uint8))
    return np.asarray(labels, np.uint8)


def painted(truth: Truth, colour: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.asarray(truth[:, :, None] * np.array(colour), np.uint8)


def layered(truth: Truth, colour: tuple[int, int, int], opaque: int = 255) -> NDArray[np.uint8]:
    """Strokes of a colour on a transparent layer of the same colour."""
    layer = np.empty((*truth.shape, 4), np.uint8)
    layer[:, :, :3], layer[:, :, 3] = colour, np.where(truth, opaque, 0)
    return layer


def palette_png(numbers: NDArray[np.uint8], colours: tuple[int, ...], **how: Any) -> bytes:
    picture = Pillow.fromarray(numbers, "P")
    picture.putpalette([*colours, *[0] * (768 - len(colours))])
    return pillow(picture, **how)


def softened(truth: Truth) -> NDArray[np.uint8]:
    """Edges as of a tool that draws with anti-aliasing; cut at half they are the truth again."""
    blurred = cv2.GaussianBlur(grey(truth, 255), (3, 3), 0.6).astype(int)
    return np.asarray(np.where(truth, np.maximum(blurred, 128), np.minimum(blurred, 127)), np.uint8)


def through_jpeg(truth: Truth, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Grey values that were saved as JPEG before."""
    quality = int(rng.integers(60, 96))
    data = encoded(grey(truth, 255), ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality)
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


def any_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    colours = [(0, 255, 0), (0, 0, 255), (255, 0, 0), (255, 255, 255), (128, 0, 0), (0, 255, 255), (40, 200, 120)]
    return colours[int(rng.integers(len(colours)))]


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way to write a mask."""

    encode: Callable[[Truth, np.random.Generator], bytes]
    may_refuse: bool = False  # the file has another meaning too, so that a refusal is right as well
    is_refused: bool = False  # and it must be


ENCODINGS: dict[str, Encoding] = {
    "0 and 255": Encoding(lambda truth, _: png(grey(truth, 255))),
    "0 and 1": Encoding(lambda truth, _: png(grey(truth, 1))),
    "class numbers": Encoding(lambda truth, rng: png(classes(truth, rng))),
    "bright classes": Encoding(lambda truth, rng: png(classes(truth, rng) * 60)),
    "16 bit": Encoding(lambda truth, rng: png(grey(truth, int(rng.choice([1, 255, 65535])), np.uint16))),
    "one bit": Encoding(lambda truth, _: pillow(Pillow.fromarray(truth))),
    "colour": Encoding(lambda truth, rng: png(painted(truth, any_colour(rng)))),
    "bmp": Encoding(lambda truth, rng: encoded(painted(truth, any_colour(rng)), ".bmp")),
    "bmp of one bit": Encoding(lambda truth, _: pillow(Pillow.fromarray(truth), "BMP")),
    "tiff": Encoding(lambda truth, _: encoded(grey(truth, 255), ".tif")),
    "tiff of one bit": Encoding(lambda truth, _: pillow(Pillow.fromarray(truth), "TIFF")),
    "webp": Encoding(
        lambda truth, rng: pillow(Pillow.fromarray(painted(truth, any_colour(rng))), "WEBP", lossless=True)
    ),
    "opaque layer": Encoding(
        lambda truth, rng: png(np.dstack([painted(truth, any_colour(rng)), grey(truth | True, 255)]))
    ),
    "white layer": Encoding(lambda truth, rng: png(layered(truth, (255, 255, 255)))),
    "coloured layer": Encoding(lambda truth, rng: png(layered(truth, any_colour(rng), int(rng.choice([128, 255]))))),
    "black layer": Encoding(lambda truth, _: png(layered(truth, (0, 0, 0)))),
    "grey with alpha": Encoding(
        lambda truth, _: pillow(
            Pillow.merge("LA", [Pillow.fromarray(grey(truth | True, 255)), Pillow.fromarray(grey(truth, 255))])
        )
    ),
    "transparent colour": Encoding(lambda truth, _: pillow(Pillow.fromarray(grey(truth, 255)), transparency=0)),
    "palette": Encoding(lambda truth, rng: palette_png(classes(truth, rng), VOC)),
    "palette of two bits": Encoding(lambda truth, rng: palette_png(classes(truth, rng), VOC, bits=2)),
    "palette with a grey ground": Encoding(lambda truth, _: palette_png(grey(truth, 1), (90, 90, 90, 255, 0, 0))),
    "palette without colours": Encoding(lambda truth, rng: palette_png(classes(truth, rng), ())),
    "palette of an optimiser": Encoding(lambda truth, _: palette_png(grey(~truth, 1), (255, 0, 0, 0, 0, 0))),
    "palette with a transparent ground": Encoding(
        lambda truth, _: palette_png(grey(truth, 1), (255, 255, 255, 255, 0, 0), transparency=0)
    ),
    "soft edges": Encoding(lambda truth, _: png(softened(truth)), may_refuse=True),
    "jpeg": Encoding(
        lambda truth, rng: encoded(grey(truth, 255), ".jpg", cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 101))),
        may_refuse=True,
    ),
    "jpeg in colour": Encoding(
        lambda truth, rng: encoded(
            painted(truth, any_colour(rng)), ".jpg", cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 101))
        ),
        may_refuse=True,
    ),
    "webp with losses": Encoding(
        lambda truth, rng: encoded(
            painted(truth, (255, 255, 255)), ".webp", cv2.IMWRITE_WEBP_QUALITY, int(rng.integers(70, 100))
        ),
        may_refuse=True,
    ),
    "png from a jpeg": Encoding(lambda truth, rng: png(through_jpeg(truth, rng)), may_refuse=True),
    "twice as large": Encoding(lambda truth, _: png(np.kron(grey(truth, 255), np.ones((2, 2), np.uint8)))),
    "three times as large": Encoding(lambda truth, _: png(np.kron(grey(truth, 1), np.ones((3, 3), np.uint8)))),
    "transposed": Encoding(lambda truth, _: png(grey(truth, 255).T.copy()), is_refused=True),
    "another aspect": Encoding(lambda truth, _: png(np.pad(grey(truth, 255), ((0, 9), (0, 0)))), is_refused=True),
    "inverted": Encoding(lambda truth, _: png(grey(~truth, 255)), is_refused=True),
    "inverted jpeg": Encoding(lambda truth, _: encoded(grey(~truth, 255), ".jpg"), is_refused=True),
    "inverted layer": Encoding(lambda truth, _: png(layered(~truth, (255, 255, 255))), is_refused=True),
    "jpeg of class numbers": Encoding(lambda truth, rng: encoded(classes(truth, rng), ".jpg"), is_refused=True),
    "photo": Encoding(lambda truth, rng: png(rng.integers(0, 256, (*truth.shape, 3), np.uint8)), is_refused=True),
    "photo as jpeg": Encoding(
        lambda truth, rng: encoded(
            cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), truth.shape[::-1], interpolation=cv2.INTER_CUBIC),
            ".jpg",
        ),
        is_refused=True,
    ),
    "map of scores": Encoding(lambda truth, _: png(cv2.GaussianBlur(grey(truth, 255), (0, 0), 4)), is_refused=True),
    "numbers from one": Encoding(lambda truth, _: png(grey(truth, 1) + np.uint8(1)), is_refused=True),
    "two colours": Encoding(
        lambda truth, _: png(painted(truth, (0, 0, 255)) + painted(~truth, (255, 0, 0))), is_refused=True
    ),
    "cut": Encoding(lambda truth, _: png(grey(truth, 255))[:-20], is_refused=True),
    "no image": Encoding(lambda truth, _: b'{"shapes": []}', is_refused=True),
}
