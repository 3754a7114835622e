"""Routes by which people put captures off."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.console.domain.corrections import require_author
from services.console.domain.deferrals import REASON_MAX, Deferral
from services.console.handlers import on_deferral
from services.console.routes import Author, CaptureName, ConsoleDependencies, LineName, require_line
from services.console.web.listing_wire import ListedDeferral
from siad.runtime.access.guard import person_of

log = structlog.get_logger()


class DeferralBody(BaseModel):
    """Why a capture is put off, as a client sends it."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=REASON_MAX)] = Field(
        description="Why, in the person's words; other people read it"
    )


def make_deferral_routes(dependencies: ConsoleDependencies) -> APIRouter:
    """Make the routes that put captures off."""
    router = APIRouter(prefix="/v1/lines", tags=["review"])
    ports = dependencies.ports

    @router.put(
        "/{line}/captures/{capture}/deferral",
        responses={404: {"description": "Unknown capture"}, 410: {"description": "The capture was erased on request"}},
    )
    async def defer(
        line: LineName, capture: CaptureName, body: DeferralBody, request: Request, author: Author = None
    ) -> ListedDeferral:
        """Put a capture off for a day.

        The review does not give it to this person; others are still given it, and the list of captures names person
        and reason. It is no answer: nothing learns from it. A repeat replaces the reason.
        """
        deferral = Deferral(
            line=line,
            capture_id=capture,
            person=require_author(person_of(request, author or "")),
            reason=body.reason,
            deferred_at=ports.clock.now(),
        )
        await on_deferral(deferral, ports)
        log.info("capture_deferred", line=line, capture_id=capture)
        return ListedDeferral.of(deferral)

    @router.delete("/{line}/captures/{capture}/deferral", status_code=204)
    async def resume(line: LineName, capture: CaptureName, request: Request, author: Author = None) -> None:
        """End a deferral: the review may give the capture again."""
        await require_line(dependencies, line)
        await ports.projection.resume(line, capture, require_author(person_of(request, author or "")))

    return router
