"""When a teacher is fitted, on which normals, and which captures it is to make up for. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from siad.contracts.events import ImageStored, Intent

STEPS: Final = (10, 20, 50, 100)  # normals; past the last a teacher gains little and its fit grows long
CLOCKS_APART: Final = timedelta(seconds=60)  # between the stamps of a capture and of a release


def wanted(normals: int) -> int:
    """How many normals a teacher should be fitted on, of so many; 0: too few for any."""
    return max((step for step in STEPS if step <= normals), default=0)


def choose(normals: Iterable[ImageStored]) -> list[ImageStored]:
    """The normals that a teacher is fitted on: all, or the first of them, so that a repeat chooses the same."""
    return sorted(normals, key=lambda normal: (normal.received_at, normal.capture_id))[: STEPS[-1]]


def was_missed(capture: ImageStored, *, product: str, first_released_at: datetime) -> bool:
    """Whether a capture came before there was a teacher to label it."""
    is_inspected = capture.intent is Intent.INSPECT and capture.product == product
    return is_inspected and capture.received_at <= first_released_at + CLOCKS_APART
