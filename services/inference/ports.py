"""What the handlers need of the world.

Shape suffixes: H = image height, W = image width. Every call may raise ``TransientError``.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.inference.domain.judge import Prediction
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


class LinePredictors(Protocol):
    """The models of all lines."""

    async def has_weights(self, line: str, product: str) -> bool:
        """Whether something can judge here; waits for weights that exist and are not in memory yet."""
        ...

    async def examine(self, image: Image, *, line: str, product: str) -> Prediction | None:
        """Examine one image by what judges here at this moment; None where nothing does."""
        ...


class MaskStore(Protocol):
    """Where the masks lie."""

    async def store(self, mask_HW: NDArray[np.uint8], *, line: str, capture_id: str, weights: str) -> str:
        """Write a mask and return its address; a repeat overwrites the same bytes."""
        ...
