"""Handler of the labeler: one pseudo-mask for each inspected capture.

Captures whose image is unlike the normals get none.
"""

import structlog

from services.labeler.ports import MaskScorer, SizeRules, TeacherLookup
from siad.contracts.events import ImageStored, Intent, PseudoMaskCreated
from siad.contracts.ids import WeightsId
from siad.vision.plausibility import MisfitError

log = structlog.get_logger()


async def on_image_stored(
    event: ImageStored, *, teachers: TeacherLookup, scorer: MaskScorer, lines: SizeRules
) -> list[PseudoMaskCreated]:
    """Draw the pseudo-mask of one capture with its line's teacher.

    Safe to repeat: the mask's key holds the capture and the teacher's digest, so a redelivered event overwrites the
    same bytes. Before the line's first teacher the result is empty, and the backfill labels the capture later.
    """
    if event.intent is not Intent.INSPECT:
        return []
    weights = await teachers.current(event.line, event.product)
    return [] if weights is None else await label(event, weights=weights, scorer=scorer, lines=lines)


async def label(
    event: ImageStored, *, weights: WeightsId, scorer: MaskScorer, lines: SizeRules
) -> list[PseudoMaskCreated]:
    """Draw the pseudo-mask of one capture with the given weights.

    An image that does not fit the normals has none, so that no segmenter learns from it; inference judges it UNKNOWN.
    """
    try:
        drawn = await scorer.draw(event, weights=weights, sizes=await lines.size_rule(event))
    except MisfitError as error:
        misfit = error.misfit
        log.warning("capture_left_out", capture_id=event.capture_id, reason=misfit.reason.value, detail=misfit.detail)
        return []
    mask = PseudoMaskCreated(
        capture_id=event.capture_id,
        image_id=event.image_id,
        image_uri=event.image_uri,
        line=event.line,
        product=event.product,
        captured_at=event.captured_at,
        received_at=event.received_at,
        mask_uri=drawn.mask_uri,
        mask_sha256=drawn.mask_sha256,
        weights=weights,
        score=drawn.score,
        threshold=drawn.threshold,
        defect_ratio=drawn.defect_ratio,
        regions=drawn.regions,
        confidence=drawn.confidence,
        serial=event.serial,
        image_hash=drawn.image_hash,
    )
    return [mask]
