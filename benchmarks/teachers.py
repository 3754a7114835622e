"""Figures of every method on every image set.

    python -m benchmarks.teachers FOLDER                                   # all methods on all sets in it
    python -m benchmarks.teachers FOLDER --sets bottle --methods ensemble  # some of them
    python -m benchmarks.teachers FOLDER --normals 10 --tests 40 --json out.json

A set is a folder in MVTec-AD's layout: ``train/good``, ``test/<class>``, ``ground_truth/<class>``. As in production
every teacher is fitted at its default settings, written to a bundle, opened with the golden check, and scores at
image size. Test images are drawn by seed, as many good as defective. Times depend on the load of this machine; images
a second are measured one at a time. A set of pairs (``template/``, ``test/``, ``ground_truth/``) is compared
pairwise.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.teacher import PIXEL_PX, PLACE, Line, Sample, mvtec
from siad.contracts.fit_settings import FitSettings
from siad.contracts.methods import TEACHERS
from siad.models.bundle import open_bundle
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.vision.images import decode_image
from siad.vision.masks import decode_mask
from siad.vision.pairs import compare_pair
from siad.vision.pixel_scores import PixelFigures, pixel_figures
from siad.vision.preprocess import input_size
from siad.vision.scores import image_auroc


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method on one set, the mean over seeds."""

    method: str
    set: str
    image_auroc: float
    pixel_auroc: float
    pixel_ap: float
    aupro: float  # at 0.3
    false_reject: float  # of good images, at the threshold
    caught: float  # of defective images, at the threshold
    fit_s: float
    fit_cpu_s: float
    images_s: float


def draw(line: Line, *, tests: int, seed: int) -> list[Sample]:
    """Choose as many good as defective images, by seed.

    All where ``tests`` is 0.
    """
    if not tests:
        return line.tests
    chosen: list[Sample] = []
    for kind in (False, True):
        some = [sample for sample in line.tests if sample.is_defect is kind]
        order = np.random.default_rng(seed).permutation(len(some))[: tests // 2]
        chosen += [some[index] for index in sorted(order.tolist())]
    return chosen


def measure(line: Line, samples: Sequence[Sample], *, method: str, normals: int, seed: int) -> Row:
    """Fit on some normals, judge the samples."""
    drawn = np.random.default_rng(seed).permutation(len(line.normals))[:normals]
    start, cpu = time.perf_counter(), time.process_time()
    chosen = Normals.ordered([line.normals[index] for index in drawn], [f"{index:032x}" for index in drawn], PLACE)
    bundle = fit_teacher(chosen, FitSettings(false_reject_budget=0.05, method=method))
    fit_s, fit_cpu_s = time.perf_counter() - start, time.process_time() - cpu
    predictor = open_bundle(bundle.manifest, bundle.parts)
    start = time.perf_counter()
    maps = [predictor.maps([sample.image_HWC])[0] for sample in samples]
    images_s = len(samples) / (time.perf_counter() - start)
    is_defect = np.array([sample.is_defect for sample in samples])
    scores = np.array([float(map_HW.max()) for map_HW in maps])
    pixels = figures_of(samples, maps) if line.has_masks else None
    marked = scores >= bundle.manifest.image_threshold
    return Row(
        method=method,
        set=line.name,
        image_auroc=image_auroc(scores, is_defect.tolist()),
        pixel_auroc=pixels.auroc if pixels else np.nan,
        pixel_ap=pixels.ap if pixels else np.nan,
        aupro=pixels.aupro_30 if pixels else np.nan,
        false_reject=float(marked[~is_defect].mean()),
        caught=float(marked[is_defect].mean()),
        fit_s=fit_s,
        fit_cpu_s=fit_cpu_s,
        images_s=images_s,
    )


def figures_of(samples: Sequence[Sample], maps: Sequence[NDArray[np.float32]]) -> PixelFigures:
    """Figures over all pixels at 256 px of side.

    As in the literature; defective images without a mask are left out.
    """
    small_maps, masks = [], []
    for sample, map_HW in zip(samples, maps, strict=True):
        if sample.is_defect and sample.mask_HW is None:
            continue
        height, width = input_size(*map_HW.shape, input_px=PIXEL_PX)
        mask_HW = np.zeros(map_HW.shape, np.uint8) if sample.mask_HW is None else sample.mask_HW.astype(np.uint8)
        small_maps.append(cv2.resize(map_HW, (width, height), interpolation=cv2.INTER_AREA))
        masks.append(cv2.resize(mask_HW, (width, height), interpolation=cv2.INTER_NEAREST))
    return pixel_figures(small_maps, masks)


def pair_figures(folder: Path) -> PixelFigures:
    """Figures of comparison with a template for each image.

    ``template/``, ``test/`` and ``ground_truth/`` have files of the same stems.
    """
    maps, masks = [], []
    for path in sorted((folder / "test").iterdir()):
        template_HWC = decode_image(next((folder / "template").glob(f"{path.stem}.*")).read_bytes())
        maps.append(compare_pair(template_HWC, decode_image(path.read_bytes())))
        masks.append(decode_mask(next((folder / "ground_truth").glob(f"{path.stem}.*")).read_bytes()))
    return pixel_figures(maps, masks)


def pairs(folder: Path) -> str:
    """The same, for people."""
    found, count = pair_figures(folder), len(list((folder / "test").iterdir()))
    quality = f"pixel F1max {found.f1max:.3f}, AUROC {found.auroc:.3f}, AP {found.ap:.3f}, AUPRO {found.aupro_30:.3f}"
    return f"{folder.name}, template per image, {count} pairs: {quality}"


def mean(rows: Sequence[Row]) -> Row:
    """The mean of one method's rows on one set."""
    figures = [{name: value for name, value in asdict(row).items() if isinstance(value, float)} for row in rows]
    averaged = {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}
    return Row(method=rows[0].method, set=rows[0].set, **averaged)


def table(rows: Sequence[Row]) -> str:
    """Rows as Markdown."""
    lines = [
        "| set | method | image AUROC / pixel AUROC / AP / AUPRO | rejected / caught | fit s (CPU s) | images/s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        quality = "/".join(f"{value:.3f}" for value in (row.image_auroc, row.pixel_auroc, row.pixel_ap, row.aupro))
        decided = f"{row.false_reject:.2f} / {row.caught:.2f}"
        times = f"{row.fit_s:.0f} ({row.fit_cpu_s:.0f}) | {row.images_s:.1f}"
        lines.append(f"| {row.set} | {row.method} | {quality} | {decided} | {times} |")
    return "\n".join(lines)


def machine() -> str:
    """Where this was measured."""
    threads, cores = torch.get_num_threads(), os.cpu_count()
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    return (
        f"{when}, {platform.machine()}, {cores} cores shared with others, torch {torch.__version__}, {threads} threads"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="sets, each in MVTec-AD's layout")
    parser.add_argument("--sets", type=lambda text: text.split(","), help="names, comma between; default: all")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(TEACHERS))
    parser.add_argument("--normals", type=int, default=10, help="images to fit on")
    parser.add_argument("--tests", type=int, default=0, help="images to judge, half of them good; 0: all")
    parser.add_argument("--seeds", type=int, default=1, help="draws of normals, from 0")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    names = options.sets or sorted(one.parent.parent.name for one in options.folder.glob("*/train/good"))
    rows = []
    for name in names:
        line = mvtec(options.folder / name)
        for method in options.methods:
            seeds = []
            for seed in range(options.seeds):
                samples = draw(line, tests=options.tests, seed=seed)
                seeds.append(measure(line, samples, method=method, normals=options.normals, seed=seed))
            rows.append(mean(seeds))
            print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    for folder in sorted(one.parent for one in options.folder.glob("*/template") if not options.sets):
        print(f"{pairs(folder)}\n")
    print(f"{options.normals} normals, {options.seeds} seeds; {machine()}\n\n{table(rows)}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
