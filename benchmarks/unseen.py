"""Figures of the default teacher on composed views.

Made of real images: rotated, tall, wide, round.

    python -m benchmarks.unseen FOLDER                      # a folder in MVTec-AD's layout, with masks
    python -m benchmarks.unseen FOLDER --views wide --input-px 0,384,1024

- ``turned``: every image at a random angle, its border repeated.
- ``tall``: four images on top of each other; in a defective view one has the defect.
- ``wide``: 16 by 5 of them, some 4,000 px wide; in a defective view one has the defect.
- ``round``: a disc out of every image, at a random angle and position on a plain ground.

It shows whether the defaults hold beyond the sets that they were chosen on.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.teacher import Line, NormalDraw, Row, Sample, measure, mvtec
from siad.vision.images import Image

NORMALS_MADE: Final = 20  # to draw ten from
TESTS_MADE: Final = 60  # views of a mosaic, half of them good
GROUND: Final = 60  # grey behind a round part
Mask = NDArray[np.bool_]


def turned(line: Line, rng: np.random.Generator) -> Line:
    """Rotate every image by a random angle."""

    def turn(sample: Sample) -> Sample:
        height, width = sample.image_HWC.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), float(rng.uniform(0, 360)), 1.0)
        return _warped(sample, matrix, (width, height), cv2.BORDER_REPLICATE)

    return _each(line, "turned", turn)


def round_parts(line: Line, rng: np.random.Generator) -> Line:
    """Cut a disc out of every image, rotated and shifted.

    The ground is plain; masks are cut too.
    """

    def cut(sample: Sample) -> Sample:
        height, width = sample.image_HWC.shape[:2]
        side = min(height, width)
        disc_HW = np.zeros((height, width), np.uint8)
        cv2.circle(disc_HW, (width // 2, height // 2), round(0.48 * side), 1, -1)
        image_HWC = np.where(disc_HW[..., None] > 0, sample.image_HWC, GROUND).astype(np.uint8)
        mask_HW = None if sample.mask_HW is None else sample.mask_HW & (disc_HW > 0)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(0, 360)), 0.85)
        matrix[:, 2] += np.array([side - width, side - height]) / 2 + rng.uniform(-0.06, 0.06, 2) * side
        inside = replace(sample, image_HWC=image_HWC, mask_HW=mask_HW)
        found = _warped(inside, matrix, (side, side), cv2.BORDER_CONSTANT)
        return found if mask_HW is None or mask_HW.any() else replace(found, is_defect=False, mask_HW=None)

    return _each(line, "round", cut)


def mosaic(line: Line, rng: np.random.Generator, *, name: str, rows: int, columns: int) -> Line:
    """Compose views of many images.

    As many good as defective ones, in which one image is defective.
    """
    heights, widths = zip(*((one.shape[0], one.shape[1]) for one in line.normals), strict=True)
    cell_hw = (int(np.median(heights)), int(np.median(widths)))
    good = [sample for sample in line.tests if not sample.is_defect]
    bad = [sample for sample in line.tests if sample.is_defect and sample.mask_HW is not None]

    def compose(samples: Sequence[Sample]) -> Sample:
        cells = [_sized(sample, cell_hw) for sample in samples]
        at = [slice(row * columns, (row + 1) * columns) for row in range(rows)]
        image_HWC = np.vstack([np.hstack([cell.image_HWC for cell in cells[one]]) for one in at])
        masks = [np.zeros(cell_hw, bool) if cell.mask_HW is None else cell.mask_HW for cell in cells]
        mask_HW = np.vstack([np.hstack(masks[one]) for one in at])
        return Sample(image_HWC, bool(mask_HW.any()), mask_HW if mask_HW.any() else None)

    def some(pool: Sequence[Sample], count: int) -> list[Sample]:
        return [pool[index] for index in rng.integers(0, len(pool), count)]

    normals = [Sample(image_HWC, is_defect=False) for image_HWC in line.normals]
    count = rows * columns
    made = [compose(some(good, count)) for _ in range(TESTS_MADE // 2)]
    for sample in some(bad, TESTS_MADE // 2):
        cells = some(good, count)
        cells[int(rng.integers(count))] = sample
        made.append(compose(cells))
    return replace(
        line,
        name=f"{line.name}, {name}",
        normals=[compose(some(normals, count)).image_HWC for _ in range(NORMALS_MADE)],
        tests=made,
    )


VIEWS: Final[dict[str, Callable[[Line, np.random.Generator], Line]]] = {
    "turned": turned,
    "tall": partial(mosaic, name="tall", rows=4, columns=1),
    "wide": partial(mosaic, name="wide", rows=5, columns=16),
    "round": round_parts,
}


def _each(line: Line, name: str, change: Callable[[Sample], Sample]) -> Line:
    normals = [change(Sample(image_HWC, is_defect=False)).image_HWC for image_HWC in line.normals[:200]]
    return replace(line, name=f"{line.name}, {name}", normals=normals, tests=[change(sample) for sample in line.tests])


def _warped(sample: Sample, matrix: NDArray[np.floating], size: tuple[int, int], border: int) -> Sample:
    def warp(pixels: NDArray[np.uint8], kernel: int, ground: int) -> NDArray[np.uint8]:
        fill = (ground, ground, ground)
        return np.asarray(
            cv2.warpAffine(pixels, matrix, size, flags=kernel, borderMode=border, borderValue=fill), np.uint8
        )

    image_HWC = warp(sample.image_HWC.astype(np.uint8), cv2.INTER_LINEAR, GROUND)
    mask_HW = None
    if sample.mask_HW is not None:
        mask_HW = warp(sample.mask_HW.astype(np.uint8), cv2.INTER_NEAREST, 0) > 0
    return Sample(image_HWC.reshape(size[1], size[0], -1), sample.is_defect, mask_HW)


def _sized(sample: Sample, cell_hw: tuple[int, int]) -> Sample:
    height, width = cell_hw
    image_HWC: Image = cv2.resize(sample.image_HWC, (width, height), interpolation=cv2.INTER_AREA)
    mask_HW: Mask | None = None
    if sample.mask_HW is not None:
        mask_HW = cv2.resize(sample.mask_HW.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return Sample(image_HWC.reshape(height, width, -1), sample.is_defect, mask_HW)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each view and input size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--views", default=",".join(VIEWS), help="some of them, separated by commas")
    parser.add_argument(
        "--input-px", default="0", help="sides to show images at, separated by commas; 0: the default's"
    )
    parser.add_argument("--normals", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    line = mvtec(options.folder)
    print("view; input px; image AUROC / pixel AUROC / pixel AP / AUPRO at 0.3; fit s; ms an image")
    for view in options.views.split(","):
        made = VIEWS[view](line, np.random.default_rng(7))
        height, width = made.normals[0].shape[:2]
        for input_px in map(int, options.input_px.split(",")):
            rows = [
                measure(made, NormalDraw(normals=options.normals, seed=seed, input_px=input_px))
                for seed in range(options.seeds)
            ]
            print(f"{made.name} ({width}x{height}); {input_px or 'default'}; {_figures(rows)}", flush=True)
    return 0


def _figures(rows: Sequence[Row]) -> str:
    names = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro_30")
    means = "/".join(f"{np.mean([getattr(row, name) for row in rows]):.3f}" for name in names)
    return f"{means}; {rows[0].fit_s:.0f}; {rows[0].image_ms:.0f}"


if __name__ == "__main__":
    sys.exit(main())
