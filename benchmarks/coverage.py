"""Coverage of the stated false-reject rate on unseen good images.

    python -m benchmarks.coverage                                   # solar cells of the package elpv-dataset
    python -m benchmarks.coverage FOLDER --shots 20 --splits 30     # a folder in MVTec-AD's layout

For each split, normals are drawn, a teacher is fitted on them, and all other good images are judged. A promise of a
budget b is kept if the mean rate over many splits is at most b; a single split may exceed it by chance. Of fewer than
50 held-out normals the threshold is an estimate, and the table says so. The interval of each split should hold its
rate, widened to whole images, in nine of ten splits.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.teacher import PLACE, Line, elpv, mvtec
from siad.contracts.fit_settings import FitSettings
from siad.contracts.methods import FEATURE_MEMORY
from siad.models.bundle import open_bundle
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.vision.calibration import Calibration, calibrate, normals_to_promise
from siad.vision.scores import false_reject_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One draw of normals and unseen good images."""

    shots: int  # normals
    seed: int
    unseen: int  # good images to judge
    method: str


def rates(line: Line, split: Split, budgets: list[float]) -> list[tuple[float, bool]]:
    """Measure false-reject rates on unseen good images.

    One for each budget, and whether its interval holds it.
    """
    goods = [*line.normals, *(sample.image_HWC for sample in line.tests if not sample.is_defect and not line.shared)]
    order = np.random.default_rng(split.seed).permutation(len(goods)).tolist()
    drawn, rest = order[: split.shots], order[split.shots : split.shots + split.unseen]
    normals = Normals.ordered([goods[index] for index in drawn], [f"{index:032x}" for index in drawn], PLACE)
    bundle = fit_teacher(normals, FitSettings(false_reject_budget=budgets[0], method=split.method))
    predictor = open_bundle(bundle.manifest, bundle.parts)
    scores = [float(map_HW.max()) for index in rest for map_HW in predictor.maps([goods[index]])]
    held_out, is_left_one_out = bundle.manifest.held_out_scores, split.method == FEATURE_MEMORY
    chosen = [calibrate(held_out, budget=budget, is_left_one_out=is_left_one_out) for budget in budgets]
    return [_measured(scores, one) for one in chosen]  # one fit serves all budgets: they change the threshold alone


def _measured(scores: list[float], chosen: Calibration) -> tuple[float, bool]:
    rate, count = false_reject_rate(scores, threshold=chosen.threshold), len(scores)
    low, high = np.floor(count * chosen.rate.low), np.ceil(count * chosen.rate.high)
    return rate, bool(low <= round(rate * count) <= high)


def main() -> None:
    """Print one line for each split, then the rates for each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--unseen", type=int, default=60, help="good images judged in each split")
    parser.add_argument("--budgets", default="0.05,0.1,0.2")
    parser.add_argument("--method", default="feature-memory")
    given = parser.parse_args()
    torch.set_num_threads(1)
    line = mvtec(given.folder) if given.folder else elpv()
    budgets = [float(budget) for budget in given.budgets.split(",")]
    found = []
    for seed in range(given.splits):
        found.append(
            rates(line, Split(shots=given.shots, seed=seed, unseen=given.unseen, method=given.method), budgets)
        )
        print(f"split {seed}: " + "  ".join(f"{rate:.3f}" for rate, _ in found[-1]), file=sys.stderr, flush=True)
    print(f"{line.name}, {given.method}, {given.shots} normals, {given.splits} splits, {given.unseen} unseen each")
    for index, budget in enumerate(budgets):
        of_budget, covered = np.array([split[index] for split in found]).T
        promise = "promised" if given.shots >= normals_to_promise(budget) else "estimated"
        spread = f"half of the splits within {np.quantile(of_budget, 0.25):.3f} and {np.quantile(of_budget, 0.75):.3f}"
        print(
            f"budget {budget:g} ({promise}): mean {of_budget.mean():.4f}, {spread}, worst {of_budget.max():.3f}; "
            f"interval holds {covered.mean():.2f}"
        )


if __name__ == "__main__":
    main()
