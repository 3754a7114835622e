"""Training runs of a line in the store, for operators."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.labeler.handlers import on_hold_or_resume
from services.trainer.adapters.run_requests import StoredRunRequests
from services.trainer.domain.judge import cancel
from siad.audit.rollback import find_place
from siad.contracts.commands import CommandFate, CommandGiven, CommandKind
from siad.contracts.place import Place
from siad.contracts.training_runs import RunState
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.clock import SYSTEM_CLOCK
from siad.runtime.store.brakes import StoredHolds
from siad.runtime.store.runs import StoredRuns


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run, as lists show it."""

    run: str
    line: str
    product: str
    outcome: str  # open, or how it ended
    frozen_at: datetime
    closed_at: datetime | None
    attempts: int
    weights: str  # the candidate; empty where there is none
    reason: str

    @classmethod
    def of(cls, state: RunState) -> "RunRow":
        """Describe a run."""
        judgement = state.judgement
        candidate = state.report.weights if state.report is not None else ""
        return cls(
            run=state.spec.run,
            line=state.spec.line,
            product=state.spec.product,
            outcome="open" if judgement is None else judgement.outcome.value,
            frozen_at=state.spec.frozen_at,
            closed_at=None if judgement is None else judgement.judged_at,
            attempts=state.attempts,
            weights=candidate if judgement is None else judgement.weights or candidate,
            reason="" if judgement is None else judgement.reason,
        )


async def read_runs(blobs: Blobs, place: Place) -> list[RunState]:
    """Read every run of a line and product, oldest first.

    Raises:
        CorruptError: a record can't be read.
    """
    return await StoredRuns(AsyncBlobs(blobs)).read(place)


async def find_run(blobs: Blobs, place: Place, run: str | None) -> RunState:
    """Find a run by name or number; the last one by default.

    Raises:
        LookupError: there is none; names those that are.
    """
    runs = await read_runs(blobs, place)
    if not runs:
        msg = f"{place} has no run yet. siad runs why {place.line} says what the first one waits for"
        raise LookupError(msg)
    if run is None:
        return runs[-1]
    wanted = f"{place.line}.{place.product}.{int(run):06d}" if run.isdecimal() else run
    for state in runs:
        if state.spec.run == wanted:
            return state
    msg = f"{place} has no run {run!r}; the last ones are {', '.join(state.spec.run for state in runs[-5:])}"
    raise LookupError(msg)


async def request_run(blobs: Blobs, line: str, product: str | None) -> tuple[Place, int]:
    """Request a run that does not wait for new captures.

    Raises:
        ConflictError: another operator requested one at the same moment.
        CorruptError: a record can't be read.
        LookupError: the line has no teacher, learns nothing, or has an open run.
    """
    place = find_place(blobs, line, product)
    request = await StoredRunRequests(AsyncBlobs(blobs)).request(place, at=datetime.now(UTC))
    return place, request.number


async def request_runs(blobs: Blobs, line: str, products: Iterable[str]) -> None:
    """Request a run for each product, also while one is open."""
    for product in products:
        await StoredRuns(AsyncBlobs(blobs)).put_request(Place(line, product), datetime.now(UTC))


async def cancel_run(blobs: Blobs, line: str, product: str | None) -> str:
    """Close the open run of a place; the trainer ends its job.

    Raises:
        ConflictError: the trainer closed it at the same moment.
        LookupError: no run is open.
    """
    place = find_place(blobs, line, product)
    last = await find_run(blobs, place, None)
    if not last.is_open:
        msg = f"no run of {place} is open; nothing was cancelled. The last one, {last.spec.run}, has ended"
        raise LookupError(msg)
    await StoredRuns(AsyncBlobs(blobs)).put_judgement(cancel(last.spec, now=datetime.now(UTC)))
    return last.spec.run


async def move_hold(blobs: Blobs, line: str, product: str | None, *, by: str, because: str | None) -> tuple[Place, str]:
    """Hold or resume the learning of a place, as by command.

    Args:
        blobs: the store.
        line: its name.
        product: of the line; None: the only one, or what it makes now.
        by: name of the person.
        because: the reason of a hold; None resumes.

    Returns:
        The place, and what was done.

    Raises:
        ConflictError: another person moved it at the same moment.
        LookupError: the line has no weights, or its learning is not held; nothing was changed.
        ValueError: name or reason is too long; nothing was changed.
    """
    place = find_place(blobs, line, product)
    command = CommandGiven(
        command_id=secrets.token_hex(16),
        line=place.line,
        product=place.product,
        kind=CommandKind.RESUME if because is None else CommandKind.HOLD,
        by=by,
        given_at=datetime.now(UTC),
        reason=because or "",
    )
    result = await on_hold_or_resume(command, holds=StoredHolds(AsyncBlobs(blobs)), clock=SYSTEM_CLOCK)
    if result.fate is CommandFate.REFUSED:
        raise LookupError(result.detail)
    return place, result.detail
