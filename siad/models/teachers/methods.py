"""Teachers by name: one function fits any of them. A method's module is imported when it is first asked for."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from siad.contracts.fit_settings import BUDGET, INPUT_PX
from siad.contracts.manifest import Manifest
from siad.contracts.methods import AUTO, DEFAULT, require_askable, require_teacher
from siad.models.bundle import Bundle
from siad.models.method_modules import import_method
from siad.models.teachers.choice import WAYS, FittingMethod, FitWay, choose, rank
from siad.vision.images import Image
from siad.vision.region import RegionOfInterest

log = structlog.get_logger()

PROBED_MIN: Final = 6  # normals; with fewer a fold is fitted on next to nothing


def fit_teacher(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    method: str = DEFAULT,
    region: tuple[float, ...] = (),
    input_px: int = 0,
) -> Bundle:
    """Fit a teacher of a method; what the line did not ask for is at the method's default.

    Args:
        images: decoded, uint8 or uint16 [H, W, C], of any sizes.
        line: slug.
        product: slug.
        normals: the capture id of each image.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        method: one of ``siad.contracts.methods.ASKABLE``; ``auto`` is whichever probes of the normals speak for.
        region: what of the view counts, as ``siad.vision.region`` has it; empty for all of it.
        input_px: side of the square with the area that images are shown at; 0 for the method's own.

    Raises:
        ValueError: an unknown method, a method that has its input size fixed, or normals that it can't be fitted on.
    """
    require_askable(method)
    interest = RegionOfInterest(region)
    cuts = [interest.cut(image_HWC) for image_HWC in images]

    def fit_some(way: FittingMethod, some: Sequence[Image], names: Sequence[str]) -> Bundle:
        return fit_way(way, some, line=line, product=product, normals=names, false_reject_budget=false_reject_budget)

    facts: list[tuple[str, float]] = [(BUDGET, false_reject_budget)]
    way = FittingMethod(method=method, input_px=input_px)
    if input_px:
        facts.append((INPUT_PX, float(input_px)))
    if method == AUTO:
        way, probed = _choose(cuts, fit_some, input_px=input_px)
        facts += probed
    bundle = fit_some(way, cuts, normals)
    _tell(bundle.manifest)
    metrics = tuple(sorted((*bundle.manifest.metrics, *facts)))
    return Bundle(replace(bundle.manifest, region=region, metrics=metrics), bundle.parts)


def fit_way(
    way: FittingMethod,
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
) -> Bundle:
    """Fit a bundle one way, as a probe does: of its odd normals nobody is told.

    Args:
        way: not ``auto``.
        images: decoded, uint8 or uint16 [H, W, C], of any sizes; cut to what of the view counts.
        line: slug.
        product: slug.
        normals: the capture id of each image.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).

    Raises:
        ValueError: as ``fit_teacher``.
    """
    fit = import_method(require_teacher(way.method)).fit
    asked = {"input_px": way.input_px} if way.input_px else {}
    if asked and "input_px" not in inspect.signature(fit).parameters:
        msg = f"input_px {way.input_px} for a {way.method} teacher, which has an input size of its own; leave it at 0"
        raise ValueError(msg)
    bundle: Bundle = fit(
        images, line=line, product=product, normals=normals, false_reject_budget=false_reject_budget, **asked
    )
    return bundle


def _choose(cuts: Sequence[Image], fit: FitWay, *, input_px: int) -> tuple[FittingMethod, list[tuple[str, float]]]:
    """The way that probes speak for, and what they said of it; of too few normals to probe the default."""
    ways = list(dict.fromkeys(replace(way, input_px=input_px or way.input_px) for way in WAYS))
    if len(cuts) < PROBED_MIN:
        return ways[0], [(AUTO, 1.0)]
    chosen = choose(rank(cuts, ways, fit), ways[0])
    assert chosen.estimate is not None
    said = [("probed_image_auroc", chosen.estimate.image_auroc), ("probed_pixel_ap", chosen.estimate.pixel_ap)]
    return chosen.way, [(AUTO, 1.0), *said]


def _tell(manifest: Manifest) -> None:
    """Log whom a person should look at: of the teacher that the line gets, not of each that was probed on the way."""
    for event, normals in (("normals_left_out", manifest.left_out), ("normals_doubted", manifest.doubted)):
        if normals:
            log.warning(event, line=manifest.line, product=manifest.product, normals=list(normals))
