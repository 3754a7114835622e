"""Handlers of the trainer: rows of the ledger, and runs by command."""

from collections.abc import Callable
from typing import TypeVar

from services.trainer.domain.corrections import CorrectionRow, correction_of
from services.trainer.domain.ledger import LedgerRow, row_of
from services.trainer.ports import DeletionReader, Ledger, PairStore, RunRequests
from siad.contracts.commands import CommandGiven
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.events import PseudoMaskCreated
from siad.contracts.keys import ledger_key
from siad.contracts.place import Place
from siad.contracts.trials import ShadowJudged, TrialPhase
from siad.runtime.bus.port import Message
from siad.runtime.clock import Clock
from siad.runtime.commands import CommandResult, refusal
from siad.runtime.consumer.routes import Batch

E = TypeVar("E", PseudoMaskCreated, CaptureCorrected)


async def on_pseudo_masks(
    batch: Batch[PseudoMaskCreated], *, ledger: Ledger, deletions: DeletionReader
) -> list[Message]:
    """Store a batch of pseudo-masks, a file for each place; publish none.

    Safe to repeat: a file is named by the offsets of its rows, so the same batch writes the same names and bytes. A
    repeat with other borders writes rows twice, and readers keep the first of each (capture, weights). Captures that
    were deleted since are left out, and the file keeps its name.
    """
    await _store(batch, row_of, ledger=ledger, deletions=deletions)
    return []


async def on_capture_corrected(
    batch: Batch[CaptureCorrected], *, ledger: Ledger, deletions: DeletionReader
) -> list[Message]:
    """Store a batch of corrections in the same way; publish none.

    Readers keep the highest revision of each capture, so the order of arrival has no effect.
    """
    await _store(batch, correction_of, ledger=ledger, deletions=deletions)
    return []


async def on_shadow_judged(batch: Batch[ShadowJudged], *, trials: PairStore) -> list[Message]:
    """Add a batch of pairs to their trials; publish none.

    Safe to repeat: a capture that a trial has counts once.
    """
    groups: dict[tuple[Place, int, TrialPhase], list[ShadowJudged]] = {}
    for event in batch.decoded:
        groups.setdefault((Place(event.line, event.product), event.trial, event.phase), []).append(event)
    for (place, number, phase), events in groups.items():
        if phase in (TrialPhase.SHADOW, TrialPhase.CANARY):
            await trials.add(place, number, phase, events)
    return []


async def on_train(command: CommandGiven, *, requests: RunRequests, clock: Clock) -> CommandResult:
    """Request a training run by command, or refuse with the reason."""
    place = Place(command.line, command.product)
    try:
        request = await requests.request(place, at=clock.now(), command_id=command.command_id)
    except LookupError as error:
        return refusal(str(error))
    return CommandResult(detail=f"a training run is requested (request {request.number})")


async def _store(
    batch: Batch[E], make_row: Callable[[E], LedgerRow | CorrectionRow], *, ledger: Ledger, deletions: DeletionReader
) -> None:
    groups: dict[Place, list[tuple[int, E]]] = {}
    for record, event in zip(batch.records, batch.decoded, strict=True):
        groups.setdefault(Place(event.line, event.product), []).append((record.offset, event))
    for place, events in groups.items():
        deleted = await deletions.read(place.line)
        rows = [make_row(event) for _, event in events if not deleted.covers(event.capture_id, event.received_at)]
        if rows:
            await ledger.write(ledger_key(place, *batch.topic_partition, events[0][0], events[-1][0]), rows)
