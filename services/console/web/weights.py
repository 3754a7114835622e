"""Route of the weights of a line."""

from datetime import datetime
from typing import Protocol, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.console.routes import ConsoleDependencies, LineName, require_line
from siad.audit.weights_report import DecidedWeights, PlaceWeights, WeightsEntry
from siad.contracts.events import WeightsKind
from siad.contracts.training_runs import RunState
from siad.runtime.deadline import answered_within


class WeightsReports(Protocol):
    """Reads the weights of a line."""

    async def read(self, line: str) -> list[PlaceWeights]:
        """Read the weights, by product.

        Raises:
            CorruptError: a record can't be read.
            TransientError: the store is unavailable.
        """
        ...


class DecisionResponse(BaseModel):
    """Decision of gate or judge about some weights."""

    accepted: bool
    text: str = Field(description="Reasons of the decision; of a refusal what it objects to")
    at: datetime
    origin: str = Field(description="Name of the run, or cause of the fit")
    figures: dict[str, float] = Field(description="By name; those of the weights that served end in _serving")

    @classmethod
    def of(cls, decision: DecidedWeights) -> Self:
        """Describe a decision."""
        return cls(
            accepted=decision.accepted,
            text=decision.text,
            at=decision.at,
            origin=decision.origin,
            figures=dict(decision.figures),
        )


class LineageResponse(BaseModel):
    """What weights learned from; counts of captures."""

    training_set: str = Field(description="Digest; empty for a teacher")
    teachers: list[str]
    normals: int = Field(description="Sent or confirmed as good, that a teacher was fitted on")
    captures: int = Field(description="Of the training set, or of the stream that a teacher was fitted on")
    answers: int = Field(description="Of people, that it learned from")


class WeightsResponse(BaseModel):
    """One set of weights."""

    weights: str
    kind: WeightsKind
    method: str
    state: str = Field(
        description="judges, in service, served before, left by a rollback, in quarantine, refused, never released"
    )
    since_at: datetime | None = Field(description="In service since; otherwise of the decision; null: unknown")
    decision: DecisionResponse | None = Field(description="null: no record of it is left")
    threshold: float | None = Field(description="Set since its release; null: that of the manifest")
    may_return: bool = Field(description="A rollback may name it")
    lineage: LineageResponse

    @classmethod
    def of(cls, entry: WeightsEntry) -> Self:
        """Describe some weights."""
        learned = entry.lineage
        return cls(
            weights=learned.weights,
            kind=learned.kind,
            method=learned.method,
            state=entry.state,
            since_at=entry.since_at,
            decision=None if entry.decision is None else DecisionResponse.of(entry.decision),
            threshold=entry.threshold,
            may_return=entry.may_return,
            lineage=LineageResponse(
                training_set=learned.training_set,
                teachers=list(learned.teachers),
                normals=len(learned.normals),
                captures=len(learned.captures),
                answers=len(learned.corrections),
            ),
        )


class RunResponse(BaseModel):
    """One training run."""

    run: str
    outcome: str = Field(description="open, accepted, refused, failed or cancelled")
    progress: str = Field(description="waits for its job, trains, waits to be judged, or ended")
    frozen_at: datetime
    closed_at: datetime | None
    starts: int = Field(description="Of its job")
    started_at: datetime | None = Field(description="Last start of its job")
    weights: str = Field(description="Its candidate; empty where there is none")
    method: str
    reason: str

    @classmethod
    def of(cls, run: RunState) -> Self:
        """Describe a run."""
        judgement = run.judgement
        return cls(
            run=run.spec.run,
            outcome="open" if judgement is None else judgement.outcome.value,
            progress=_progress(run),
            frozen_at=run.spec.frozen_at,
            closed_at=None if judgement is None else judgement.judged_at,
            starts=run.attempts,
            started_at=run.last_attempt_at,
            weights="" if run.report is None else run.report.weights,
            method=run.spec.method,
            reason="" if judgement is None else judgement.reason,
        )


def _progress(run: RunState) -> str:
    if run.judgement is not None:
        return "ended"
    if run.report is not None:
        return "waits to be judged"
    return "trains" if run.attempts else "waits for its job"


class PlaceWeightsResponse(BaseModel):
    """Weights, runs and learning of one product."""

    product: str
    judges: str = Field(description="Weights that judge; empty for none")
    judges_kind: WeightsKind | None
    is_held: bool = Field(description="A person holds its learning")
    paused: str = Field(description="Why it learns nothing; empty where it does")
    weights: list[WeightsResponse] = Field(description="Newest first, what judges before all")
    runs: list[RunResponse] = Field(description="Newest first")

    @classmethod
    def of(cls, found: PlaceWeights) -> Self:
        """Describe a product."""
        judges = found.judges
        return cls(
            product=found.place.product,
            judges="" if judges is None else judges.lineage.weights,
            judges_kind=None if judges is None else judges.lineage.kind,
            is_held=found.hold is not None,
            paused=found.paused,
            weights=[WeightsResponse.of(one) for one in found.entries],
            runs=[RunResponse.of(one) for one in found.runs],
        )


class LineWeightsResponse(BaseModel):
    """Weights of a line, by product; none before its first teacher."""

    products: list[PlaceWeightsResponse]


def make_weights_routes(dependencies: ConsoleDependencies, reports: WeightsReports) -> APIRouter:
    """Make the route."""
    router = APIRouter(prefix="/v1/lines", tags=["weights"])

    @router.get("/{line}/weights", responses={404: {"description": "Unknown line"}})
    async def weights(line: LineName) -> LineWeightsResponse:
        """Weights, runs and learning of a line, by product.

        The newest thirty weights and runs of each, with the decisions about them, refusals included.
        """
        async with answered_within(dependencies.settings.accept_timeout_s, f"weights of line {line!r} were not read"):
            await require_line(dependencies, line)
            found = await reports.read(line)
        return LineWeightsResponse(products=[PlaceWeightsResponse.of(one) for one in found])

    return router
