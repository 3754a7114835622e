"""JSON bodies and problems of the console's HTTP API."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final, Self

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field

from services.console.domain.corrections import CorrectionRefusedError, RefusalReason
from services.console.domain.estimates import INTERVAL, PlaceEstimates, Rate
from services.console.domain.labour import Labour
from services.console.domain.listing import CursorError
from services.console.domain.review import Review, ReviewItem
from siad.contracts.corrections import CaptureCorrected
from siad.runtime.problems import problem_response

STATUS_OF: Final[Mapping[RefusalReason, int]] = {
    RefusalReason.UNKNOWN_CAPTURE: 404,
    RefusalReason.FORGOTTEN: 410,
    RefusalReason.IMAGE_EXPIRED: 410,
    RefusalReason.CAPTURE_IS_NORMAL: 409,
    RefusalReason.IN_QUARANTINE: 409,
    RefusalReason.PRECONDITION_FAILED: 412,
    RefusalReason.MASK_TOO_LARGE: 413,
}  # otherwise 422


class MarkedObjectResponse(BaseModel):
    """One mark of a correction, in pixels of the image."""

    x: int
    y: int
    width: int
    height: int
    area_px: int
    origin: str
    fate: str
    class_name: str


class CorrectionResponse(BaseModel):
    """One revision of a capture's correction."""

    capture_id: str
    image_id: str
    image_uri: str
    line: str
    product: str
    serial: str
    captured_at: datetime
    received_at: datetime
    revision: int
    verdict: str
    mask_uri: str
    mask_sha256: str
    weights: str = Field(description="What was shown: weights, score and threshold; empty and 0 where nothing was")
    score: float
    threshold: float
    author: str
    corrected_at: datetime
    selection: str = Field(description="Why the capture was shown: nearest, random or chosen")
    objects: list[MarkedObjectResponse] = Field(description="What became of each mark; empty where it was not told")
    active_s: float
    keys: int
    presses: int

    @classmethod
    def of(cls, correction: CaptureCorrected) -> Self:
        """Describe a correction."""
        return cls(**asdict(correction))


class CorrectionsResponse(BaseModel):
    """Every revision of a capture's correction, oldest first."""

    corrections: list[CorrectionResponse]


class ReviewItemResponse(BaseModel):
    """One capture to answer, and why it is shown."""

    capture_id: str
    line: str
    product: str
    serial: str
    captured_at: datetime
    received_at: datetime
    image_uri: str
    mask_uri: str
    weights: str
    score: float
    threshold: float
    decision: str
    selection: str
    distance: float = Field(description="From the threshold, in deviations of the log scores of captures that passed")
    reason: str
    grounds: list[str] = Field(
        description="near, contradiction, low-confidence, left (none of these), unlike, or random"
    )
    is_current: bool = Field(description="Whether the weights in service gave score and threshold")

    @classmethod
    def of(cls, item: ReviewItem) -> Self:
        """Describe a capture to show."""
        entry, finding = item.entry, item.finding
        return cls(
            capture_id=entry.capture_id,
            line=entry.line,
            product=entry.product,
            serial=entry.serial,
            captured_at=entry.captured_at,
            received_at=entry.received_at,
            image_uri=entry.image_uri,
            mask_uri=finding.mask_uri,
            weights=finding.weights,
            score=finding.score,
            threshold=finding.threshold,
            decision="reject" if finding.is_reject else "pass",
            selection=item.selection.value,
            distance=item.distance,
            reason=item.reason,
            grounds=[ground.value for ground in item.grounds],
            is_current=item.is_current,
        )


class NextTrainingResponse(BaseModel):
    """Corrections of a product until its next training run."""

    product: str
    new: int = Field(description="Captures corrected since the last training set was frozen")
    needed: int
    missing: int = Field(description="0: a run starts once the trainer's other conditions hold")


class LabourResponse(BaseModel):
    """What the answers took, and what further ones bring."""

    active_s: float = Field(description="Seconds of work on the newest answer of each capture")
    trainings: list[NextTrainingResponse]
    advice: str = Field(description="Why looking on would not pay; empty while it does")

    @classmethod
    def of(cls, labour: Labour) -> Self:
        """Describe the effort."""
        trainings = [
            NextTrainingResponse(product=one.product, new=one.new, needed=one.needed, missing=one.missing)
            for one in labour.trainings
        ]
        return cls(active_s=labour.active_s, trainings=trainings, advice=labour.advice)


class ReviewResponse(BaseModel):
    """Captures to answer next."""

    line: str
    captures: int = Field(description="Captures of the line with a score that the console holds")
    answered: int = Field(description="Of them, those with a correction")
    products: list[str] = Field(description="Products of the line with such captures")
    items: list[ReviewItemResponse]
    labour: LabourResponse
    leased_until: datetime | None = Field(default=None, description="No other page is given these until then; renew")

    @classmethod
    def of(cls, line: str, review: Review) -> Self:
        """Describe what to show."""
        items = [ReviewItemResponse.of(item) for item in review.items]
        counts = {"captures": review.captures, "answered": review.answered}
        return cls(
            line=line,
            **counts,
            products=list(review.products),
            items=items,
            labour=LabourResponse.of(review.labour),
            leased_until=review.leased_until,
        )


class RateResponse(BaseModel):
    """A share with its interval."""

    count: int
    of: int
    estimated: float
    low: float
    high: float

    @classmethod
    def of_rate(cls, rate: Rate | None) -> Self | None:
        """Describe a share; None where nothing is known."""
        if rate is None:
            return None
        return cls(count=rate.count, of=rate.of, estimated=rate.estimated, low=rate.low, high=rate.high)


class EstimateResponse(BaseModel):
    """What answers to drawn captures say about the weights of a product."""

    line: str
    product: str
    weights: str
    threshold: float
    answers: int
    unsure: int
    false_rejects: RateResponse | None = Field(description="Of good parts, those rejected")
    misses: RateResponse | None = Field(description="Of defective parts, those passed")
    defects: RateResponse | None = Field(description="Of all parts, those defective")
    earlier: int = Field(description="Answers to captures that these weights have not scored; they don't count here")

    @classmethod
    def of(cls, found: PlaceEstimates) -> Self:
        """Describe the estimates of a place."""
        return cls(
            line=found.place.line,
            product=found.place.product,
            weights=found.weights,
            threshold=found.threshold,
            answers=found.answers,
            unsure=found.unsure,
            false_rejects=RateResponse.of_rate(found.false_rejects),
            misses=RateResponse.of_rate(found.misses),
            defects=RateResponse.of_rate(found.defects),
            earlier=found.earlier,
        )


class EstimatesResponse(BaseModel):
    """Estimates of a line, by product.

    There are none before the first answer to a drawn capture, or to one that only earlier weights scored.
    """

    probability: float = Field(default=INTERVAL, description="Of the intervals")
    estimates: list[EstimateResponse]

    @classmethod
    def of(cls, found: Sequence[PlaceEstimates]) -> Self:
        """Describe the estimates of a line."""
        return cls(estimates=[EstimateResponse.of(one) for one in found])


def add_problems(app: FastAPI) -> None:
    """Answer the console's own exceptions by problems."""
    app.add_exception_handler(CorrectionRefusedError, _on_refused)
    app.add_exception_handler(CursorError, _on_cursor)


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, CorrectionRefusedError)
    return problem_response(STATUS_OF.get(error.reason, 422), error.reason.value, str(error))


async def _on_cursor(_: Request, error: Exception) -> Response:
    return problem_response(422, "invalid-cursor", str(error))
