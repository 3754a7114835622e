"""Drifts of a line's images, and the captures that show them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from siad.contracts.json_codec import OMIT_IF_DEFAULT, JsonRecord

RECORDED_MAX: Final = 50  # drifts kept for a line and product, newest last


class DriftCause(StrEnum):
    """What changed, by the place where a person looks."""

    FOCUS = "focus"  # the images are less sharp, or sharper
    LIGHT = "light"  # brighter, darker, or of another contrast
    SHIFT = "shift"  # the part lies elsewhere in the view
    DIRT = "dirt"  # one small place of the view differs in every image
    PRODUCT = "product"  # the images show something else, or do not fit the normals
    PROCESS = "process"  # scores rose and the images look as before


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftEvidence:
    """The statistic that shows a drift, beside what is usual."""

    statistic: str
    value: float  # mean of the latest captures
    usual: float
    deviation: float  # of the usual values
    deviations: float  # by which the value differs
    place: tuple[float, float] | None = field(default=None, metadata=OMIT_IF_DEFAULT)  # of dirt: x, y, shares of sides


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureReference:
    """A capture, and its image in the store."""

    capture_id: str
    image_uri: str
    captured_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftEpisode:
    """One drift, from its detection to its end."""

    cause: DriftCause
    since_at: datetime  # detection
    until_at: datetime | None = field(default=None, metadata=OMIT_IF_DEFAULT)  # None: it lasts
    evidence: DriftEvidence
    before: CaptureReference | None = field(default=None, metadata=OMIT_IF_DEFAULT)  # as usual; None: none was seen
    after: CaptureReference  # the capture at which it was detected


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRecord(JsonRecord):
    """Drifts of one line and product."""

    line: str
    product: str
    drifts: tuple[DriftEpisode, ...] = ()

    def lasting(self) -> tuple[DriftEpisode, ...]:
        """Return the drifts that have not ended."""
        return tuple(one for one in self.drifts if one.until_at is None)
