"""Trials of a line in the store, for operators."""

from dataclasses import dataclass
from datetime import UTC, datetime

from siad.audit.rollback import find_place
from siad.contracts.errors import ConflictError
from siad.contracts.place import Place
from siad.contracts.trials import TrialAction, TrialOrder, TrialOutcome, TrialState
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.trials import StoredTrials

ORDERABLE = (TrialOutcome.UNDECIDED, TrialOutcome.DROPPED)  # ends after which a person may still promote


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One trial for people, with the counts of its last phase."""

    line: str
    product: str
    trial: int
    phase: str
    outcome: str  # empty while it is open
    reason: str
    run: str
    candidate: str
    serving: str
    serving_kind: str
    opened_at: datetime
    ended_at: datetime | None
    captures: int
    decided: int
    candidate_only: int  # rejected by the candidate alone
    serving_only: int
    mask_disagreement: float  # mean, of captures that both reject
    spent_s: float
    ordered: str  # by whom and why; empty where nothing was

    @classmethod
    def of(cls, state: TrialState) -> "TrialRow":
        """Describe a trial."""
        spec, pairs, order = state.spec, state.pairs, state.order
        both = sum(pair.candidate_rejects and pair.serving_rejects for pair in pairs.pairs)
        canary_reason = "" if state.canary is None else f"canary since {state.canary.reason}"
        return cls(
            line=spec.line,
            product=spec.product,
            trial=spec.number,
            phase=state.phase.value,
            outcome="" if state.end is None else state.end.outcome.value,
            reason=canary_reason if state.end is None else state.end.reason,
            run=spec.run,
            candidate=spec.candidate,
            serving=spec.serving,
            serving_kind=spec.serving_kind.value,
            opened_at=spec.opened_at,
            ended_at=None if state.end is None else state.end.ended_at,
            captures=pairs.captures,
            decided=pairs.decided,
            candidate_only=sum(pair.candidate_rejects and not pair.serving_rejects for pair in pairs.pairs),
            serving_only=sum(pair.serving_rejects and not pair.candidate_rejects for pair in pairs.pairs),
            mask_disagreement=pairs.mask_disagreement / both if both else 0.0,
            spent_s=pairs.spent_s,
            ordered="" if order is None else f"{order.action.value} by {order.by}: {order.reason or 'no reason given'}",
        )


async def read_trials(blobs: Blobs, line: str, product: str | None) -> list[TrialRow]:
    """Read the trials of a place, oldest first.

    Raises:
        CorruptError: a record can't be read.
        LookupError: the line is unknown, or has no weights.
    """
    place = find_place(blobs, line, product)
    return [TrialRow.of(state) for state in await StoredTrials(AsyncBlobs(blobs)).list_all(place)]


async def order_end(blobs: Blobs, place: Place, action: TrialAction, *, by: str, reason: str) -> int:
    """Order how the newest trial of a place ends; return its number.

    Raises:
        LookupError: there is no trial to order about; nothing was changed.
        ValueError: there is an order already; nothing was changed.
    """
    trials = StoredTrials(AsyncBlobs(blobs))
    newest = await trials.newest(place)
    if newest is None:
        msg = f"{place} has no trial; nothing was changed. Try the next candidate: siad line put {place.line} "
        msg += "--rollout shadow"
        raise LookupError(msg)
    end = newest.end
    if end is not None and not (action is TrialAction.PROMOTE and end.outcome in ORDERABLE):
        msg = (
            f"trial {newest.spec.number} of {place} ended as {end.outcome.value}; nothing was changed. A rollback goes "
            f"back to earlier weights: siad rollback {place.line}"
        )
        raise LookupError(msg)
    order = TrialOrder(action=action, by=by, reason=reason, given_at=datetime.now(UTC))
    try:
        await trials.put_order(newest.spec, order)
    except ConflictError as error:
        msg = f"trial {newest.spec.number} of {place} has an order already; nothing was changed. See siad rollout"
        raise ValueError(msg) from error
    return newest.spec.number
