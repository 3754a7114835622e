"""Corrections by people, as rows of the ledger. Pure.

A correction takes precedence over every pseudo-mask and over the intent that a capture was sent with; of several
corrections of one capture the highest revision counts.
"""

from dataclasses import dataclass
from datetime import datetime

from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionRow:
    """One correction, with units and ranges as in ``CaptureCorrected``.

    Its author is in the stored record alone: training does not need the name of a person.
    """

    capture_id: str
    image_id: str
    image_uri: str
    serial: str
    captured_at: datetime
    received_at: datetime
    revision: int
    verdict: CorrectionVerdict
    mask_uri: str  # empty for all but a defect, and for a defect without an outline
    mask_sha256: str
    weights: str  # whose result was shown; empty where nothing was
    score: float
    threshold: float
    selection: Selection
    corrected_at: datetime


def correction_of(event: CaptureCorrected) -> CorrectionRow:
    """Keep what training needs; the file's key names line and product."""
    return CorrectionRow(
        capture_id=event.capture_id,
        image_id=event.image_id,
        image_uri=event.image_uri,
        serial=event.serial,
        captured_at=event.captured_at,
        received_at=event.received_at,
        revision=event.revision,
        verdict=event.verdict,
        mask_uri=event.mask_uri,
        mask_sha256=event.mask_sha256,
        weights=event.weights,
        score=event.score,
        threshold=event.threshold,
        selection=event.selection,
        corrected_at=event.corrected_at,
    )
