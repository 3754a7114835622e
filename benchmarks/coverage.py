"""Coverage of the guaranteed false-reject rate on unseen good images.

    python -m benchmarks.coverage                                   # solar cells of the package elpv-dataset
    python -m benchmarks.coverage FOLDER --shots 20 --splits 30     # a folder in MVTec-AD's layout

Split after split, normals are drawn, a teacher is fitted on them, and all other good images are judged. A promise of a
budget b is kept if the rate over many splits is at most b; one split alone may lie over it, by chance. With n normals
nothing under 1 / (n + 1) can be promised at all: there the cut is hoped for, and so it is told.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.teacher import PLACE, Line, elpv, mvtec
from siad.contracts.fit_settings import FitSettings
from siad.models.bundle import open_bundle
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.vision.scores import choose_threshold, false_reject_rate


def rates(line: Line, *, shots: int, seed: int, unseen: int, budgets: list[float], method: str) -> list[float]:
    """False-reject rates on unseen good images, one a budget."""
    goods = [*line.normals, *(sample.image_HWC for sample in line.tests if not sample.is_defect and not line.shared)]
    order = np.random.default_rng(seed).permutation(len(goods)).tolist()
    drawn, rest = order[:shots], order[shots : shots + unseen]
    normals = Normals.ordered([goods[index] for index in drawn], [f"{index:032x}" for index in drawn], PLACE)
    bundle = fit_teacher(normals, FitSettings(false_reject_budget=budgets[0], method=method))
    predictor = open_bundle(bundle.manifest, bundle.parts)
    scores = [float(map_HW.max()) for index in rest for map_HW in predictor.maps([goods[index]])]
    held_out = bundle.manifest.held_out_scores
    return [
        false_reject_rate(scores, threshold=choose_threshold(held_out, budget=budget)[0])
        for budget in budgets  # one fit serves all: a budget moves the cut alone
    ]


def main() -> None:
    """Print one line a split, then what came of every budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--unseen", type=int, default=60, help="good images judged a split")
    parser.add_argument("--budgets", default="0.05,0.1,0.2")
    parser.add_argument("--method", default="feature-memory")
    given = parser.parse_args()
    torch.set_num_threads(1)
    line = mvtec(given.folder) if given.folder else elpv()
    budgets = [float(budget) for budget in given.budgets.split(",")]
    found = []
    for seed in range(given.splits):
        found.append(
            rates(line, shots=given.shots, seed=seed, unseen=given.unseen, budgets=budgets, method=given.method)
        )
        print(f"split {seed}: " + "  ".join(f"{rate:.3f}" for rate in found[-1]), file=sys.stderr, flush=True)
    print(f"{line.name}, {given.method}, {given.shots} normals, {given.splits} splits, {given.unseen} unseen each")
    for budget, of_budget in zip(budgets, np.array(found).T, strict=True):
        promise = "promised" if budget >= 1 / (given.shots + 1) - 1e-9 else "hoped for"
        spread = f"half of the splits within {np.quantile(of_budget, 0.25):.3f} and {np.quantile(of_budget, 0.75):.3f}"
        print(f"budget {budget:g} ({promise}): mean {of_budget.mean():.4f}, {spread}, worst {of_budget.max():.3f}")


if __name__ == "__main__":
    main()
