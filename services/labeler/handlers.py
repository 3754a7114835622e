"""What the labeler does with each event it reads."""

from services.labeler.ports import Scorer, Teachers
from siad.contracts.events import ImageStored, Intent, PseudoMaskCreated
from siad.contracts.ids import WeightsId


async def on_image_stored(event: ImageStored, *, teachers: Teachers, scorer: Scorer) -> list[PseudoMaskCreated]:
    """Have the line's teacher draw the pseudo-mask of one capture.

    Safe to repeat: the mask's key holds the capture and the teacher's digest, so a redelivered event overwrites the
    same bytes. Before the line has a teacher there is nothing to say; the backfill comes back for this capture.
    """
    if event.intent is not Intent.INSPECT:
        return []
    weights = await teachers.current(event.line, event.product)
    return [] if weights is None else [await label(event, weights=weights, scorer=scorer)]


async def label(event: ImageStored, *, weights: WeightsId, scorer: Scorer) -> PseudoMaskCreated:
    """Have one teacher draw the pseudo-mask of one capture."""
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
