"""Preview of a threshold with another budget, and what it changes. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from services.console.domain.captures import CaptureEntry, Finding
from services.console.domain.thresholds import ThresholdState, evidence_of
from siad.contracts.ids import WeightsId
from siad.contracts.manifest import Manifest
from siad.vision.sharpening import SharpenedThreshold, sharpen

NEWEST: Final = 500  # captures that are compared
HELD_OUT_MIN: Final = 2  # scores; fewer say nothing of good parts


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedVerdict:
    """A capture that another threshold decides otherwise."""

    capture_id: str
    serial: str
    score: float
    is_reject: bool  # afterwards


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdPreview:
    """A threshold beside that in use."""

    in_use: float
    found: SharpenedThreshold
    scores: tuple[float, ...]  # of the newest captures, newest first
    changes: tuple[ChangedVerdict, ...]  # newest first


def scored_by(entries: Collection[CaptureEntry], weights: WeightsId) -> list[tuple[CaptureEntry, Finding]]:
    """Return the newest captures that some weights scored, newest first."""
    found = [
        (entry, finding)
        for entry in sorted(entries, key=lambda one: (one.received_at, one.capture_id), reverse=True)
        for finding in (entry.verdict, entry.pseudo_mask)
        if finding is not None and finding.weights == weights
    ]
    once = {entry.capture_id: (entry, finding) for entry, finding in reversed(found)}
    return list(reversed(once.values()))[:NEWEST]


def preview_of(
    state: ThresholdState, manifest: Manifest, entries: Collection[CaptureEntry], *, budget: float
) -> ThresholdPreview | None:
    """Compute the threshold of the weights for a budget.

    None where they have too few scores of normals.

    Args:
        state: of the weights, with the threshold that was set for them.
        manifest: of the weights.
        entries: captures of the place.
        budget: share of good parts that may be rejected, in (0, 1).
    """
    if len(manifest.held_out_scores) < HELD_OUT_MIN:
        return None
    found = sharpen(evidence_of(state, manifest, budget=budget))
    in_use = manifest.image_threshold if state.stored is None else state.stored.image_threshold
    scored = scored_by(entries, state.weights)
    changes = tuple(
        ChangedVerdict(
            capture_id=entry.capture_id,
            serial=entry.serial,
            score=finding.score,
            is_reject=finding.score >= found.threshold,
        )
        for entry, finding in scored
        if (finding.score >= in_use) != (finding.score >= found.threshold)
    )
    return ThresholdPreview(
        in_use=in_use, found=found, scores=tuple(finding.score for _, finding in scored), changes=changes
    )
