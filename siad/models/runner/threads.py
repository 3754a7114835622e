"""CPU threads that a runner may use."""

from dataclasses import dataclass


@dataclass(slots=True)
class ThreadBound:
    """The bound of one runner's module, which holds for the process."""

    count: int = 0  # 0: no bound was set, and the library decides
