"""Drift on real images: ``python -m benchmarks.drift [--data DIR]``.

Is it named right, how soon, and at what cost?

For each set ten or twenty normals, then the rest of its good images as a stream: unchanged and 400 captures long, or
changed from the 31st capture on. Images are in random order, so that ten normals are a sample of the line, and then in
the order of the files, where the first ten are neighbours.

Prints the table of ``docs/adr/0063-drift-beyond-slow-variation.md``, and milliseconds of a capture.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.domain.drift import DriftDetector
from siad.contracts.drift import DriftCause
from siad.vision.images import Image, decode_image
from siad.vision.view_figures import make_baseline, measure_view

SETS = ("bottle", "magnetic_tile", "bsdata_pitting", "dobot_cubes")
UNCHANGED, CHANGED, LONG, IMAGES = 30, 70, 400, 120
Change = Callable[[Image], Image]


def blur(image_HWC: Image) -> Image:
    """Lose focus: a deviation of 1.2 px at 512 px."""
    return _shaped(image_HWC, cv2.GaussianBlur(image_HWC, (0, 0), 1.2 * max(image_HWC.shape[:2]) / 512))


def dim(image_HWC: Image) -> Image:
    """Lose a fifth of the light."""
    return _shaped(image_HWC, (image_HWC * 0.8).astype(np.uint8))


def move(image_HWC: Image) -> Image:
    """Shift by 4% of the width and 2% of the height."""
    height, width = image_HWC.shape[:2]
    motion = np.array([[1, 0, round(0.04 * width)], [0, 1, round(0.02 * height)]], np.float32)
    return _shaped(image_HWC, cv2.warpAffine(image_HWC, motion, (width, height), borderMode=cv2.BORDER_REPLICATE))


def smear(image_HWC: Image) -> Image:
    """Put a soft spot on the lens, 8% of the side wide."""
    height, width = image_HWC.shape[:2]
    spot = np.zeros((height, width), np.float32)
    cv2.circle(spot, (int(0.3 * width), int(0.35 * height)), int(0.04 * min(height, width)), 1.0, -1)
    spot = cv2.GaussianBlur(spot, (0, 0), 0.01 * min(height, width) + 0.5)
    return _shaped(image_HWC, (image_HWC * (1 - 0.6 * spot[:, :, None])).astype(np.uint8))


CHANGES: Mapping[DriftCause, Change] = {
    DriftCause.FOCUS: blur,
    DriftCause.LIGHT: dim,
    DriftCause.SHIFT: move,
    DriftCause.DIRT: smear,
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared/data")
    folders = {name: parser.parse_args().data / name / "train/good" for name in SETS}
    data = {name: load(folder, is_shuffled=True) for name, folder in folders.items()}
    print("| set, normals, order | unchanged | focus | light | shift | dirt | product |")
    print("|---|---|---|---|---|---|---|")
    for name, shuffled in data.items():
        others = data[SETS[(SETS.index(name) + 1) % len(SETS)]]
        foreign = [_shaped_like(image, shuffled[0].shape[2]) for image in others]
        for normals in (10, 20):
            for order, images in (("random", shuffled), ("files", load(folders[name], is_shuffled=False))):
                captures = LONG if order == "random" else len(images) - normals
                cells = [describe(run(images, normals, None, captures))]
                cells += [describe(run(images, normals, change, UNCHANGED + CHANGED)) for change in CHANGES.values()]
                cells.append(describe(run(images, normals, _OtherProduct(foreign), UNCHANGED + CHANGED)))
                print(f"| {name}, {normals}, {order} | {' | '.join(cells)} |", flush=True)
    for name, images in data.items():
        baseline = make_baseline(images[:20])
        assert baseline is not None
        times = []
        for image in images[20:60]:
            began_s = time.perf_counter()
            DriftDetector(baseline).add(measure_view(image, baseline), log_ratio=0.0, weights="a")
            times.append(time.perf_counter() - began_s)
        size = f"{images[0].shape[1]}x{images[0].shape[0]}"
        print(f"{name} ({size}): {1000 * statistics.median(times):.1f} ms a capture, median of {len(times)}")


def _shaped_like(image_HWC: Image, channels: int) -> Image:
    grey_HW1 = np.asarray(image_HWC[:, :, :1], np.uint8)
    return np.repeat(grey_HW1, channels, axis=2)


class _OtherProduct:
    """Another product: its images in place of those of the line."""

    def __init__(self, others: list[Image]) -> None:
        self._others = iter(others)

    def __call__(self, _: Image) -> Image:
        """Give the next one."""
        return next(self._others)


def run(images: list[Image], normals: int, change: Change | None, captures: int) -> tuple[int, set[DriftCause]] | None:
    """Stream images until a drift is named.

    Returns:
        The number of the capture, from the change on, and the names.
    """
    baseline = make_baseline(images[:normals])
    assert baseline is not None
    detector, stream = DriftDetector(baseline), images[normals:]
    for number in range(captures):
        image = stream[number % len(stream)]
        if change is not None and number >= UNCHANGED:
            image = change(image)
        detector.add(measure_view(image, baseline), log_ratio=0.0, weights="a")
        if found := set(detector.drifts()):
            return number + 1 - (0 if change is None else UNCHANGED), found
    return None


def describe(found: tuple[int, set[DriftCause]] | None) -> str:
    """State the names and after how many captures they were found."""
    return "none" if found is None else f"{', '.join(sorted(cause.value for cause in found[1]))} after {found[0]}"


def load(folder: Path, *, is_shuffled: bool) -> list[Image]:
    """Decode the first images of a folder."""
    paths = sorted(folder.iterdir())
    if not is_shuffled:
        return [decode_image(path.read_bytes()) for path in paths[:IMAGES]]
    random.Random(0).shuffle(paths)  # noqa: S311 - an order, no secret
    return [decode_image(path.read_bytes()) for path in paths[:IMAGES]]


def _shaped(before_HWC: Image, after: NDArray[Any]) -> Image:
    """Restore shape and type, which OpenCV changes."""
    return np.asarray(after, np.uint8).reshape(before_HWC.shape)


if __name__ == "__main__":
    main()
