"""Threshold in use: of the manifest, or set since."""

from dataclasses import dataclass
from typing import Final

from siad.contracts.corrections import ThresholdSet
from siad.contracts.manifest import Manifest, RateEstimate
from siad.vision.promise import advice_of

BY_NORMALS: Final = "chosen by the budget, from the normals of the fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdInUse:
    """Threshold by which images are judged, and what it rejects."""

    image_threshold: float  # raw score; a defect has score >= threshold
    revision: int = 0  # of the ``ThresholdSet``; 0: that of the manifest
    false_rejects: RateEstimate | None = None  # None: not estimated
    reason: str = BY_NORMALS  # which rule chose it, and from what
    advice: str = ""  # what would sharpen the estimate, in one sentence


def threshold_in_use(manifest: Manifest, threshold: ThresholdSet | None) -> ThresholdInUse:
    """Describe the threshold of some weights.

    Args:
        manifest: of the weights.
        threshold: set for them since they were fitted; None where none was.
    """
    if threshold is None:
        return ThresholdInUse(
            image_threshold=manifest.image_threshold,
            false_rejects=manifest.false_rejects,
            reason=_reason_of(manifest),
            advice=advice_of(manifest),
        )
    rate = RateEstimate(budget=threshold.budget, estimated=threshold.estimated, low=threshold.low, high=threshold.high)
    return ThresholdInUse(
        image_threshold=threshold.image_threshold,
        revision=threshold.revision,
        false_rejects=rate,
        reason=threshold.reason,
        advice=threshold.advice,
    )


def _reason_of(manifest: Manifest) -> str:
    nearest = manifest.nearest
    if nearest is None or nearest.declined:
        return BY_NORMALS
    return f"{BY_NORMALS} and the threshold of {nearest.line}/{nearest.product}"
