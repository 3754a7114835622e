"""Verdicts of dead-lettered captures: UNKNOWN, if the record names the capture."""

from collections.abc import Sequence

from services.inference.handlers import on_dead_letter
from siad.contracts.codec import encode
from siad.contracts.errors import PoisonError
from siad.contracts.partial_image import read_image
from siad.contracts.topics import VERDICT
from siad.runtime.bus.port import Message, Record
from siad.runtime.clock import Clock
from siad.runtime.consumer import bind_event, line_of


class DeadLetterVerdicts:
    """Makes the verdict published with a record's dead letter."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_poison(self, record: Record, _: PoisonError) -> Sequence[Message]:
        """Return the verdict, or nothing if the record names no capture."""
        event = read_image(record.value, line=line_of(record.key), now=self._clock.now())
        if event is None:
            return []
        bind_event(event)
        key = record.key.decode("utf-8", "replace")
        verdicts = on_dead_letter(event, clock=self._clock)
        return [Message(topic=VERDICT.name, key=key, value=encode(verdict)) for verdict in verdicts]
