"""A stage that meets poison until its handler is repaired."""

from collections.abc import Sequence

from prometheus_client import REGISTRY

from siad.contracts.errors import PoisonError
from siad.runtime.bus.port import Message, Record
from siad.runtime.testing.world import OUT, STAGE, World, text_of

MINUTE_S = 60.0


class Cell:
    """A handler that cannot read texts that begin with "bad", until it is mended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tried: list[str] = []
        self.is_mended = False

    async def handle(self, record: Record) -> Sequence[Message]:
        self.tried.append(text_of(record))
        if text_of(record).startswith("bad") and not self.is_mended:
            msg = f"{text_of(record)!r} is no good"
            raise PoisonError(msg)
        return [Message(topic=OUT.name, key=record.key.decode(), value=text_of(record).upper().encode())]


def sample(name: str, **labels: str) -> float | None:
    """Return the value of a metric of the stage."""
    return REGISTRY.get_sample_value(name, {"stage": STAGE, **labels})
