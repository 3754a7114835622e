"""Which bus the settings mean."""

from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.port import Bus
from siad.runtime.bus.settings import EMBEDDED, BusSettings


def open_bus(settings: BusSettings) -> Bus:
    """Make the adapter; connects nowhere yet."""
    return EmbeddedBus(settings) if settings.bootstrap.startswith(EMBEDDED) else KafkaBus(settings)
