"""Coverage of the guaranteed false-reject rate on unseen good images.

    python -m benchmarks.coverage                                   # solar cells of the package elpv-dataset
    python -m benchmarks.coverage FOLDER --shots 20 --splits 30     # a folder in MVTec-AD's layout

For each split, normals are drawn, a teacher is fitted on them, and all other good images are judged. A guarantee of a
budget b is kept if the mean rate over many splits is at most b; a single split may exceed it by chance. With n normals
nothing under 1 / (n + 1) can be guaranteed: there the threshold is an estimate, and the table says so.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.teacher import PLACE, Line, elpv, mvtec
from siad.contracts.fit_settings import FitSettings
from siad.models.bundle import open_bundle
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.vision.scores import choose_threshold, false_reject_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One draw of normals and unseen good images."""

    shots: int  # normals
    seed: int
    unseen: int  # good images to judge
    method: str


def rates(line: Line, split: Split, budgets: list[float]) -> list[float]:
    """Measure false-reject rates on unseen good images, one for each budget."""
    goods = [*line.normals, *(sample.image_HWC for sample in line.tests if not sample.is_defect and not line.shared)]
    order = np.random.default_rng(split.seed).permutation(len(goods)).tolist()
    drawn, rest = order[: split.shots], order[split.shots : split.shots + split.unseen]
    normals = Normals.ordered([goods[index] for index in drawn], [f"{index:032x}" for index in drawn], PLACE)
    bundle = fit_teacher(normals, FitSettings(false_reject_budget=budgets[0], method=split.method))
    predictor = open_bundle(bundle.manifest, bundle.parts)
    scores = [float(map_HW.max()) for index in rest for map_HW in predictor.maps([goods[index]])]
    held_out = bundle.manifest.held_out_scores
    return [
        false_reject_rate(scores, threshold=choose_threshold(held_out, budget=budget)[0])
        for budget in budgets  # one fit serves all budgets: a budget changes the threshold alone
    ]


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
        print(f"split {seed}: " + "  ".join(f"{rate:.3f}" for rate in found[-1]), file=sys.stderr, flush=True)
    print(f"{line.name}, {given.method}, {given.shots} normals, {given.splits} splits, {given.unseen} unseen each")
    for budget, of_budget in zip(budgets, np.array(found).T, strict=True):
        promise = "guaranteed" if budget >= 1 / (given.shots + 1) - 1e-9 else "estimated"
        spread = f"half of the splits within {np.quantile(of_budget, 0.25):.3f} and {np.quantile(of_budget, 0.75):.3f}"
        print(f"budget {budget:g} ({promise}): mean {of_budget.mean():.4f}, {spread}, worst {of_budget.max():.3f}")


if __name__ == "__main__":
    main()
