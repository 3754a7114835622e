"""How a segmenter that the gate accepts comes into service."""

from enum import StrEnum
from typing import Self


class RolloutMode(StrEnum):
    """Setting of a line."""

    DIRECT = "direct"  # released at once
    SHADOW = "shadow"  # judges captures beside what serves first, in a trial
    CANARY = "canary"  # likewise, then decides a share of the captures, then all

    @classmethod
    def of(cls, rollout: str) -> Self:
        """Read a line's setting; empty is ``DIRECT``."""
        return cls(rollout or cls.DIRECT.value)


def require_rollout(rollout: str) -> None:
    """Raise ValueError unless it is empty or a ``RolloutMode``."""
    if rollout and rollout not in set(RolloutMode):
        msg = f"rollout {rollout!r} is not one of {', '.join(RolloutMode)}; direct releases what the gate accepts"
        raise ValueError(msg)
