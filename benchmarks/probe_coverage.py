"""Coverage of the stated shares of synthetic defects that are found.

    python -m benchmarks.probe_coverage ../shared/data --seeds 9 --json var/probes.json

For each set and seed ten normals (cells: 20) are drawn. Their estimate (``siad evaluate --no-labels``) states which
share of clear synthetic defects is found, and which of the others, with 90% intervals. The truth is the share that a
teacher of all these normals finds in twenty unseen good images, with a synthetic defect of every kind each. Coverage is
the share of intervals that hold it, widened to whole defects. A split takes about 40 s of one core.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.calibration import SETS, image_set
from benchmarks.probing import DEFAULT, VARIANTS, fit_variant
from benchmarks.teacher import PLACE
from siad.models.teachers.normals import Normals
from siad.models.teachers.synthetic_estimate import DISPERSION, estimate
from siad.vision.found_share import FoundShare
from siad.vision.images import Image, decode_image
from siad.vision.synthetic_defects import KINDS, make_synthetic_defect

UNSEEN = 20  # good images with synthetic defects


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Stated and measured shares of one split: found and tried."""

    set: str
    seed: int
    stated: Mapping[str, tuple[int, int]]  # by "clear" and "faint"
    true: Mapping[str, tuple[int, int]]


def measure(data: Path, name: str, seed: int) -> Shares:
    """State the shares of one draw of normals, then measure them."""
    files = image_set(data, name)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(files.normals)).tolist()
    drawn, rest = order[: files.count], [files.normals[index] for index in order[files.count :]]
    images = [_read(files.normals[index]) for index in drawn]
    normals = Normals.ordered(images, [f"{index:032x}" for index in drawn], PLACE)
    variant = VARIANTS[DEFAULT]
    found = estimate(normals, lambda some: fit_variant(variant, some))
    predictor = fit_variant(variant, normals)
    tried: dict[str, list[bool]] = {"clear": [], "faint": []}
    goods = [*files.goods, *rest]
    for index in rng.permutation(len(goods))[:UNSEEN].tolist():
        for kind in KINDS:
            defect = make_synthetic_defect(_read(goods[index]), kind, rng)
            [map_HW] = predictor.maps([defect.image_HWC])
            tried["clear" if defect.is_clear else "faint"].append(float(map_HW.max()) >= predictor.image_threshold)
    return Shares(
        set=name,
        seed=seed,
        stated={name: (one.found, one.defects) for name, one in (("clear", found.clear), ("faint", found.faint))},
        true={name: (sum(of), len(of)) for name, of in tried.items()},
    )


def _read(path: Path) -> Image:
    return decode_image(path.read_bytes())


def _stated(counts: tuple[int, int]) -> FoundShare:
    return FoundShare(found=counts[0], defects=counts[1], dispersion=DISPERSION)


def is_covered(stated: tuple[int, int], true: tuple[int, int]) -> bool:
    """Whether the interval holds the measured share, to whole defects."""
    low, high = _stated(stated).interval
    return bool(np.floor(low * true[1]) <= true[0] <= np.ceil(high * true[1]))


def show(rows: Sequence[Shares]) -> None:
    """Print coverage, width and error, for all sets and each."""
    for kind in ("clear", "faint"):
        for name in ("all", *dict.fromkeys(row.set for row in rows)):
            of = [row for row in rows if name in {"all", row.set} and row.stated[kind][1] and row.true[kind][1]]
            covered = np.mean([is_covered(row.stated[kind], row.true[kind]) for row in of])
            ends = [_stated(row.stated[kind]).interval for row in of]
            stated, true = (
                np.array([found / tried for found, tried in (getattr(row, which)[kind] for row in of)])
                for which in ("stated", "true")
            )
            print(
                f"{kind}, {name}: covers {covered:.2f} of {len(of)}, {np.mean([h - low for low, h in ends]):.2f} wide; "
                f"stated {stated.mean():.2f}, true {true.mean():.2f}"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every split and print the coverage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets in MVTec-AD's layout")
    parser.add_argument("--sets", default=",".join(SETS), help="some of them, separated by commas")
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="file of figures, continued where it exists")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows: list[Shares] = []
    if options.json and options.json.exists():
        rows = [Shares(**row) for row in json.loads(options.json.read_text())]
    for seed in range(options.seeds):
        for name in options.sets.split(","):
            if any((row.set, row.seed) == (name, seed) for row in rows):
                continue
            rows.append(measure(options.data, name, seed))
            print(json.dumps(asdict(rows[-1])), file=sys.stderr, flush=True)
            if options.json:
                options.json.write_text(json.dumps([asdict(row) for row in rows]))
    show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
