"""Ranking of rotated parts, by draw of the normals.

    python -m benchmarks.rotated ../shared/data --seeds 5
    python -m benchmarks.rotated ../shared/data --seeds 3 --odd 2

Every normal and test image of some sets is rotated by a random angle. For each draw of ten normals the table has the
image AUROC of thirty good and thirty defective images, and whether the teacher found that parts rotate. With ``--odd``
that many normals of the ten are defective parts. One odd draw must not halve the ranking of the others. A draw takes
about a minute of one core, since a teacher of rotated copies learns twelve times as many images.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.calibration import image_set
from benchmarks.teacher import PLACE
from siad.models.bundle import open_bundle
from siad.models.teachers.feature_memory import fit
from siad.models.teachers.normals import Normals
from siad.vision.images import Image, decode_image
from siad.vision.scores import image_auroc

SETS = ("dobot_cubes", "bsdata_pitting", "magnetic_tile")
NORMALS, TESTED = 10, 30


@dataclass(frozen=True, slots=True)
class Draw:
    """Figures of one draw of normals."""

    image_auroc: float
    is_turned: bool
    doubted: int  # normals that the fit took for odd


def measure(data: Path, name: str, *, seed: int, odd: int) -> Draw:
    """Fit on rotated normals, and rank rotated images."""
    files = image_set(data, name)
    rng = np.random.default_rng(seed)
    order, defects = rng.permutation(len(files.normals)).tolist(), rng.permutation(len(files.defects)).tolist()
    drawn = [files.normals[index] for index in order[: NORMALS - odd]]
    drawn += [files.defects[index][0] for index in defects[:odd]]
    images = [_rotated(path, rng) for path in drawn]
    bundle = fit(
        Normals.ordered(images, [f"{index:032x}" for index in range(NORMALS)], PLACE), false_reject_budget=0.05
    )
    predictor = open_bundle(bundle.manifest, bundle.parts)
    goods = [*files.goods, *(files.normals[index] for index in order[NORMALS:])]
    good = [goods[index] for index in rng.permutation(len(goods))[:TESTED].tolist()]
    bad = [files.defects[index][0] for index in defects[odd : odd + TESTED]]
    scores = [float(predictor.maps([_rotated(path, rng)])[0].max()) for path in [*good, *bad]]
    figures = dict(bundle.manifest.metrics)
    return Draw(
        image_auroc=image_auroc(scores, [False] * len(good) + [True] * len(bad)),
        is_turned=bool(figures["turned"]),
        doubted=len(bundle.manifest.doubted) + len(bundle.manifest.left_out),
    )


def _rotated(path: Path, rng: np.random.Generator) -> Image:
    """Read an image, and rotate it about its centre; its size stays."""
    image_HWC = decode_image(path.read_bytes())
    height, width = image_HWC.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), float(rng.uniform(0, 360)), 1.0)
    turned = cv2.warpAffine(image_HWC, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned.reshape(image_HWC.shape), np.uint8)  # no set has 16 bits


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every draw, and print one line a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets in MVTec-AD's layout")
    parser.add_argument("--sets", default=",".join(SETS), help="some of them, separated by commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--odd", type=int, default=0, help="defective parts among the ten normals")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name in options.sets.split(","):
        draws = [measure(options.data, name, seed=seed, odd=options.odd) for seed in range(options.seeds)]
        aurocs = " ".join(f"{draw.image_auroc:.3f}" for draw in draws)
        turned, doubted = sum(draw.is_turned for draw in draws), sum(draw.doubted for draw in draws)
        told = f"rotation found in {turned} of {len(draws)}, {doubted} normals doubted"
        print(f"{name}, {options.odd} odd of {NORMALS}: image AUROC by draw {aurocs}; {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
