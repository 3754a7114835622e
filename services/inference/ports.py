"""What the handlers need of the world.

Shape suffixes: H = image height, W = image width. Every call may raise ``TransientError``.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.inference.domain.judge import Prediction, UnknownReason
from services.inference.domain.releases import ReleasePointer
from siad.contracts.events import ImageStored, LineChanged
from siad.vision.images import Image


class LineSettings(Protocol):
    """The settings of lines, every revision of them."""

    async def settings(self, line: str, revision: int) -> LineChanged:
        """The settings that an event names.

        Raises:
            PoisonError: there are none of that revision.
        """
        ...


class ImageSource(Protocol):
    """Where the images lie."""

    async def fetch(self, event: ImageStored) -> Image:
        """Read, verify and decode the image of a capture.

        Raises:
            PoisonError: it is missing, its bytes are not those of ``image_id``, or they are no image.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingWeights:
    """The weights in service on one line and product, as ``GET /v1/weights`` reports them."""

    release: ReleasePointer
    previous: str | None  # weights that served before
    is_loaded: bool  # in memory; otherwise they are loaded when the line next asks
    swaps: int  # since the process started


class LinePredictors(Protocol):
    """The weights of all lines."""

    async def prepare(self, line: str, product: str) -> UnknownReason | None:
        """Load the weights that judge here, if they are not in memory; the reason for UNKNOWN where none can.

        Raises:
            TransientError: released weights can't be loaded now; they will be tried again.
        """
        ...

    async def predict(self, image: Image, *, line: str, product: str) -> Prediction | None:
        """Judge one image by the weights in service here; None where there are none."""
        ...


class WeightsReporter(Protocol):
    """The weights in service and the pauses of their swaps."""

    @property
    def longest_pause_s(self) -> float:
        """Longest time that a swap held up the batches, since the process started."""
        ...

    def serving(self) -> list[ServingWeights]:
        """The weights in service, by line and product."""
        ...


class MaskStore(Protocol):
    """Where the masks lie."""

    async def store(self, mask_HW: NDArray[np.uint8], *, line: str, capture_id: str, weights: str) -> str:
        """Write a mask and return its address; a repeat overwrites the same bytes."""
        ...
