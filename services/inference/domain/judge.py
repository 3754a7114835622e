"""Judgements and verdicts. Pure.

Shape suffixes: H = image height, W = image width.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from services.inference.domain.releases import ReleasePointer
from siad.contracts.events import Decision, ImageStored, LineChanged, Origin, Region, VerdictGiven, WeightsKind
from siad.contracts.view_baseline import ViewBaseline
from siad.vision.decide import Finding
from siad.vision.images import Image
from siad.vision.plausibility import Misfit
from siad.vision.threshold_in_use import ThresholdInUse
from siad.vision.view_figures import ViewFigures


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
    pixel_threshold: float = 0.0  # raw score from which a pixel is marked
    runner: str = ""  # what ran the network
    darkness: str = ""  # how much darker than every normal the image is; empty where it is not
    baseline: ViewBaseline | None = None  # of the normals of the weights
    figures: ViewFigures | None = None  # of the image against it; None without one, and where the image does not fit
    trial: int = 0  # whose candidate decides; 0: the weights in service do


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedImage:
    """One decoded image, and what decoding took."""

    image_HWC: Image
    decode_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Seconds that the steps of one judgement took."""

    fetch_s: float = 0.0  # fetching and decoding, waiting for a thread included
    decode_s: float = 0.0  # of ``fetch_s``
    score_s: float = 0.0  # scoring and deciding, waiting for the batch included
    mask_s: float = 0.0  # writing the mask


NO_TIME: Final = StepTimes()


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
    pixel_threshold: float = 0.0
    baseline: ViewBaseline | None = None
    figures: ViewFigures | None = None
    trial: int = 0  # whose candidate decided; 0: the weights in service did
    times: StepTimes = NO_TIME

    @classmethod
    def unknown(cls, reason: UnknownReason, *, detail: str = "", times: StepTimes = NO_TIME) -> Self:
        """Decide UNKNOWN for a reason."""
        return cls(decision=Decision.UNKNOWN, reason=reason.value, detail=detail, times=times)

    @classmethod
    def of(cls, prediction: Prediction, *, times: StepTimes) -> Self:
        """Decide as the model found; UNKNOWN where the image does not fit."""
        finding = prediction.finding
        if isinstance(finding, Misfit):
            reason = UnknownReason(finding.reason.value)
            unknown = cls.unknown(reason, detail=finding.detail, times=times)
            return replace(unknown, baseline=prediction.baseline)
        return cls(
            decision=Decision.REJECT if finding.is_defect else Decision.PASS,
            score=finding.score,
            threshold=prediction.threshold,
            regions=finding.regions if finding.is_defect else (),
            mask_HW=finding.mask_HW if finding.is_defect else None,
            weights=prediction.release.weights,
            weights_kind=prediction.release.kind,
            runner=prediction.runner,
            pixel_threshold=prediction.pixel_threshold,
            baseline=prediction.baseline,
            figures=prediction.figures,
            trial=prediction.trial,
            times=times,
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
        fetch_s=judgement.times.fetch_s,
        score_s=judgement.times.score_s,
        detail=judgement.detail,
        threshold_revision=judgement.threshold.revision,
        false_rejects=0.0 if rate is None else rate.estimated,
        false_rejects_low=0.0 if rate is None else rate.low,
        false_rejects_high=0.0 if rate is None else rate.high,
        advice=judgement.threshold.advice,
        runner=judgement.runner,
        pixel_threshold=judgement.pixel_threshold,
        decode_s=judgement.times.decode_s,
        mask_s=judgement.times.mask_s,
        trial=judgement.trial,
    )


def with_publish_wait(verdict: VerdictGiven, *, now: datetime) -> VerdictGiven:
    """Record how long a verdict waited to be published."""
    return replace(verdict, publish_wait_s=max((now - verdict.judged_at).total_seconds(), 0.0))
