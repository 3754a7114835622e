"""Corrections on the bus."""

from collections.abc import Sequence

from siad.contracts.codec import encode
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.events import LineChanged
from siad.contracts.ids import record_key
from siad.contracts.topics import CORRECTION
from siad.runtime.bus.port import Message, Producer
from siad.runtime.state_table import StateTable


class BusEventPublisher:
    """The port ``EventPublisher`` on the bus."""

    def __init__(self, producer: Producer, lines: StateTable[LineChanged]) -> None:
        self._producer, self._lines = producer, lines

    async def publish(self, corrections: Sequence[CaptureCorrected]) -> None:
        """Publish corrections, each on the shard of its capture."""
        await self._producer.publish([self._message(one) for one in corrections])

    def _message(self, correction: CaptureCorrected) -> Message:
        line = self._lines.lookup(correction.line)
        key = record_key(correction.line, correction.capture_id, 1 if line is None else line.shards)
        return Message(topic=CORRECTION.name, key=key, value=encode(correction))
