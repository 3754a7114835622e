"""Route of a threshold preview: what another budget would change."""

import asyncio
from typing import Annotated, Final, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.console.domain.preview import ThresholdPreview, preview_of
from services.console.domain.thresholds import ThresholdState, WeightsScores, scores_by_weights
from services.console.handlers import present_captures
from services.console.ports import ThresholdStore
from services.console.routes import ConsoleDependencies, LineName, require_line
from siad.contracts.ids import SLUG, WeightsId
from siad.contracts.place import Place
from siad.runtime.deadline import answered_within
from siad.runtime.problems import Problem

NAMED_MAX: Final = 50  # captures that are named
Product = Annotated[str, Query(pattern=f"^{SLUG.pattern}$", description="Product of the weights")]
Budget = Annotated[float, Query(gt=0, lt=1, description="Share of good parts that may be rejected")]


class ChangeResponse(BaseModel):
    """A capture that would be decided otherwise."""

    capture_id: str
    serial: str
    score: float
    decision: str = Field(description="Afterwards: reject or pass")


class PreviewResponse(BaseModel):
    """The threshold for a budget beside that in use."""

    weights: str
    in_use: float
    threshold: float
    estimated: float = Field(description="Share of good parts that it rejects, with its interval")
    low: float
    high: float
    reason: str
    scores: list[float] = Field(description="Of the newest captures that these weights scored, 500 at most")
    rejects: int = Field(description="Verdicts of these captures that would become reject")
    passes: int = Field(description="... that would become pass")
    changes: list[ChangeResponse] = Field(description=f"The newest of both, {NAMED_MAX} at most")

    @classmethod
    def of(cls, weights: str, found: ThresholdPreview) -> Self:
        """Describe a preview."""
        rate, rejects = found.found.rate, sum(one.is_reject for one in found.changes)
        return cls(
            weights=weights,
            in_use=found.in_use,
            threshold=found.found.threshold,
            estimated=rate.estimated,
            low=min(rate.low, rate.estimated),
            high=max(rate.high, rate.estimated),
            reason=found.found.reason,
            scores=list(found.scores),
            rejects=rejects,
            passes=len(found.changes) - rejects,
            changes=[
                ChangeResponse(
                    capture_id=one.capture_id,
                    serial=one.serial,
                    score=one.score,
                    decision="reject" if one.is_reject else "pass",
                )
                for one in found.changes[:NAMED_MAX]
            ],
        )


def make_preview_routes(dependencies: ConsoleDependencies, thresholds: ThresholdStore) -> APIRouter:
    """Make the route."""
    router = APIRouter(prefix="/v1/lines", tags=["lines"])
    ports = dependencies.ports

    @router.get(
        "/{line}/threshold-preview",
        responses={404: {"description": "Unknown line"}, 409: {"description": "Nothing to compute it from"}},
    )
    async def preview(line: LineName, product: Product, budget: Budget) -> PreviewResponse:
        """Threshold that the weights that judge would have with another budget.

        Computed from their normals, the stream and the answers, and not stored. The newest captures are compared by it.
        """
        place = Place(line, product)
        async with answered_within(dependencies.settings.accept_timeout_s, "the threshold was not computed"):
            await require_line(dependencies, line)
            serving = await ports.serving.serving(place)
            if serving is None:
                raise _nothing_to_compute(place)
            weights = WeightsId(serving.weights)
            entries, latest = await present_captures(line, product, ports)
            scores = (await asyncio.to_thread(scores_by_weights, entries, latest)).get(weights)
            stored = await thresholds.read(place, weights)
            state = ThresholdState(
                place=place,
                weights=weights,
                scores=WeightsScores() if scores is None else scores,
                miss_cost=0.0,  # the page asks what the budget would do
                stored=None if stored is None else stored.threshold,
                computed=None,
            )
            manifest = await thresholds.manifest(place, weights)
            found = await asyncio.to_thread(preview_of, state, manifest, entries, budget=budget)
        if found is None:
            raise _nothing_to_compute(place)
        return PreviewResponse.of(weights, found)

    return router


def _nothing_to_compute(place: Place) -> Problem:
    detail = f"{place} has no weights with scores of normals, so no threshold can be computed. Send normals first"
    return Problem(409, "no-weights", detail)
