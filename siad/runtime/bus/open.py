"""Which bus the settings mean."""

from siad.runtime.bus.kafka import KafkaBus
from siad.runtime.bus.port import Bus
from siad.runtime.bus.settings import BusSettings


def open_bus(settings: BusSettings) -> Bus:
    """Make the adapter; connects nowhere yet."""
    return KafkaBus(settings)
