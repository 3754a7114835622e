"""Store and producer whose process is killed at a chosen write.

``lives`` counts the writes that succeed before the process is killed; the write after them has no effect. Set it anew
for the next process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from siad.contracts.errors import TransientError
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob, PutCondition
from siad.runtime.bus.port import MESSAGE_BYTES_MAX, Message
from siad.runtime.testing.diary import ProcessKilled

IMMORTAL: Final = 10**9


@dataclass(slots=True)
class MortalBlobs(MemoryBlobs):
    """A store in memory that counts writes and records reads."""

    lives: int = IMMORTAL
    reads: list[str] = field(default_factory=list)  # keys, in order

    def get(self, key: str) -> Blob:
        """Read one object whole."""
        self.reads.append(key)
        return MemoryBlobs.get(self, key)

    def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        condition: PutCondition | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Write one object whole, unless the process is killed."""
        self._count()
        return MemoryBlobs.put(self, key, data, content_type=content_type, condition=condition, tags=tags)

    def delete(self, key: str) -> None:
        """Delete one object, unless the process is killed."""
        self._count()
        MemoryBlobs.delete(self, key)

    def _count(self) -> None:
        if self.lives <= 0:
            raise ProcessKilled
        self.lives -= 1


@dataclass(slots=True)
class MortalProducer:
    """A producer that keeps its messages and counts calls.

    While ``down`` is set, the broker is unavailable.
    """

    sent: list[Message] = field(default_factory=list)
    lives: int = IMMORTAL
    down: bool = False
    bytes_max: int = MESSAGE_BYTES_MAX  # of one message

    async def publish(self, messages: Sequence[Message]) -> None:
        """Keep messages, unless the process is killed."""
        if any(len(message.value or b"") > self.bytes_max for message in messages):
            msg = f"a message is over {self.bytes_max} bytes"
            raise ValueError(msg)
        if self.down:
            msg = "the broker is unavailable"
            raise TransientError(msg)
        if self.lives <= 0:
            raise ProcessKilled
        self.lives -= 1
        self.sent += messages
