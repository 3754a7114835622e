"""Agreement of estimates on synthetic defects with the truth.

    python -m benchmarks.probing FOLDER                       # all sets in it, and the solar cells of elpv-dataset
    python -m benchmarks.probing FOLDER --sets bottle --json out.json

On every set several variants of the default method are estimated on synthetic defects on ten normals
(``siad.models.teachers.synthetic_estimate``), then fitted on the same normals and measured on labelled images. The
table has the rank correlation of estimate and truth over the variants, and what is lost: the figure of the best variant
minus that of the one with the best estimate, and of the default. Method ``auto`` chooses by ``merit``, with a margin.
A second table has the shares of synthetic defects that the default finds, clear ones and others, beside that of real
defects: ``--variants "384 px"`` measures it alone.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.teacher import PLACE, Line, Sample, elpv, mvtec
from benchmarks.teachers import draw, figures_of, machine
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.models.teachers import feature_memory
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.method_choice import MARGIN
from siad.models.teachers.normals import Normals
from siad.models.teachers.synthetic_estimate import estimate
from siad.vision.scores import image_auroc

DEFAULT: Final = "384 px"
STILL: Final = MemoryRecipe(turns=1)  # no set has rotated parts, and measuring it takes most of a fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One variant of the default method."""

    recipe: MemoryRecipe = STILL
    input_px: int = 0  # 0: the recipe's, which large images raise


VARIANTS: Final[Mapping[str, Variant]] = {
    DEFAULT: Variant(),
    "192 px": Variant(input_px=192),
    "256 px": Variant(input_px=256),
    "320 px": Variant(input_px=320),
    "512 px": Variant(input_px=512),
    "lite2": Variant(recipe=replace(STILL, backbone="lite2")),
    "fine stage alone": Variant(recipe=replace(STILL, stages=(2,), weights=(1.0,))),
    "middle stage alone": Variant(recipe=replace(STILL, stages=(4,), weights=(1.0,))),
    "deep stages": Variant(recipe=replace(STILL, weights=(0.25, 1.0, 1.0))),
    "sum of stages": Variant(recipe=replace(STILL, power=1.0)),
    "no zones, spans, floor": Variant(recipe=replace(STILL, zone=0.0, spans_stages=False, floor=0.0)),
}
AUTO: Final = (DEFAULT, "256 px", "512 px")  # of ``method_choice.VARIANTS``
SIZES: Final = ("192 px", "256 px", "320 px", DEFAULT, "512 px")
FIGURES: Final = ("image_auroc", "pixel_ap", "merit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Estimated and true figures of one variant on one set."""

    set: str
    variant: str
    estimated: dict[str, float]
    true: dict[str, float]


def fit_variant(variant: Variant, normals: Normals) -> Predictor:
    """Fit one variant, through a bundle as a line's teacher is."""
    bundle = feature_memory.fit(normals, false_reject_budget=0.05, recipe=variant.recipe, input_px=variant.input_px)
    return open_bundle(bundle.manifest, bundle.parts)


def compare(line: Line, samples: Sequence[Sample], *, name: str, normals: Normals) -> Comparison:
    """Estimate one variant, then measure it."""
    variant = VARIANTS[name]
    found = estimate(normals, lambda some: fit_variant(variant, some))
    predictor = fit_variant(variant, normals)
    maps = [predictor.maps([sample.image_HWC])[0] for sample in samples]
    auroc = image_auroc([float(map_HW.max()) for map_HW in maps], [sample.is_defect for sample in samples])
    scores = np.array([float(map_HW.max()) for map_HW in maps])
    bad = np.array([sample.is_defect for sample in samples])
    found_ratio = float(np.mean(scores[bad] >= predictor.manifest.image_threshold))
    true = {"image_auroc": auroc, "merit": auroc, "found": found_ratio}
    if line.has_masks:
        pixels = figures_of(samples, maps)
        true |= {"pixel_ap": pixels.ap, "aupro": pixels.aupro_30, "merit": (auroc + pixels.ap) / 2}
    estimated = {"image_auroc": found.image_auroc, "pixel_ap": found.pixel_ap, "merit": found.merit}
    estimated |= {f"recall_{kind}": recall for kind, recall in found.recall_by_kind}
    for share_name, share in (("clear", found.clear), ("faint", found.faint)):
        low, high = share.interval
        estimated |= {share_name: share.share, f"{share_name}_low": low, f"{share_name}_high": high}
    estimated["recall"] = found.recall
    return Comparison(set=line.name, variant=name, estimated=estimated, true=true)


def summary(rows: Sequence[Comparison]) -> str:
    """Write one Markdown line for each set: agreement and losses."""
    head = "| set | rank correlation: image AUROC / pixel AP / merit | best by estimate: lost | lost by default"
    lines = [
        f"{head} | `auto` takes, and loses | input size by estimate / in truth |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row.set for row in rows):
        of_set = {row.variant: row for row in rows if row.set == name}
        agreement = " / ".join(_rank(of_set, figure) for figure in FIGURES)
        best = max(of_set, key=lambda variant: of_set[variant].estimated["merit"])
        first = max(AUTO, key=lambda variant: of_set[variant].estimated["merit"])
        ahead = of_set[first].estimated["merit"] - of_set[DEFAULT].estimated["merit"]
        taken = first if ahead > MARGIN else DEFAULT
        by_estimate = max(SIZES, key=lambda variant: of_set[variant].estimated["merit"])
        in_truth = max(SIZES, key=lambda variant: of_set[variant].true["merit"])
        losses = " | ".join(_lost(of_set, variant) for variant in (best, DEFAULT))
        lines.append(
            f"| {name} | {agreement} | {best}: {losses} | {taken}: {_lost(of_set, taken)} "
            f"| {by_estimate} / {in_truth} |"
        )
    return "\n".join(lines)


def shares(rows: Sequence[Comparison]) -> str:
    """Write what the default finds: of synthetic defects, and of real ones."""
    lines = ["| set | clear | others | all synthetic | real |", "|---|---|---|---|---|"]
    for row in rows:
        if row.variant == DEFAULT and "clear" in row.estimated:
            clear, faint = (
                f"{row.estimated[name]:.2f} ({row.estimated[f'{name}_low']:.2f} to {row.estimated[f'{name}_high']:.2f})"
                for name in ("clear", "faint")
            )
            found = f"{row.estimated['recall']:.2f} | {row.true['found']:.2f}"
            lines.append(f"| {row.set} | {clear} | {faint} | {found} |")
    return "\n".join(lines)


def _rank(of_set: Mapping[str, Comparison], figure: str) -> str:
    pairs = [(row.estimated[figure], row.true[figure]) for row in of_set.values() if figure in row.true]
    return f"{spearmanr(*zip(*pairs, strict=True)).statistic:.2f}" if pairs else "-"


def _lost(of_set: Mapping[str, Comparison], variant: str) -> str:
    figures = [figure for figure in ("image_auroc", "pixel_ap") if figure in of_set[variant].true]
    return "/".join(f"{max(row.true[f] for row in of_set.values()) - of_set[variant].true[f]:.3f}" for f in figures)


def main() -> int:
    """Print the table, and each variant as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="sets, each in MVTec-AD's layout")
    parser.add_argument(
        "--sets", type=lambda text: text.split(","), help="names, comma between; default: all, and elpv"
    )
    parser.add_argument(
        "--variants", type=lambda text: text.split(","), default=list(VARIANTS), help="names, comma between"
    )
    parser.add_argument("--tests", type=int, default=60, help="labelled images, half of them good; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file of figures, continued where it exists")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = options.sets or [*sorted(one.parent.parent.name for one in options.folder.glob("*/train/good")), "elpv"]
    rows: list[Comparison] = []
    if options.json and options.json.exists():
        rows = [Comparison(**row) for row in json.loads(options.json.read_text())]
    for name in names:
        line = elpv(name[5:] or "mono") if name.startswith("elpv") else mvtec(options.folder / name)
        chosen = np.random.default_rng(options.seed).permutation(len(line.normals))[
            : 20 if name.startswith("elpv") else 10
        ]
        images = [line.normals[index] for index in chosen]
        normals = Normals.ordered(images, [f"{index:06d}" for index in range(len(images))], PLACE)
        kept = [
            sample for index, sample in enumerate(line.tests) if not (line.shared and index in set(chosen.tolist()))
        ]
        samples = draw(Line(line.name, [], kept, line.has_masks, line.shared), tests=options.tests, seed=options.seed)
        for variant in options.variants:
            if any((row.set, row.variant) == (line.name, variant) for row in rows):
                continue
            rows.append(compare(line, samples, name=variant, normals=normals))
            print(json.dumps(asdict(rows[-1])), file=sys.stderr, flush=True)
            if options.json:
                options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(f"{machine()}, {options.tests or 'all'} labelled images, seed {options.seed}\n\n{shares(rows)}")
    if len(options.variants) == len(VARIANTS):
        print(f"\n{summary(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
