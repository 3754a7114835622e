"""Live probes: synthetic defects in copies of passed captures. Pure.

They say whether the weights in service, on today's images, still find defects of this kind. They do not say how many
real defects are found, since real ones have other sizes and contrasts (docs/adr/0035-estimates-without-labels.md).

Shape suffixes: H, W = size of an image, C = channels.
"""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from siad.contracts.ids import CaptureId
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.vision.depth import scale_to_full_range
from siad.vision.found_share import FoundShare
from siad.vision.images import Image
from siad.vision.synthetic_defects import KINDS, SyntheticDefect, make_synthetic_defect

NEWEST: Final = 200  # probes of one line and product that count
SIDE_MIN_PX: Final = 16  # that a synthetic defect needs
_DRAWS: Final = 2**32
_NAMES: Final = tuple(KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedCapture:
    """A capture that passed, as its copy is probed."""

    place: Place
    capture_id: CaptureId
    image_HWC: Image
    sizes: SizeRule
    weights: str  # that passed it
    threshold_revision: int


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Whether one synthetic defect was found."""

    is_clear: bool  # neither small nor faint
    is_found: bool


@dataclass(slots=True)
class ProbeTally:
    """Newest probes of one place, all by the same weights and threshold."""

    weights: str
    threshold_revision: int
    _results: deque[ProbeResult] = field(default_factory=lambda: deque(maxlen=NEWEST))

    def add(self, result: ProbeResult) -> None:
        """Count one probe; the oldest goes where there are too many."""
        self._results.append(result)

    def share(self, *, clear: bool) -> FoundShare:
        """Share of the clear defects, or of the others, that was found."""
        found = [one.is_found for one in self._results if one.is_clear == clear]
        return FoundShare(found=sum(found), defects=len(found))


def is_probed(capture_id: str, share: float) -> bool:
    """Whether a capture is drawn for a probe, like its repeats."""
    return _seed(capture_id) % _DRAWS < share * _DRAWS


def put_defect(capture: PassedCapture) -> SyntheticDefect | None:
    """Put a synthetic defect into a copy of a capture.

    None where the image is too small. The capture's id chooses the kind and draws everything else. Samples of 16 bits
    keep the depth that the image has, so the copy fits the normals as well as the capture did.
    """
    image_HWC = capture.image_HWC
    if min(image_HWC.shape[:2]) < SIDE_MIN_PX:
        return None
    seed = _seed(capture.capture_id)
    rng = np.random.default_rng(seed)
    bits = 0 if image_HWC.dtype == np.uint8 else max(8, int(image_HWC.max()).bit_length())
    defect = make_synthetic_defect(scale_to_full_range(image_HWC, bits), _NAMES[seed // _DRAWS % len(_NAMES)], rng)
    if not bits:
        return defect
    samples_HWC = (defect.image_HWC >> (16 - bits)).astype(np.uint16)
    return SyntheticDefect(kind=defect.kind, image_HWC=samples_HWC, mask_HW=defect.mask_HW, change=defect.change)


def _seed(capture_id: str) -> int:
    return int.from_bytes(hashlib.sha256(b"probe " + capture_id.encode()).digest()[:8], "big")
