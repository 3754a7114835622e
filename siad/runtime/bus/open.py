"""Choose the bus adapter by the settings."""

from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.port import Bus
from siad.runtime.bus.settings import EMBEDDED, BusSettings


def open_bus(settings: BusSettings) -> Bus:
    """Make the adapter; it connects with its first use."""
    return EmbeddedBus(settings) if settings.bootstrap.startswith(EMBEDDED) else KafkaBus(settings)
