"""`siad evaluate --no-labels`: which method to take, from normals alone."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from siad.apps.lab.evaluate.folder import GOOD, SUFFIXES, FolderError, read_images
from siad.models.bundle import Bundle
from siad.models.probing import ProbeEstimate
from siad.models.teachers.choice import FittingMethod, RankedMethod, rank
from siad.models.teachers.methods import fit_way
from siad.vision.images import Image
from siad.vision.region import RegionOfInterest

NORMALS_MIN = 6
Say = Callable[[str], None]


def find_normals(folder: Path) -> list[Path]:
    """``train/good`` of a set, or all images of a plain folder.

    Raises:
        FolderError: too few.
    """
    home = folder / "train" / GOOD if (folder / "train" / GOOD).is_dir() else folder
    if not home.is_dir():
        msg = f"{home} is no folder; name one with good images, or a set with train/good"
        raise FolderError(msg)
    found = sorted(path for path in home.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(found) < NORMALS_MIN:
        msg = f"{home} holds {len(found)} images; {NORMALS_MIN} good ones are needed to probe, more are better"
        raise FolderError(msg)
    return found


def rank_folder(
    folder: Path,
    ways: Sequence[FittingMethod],
    *,
    shots: int | None,
    seed: int,
    budget: float,
    interest: RegionOfInterest,
    say: Say,
) -> list[RankedMethod]:
    """Probe every way on normals of a folder; the best first."""
    paths = find_normals(folder)
    order = np.random.default_rng(seed).permutation(len(paths))[:shots].tolist()
    images, _, left_out = read_images([paths[index] for index in sorted(order)])
    for line in left_out:
        say(line)
    cuts = [interest.cut(image_HWC) for image_HWC in images]

    def fit(way: FittingMethod, some: Sequence[Image], names: Sequence[str]) -> Bundle:
        return fit_way(way, some, line="evaluate", product="evaluate", normals=names, false_reject_budget=budget)

    found = []
    for way in ways:
        say(f"probing {way} on {len(cuts)} normals")
        found += rank(cuts, [way], fit, seed=seed)
    return sorted(found, key=lambda one: -1.0 if one.estimate is None else one.estimate.merit, reverse=True)


def table_of(ranked: Sequence[RankedMethod], *, title: str) -> Table:
    """The ranking, for people."""
    table = Table(title=title)
    for column in ("", "merit", "image AUROC", "pixel AP", "found", "false rejects", "fit s", "images/s"):
        table.add_column(column, justify="left" if not column else "right")
    for one in ranked:
        table.add_row(str(one.way), *(_cells(one.estimate) if one.estimate else ("-", one.reason)))
    return table


def json_of(ranked: Sequence[RankedMethod]) -> str:
    """The ranking, for programs."""
    rows: list[dict[str, Any]] = [
        {"method": one.way.method, "input_px": one.way.input_px, "reason": one.reason}
        | ({"merit": None} if one.estimate is None else {"merit": one.estimate.merit} | asdict(one.estimate))
        for one in ranked
    ]
    return json.dumps(rows, indent=2)


def _cells(found: ProbeEstimate) -> tuple[str, ...]:
    rates = (found.merit, found.image_auroc, found.pixel_ap, found.recall, found.false_rejects)
    return (*(f"{rate:.3f}" for rate in rates), f"{found.fit_s:.1f}", f"{found.images_per_s:.1f}")
