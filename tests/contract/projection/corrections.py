"""Corrections for the suites of the projection."""

from typing import Any

from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection
from siad.contracts.ids import CaptureId
from tests.unit.console.world import LINE_NAME, PRODUCT, WEIGHTS, at_noon, name_of, verdict


def correction(
    number: int, said: CorrectionVerdict = CorrectionVerdict.GOOD, *, revision: int = 1, **fields: Any
) -> CaptureCorrected:
    """A person's answer to a capture."""
    event = verdict(number)
    values: dict[str, Any] = {
        "capture_id": CaptureId(name_of(number)), "image_id": event.image_id, "image_uri": event.image_uri,
        "line": LINE_NAME, "product": PRODUCT, "serial": event.serial, "captured_at": event.captured_at,
        "received_at": event.received_at, "revision": revision, "verdict": said, "mask_uri": "", "mask_sha256": "",
        "weights": WEIGHTS, "score": 1.0, "threshold": 2.0, "author": "ann", "corrected_at": at_noon(1000 + number),
        "selection": Selection.NEAREST,
    }  # fmt: skip
    return CaptureCorrected(**(values | fields))
