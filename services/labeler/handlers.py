"""Handler of the labeler: one pseudo-mask for each inspected capture."""

from services.labeler.ports import MaskScorer, TeacherLookup
from siad.contracts.events import ImageStored, Intent, PseudoMaskCreated
from siad.contracts.ids import WeightsId


async def on_image_stored(
    event: ImageStored, *, teachers: TeacherLookup, scorer: MaskScorer
) -> list[PseudoMaskCreated]:
    """Draw the pseudo-mask of one capture with its line's teacher.

    Safe to repeat: the mask's key holds the capture and the teacher's digest, so a redelivered event overwrites the
    same bytes. Before the line's first teacher the result is empty, and the backfill labels the capture later.
    """
    if event.intent is not Intent.INSPECT:
        return []
    weights = await teachers.current(event.line, event.product)
    return [] if weights is None else [await label(event, weights=weights, scorer=scorer)]


async def label(event: ImageStored, *, weights: WeightsId, scorer: MaskScorer) -> PseudoMaskCreated:
    """Draw the pseudo-mask of one capture with the given weights."""
    drawn = await scorer.draw(event, weights=weights)
    return PseudoMaskCreated(
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
    )
