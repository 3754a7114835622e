"""Fit of a teacher by the settings of its line."""

import inspect
from dataclasses import replace
from typing import Final

import structlog

from siad.contracts.fit_settings import BITS, BUDGET, INPUT_PX, TIGHTENS, FitSettings
from siad.contracts.manifest import Manifest
from siad.contracts.methods import AUTO, require_askable, require_teacher
from siad.contracts.normals_profile import NormalsProfile
from siad.contracts.place import Place
from siad.models.bundle import Bundle, describe_parts
from siad.models.graph_export import add_graph
from siad.models.method_modules import import_method
from siad.models.teachers.method_choice import VARIANTS, FitVariant, choose_variant, rank_variants
from siad.models.teachers.normals import Normals
from siad.models.teachers.normals_summary import SUMMARY, summarise
from siad.vision.depth import find_depth, require_depth, scale_to_full_range
from siad.vision.memory_errors import out_of_memory_named
from siad.vision.odd_normals import advise_on_odd_normals, describe_odd_normals, find_odd_normals
from siad.vision.plausibility import profile_normals
from siad.vision.region import RegionOfInterest

log = structlog.get_logger()

RANKED_MIN: Final = 6  # normals; fewer leave too few to fit a fold on


def fit_teacher(normals: Normals, settings: FitSettings) -> Bundle:
    """Fit a teacher as a line asks for it.

    What the settings leave open is the method's default.

    Args:
        normals: decoded images of the whole view.
        settings: method, region, input size, depth and false-reject budget; the method ``auto`` is the one that ranks
            first on synthetic defects.

    Raises:
        ValueError: an unknown method, an input size for a method that has a fixed one, normals whose values exceed a
            stated depth, or that the method can't be fitted on.
        OutOfMemoryError: memory ran out.
    """
    require_askable(settings.method)
    with out_of_memory_named(f"fitting a {settings.method} teacher on {len(normals)} normals"):
        bits = choose_depth(normals, settings.bits)
        prepared = prepare_normals(normals, bits=bits, region=settings.region)
        bundle = _fit(prepared, settings)
        learned = [index for index, name in enumerate(normals.capture_ids) if name not in bundle.manifest.left_out]
        profile = profile_normals(normals.subset(learned).images, bits)
        _log_profile(profile, normals.place)
        confirmed = [index for index, name in enumerate(normals.capture_ids) if name not in normals.unconfirmed]
        sent = normals.subset(confirmed)
        odd = find_odd_normals(sent.images, sent.capture_ids)
        parts = {**bundle.parts, SUMMARY: summarise(prepared.subset(learned).images)}
        manifest = replace(bundle.manifest, parts=describe_parts(parts), profile=profile, odd_normals=odd)
        _log_odd_normals(manifest)
        typical = prepared.images[learned[0]]
        return add_graph(Bundle(manifest, parts), [typical])


def choose_depth(normals: Normals, stated: int) -> int:
    """Choose the depth by which a line's images are scaled.

    Args:
        normals: decoded images.
        stated: significant bits as the line states them; 0: they are found.

    Returns:
        Bits of the samples of 16-bit files, 8 to 16; 8 where all files have 8 bits.

    Raises:
        ValueError: a normal has a value beyond the stated depth.
    """
    if not len(normals):
        return stated
    chosen = (
        require_depth(normals.images, stated, normals.declared_bits)
        if stated
        else find_depth(normals.images, normals.declared_bits)
    )
    log.info("depth_chosen", line=normals.place.line, product=normals.place.product, bits=chosen.bits, why=chosen.why)
    return chosen.bits


def prepare_normals(normals: Normals, *, bits: int, region: tuple[float, ...]) -> Normals:
    """Scale normals by their depth, and cut them to the region."""
    interest = RegionOfInterest(region)
    return normals.mapped(lambda image_HWC: interest.cut(scale_to_full_range(image_HWC, bits)))


def _fit(normals: Normals, settings: FitSettings) -> Bundle:
    def fit_some(variant: FitVariant, some: Normals) -> Bundle:
        return fit_variant(variant, some, false_reject_budget=settings.budget_for(len(some.calibrating)))

    facts: list[tuple[str, float]] = [(BUDGET, settings.false_reject_budget)]
    variant = FitVariant(method=settings.method, input_px=settings.input_px)
    if settings.input_px:
        facts.append((INPUT_PX, float(settings.input_px)))
    if settings.bits:
        facts.append((BITS, float(settings.bits)))
    if settings.budget_tightens:
        facts.append((TIGHTENS, 1.0))
    if settings.method == AUTO:
        variants = [replace(one, input_px=settings.input_px or one.input_px) for one in VARIANTS]
        variants = list(dict.fromkeys(variants))
        variant = variants[0]
        facts.append((AUTO, 1.0))
        if len(normals) >= RANKED_MIN:
            chosen = choose_variant(rank_variants(normals, variants, fit_some), variant)
            assert chosen.estimate is not None
            variant = chosen.variant
            facts.append(("probed_image_auroc", chosen.estimate.image_auroc))
            facts.append(("probed_pixel_ap", chosen.estimate.pixel_ap))
    bundle = fit_some(variant, normals)
    _log_outliers(bundle.manifest)
    metrics = tuple(sorted((*bundle.manifest.metrics, *facts)))
    return Bundle(replace(bundle.manifest, region=settings.region, metrics=metrics), bundle.parts)


def fit_variant(variant: FitVariant, normals: Normals, *, false_reject_budget: float) -> Bundle:
    """Fit a bundle of one variant, without logging its outliers.

    Args:
        variant: of a method other than ``auto``.
        normals: images of the full range, cut to the region of interest; see ``prepare_normals``.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).

    Raises:
        ValueError: as ``fit_teacher``.
    """
    fit = import_method(require_teacher(variant.method)).fit
    wanted = {"input_px": variant.input_px} if variant.input_px else {}
    if wanted and "input_px" not in inspect.signature(fit).parameters:
        msg = f"input_px {variant.input_px} for method {variant.method}, which has a fixed input size; leave it at 0"
        raise ValueError(msg)
    bundle: Bundle = fit(normals, false_reject_budget=false_reject_budget, **wanted)
    return bundle


def _log_profile(profile: NormalsProfile, place: Place) -> None:
    """Log what later images are compared with, and where that is loose."""
    fields = {"line": place.line, "product": place.product, "normals": str(profile)}
    log.info("normals_profiled", **fields)
    if not profile.has_one_size:
        log.warning("normals_vary_in_size", **fields)
    if len(profile.containers) > 1 or (profile.has_grey and profile.has_colour):
        log.warning("normals_of_several_kinds", **fields)


def _log_outliers(manifest: Manifest) -> None:
    """Log the normals to check.

    Only of the teacher that the line gets, not of ranking folds.
    """
    for event, normals in (("normals_left_out", manifest.left_out), ("normals_doubted", manifest.doubted)):
        if normals:
            log.warning(event, line=manifest.line, product=manifest.product, normals=list(normals))


def _log_odd_normals(manifest: Manifest) -> None:
    """Log the normals unlike the rest, and what to do."""
    if odd := manifest.odd_normals:
        log.warning(
            "normals_odd",
            line=manifest.line,
            product=manifest.product,
            normals=[one.capture_id for one in odd],
            what=describe_odd_normals(odd, left_out=manifest.left_out),
            advice=advise_on_odd_normals(odd, manifest.line),
        )
