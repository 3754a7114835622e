"""Ranking of methods by synthetic defects, without labels."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from siad.apps.files import printable
from siad.apps.lab.evaluate.declared_depth import read_declared_bits
from siad.apps.lab.evaluate.folder import FolderError, read_images
from siad.apps.lab.evaluate.folder_reader import find_good
from siad.apps.lab.evaluate.run import Notify, Skip, names_of
from siad.apps.walk import FolderContent, list_images
from siad.contracts.methods import AUTO, DEFAULT, TEACHERS, require_teacher
from siad.contracts.place import Place
from siad.models.bundle import Bundle
from siad.models.teachers.fit import choose_depth, fit_variant, prepare_normals
from siad.models.teachers.method_choice import VARIANTS, FitVariant, RankedVariant, merit_of, rank_variants
from siad.models.teachers.normals import Normals
from siad.models.teachers.synthetic_estimate import SyntheticEstimate
from siad.vision.odd_normals import describe_odd_normals, find_odd_normals

NORMALS_MIN = 6
WITHDRAWN = ("recall",)  # fields of an estimate


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


def find_normals(folder: Path) -> FolderContent:
    """List ``train/good`` of a set, or all images of a plain folder.

    Raises:
        FolderError: there are too few.
    """
    home = find_good(folder)
    found = list_images(home)
    if len(found.images) < NORMALS_MIN:
        ignored = f" ({found.ignored_text()} ignored)" if found.ignored else ""
        msg = (
            f"{printable(home)} holds {len(found.images)} images{ignored}, {NORMALS_MIN} good ones are needed; nothing "
            "was ranked. Add images"
        )
        raise FolderError(msg)
    return found


def rank_folder(folder: Path, settings: RankSettings, *, notify: Notify, skip: Skip) -> list[RankedVariant]:
    """Estimate every variant on a folder's normals, best first."""
    content = find_normals(folder)
    paths = content.images
    order = np.random.default_rng(settings.seed).permutation(len(paths))[: settings.shots].tolist()
    images, read, left_out = read_images([paths[index] for index in sorted(order)])
    for path, why in (content.skipped | left_out).items():
        skip(path, why)
    if odd := describe_odd_normals(find_odd_normals(images, names_of(read))):
        notify(odd)
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
        | ({"merit": None} if one.estimate is None else _json_of(one.estimate))
        for one in ranked
    ]


def _json_of(found: SyntheticEstimate) -> dict[str, Any]:
    """Figures by name, without those that forecast nothing."""
    values = {name: value for name, value in asdict(found).items() if name not in WITHDRAWN}
    for name, share in (("clear", found.clear), ("faint", found.faint)):
        low, high = share.interval
        values[name] = {"found": share.found, "defects": share.defects, "low": low, "high": high}
    return {"merit": found.merit, **values}
