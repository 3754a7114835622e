"""Image AUROC at 8 bits and at fewer bits of 16.

    python -m benchmarks.depth ../shared/data/bottle --bits 10,12

Every image is converted in memory to samples of 16 bits that use only the low bits. A teacher is fitted and tested on
the 8-bit images, on the converted ones as SIAD takes them (the depth is found), and on the converted ones without the
depth.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from siad.apps.lab.evaluate.folder import read_images
from siad.apps.lab.evaluate.folder_reader import read_folder
from siad.contracts.depth import white_of
from siad.contracts.fit_settings import FitSettings
from siad.contracts.methods import FEATURE_MEMORY
from siad.contracts.place import Place
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.models.teachers.fit import fit_teacher, fit_variant
from siad.models.teachers.method_choice import FitVariant
from siad.models.teachers.normals import Normals
from siad.vision.images import Image
from siad.vision.scores import image_auroc

BUDGET = 0.05


def in_sixteen(image_HWC: Image, bits: int) -> Image:
    """Convert an 8-bit image to ``bits`` bits in 16; 0: leave it."""
    return image_HWC if not bits else np.rint(image_HWC * (white_of(bits) / 255)).astype(np.uint16)


def opened(bundle: Bundle) -> Predictor:
    """Open a bundle."""
    return open_bundle(bundle.manifest, bundle.parts)


def normals_of(images: list[Image], bits: int) -> Normals:
    """Convert normals."""
    names = [f"{index:06d}" for index in range(len(images))]
    return Normals.ordered([in_sixteen(one, bits) for one in images], names, Place("bench", "bench"))


def auroc(predictor: Predictor, images: list[Image], is_defect: list[bool], bits: int) -> float:
    """Score every test image, whatever it is like."""
    scores = [float(predictor.maps([in_sixteen(one, bits)])[0].max()) for one in images]
    return image_auroc(scores, is_defect)


def main() -> None:
    """Print one row for each depth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bits", default="10,12,14")
    parser.add_argument("--shots", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = read_folder(arguments.folder)
    normals, _, _ = read_images(folder.normals[: arguments.shots])
    tests, paths, _ = read_images([sample.path for sample in folder.samples])
    labels = {sample.path: sample.is_defect for sample in folder.samples}
    is_defect = [labels[path] for path in paths]
    settings = FitSettings(false_reject_budget=BUDGET)
    plain = auroc(opened(fit_teacher(normals_of(normals, 0), settings)), tests, is_defect, 0)
    print(f"{folder.name}, {len(normals)} normals, {len(tests)} test images: 8 bits {plain:.4f}")
    for bits in map(int, arguments.bits.split(",")):
        found = opened(fit_teacher(normals_of(normals, bits), settings))
        assert found.manifest.profile is not None
        variant = FitVariant(method=FEATURE_MEMORY)
        blind = opened(fit_variant(variant, normals_of(normals, bits), false_reject_budget=BUDGET))
        pair = (auroc(one, tests, is_defect, bits) for one in (found, blind))
        print(f"{bits} in 16: found {found.manifest.profile.bits} bits; %.4f, without the depth %.4f" % tuple(pair))


if __name__ == "__main__":
    main()
