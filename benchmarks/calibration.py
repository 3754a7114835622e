"""Thresholds and masks of the default teacher on unseen images.

    python -m benchmarks.calibration ../shared/data             # every set in the folder, and solar cells
    python -m benchmarks.calibration ../shared/data --sets bottle,elpv-mono --seeds 5 --keep var/scores

For each set and seed ten normals (cells: 20) are drawn and a teacher is fitted. It scores unseen good and defective
images. The table has, for each set: false rejects; misses minus the misses at the true quantile of the unseen good
images (the gap); images that got any mark; the marks' IoU divided by that of the best single cut over all defective
images, and over those that were rejected; and the same for the mean of the rejected images' own IoU, where one image
with a wide defect does not outweigh the rest. Rules that are compared: ``now``, and those that it replaces. Coverage is
the share of splits whose measured rate lies in the stated interval, widened to whole images.

``--keep`` keeps the scores and small maps, so that a second run compares rules within seconds.
"""

import argparse
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit

from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor, marking_of
from siad.models.runner.open import open_runner
from siad.models.teachers.feature_memory import fit
from siad.models.teachers.normals import Normals
from siad.models.tiling import run_tiled
from siad.vision.calibration import calibrate
from siad.vision.decide import decide, smooth_map
from siad.vision.images import Image, decode_image
from siad.vision.preprocess import preprocess
from siad.vision.region import RegionOfInterest

SETS = ("bottle", "bsdata_pitting", "dobot_cubes", "magnetic_tile", "elpv-mono", "elpv-poly")
BUDGET = 0.05
GOOD_MAX, DEFECTS_MAX = 60, 30  # with maps; of these the marks are measured
FURTHER_GOOD_MAX, FURTHER_DEFECTS_MAX = 100, 30  # of these only scores: a stream to learn from
MAP_PX = 256  # side of the square with the area of kept maps

Scores = NDArray[np.float64]
Rule = Callable[[Scores], float]  # threshold from held-out scores


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Files of one set; masks are None where there is no truth."""

    normals: list[Path]
    goods: list[Path]
    defects: list[tuple[Path, Path | None]]
    count: int  # normals to fit on


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Scores of one draw of normals."""

    manifest: Manifest
    good_N: Scores
    defect_N: Scores
    maps: list[NDArray[np.float32]]  # of defective images with a mask, small
    truths: list[NDArray[np.bool_]]
    further_good_N: Scores
    further_defect_N: Scores

    @property
    def held_out(self) -> Scores:
        """Scores of the normals, each left out once."""
        return np.array(self.manifest.held_out_scores)


RULES: Mapping[str, Rule] = {
    "now": lambda held_out_N: calibrate(list(held_out_N), budget=BUDGET, is_left_one_out=True).threshold,
    "before": lambda held_out_N: (
        max(
            held_out_N.max(),
            held_out_N.mean()
            + stdtrit(len(held_out_N) - 1, 1 - BUDGET) * np.sqrt(1 + 1 / len(held_out_N)) * held_out_N.std(ddof=1),
        )
        if len(held_out_N) < 1 / BUDGET - 1
        else held_out_N.max()
    ),
    "plug-in": lambda held_out_N: float(np.exp(np.log(held_out_N).mean() + 1.645 * np.log(held_out_N).std(ddof=1))),
}


def image_set(data: Path, name: str) -> ImageSet:
    """List the files of a set.

    Cells of elpv-dataset, or a folder in MVTec-AD's layout.
    """
    if name.startswith("elpv-"):
        folder = Path(str(resources.files("elpv_dataset"))) / "data"
        rows = [row.split() for row in (folder / "labels.csv").read_text().splitlines()]
        by_label = {
            label: [folder / path for path, odds, kind in rows if kind == name[5:] and float(odds) == label]
            for label in (0.0, 1.0)
        }
        return ImageSet(by_label[0.0], [], [(path, None) for path in by_label[1.0]], 20)
    root = data / name
    defects = []
    for path in sorted(root.glob("test/*/*")):
        if path.parent.name != "good":
            truth = root / "ground_truth" / path.parent.name
            masks = [*truth.glob(f"{path.stem}_mask.*"), *truth.glob(f"{path.stem}.*")]
            defects.append((path, masks[0] if masks else None))
    return ImageSet(sorted(root.glob("train/good/*")), sorted(root.glob("test/good/*")), defects, 10)


def score_split(files: ImageSet, seed: int) -> Split:
    """Fit on one draw of normals, and score unseen images."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(files.normals)).tolist()
    drawn, rest = order[: files.count], [files.normals[index] for index in order[files.count :]]
    normals = Normals.ordered(
        [_read(files.normals[index]) for index in drawn], [f"{index:032x}" for index in drawn], Place("benchmark", "p")
    )
    bundle = fit(normals, false_reject_budget=BUDGET)
    predictor = open_bundle(bundle.manifest, bundle.parts)
    goods = [*files.goods, *rest]
    goods_order, defects_order = rng.permutation(len(goods)), rng.permutation(len(files.defects))
    good_N = [_score(predictor, goods[index])[0] for index in goods_order[:GOOD_MAX]]
    further = [goods[index] for index in goods_order[GOOD_MAX:][:FURTHER_GOOD_MAX]]
    further_defects = [files.defects[index][0] for index in defects_order[DEFECTS_MAX:][:FURTHER_DEFECTS_MAX]]
    defect_N, maps, truths = [], [], []
    for index in defects_order[:DEFECTS_MAX]:
        path, mask = files.defects[index]
        score, map_HW = _score(predictor, path)
        defect_N.append(score)
        if mask is not None:
            maps.append(_small(map_HW))
            truths.append(_small((_read(mask)[:, :, 0] > 0).astype(np.float32)) >= 0.5)
    return Split(
        manifest=bundle.manifest,
        good_N=np.array(good_N),
        defect_N=np.array(defect_N),
        maps=maps,
        truths=truths,
        further_good_N=_scores(bundle, further),
        further_defect_N=_scores(bundle, further_defects),
    )


def _scores(bundle: Bundle, paths: Sequence[Path]) -> Scores:
    """Score images without maps at full size, which take as long again."""
    runner = open_runner(bundle.manifest, bundle.parts, check=lambda _: None)
    interest, found = RegionOfInterest(bundle.manifest.region), []
    for path in paths:
        input_CHW = preprocess(interest.cut(_read(path)), input_px=bundle.manifest.input_px)
        size = (input_CHW.shape[1], input_CHW.shape[2])
        [views_Vhw] = run_tiled(runner, input_CHW[None])
        smooth = [smooth_map(map_hw, input_hw=size, size_px=size) for map_hw in views_Vhw]
        found.append(float(np.mean(smooth, axis=0).max()))
    return np.array(found)


def _read(path: Path) -> Image:
    return decode_image(path.read_bytes())


def _score(predictor: Predictor, path: Path) -> tuple[float, NDArray[np.float32]]:
    [map_HW] = predictor.maps([_read(path)])
    return float(map_HW.max()), map_HW


def _small(map_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = map_HW.shape
    ratio = min(1.0, MAP_PX / (height * width) ** 0.5)
    size = (round(width * ratio), round(height * ratio))
    return np.asarray(cv2.resize(map_HW, size, interpolation=cv2.INTER_AREA), np.float32)


def gap(split: Split, threshold: float) -> tuple[float, float]:
    """False rejects, and misses over those at the true quantile."""
    true = float(np.quantile(split.good_N, 1 - BUDGET))
    misses, best = (float(np.mean(split.defect_N < cut)) for cut in (threshold, true))
    return float(np.mean(split.good_N >= threshold)), misses - best


def is_covered(split: Split) -> bool:
    """Whether the measured rate is in the interval, widened to whole images."""
    chosen = calibrate(list(split.held_out), budget=BUDGET, is_left_one_out=True)
    count, rejected = len(split.good_N), int(np.count_nonzero(split.good_N >= chosen.threshold))
    return bool(np.floor(count * chosen.rate.low) <= rejected <= np.ceil(count * chosen.rate.high))


@dataclass(frozen=True, slots=True)
class MarkFigures:
    """IoU of one split's marks, each over that of the best cut."""

    marked: float  # share of defective images with a mark
    pooled: float  # all their pixels together
    pooled_of_rejected: float
    mean_of_rejected: float  # mean of the images' IoU


def mark_figures(split: Split, threshold: float, *, legacy: bool) -> MarkFigures:
    """Compare marks with those of the best single cut.

    Args:
        split: with maps.
        threshold: of the image.
        legacy: cut at the image threshold, as before marks had a rule.
    """
    rule = threshold if legacy else marking_of(split.manifest)
    masks = [
        decide(map_HW, image_threshold=threshold, pixel_threshold=rule, spread=1.0).mask_HW > 0 for map_HW in split.maps
    ]
    marked = [index for index, mark_HW in enumerate(masks) if mark_HW.any()]

    def ratio(chosen: Sequence[int]) -> float:
        maps, truths = [split.maps[index] for index in chosen], [split.truths[index] for index in chosen]
        if not any(truth.any() for truth in truths):
            return float("nan")
        both = sum(int(np.count_nonzero(masks[index] & split.truths[index])) for index in chosen)
        either = sum(int(np.count_nonzero(masks[index] | split.truths[index])) for index in chosen)
        return both / either / best_iou(maps, truths)

    known = [index for index in marked if split.truths[index].any()]
    own = float(np.mean([_iou(masks[index], split.truths[index]) for index in known])) if known else float("nan")
    best = best_mean_iou([split.maps[index] for index in known], [split.truths[index] for index in known])
    return MarkFigures(len(marked) / len(masks), ratio(range(len(masks))), ratio(marked), own / best)


def _iou(mask_HW: NDArray[np.bool_], truth_HW: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(mask_HW & truth_HW) / np.count_nonzero(mask_HW | truth_HW))


def best_mean_iou(maps: Sequence[NDArray[np.float32]], truths: Sequence[NDArray[np.bool_]]) -> float:
    """Mean IoU of the images at the best of 60 cuts.

    NaN of no image.
    """
    if not maps:
        return float("nan")
    cuts = np.quantile(np.concatenate([map_HW.ravel() for map_HW in maps]), 1 - np.geomspace(0.0005, 0.6, 60))
    pairs = list(zip(maps, truths, strict=True))
    return max(float(np.mean([_iou(map_HW >= cut, truth_HW) for map_HW, truth_HW in pairs])) for cut in cuts)


def best_iou(maps: Sequence[NDArray[np.float32]], truths: Sequence[NDArray[np.bool_]]) -> float:
    """IoU of the best single cut over all pixels together."""
    scores_P = np.concatenate([map_HW.ravel() for map_HW in maps])
    truth_P = np.concatenate([truth_HW.ravel() for truth_HW in truths])[np.argsort(-scores_P)]
    hits_P = np.cumsum(truth_P)
    return float((hits_P / (truth_P.sum() + np.arange(1, len(hits_P) + 1) - hits_P)).max())


def _kept(data: Path, name: str, seed: int, keep: Path | None) -> Split:
    path = None if keep is None else keep / f"{name}-{seed}.pickle"
    if path is not None and path.exists():
        split: Split = pickle.loads(path.read_bytes())  # noqa: S301 - written by this program
        return split
    split = score_split(image_set(data, name), seed)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(split))
    return split


def splits_of(data: Path, sets: Sequence[str], *, seeds: int, keep: Path | None) -> dict[str, list[Split]]:
    """Score every split, or read it where it was kept."""
    splits: dict[str, list[Split]] = {name: [] for name in sets}
    for seed in range(seeds):
        for name in sets:
            splits[name].append(_kept(data, name, seed, keep))
            print(f"{name}, seed {seed}", file=sys.stderr, flush=True)
    return splits


def show(splits: Mapping[str, Sequence[Split]]) -> None:
    """Print the table of each rule, masks and coverage."""
    for name, rule in RULES.items():
        found = {one: np.mean([gap(split, rule(split.held_out)) for split in of], 0) for one, of in splits.items()}
        rates, gaps = np.array(list(found.values())).T
        print(f"{name}: false rejects {rates.mean():.3f}, worst set {rates.max():.3f}; ", end="")
        print(f"gap {gaps.mean():+.3f}, worst set {gaps.max():+.3f}")
        print("   ", "  ".join(f"{one} {rate:.3f} {over:+.2f}" for one, (rate, over) in found.items()))
    covered = [is_covered(split) for of in splits.values() for split in of]
    print(f"interval of 90%: covers {np.mean(covered):.2f} of {len(covered)} splits")
    for name, rule, legacy in (("now", RULES["now"], False), ("before", RULES["before"], True)):
        for one, of in splits.items():
            if of[0].maps:
                figures = [astuple(mark_figures(split, rule(split.held_out), legacy=legacy)) for split in of]
                text = "marked {:.2f}, IoU ratio {:.2f}, of rejected {:.2f}, mean of their images {:.2f}"
                print(f"marks {name}, {one}: " + text.format(*np.nanmean(figures, 0)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the splits and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets in MVTec-AD's layout")
    parser.add_argument("--sets", default=",".join(SETS), help="some of them, separated by commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="folder for scores and small maps")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    show(splits_of(options.data, options.sets.split(","), seeds=options.seeds, keep=options.keep))
    return 0


if __name__ == "__main__":
    from benchmarks import calibration  # so that kept scores name this module, and other programs can read them

    sys.exit(calibration.main())
