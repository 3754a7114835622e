"""How long to wait before the next try: longer each time, and not everybody at once."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A schedule with jitter; its last step repeats for ever."""

    schedule_s: tuple[float, ...] = (0.1, 0.5, 2.0, 8.0)
    spread: float = 0.5  # each wait is drawn from 1 - spread to 1 + spread of its step
    draw: Callable[[], float] = random.random  # uniform in [0, 1)

    def delay_s(self, attempt: int) -> float:
        """Seconds to wait after the failure number ``attempt``, the first being 0."""
        step = self.schedule_s[min(attempt, len(self.schedule_s) - 1)]
        return step * (1 - self.spread + 2 * self.spread * self.draw())
