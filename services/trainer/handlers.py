"""What the trainer does with the pseudo-masks it reads."""

from collections.abc import Sequence

from services.trainer.domain.ledger import row_of
from services.trainer.ports import DeletionReader, MaskLedger
from siad.contracts.events import PseudoMaskCreated
from siad.contracts.keys import ledger_key
from siad.runtime.bus.port import Message
from siad.runtime.consumer.routes import Batch


async def on_pseudo_masks(
    batch: Batch[PseudoMaskCreated], *, ledger: MaskLedger, deletions: DeletionReader
) -> Sequence[Message]:
    """Write a batch down: one file for each line and product in it. Nothing is emitted.

    What was forgotten since its mask was announced is left out; a file keeps the name that its offsets give it.
    Safe to repeat: a file is named by the offsets of its rows, so the same batch writes the same names and bytes; a
    repeat that is cut elsewhere writes rows twice, and readers keep the first of each (capture, weights).
    """
    groups: dict[tuple[str, str], list[tuple[int, PseudoMaskCreated]]] = {}
    for record, event in zip(batch.records, batch.items, strict=True):
        groups.setdefault((event.line, event.product), []).append((record.offset, event))
    for (line, product), taken in groups.items():
        forgotten = await deletions.look(line)
        rows = [row_of(event) for _, event in taken if not forgotten.covers(event.capture_id, event.received_at)]
        if not rows:
            continue
        key = ledger_key(line, product, *batch.topic_partition, taken[0][0], taken[-1][0])
        await ledger.write(key, rows)
    return []
