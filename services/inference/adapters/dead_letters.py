"""Verdicts beside dead letters: an undecodable capture is answered UNKNOWN where its event names it."""

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
    """Makes the verdict that is published with the dead letter of a record."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_poison(self, record: Record, _: PoisonError) -> Sequence[Message]:
        """Return the verdict under the record's own key; none where the record names no capture."""
        event = read_image(record.value, line=line_of(record.key), now=self._clock.now())
        if event is None:
            return []
        bind_event(event)
        key = record.key.decode("utf-8", "replace")
        verdicts = on_dead_letter(event, clock=self._clock)
        return [Message(topic=VERDICT.name, key=key, value=encode(verdict)) for verdict in verdicts]
