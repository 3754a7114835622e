"""What ingest tells the other stages, as messages on the bus."""

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

    async def tell_line(self, state: LineState) -> None:
        """The settings as they stand; a tombstone where the line is gone."""
        value = None if state.is_gone else encode(state.settings)
        await self._publish(Message(topic=LINE.name, key=state.settings.line, value=value))

    async def tell_image(self, receipt: ImageStored, *, shards: int) -> None:
        """The image's event, on its line's shard."""
        key = record_key(receipt.line, receipt.capture_id, shards)
        await self._publish(Message(topic=IMAGE.name, key=key, value=encode(receipt)))

    async def _publish(self, message: Message) -> None:
        await self._producer.publish([message])
