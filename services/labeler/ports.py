"""What the labeler's handlers need of the world."""

from dataclasses import dataclass
from typing import Protocol

from siad.contracts.events import ImageStored, Region
from siad.contracts.ids import WeightsId


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMask:
    """What a teacher said of one capture; its mask lies in the store."""

    mask_uri: str
    mask_sha256: str
    score: float
    threshold: float
    defect_ratio: float
    regions: tuple[Region, ...]
    confidence: float


class Scorer(Protocol):
    """Draws pseudo-masks, elsewhere."""

    async def draw(self, event: ImageStored, *, weights: WeightsId) -> DrawnMask:
        """Have some weights draw the mask of one capture.

        Raises:
            PoisonError: its image is missing, not what its digest says, or no image.
            TransientError: the scorer or the store is away.
        """
        ...


class Teachers(Protocol):
    """Which teacher a line and product have."""

    async def current(self, line: str, product: str) -> WeightsId | None:
        """The teacher now; None before the first."""
        ...
