"""Start of a new teacher's threshold from the nearest one's."""

from collections.abc import Iterable
from dataclasses import replace

import structlog

from siad.contracts.methods import LEFT_ONE_OUT
from siad.models.bundle import Bundle
from siad.models.teachers.normals_summary import SUMMARY, read_summary
from siad.vision.calibration import PROMISED_MIN, calibrate, score_exceeded_by
from siad.vision.nearest_teacher import OtherTeacher, declined_for, describe_nearest, find_nearest

log = structlog.get_logger()


def start_from_nearest(bundle: Bundle, others: Iterable[OtherTeacher], *, budget: float) -> Bundle:
    """Move a new teacher's threshold towards that of the nearest one.

    Marks keep their ratio to it. A promised threshold stays.

    Args:
        bundle: as ``fit_teacher`` makes it.
        others: teachers in service elsewhere.
        budget: share of good parts that may be rejected, in (0, 1).
    """
    manifest = bundle.manifest
    if len(manifest.held_out_scores) >= PROMISED_MIN:
        return bundle
    nearest = find_nearest(manifest, read_summary(bundle.parts[SUMMARY]), others)
    if nearest is None:
        return bundle
    is_left_one_out = manifest.method in LEFT_ONE_OUT
    if not nearest.declined:
        own = score_exceeded_by(manifest.held_out_scores, nearest.rate, is_left_one_out=is_left_one_out)
        nearest = declined_for(nearest, own)
    log.info("nearest_teacher", line=manifest.line, product=manifest.product, text=describe_nearest(nearest))
    if nearest.declined:
        return Bundle(replace(manifest, nearest=nearest), bundle.parts)
    chosen = calibrate(manifest.held_out_scores, budget=budget, is_left_one_out=is_left_one_out, nearest=nearest)
    return Bundle(
        replace(
            manifest,
            image_threshold=chosen.threshold,
            pixel_threshold=manifest.pixel_threshold * chosen.threshold / manifest.image_threshold,
            false_rejects=chosen.rate,
            nearest=nearest,
        ),
        bundle.parts,
    )
