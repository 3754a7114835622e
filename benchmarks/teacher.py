"""Figures and speed of the default teacher on real images.

    python -m benchmarks.teacher                      # solar cells of the package elpv-dataset, 20 normals
    python -m benchmarks.teacher FOLDER --normals 10  # a folder in MVTec-AD's layout, with masks
    python -m benchmarks.teacher FOLDER --normals 10 --spoiled 1  # one of them is defective
    python -m benchmarks.teacher FOLDER --speed       # scoring relative to the bare backbone, same input and threads

As in production the teacher is fitted, written to a bundle, opened with the golden check, and scores at image size.
Normals are drawn by seed; test images are never among them. Pixel figures are computed at 256 px of side. The table has
one line for each seed, and their mean.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from siad.contracts.place import Place
from siad.models.backbone import pretrained_backbone
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import marking_of
from siad.models.teachers.feature_memory import fit, load
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.normals import Normals
from siad.vision import pixel_scores
from siad.vision.decide import decide
from siad.vision.images import Image, decode_image
from siad.vision.marks import RelativeMarks
from siad.vision.preprocess import input_size, preprocess
from siad.vision.scores import false_reject_rate, image_auroc

PLACE = Place("benchmark", "part")
PIXEL_PX = 256  # side at which pixel figures are computed, as in the literature
LOW, HIGH = 0.0, 1.0  # an elpv cell is certainly good, certainly defective


@dataclass(frozen=True, slots=True)
class Sample:
    """One test image.

    The mask is None without ground truth, and for a good image.
    """

    image_HWC: Image
    is_defect: bool
    mask_HW: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """Normals to draw from, and test images."""

    name: str
    normals: list[Image]
    tests: list[Sample]
    has_masks: bool
    shared: bool  # the tests' good images are the normals, in their order; drawn ones are left out


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one seed."""

    image_auroc: float
    pixel_auroc: float
    pixel_ap: float
    aupro_30: float
    mask_f1: float
    false_reject: float
    caught: float
    left_out: int
    fit_s: float
    image_ms: float
    bundle_mb: float


def elpv(kind: str = "mono") -> Line:
    """Read cells of one kind with certain labels."""
    folder = Path(str(resources.files("elpv_dataset"))) / "data"
    cells: dict[float, list[Image]] = {LOW: [], HIGH: []}
    for row in (folder / "labels.csv").read_text().splitlines():
        path, probability, cell_kind = row.split()
        if cell_kind == kind and float(probability) in cells:
            cells[float(probability)].append(decode_image((folder / path).read_bytes()))
    tests = [Sample(image, is_defect=False) for image in cells[LOW]]
    tests += [Sample(image, is_defect=True) for image in cells[HIGH]]
    return Line(f"elpv {kind}", cells[LOW], tests, has_masks=False, shared=True)


def mvtec(folder: Path) -> Line:
    """Read a set in MVTec-AD's layout.

    ``train/good``, ``test/<class>``, ``ground_truth/<class>/<stem>_mask.png`` or the same stem.
    """
    normals = [decode_image(path.read_bytes()) for path in sorted((folder / "train" / "good").iterdir())]
    tests = []
    for path in sorted((folder / "test").glob("*/*")):
        kind, is_defect = path.parent.name, path.parent.name != "good"
        found = [
            mask
            for stem in (f"{path.stem}_mask", path.stem)
            for mask in (folder / "ground_truth" / kind).glob(f"{stem}.*")
        ]
        mask_HW = decode_image(found[0].read_bytes())[:, :, 0] > 0 if is_defect and found else None
        tests.append(Sample(decode_image(path.read_bytes()), is_defect, mask_HW))
    has_masks = any(sample.mask_HW is not None for sample in tests)
    return Line(folder.name, normals, tests, has_masks=has_masks, shared=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalDraw:
    """Which normals a teacher is fitted on, and how."""

    normals: int  # how many
    seed: int = 0
    budget: float = 0.05  # share of good parts that may be rejected
    spoiled: int = 0  # of the normals that are replaced by defective test images
    input_px: int = 0  # 0: the method's default


def fit_on(line: Line, draw: NormalDraw) -> tuple[Bundle, set[int]]:
    """Fit a teacher on a draw of normals, and return their positions."""
    drawn = np.random.default_rng(draw.seed).permutation(len(line.normals))[: draw.normals]
    images = [line.normals[index] for index in drawn]
    bad = [sample.image_HWC for sample in line.tests if sample.is_defect]
    if draw.spoiled:
        order = np.random.default_rng(draw.seed).permutation(len(bad))[: draw.spoiled]
        images[-draw.spoiled :] = [bad[index] for index in order]
    normals = Normals.ordered(images, [f"{index:032x}" for index in drawn], PLACE)
    bundle = fit(normals, false_reject_budget=draw.budget, input_px=draw.input_px)
    return bundle, set(drawn.tolist())


def measure(line: Line, draw: NormalDraw) -> Row:
    """Fit on a draw of normals, and score all test images."""
    start = time.perf_counter()
    bundle, drawn = fit_on(line, draw)
    fit_s = time.perf_counter() - start
    predictor = open_bundle(bundle.manifest, bundle.parts)
    left_out = drawn if line.shared else set()
    tests = [sample for index, sample in enumerate(line.tests) if index not in left_out]
    start = time.perf_counter()
    maps = [predictor.maps([sample.image_HWC])[0] for sample in tests]
    image_ms = 1000 * (time.perf_counter() - start) / len(tests)
    is_defect = np.array([sample.is_defect for sample in tests])
    scores = np.array([float(map_HW.max()) for map_HW in maps])
    threshold = bundle.manifest.image_threshold
    pixel_auroc, pixel_ap, aupro_30, mask_f1 = np.nan, np.nan, np.nan, np.nan
    if line.has_masks:
        pixel_auroc, pixel_ap, aupro_30 = pixel_figures(tests, maps)
        mask_f1 = mask_figure(tests, maps, threshold, marking_of(bundle.manifest))
    return Row(
        image_auroc(scores, is_defect.tolist()),
        pixel_auroc,
        pixel_ap,
        aupro_30,
        mask_f1,
        false_reject_rate(scores[~is_defect], threshold=threshold),
        float(np.mean(scores[is_defect] >= threshold)),
        len(bundle.manifest.left_out),
        fit_s,
        image_ms,
        sum(len(data) for data in bundle.parts.values()) / 1e6,
    )


def pixel_figures(tests: Sequence[Sample], maps: Sequence[NDArray[np.float32]]) -> tuple[float, float, float]:
    """AUROC, average precision and AUPRO at 0.3 over all pixels."""
    small, masks = [], []
    for sample, map_HW in zip(tests, maps, strict=True):
        if sample.is_defect and sample.mask_HW is None:
            continue  # without a mask
        height, width = input_size(*map_HW.shape, input_px=PIXEL_PX)
        small.append(np.asarray(cv2.resize(map_HW, (width, height), interpolation=cv2.INTER_AREA), np.float32))
        mask_HW = np.zeros(map_HW.shape, np.uint8) if sample.mask_HW is None else sample.mask_HW.astype(np.uint8)
        masks.append(np.asarray(cv2.resize(mask_HW, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8))
    found = pixel_scores.pixel_figures(small, masks)
    return found.auroc, found.ap, found.aupro_30


def show_speed(line: Line, *, normals: int, rounds: int = 15) -> None:
    """Milliseconds an image of the bare backbone and the teacher.

    Medians, measured in turn.
    """
    bundle, _ = fit_on(line, NormalDraw(normals=normals))
    detector, recipe = load(bundle.manifest, bundle.parts), MemoryRecipe()
    backbone = pretrained_backbone(recipe.backbone)
    images_BCHW = torch.from_numpy(preprocess(line.tests[0].image_HWC, input_px=recipe.input_px))[None]
    spent: dict[str, list[float]] = {"backbone": [], "teacher": []}
    with torch.inference_mode():
        for _ in range(rounds + 2):
            for name, call in (
                ("backbone", lambda: backbone(images_BCHW, recipe.stages)),
                ("teacher", lambda: detector.score(images_BCHW)),
            ):
                start = time.perf_counter()
                call()
                spent[name].append(1000 * (time.perf_counter() - start))
    bare, whole = (float(np.median(spent[name][2:])) for name in ("backbone", "teacher"))
    print(f"{line.name}: backbone {bare:.1f} ms an image, teacher {whole:.1f} ms: {whole / bare:.2f} times")


def mask_figure(
    tests: Sequence[Sample], maps: Sequence[NDArray[np.float32]], image_threshold: float, rule: float | RelativeMarks
) -> float:
    """F1 of the pseudo-masks' pixels, over all images together."""
    both = drawn = true = 0
    for sample, map_HW in zip(tests, maps, strict=True):
        mask_HW = decide(map_HW, image_threshold=image_threshold, pixel_threshold=rule, spread=1.0).mask_HW > 0
        truth_HW = np.zeros(mask_HW.shape, bool) if sample.mask_HW is None else sample.mask_HW
        both += int(np.count_nonzero(mask_HW & truth_HW))
        drawn += int(np.count_nonzero(mask_HW))
        true += int(np.count_nonzero(truth_HW))
    return 2 * both / max(1, drawn + true)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="a data set in MVTec-AD's layout; default: elpv-dataset")
    parser.add_argument("--normals", type=int, default=20, help="images to fit on")
    parser.add_argument("--seeds", type=int, default=3, help="draws of normals, from 0")
    parser.add_argument("--budget", type=float, default=0.05, help="share of good parts that may be rejected")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--spoiled", type=int, default=0, help="number of normals replaced by defective images")
    parser.add_argument("--speed", action="store_true", help="only compare scoring with the bare backbone")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    line = mvtec(options.folder) if options.folder else elpv()
    if options.speed:
        show_speed(line, normals=options.normals)
        return 0
    defects = sum(sample.is_defect for sample in line.tests)
    print(
        f"{line.name}: {options.normals} of {len(line.normals)} normals; {len(line.tests)} tests, {defects} defective"
    )
    names = [field.name for field in fields(Row)]
    print("seed".rjust(5), *(name.rjust(13) for name in names))
    rows = []
    for seed in range(options.seeds):
        draw = NormalDraw(normals=options.normals, seed=seed, budget=options.budget, spoiled=options.spoiled)
        row = measure(line, draw)
        rows.append([getattr(row, name) for name in names])
        print(f"{seed:5d}", *(f"{value:13.4f}" for value in rows[-1]), flush=True)
    print(" mean", *(f"{value:13.4f}" for value in np.mean(rows, axis=0)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
