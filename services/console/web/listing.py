"""HTTP routes that list captures."""

from dataclasses import fields, replace
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.console.domain.deferrals import DEFERRED_FOR
from services.console.domain.listing import (
    LIMIT_MAX,
    CaptureDecision,
    CaptureFilter,
    CaptureState,
    PageCursor,
    PageOrder,
    PageRequest,
)
from services.console.handlers import on_captures, on_lease, on_release
from services.console.routes import Answer, CaptureName, ConsoleDependencies, Holder, LineName, require_line
from services.console.web.listing_wire import CapturesResponse, LeaseResponse
from siad.contracts.corrections import AUTHOR_MAX, CorrectionVerdict
from siad.contracts.ids import SLUG
from siad.contracts.marked_objects import CLASS_NAME_MAX
from siad.runtime.deadline import answered_within
from siad.runtime.problems import Problem

SERIAL_MAX: Final = 256  # characters


def _with_zone(at: datetime) -> datetime:
    if at.tzinfo is None:
        msg = "a time without zone; nothing was read. Add Z for UTC, or the offset: 2026-11-30T12:00:00+01:00"
        raise ValueError(msg)
    return at


Moment = Annotated[datetime | None, AfterValidator(lambda at: None if at is None else _with_zone(at))]


class FilterQuery(BaseModel):
    """Filters of the captures of a line."""

    model_config = ConfigDict(extra="forbid")

    product: str | None = Field(default=None, pattern=f"^{SLUG.pattern}$", description="Only of this product")
    received_from: Moment = Field(default=None, description="Received at this time or later")
    received_before: Moment = Field(default=None, description="Received earlier than this time")
    serial: str | None = Field(default=None, max_length=SERIAL_MAX, description="Of this serial number")
    decision: CaptureDecision | None = Field(default=None, description="What the line decided")
    verdict: Answer | None = Field(default=None, description="What the newest answer of a person says")
    score_min: float | None = Field(default=None, allow_inf_nan=False, description="Scores from here")
    score_max: float | None = Field(default=None, allow_inf_nan=False, description="Scores up to here")
    class_name: str | None = Field(
        default=None, alias="class", max_length=CLASS_NAME_MAX, description="With an object of this class"
    )
    state: CaptureState | None = Field(default=None, description="Answered, open, or skipped: called unsure")
    person: str | None = Field(default=None, max_length=AUTHOR_MAX, description="Last answered by this person")

    def to_filter(self) -> CaptureFilter:
        """Read the filters."""
        names = {field.name for field in fields(CaptureFilter)} - {"deferred_after"}  # of a list alone
        values = {name: getattr(self, name) for name in names}
        values["verdict"] = None if self.verdict is None else CorrectionVerdict(self.verdict.value)
        return CaptureFilter(**values)


class CapturesQuery(FilterQuery):
    """Filters of a list, its order and its page."""

    deferred: bool = Field(default=False, description="Only open ones that a person has put off")
    order: PageOrder = Field(default=PageOrder.NEWEST, description="By time of receipt, or by score, highest first")
    limit: int = Field(default=50, ge=1, le=LIMIT_MAX, description="Captures of the page, at most")
    after: str | None = Field(default=None, max_length=200, description="next of the page before")

    def to_request(self, line: str, now: datetime) -> PageRequest:
        """Read the page that is asked for.

        Raises:
            CursorError: ``after`` is no cursor of this order.
        """
        after = None if self.after is None else PageCursor.from_text(self.after, self.order)
        wanted = self.to_filter()
        if self.deferred:
            state = wanted.state or CaptureState.OPEN
            wanted = replace(wanted, deferred_after=now - DEFERRED_FOR, state=state)
        return PageRequest(line=line, filter=wanted, order=self.order, limit=self.limit, after=after)


def make_listing_routes(dependencies: ConsoleDependencies) -> APIRouter:
    """Make the routes that list captures."""
    router = APIRouter(prefix="/v1/lines", tags=["captures"])

    @router.get(
        "/{line}/captures",
        responses={404: {"description": "Unknown line"}, 503: {"description": "Store or database unavailable"}},
    )
    async def captures(line: LineName, query: Annotated[CapturesQuery, Query()]) -> CapturesResponse:
        """List the captures of a line, by filters.

        A page looks at 10,000 captures at most, so it may show fewer than its limit and still have a next one.
        """
        request = query.to_request(line, dependencies.ports.clock.now())
        async with answered_within(
            dependencies.settings.accept_timeout_s, f"the captures of line {line!r} were not read"
        ):
            await require_line(dependencies, line)
            return CapturesResponse.of(await on_captures(request, dependencies.ports), query.order)

    @router.put("/{line}/captures/{capture}/lease", responses={409: {"description": "Another page shows the capture"}})
    async def lease(line: LineName, capture: CaptureName, holder: Holder) -> LeaseResponse:
        """Give or renew the lease of a capture, for five minutes.

        While it lasts, no other page is given the capture. An answer needs no lease.
        """
        await require_line(dependencies, line)
        if (until := await on_lease(line, capture, holder, dependencies.ports)) is None:
            detail = (
                f"another page shows capture {capture}; nothing was done. Go to the next, or answer it all the same"
            )
            raise Problem(409, "leased", detail)
        return LeaseResponse(leased_until=until)

    @router.delete("/{line}/captures/{capture}/lease", status_code=204)
    async def release(line: LineName, capture: CaptureName, holder: Holder) -> None:
        """End the lease of a capture, so that others are given it."""
        await require_line(dependencies, line)
        await on_release(line, capture, holder, dependencies.ports)

    return router
