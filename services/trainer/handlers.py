"""Handler of the trainer: pseudo-masks become rows of the ledger."""

from services.trainer.domain.ledger import row_of
from services.trainer.ports import DeletionReader, MaskLedger
from siad.contracts.events import PseudoMaskCreated
from siad.contracts.keys import ledger_key
from siad.contracts.place import Place
from siad.runtime.bus.port import Message
from siad.runtime.consumer.routes import Batch


async def on_pseudo_masks(
    batch: Batch[PseudoMaskCreated], *, ledger: MaskLedger, deletions: DeletionReader
) -> list[Message]:
    """Store a batch, one file for each line and product; publish none.

    Safe to repeat: a file is named by the offsets of its rows, so the same batch writes the same names and bytes. A
    repeat with other borders writes rows twice, and readers keep the first of each (capture, weights). Captures that
    were deleted since are left out, and the file keeps its name.
    """
    groups: dict[Place, list[tuple[int, PseudoMaskCreated]]] = {}
    for record, event in zip(batch.records, batch.decoded, strict=True):
        groups.setdefault(Place(event.line, event.product), []).append((record.offset, event))
    for place, events in groups.items():
        deleted = await deletions.read(place.line)
        rows = [row_of(event) for _, event in events if not deleted.covers(event.capture_id, event.received_at)]
        if rows:
            await ledger.write(ledger_key(place, *batch.topic_partition, events[0][0], events[-1][0]), rows)
    return []
