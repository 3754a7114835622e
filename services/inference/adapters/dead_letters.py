"""Verdicts of dead-lettered captures: UNKNOWN, if the record names the capture."""

from collections.abc import Callable, Sequence

from siad.contracts.codec import encode
from siad.contracts.errors import PoisonError
from siad.contracts.events import ImageStored, VerdictGiven
from siad.contracts.partial_image import read_image
from siad.contracts.topics import VERDICT
from siad.runtime.bus.port import Message, Record
from siad.runtime.clock import Clock
from siad.runtime.consumer import bind_event, line_of


class DeadLetterVerdicts:
    """Makes the verdict published with a record's dead letter.

    Args:
        clock: for events that lack their times.
        handle: the handler of a dead-lettered capture.
    """

    def __init__(self, clock: Clock, handle: Callable[[ImageStored], Sequence[VerdictGiven]]) -> None:
        self._clock, self._handle = clock, handle

    async def on_poison(self, record: Record, _: PoisonError) -> Sequence[Message]:
        """Return the verdict, or nothing if the record names no capture."""
        event = read_image(record.value, line=line_of(record.key), now=self._clock.now())
        if event is None:
            return []
        bind_event(event)
        key = record.key.decode("utf-8", "replace")
        return [Message(topic=VERDICT.name, key=key, value=encode(verdict)) for verdict in self._handle(event)]
