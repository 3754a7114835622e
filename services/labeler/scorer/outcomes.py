"""Outcome of each failure in the scorer, as a problem of ``services.labeler.scorer_api``."""

from typing import Final

from services.labeler.scorer_api import (
    ACCESS_DENIED,
    DRAW_FAILED,
    FIT_REFUSED,
    IMAGE_REFUSED,
    MISFIT,
    UNAVAILABLE,
    ScorerProblem,
)
from siad.contracts.errors import CorruptError, DeniedError, MissingError, TransientError, UnusableWeightsError
from siad.models.runner.port import DeviceError
from siad.vision.images import ImageError
from siad.vision.memory_errors import is_out_of_memory

STATUS: Final = {
    IMAGE_REFUSED: 422,
    MISFIT: 422,
    FIT_REFUSED: 422,
    DRAW_FAILED: 500,
    ACCESS_DENIED: 503,
    UNAVAILABLE: 503,
}
IMAGE_FAULTS: Final = (MissingError, CorruptError, ImageError)  # of a capture's image, for good
# Of the weights, which may be stored or repaired later; and of a device, whose replica is replaced.
RETRIED: Final = (TransientError, MissingError, CorruptError, UnusableWeightsError, DeviceError)


def problem_of(error: Exception, doing: str) -> ScorerProblem:
    """Name the outcome of a failure.

    Args:
        error: what was raised while the scorer scored an image, loaded weights, fitted, or used the store; but not the
            ``IMAGE_FAULTS`` of a capture's image.
        doing: what failed, for the detail: "weights 9f3c of press-1/cap".
    """
    detail = f"{doing}: {error}"
    if isinstance(error, DeniedError):
        return ScorerProblem(type=ACCESS_DENIED, detail=detail)
    if isinstance(error, RETRIED):
        return ScorerProblem(type=UNAVAILABLE, detail=detail)
    if is_out_of_memory(error):
        return ScorerProblem(
            type=UNAVAILABLE, detail=f"{doing}: memory ran out; allow the scorer more if this recurs: {error}"
        )
    return ScorerProblem(type=DRAW_FAILED, detail=f"{doing}: {error!r}")
