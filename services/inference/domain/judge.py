"""Judgements and verdicts. Pure.

Shape suffixes: H = image height, W = image width.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from services.inference.domain.releases import ReleasePointer
from siad.contracts.events import Decision, ImageStored, LineChanged, Origin, Region, VerdictGiven, WeightsKind
from siad.vision.decide import Finding
from siad.vision.plausibility import Misfit
from siad.vision.threshold_in_use import ThresholdInUse


class UnknownReason(StrEnum):
    """Why a capture is UNKNOWN."""

    NO_WEIGHTS = "no-weights"  # none were released for the line and product
    WEIGHTS_UNAVAILABLE = "weights-unavailable"  # released, but they can't be loaded; retried without an operator
    LATE = "late"  # past the line's deadline
    UNDECODABLE = "undecodable"  # dead-lettered: the event or the image can't be read
    SIZE = "size"  # the image does not fit the normals of its line; see ``siad.vision.plausibility``
    CHANNELS = "channels"  # likewise
    DEPTH = "depth"  # likewise


NO_THRESHOLD: Final = ThresholdInUse(image_threshold=0.0)  # of a capture that was not judged


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementRequest:
    """What a judgement depends on beside the image."""

    product: str  # that the line made when the image was taken
    received_at: datetime  # the deadline counts from here
    settings: LineChanged  # of the line, at the revision that the capture names


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One image, examined by one model."""

    finding: Finding | Misfit
    release: ReleasePointer
    threshold: ThresholdInUse
    score_s: float  # seconds in scoring and deciding, waiting for the batch included
    runner: str = ""  # what ran the network
    darkness: str = ""  # how much darker than every normal the image is; empty where it is not


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureJudgement:
    """Decision about one capture, of the stream or of a direct request."""

    decision: Decision
    reason: str = ""
    detail: str = ""  # why UNKNOWN, in words
    score: float = 0.0
    threshold: ThresholdInUse = NO_THRESHOLD
    regions: tuple[Region, ...] = ()
    mask_HW: NDArray[np.uint8] | None = None  # only of a defect
    weights: str = ""
    weights_kind: WeightsKind = WeightsKind.UNSPECIFIED
    runner: str = ""
    fetch_s: float = 0.0
    score_s: float = 0.0

    @classmethod
    def unknown(cls, reason: UnknownReason, *, detail: str = "", fetch_s: float = 0.0, score_s: float = 0.0) -> Self:
        """Decide UNKNOWN for a reason."""
        return cls(decision=Decision.UNKNOWN, reason=reason.value, detail=detail, fetch_s=fetch_s, score_s=score_s)

    @classmethod
    def of(cls, prediction: Prediction, *, fetch_s: float) -> Self:
        """Decide as the model found; UNKNOWN where the image does not fit."""
        finding = prediction.finding
        if isinstance(finding, Misfit):
            reason = UnknownReason(finding.reason.value)
            return cls.unknown(reason, detail=finding.detail, fetch_s=fetch_s, score_s=prediction.score_s)
        return cls(
            decision=Decision.REJECT if finding.is_defect else Decision.PASS,
            score=finding.score,
            threshold=prediction.threshold,
            regions=finding.regions if finding.is_defect else (),
            mask_HW=finding.mask_HW if finding.is_defect else None,
            weights=prediction.release.weights,
            weights_kind=prediction.release.kind,
            runner=prediction.runner,
            fetch_s=fetch_s,
            score_s=prediction.score_s,
        )


def label_of(decision: Decision, reason: str) -> str:
    """Metric label of a verdict: pass, reject, or the reason for UNKNOWN."""
    return reason if decision is Decision.UNKNOWN else decision.value


def is_late(now: datetime, *, received_at: datetime, deadline_s: float) -> bool:
    """Whether a verdict ``now`` misses the deadline; 0: no deadline."""
    return deadline_s > 0 and (now - received_at).total_seconds() > deadline_s


def wait_s(event: ImageStored, started_at: datetime) -> float:
    """Seconds from acceptance to handling.

    At least 0, since clocks of machines differ.
    """
    return max((started_at - event.received_at).total_seconds(), 0.0)


def make_verdict(
    event: ImageStored, judgement: CaptureJudgement, *, mask_uri: str, started_at: datetime, judged_at: datetime
) -> VerdictGiven:
    """Build the verdict of a capture of the stream."""
    rate = judgement.threshold.false_rejects
    return VerdictGiven(
        capture_id=event.capture_id,
        image_id=event.image_id,
        image_uri=event.image_uri,
        line=event.line,
        product=event.product,
        line_revision=event.line_revision,
        captured_at=event.captured_at,
        received_at=event.received_at,
        serial=event.serial,
        decision=judgement.decision,
        reason=judgement.reason,
        score=judgement.score,
        threshold=judgement.threshold.image_threshold,
        regions=judgement.regions,
        mask_uri=mask_uri,
        weights=judgement.weights,
        weights_kind=judgement.weights_kind,
        origin=Origin.STREAM,
        judged_at=judged_at,
        wait_s=wait_s(event, started_at),
        fetch_s=judgement.fetch_s,
        score_s=judgement.score_s,
        detail=judgement.detail,
        threshold_revision=judgement.threshold.revision,
        false_rejects=0.0 if rate is None else rate.estimated,
        false_rejects_low=0.0 if rate is None else rate.low,
        false_rejects_high=0.0 if rate is None else rate.high,
        advice=judgement.threshold.advice,
        runner=judgement.runner,
    )
