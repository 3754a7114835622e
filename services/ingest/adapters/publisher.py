"""Events of ingest on the bus."""

from siad.contracts.codec import encode
from siad.contracts.documents import LineState
from siad.contracts.events import ImageStored
from siad.contracts.ids import record_key
from siad.contracts.topics import IMAGE, LINE
from siad.runtime.bus.port import Message, Producer


class BusEventPublisher:
    """The port ``EventPublisher`` on the bus.

    Every message carries the trace of the request that caused it.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def publish_line(self, state: LineState) -> None:
        """Publish the settings of a line; a tombstone where it was ended."""
        value = None if state.is_gone else encode(state.settings)
        await self._publish(Message(topic=LINE.name, key=state.settings.line, value=value))

    async def publish_image(self, receipt: ImageStored, *, shards: int) -> None:
        """Publish a capture's event, on a shard of its line."""
        key = record_key(receipt.line, receipt.capture_id, shards)
        await self._publish(Message(topic=IMAGE.name, key=key, value=encode(receipt)))

    async def _publish(self, message: Message) -> None:
        await self._producer.publish([message])
