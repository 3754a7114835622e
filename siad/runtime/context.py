"""Context of one stage: its name, health, stop and clock."""

import asyncio
from dataclasses import dataclass, field

from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.health import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """One stage's process, as its consumer and its reconcilers need it."""

    stage: str  # one of ``siad.contracts.topics.STAGES``
    health: Health  # gets ticks, progress, pauses and lag
    stop: asyncio.Event = field(default_factory=asyncio.Event)  # set it to stop gracefully
    clock: Clock = SYSTEM_CLOCK  # for spans, waits and timestamps
