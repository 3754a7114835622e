"""How well the judgement from normals alone agrees with the truth.

    python -m benchmarks.probing FOLDER                       # all sets in it, and the solar cells of elpv-dataset
    python -m benchmarks.probing FOLDER --sets bottle --json out.json

On every set some ways of fitting are estimated by probes of ten normals (``siad.models.probing``), then fitted on the
same normals and held against labelled images. Told are the rank correlation of estimate and truth over the ways, and
what is lost: the best way's figure less that of the way that probes choose, and that of the default. ``merit`` is what
``method: auto`` goes by, with its margin. Ways are settings of the default method.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.teacher import Line, Sample, elpv, mvtec
from benchmarks.teachers import draw, figures_of, machine
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.models.probing import estimate
from siad.models.teachers import feature_memory
from siad.models.teachers.choice import MARGIN
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.vision.images import Image
from siad.vision.scores import image_auroc

DEFAULT: Final = "384 px"
STILL: Final = MemoryRecipe(turns=1)  # none of the sets turns, and asking takes most of a fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One way of fitting the default method."""

    recipe: MemoryRecipe = STILL
    input_px: int | None = None  # the method's own; a recipe's is a least, which larger images raise


WAYS: Final[Mapping[str, Asked]] = {
    DEFAULT: Asked(),
    "192 px": Asked(input_px=192),
    "256 px": Asked(input_px=256),
    "320 px": Asked(input_px=320),
    "512 px": Asked(input_px=512),
    "lite2": Asked(recipe=replace(STILL, backbone="lite2")),
    "fine stage alone": Asked(recipe=replace(STILL, stages=(2,), weights=(1.0,))),
    "middle stage alone": Asked(recipe=replace(STILL, stages=(4,), weights=(1.0,))),
    "deep stages": Asked(recipe=replace(STILL, weights=(0.25, 1.0, 1.0))),
    "sum of stages": Asked(recipe=replace(STILL, power=1.0)),
    "no zones, spans, floor": Asked(recipe=replace(STILL, zone=0.0, spans_stages=False, floor=0.0)),
}
AUTO: Final = (DEFAULT, "256 px", "512 px")  # what ``choice.WAYS`` has
SIZES: Final = ("192 px", "256 px", "320 px", DEFAULT, "512 px")
FIGURES: Final = ("image_auroc", "pixel_ap", "merit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """One way on one set: what probes say, and what labels say."""

    set: str
    way: str
    probed: dict[str, float]
    true: dict[str, float]


def fit_way(asked: Asked, images: Sequence[Image], names: Sequence[str]) -> Predictor:
    """Fit one way, as the line would."""
    about: dict[str, Any] = {"line": "l", "product": "p", "normals": names, "false_reject_budget": 0.05}
    made = feature_memory.fit(images, **about, recipe=asked.recipe, input_px=asked.input_px)
    return open_bundle(made.manifest, made.parts)


def compare(line: Line, samples: Sequence[Sample], *, way: str, normals: Sequence[Image]) -> Both:
    """Probe one way, then try it."""
    asked = WAYS[way]
    found = estimate(normals, lambda images, names: fit_way(asked, images, names))
    predictor = fit_way(asked, normals, [f"{index:06d}" for index in range(len(normals))])
    maps = [predictor.maps([sample.image_HWC])[0] for sample in samples]
    auroc = image_auroc([float(map_HW.max()) for map_HW in maps], [sample.is_defect for sample in samples])
    true = {"image_auroc": auroc, "merit": auroc}
    if line.has_masks:
        pixels = figures_of(samples, maps)
        true |= {"pixel_ap": pixels.ap, "aupro": pixels.aupro_30, "merit": (auroc + pixels.ap) / 2}
    probed = {"image_auroc": found.image_auroc, "pixel_ap": found.pixel_ap, "merit": found.merit}
    probed |= {f"recall_{kind}": recall for kind, recall in found.recall_by_kind}
    return Both(set=line.name, way=way, probed=probed, true=true)


def summary(rows: Sequence[Both]) -> str:
    """One Markdown line a set: agreement and losses."""
    head = "| set | rank correlation: image AUROC / pixel AP / merit | best by probes: lost | lost by default"
    lines = [
        f"{head} | `auto` takes, and loses | input size by probes / in truth |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row.set for row in rows):
        of_set = {row.way: row for row in rows if row.set == name}
        agreement = " / ".join(_rank(of_set, figure) for figure in FIGURES)
        best = max(of_set, key=lambda way: of_set[way].probed["merit"])
        asked = max(AUTO, key=lambda way: of_set[way].probed["merit"])
        ahead = of_set[asked].probed["merit"] - of_set[DEFAULT].probed["merit"]
        taken = asked if ahead > MARGIN else DEFAULT
        by_probes = max(SIZES, key=lambda way: of_set[way].probed["merit"])
        in_truth = max(SIZES, key=lambda way: of_set[way].true["merit"])
        losses = " | ".join(_lost(of_set, way) for way in (best, DEFAULT))
        lines.append(
            f"| {name} | {agreement} | {best}: {losses} | {taken}: {_lost(of_set, taken)} | {by_probes} / {in_truth} |"
        )
    return "\n".join(lines)


def _rank(of_set: Mapping[str, Both], figure: str) -> str:
    pairs = [(row.probed[figure], row.true[figure]) for row in of_set.values() if figure in row.true]
    return f"{spearmanr(*zip(*pairs, strict=True)).statistic:.2f}" if pairs else "-"


def _lost(of_set: Mapping[str, Both], way: str) -> str:
    figures = [figure for figure in ("image_auroc", "pixel_ap") if figure in of_set[way].true]
    return "/".join(f"{max(row.true[f] for row in of_set.values()) - of_set[way].true[f]:.3f}" for f in figures)


def main() -> int:
    """Print the table; each way as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="sets, each in MVTec-AD's layout")
    parser.add_argument(
        "--sets", type=lambda text: text.split(","), help="names, comma between; default: all, and elpv"
    )
    parser.add_argument("--tests", type=int, default=60, help="labelled images, half of them good; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write every way's figures here, and begin with those that are there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = options.sets or [*sorted(one.parent.parent.name for one in options.folder.glob("*/train/good")), "elpv"]
    rows: list[Both] = []
    if options.json and options.json.exists():
        rows = [Both(**row) for row in json.loads(options.json.read_text())]
    for name in names:
        line = elpv() if name == "elpv" else mvtec(options.folder / name)
        chosen = np.random.default_rng(options.seed).permutation(len(line.normals))[: 20 if name == "elpv" else 10]
        normals = [line.normals[index] for index in chosen]
        kept = [
            sample for index, sample in enumerate(line.tests) if not (line.shared and index in set(chosen.tolist()))
        ]
        samples = draw(Line(line.name, [], kept, line.has_masks, line.shared), tests=options.tests, seed=options.seed)
        for way in WAYS:
            if any((row.set, row.way) == (line.name, way) for row in rows):
                continue
            rows.append(compare(line, samples, way=way, normals=normals))
            print(json.dumps(asdict(rows[-1])), file=sys.stderr, flush=True)
            if options.json:
                options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(f"{machine()}, {options.tests or 'all'} labelled images, seed {options.seed}\n\n{summary(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
