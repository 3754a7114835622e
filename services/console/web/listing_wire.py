"""Lists of captures as HTTP answers."""

from dataclasses import asdict
from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from services.console.domain.captures import Finding
from services.console.domain.deferrals import Deferral
from services.console.domain.listing import CapturePage, CaptureState, ListedCapture, PageOrder


class ListedFinding(BaseModel):
    """What some weights found, at their threshold of then."""

    weights: str
    score: float
    threshold: float
    mask_uri: str

    @classmethod
    def of(cls, finding: Finding | None) -> Self | None:
        """Describe a finding; None where there is none."""
        if finding is None:
            return None
        uri = finding.mask_uri
        return cls(weights=finding.weights, score=finding.score, threshold=finding.threshold, mask_uri=uri)


class ListedAnswer(BaseModel):
    """The newest correction of a capture."""

    verdict: str
    revision: int
    person: str
    corrected_at: datetime
    classes: list[str] = Field(description="Of the objects in its mask")


class ListedDeferral(BaseModel):
    """A person put the capture off."""

    person: str
    reason: str
    deferred_at: datetime
    until: datetime = Field(description="When this person is asked again")

    @classmethod
    def of(cls, deferral: Deferral) -> Self:
        """Describe a deferral."""
        return cls(
            person=deferral.person, reason=deferral.reason, deferred_at=deferral.deferred_at, until=deferral.until
        )


class ListedCaptureResponse(BaseModel):
    """One capture of a list."""

    capture_id: str
    line: str
    product: str
    serial: str
    captured_at: datetime
    received_at: datetime
    image_uri: str
    state: CaptureState
    verdict: ListedFinding | None = Field(description="Of inference; null where there is none yet, or it is unknown")
    pseudo_mask: ListedFinding | None = Field(description="Of the labeler")
    answer: ListedAnswer | None
    deferrals: list[ListedDeferral] = Field(description="While it is open: people who put it off, the newest first")

    @classmethod
    def of(cls, listed: ListedCapture) -> Self:
        """Describe a row."""
        entry, answer = listed.entry, listed.answer
        return cls(
            capture_id=entry.capture_id,
            line=entry.line,
            product=entry.product,
            serial=entry.serial,
            captured_at=entry.captured_at,
            received_at=entry.received_at,
            image_uri=entry.image_uri,
            state=listed.state,
            verdict=ListedFinding.of(entry.verdict),
            pseudo_mask=ListedFinding.of(entry.pseudo_mask),
            answer=None if answer is None else ListedAnswer(**asdict(answer)),
            deferrals=[ListedDeferral.of(one) for one in listed.deferrals],
        )


class LeaseResponse(BaseModel):
    """Lease of a capture by a page."""

    leased_until: datetime


class CapturesResponse(BaseModel):
    """One page of a line's captures."""

    captures: list[ListedCaptureResponse]
    next: str | None = Field(description="Send it as after for the next page, also behind an empty one; null: the last")

    @classmethod
    def of(cls, page: CapturePage, order: PageOrder) -> Self:
        """Describe a page."""
        captures = [ListedCaptureResponse.of(one) for one in page.captures]
        return cls(captures=captures, next=None if page.next is None else page.next.to_text(order))
