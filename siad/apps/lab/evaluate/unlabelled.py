"""Ranking of methods by synthetic defects, without labels."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from siad.apps.lab.evaluate.declared_depth import read_declared_bits
from siad.apps.lab.evaluate.folder import GOOD, SUFFIXES, FolderError, read_images
from siad.apps.lab.evaluate.run import Notify
from siad.contracts.methods import AUTO, DEFAULT, TEACHERS, require_teacher
from siad.contracts.place import Place
from siad.models.bundle import Bundle
from siad.models.teachers.fit import choose_depth, fit_variant, prepare_normals
from siad.models.teachers.method_choice import VARIANTS, FitVariant, RankedVariant, merit_of, rank_variants
from siad.models.teachers.normals import Normals

NORMALS_MIN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSettings:
    """How to rank."""

    variants: Sequence[FitVariant]
    shots: int | None  # normals to use; None: all
    budget: float  # fraction of good parts that may be rejected
    region: tuple[float, ...] = ()
    bits: int = 0  # significant bits of the samples of 16-bit files; 0: found from the normals
    seed: int = 0


def parse_methods(text: str) -> tuple[FitVariant, ...]:
    """Read names of methods, separated by commas.

    The default and ``auto`` are those that the labeler considers.

    Raises:
        ValueError: a method does not exist.
    """
    groups = {DEFAULT: VARIANTS, AUTO: VARIANTS, "all": tuple(FitVariant(method=name) for name in TEACHERS)}
    return groups.get(text) or tuple(FitVariant(method=require_teacher(name.strip())) for name in text.split(","))


def find_normals(folder: Path) -> list[Path]:
    """List ``train/good`` of a set, or all images of a plain folder.

    Raises:
        FolderError: there are too few.
    """
    home = folder / "train" / GOOD if (folder / "train" / GOOD).is_dir() else folder
    if not home.is_dir():
        msg = f"{home} is not a folder; nothing was ranked. Name one with good images, or a set with train/good"
        raise FolderError(msg)
    found = sorted(path for path in home.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(found) < NORMALS_MIN:
        msg = f"{home} holds {len(found)} images, {NORMALS_MIN} good ones are needed; nothing was ranked. Add images"
        raise FolderError(msg)
    return found


def rank_folder(folder: Path, settings: RankSettings, *, notify: Notify) -> list[RankedVariant]:
    """Estimate every variant on a folder's normals, best first."""
    paths = find_normals(folder)
    order = np.random.default_rng(settings.seed).permutation(len(paths))[: settings.shots].tolist()
    images, read, left_out = read_images([paths[index] for index in sorted(order)])
    for line in left_out:
        notify(line)
    names = [f"{index:06d}" for index in range(len(images))]
    normals = Normals.ordered(images, names, Place("evaluate", "evaluate"), declared_bits=read_declared_bits(read))
    normals = prepare_normals(normals, bits=choose_depth(normals, settings.bits), region=settings.region)

    def fit(variant: FitVariant, some: Normals) -> Bundle:
        return fit_variant(variant, some, false_reject_budget=settings.budget)

    found = []
    for variant in settings.variants:
        notify(f"estimating {variant} on {len(normals)} normals")
        found += rank_variants(normals, [variant], fit, seed=settings.seed)
    return sorted(found, key=merit_of, reverse=True)


def json_of(ranked: Sequence[RankedVariant]) -> list[dict[str, Any]]:
    """The ranking as JSON values."""
    return [
        {"method": one.variant.method, "input_px": one.variant.input_px, "reason": one.reason}
        | ({"merit": None} if one.estimate is None else {"merit": one.estimate.merit} | asdict(one.estimate))
        for one in ranked
    ]
