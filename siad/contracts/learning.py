"""Whether a line learns: its setting, a person's hold, and the brake.

A person holds and resumes one place by command. The brake stops fits of more captures, training runs and releases where
the pseudo-masks of a line leave the bounds of what they were. Neither ever stops inspection. The labeler writes both,
labeler and trainer obey them.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self

from siad.contracts.json_codec import JsonRecord, JsonStyle


class LearningMode(StrEnum):
    """Setting of a line."""

    AUTO = "auto"  # the brake may stop it
    ON = "on"  # it learns, whatever the brake says
    OFF = "off"  # it learns nothing

    @classmethod
    def of(cls, learning: str) -> Self:
        """Read a line's setting; empty is ``AUTO``."""
        return cls(learning or cls.AUTO.value)


def require_learning(learning: str) -> None:
    """Raise ValueError unless it is empty or a ``LearningMode``."""
    if learning and learning not in set(LearningMode):
        msg = f"learning {learning!r} is not one of {', '.join(LearningMode)}; off stops fits and training runs"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFigures:
    """Figures of some captures of a stream, by their pseudo-masks."""

    captures: int
    marked: int  # captures at or over their threshold
    log_ratio: float  # 20% quantile of log(score / threshold): of good parts, but for a burst of defects
    log_spread: float  # deviation of a normal distribution with its lower tail
    area_ratio: float  # median share of a marked capture's pixels that are marked; 0 where none is marked
    regions: float  # median number of a marked capture's regions; likewise
    # middle 90% of both; 0 and 0 where none is marked, and in records of earlier versions
    area_range: tuple[float, float] = (0.0, 0.0)
    regions_range: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningBrake(JsonRecord):
    """State of the brake of one line and product."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    is_on: bool
    reasons: tuple[str, ...]  # why it is on; of a brake that is off: why it was
    since_at: datetime  # of this state
    baseline: StreamFigures | None  # what the line showed before; None: it was too young
    held_from_at: datetime | None = None  # captures received from here on, until ``held_until_at``, are no baseline
    held_until_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningHold(JsonRecord):
    """Whether a person holds the learning of one line and product."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    is_on: bool
    by: str  # name of the person
    reason: str  # in the person's words; may be empty
    since_at: datetime  # of this state
    command_id: str  # that it follows from


def why_not_learning(
    mode: LearningMode, brake: LearningBrake | None, *, line: str, hold: LearningHold | None = None
) -> str:
    """Say why a line learns nothing; empty where it does.

    Args:
        mode: setting of the line.
        brake: of the place; None: it was never on.
        line: its name, for advice.
        hold: by a person; None: there was none. It goes before setting and brake.
    """
    if hold is not None and hold.is_on:
        because = f": {hold.reason}" if hold.reason else ""
        return (
            f"{hold.by} holds it since {hold.since_at:%Y-%m-%d %H:%M} UTC{because}. Inspection goes on. Resume it: "
            f"siad runs resume {line}, or on the console's page Weights"
        )
    if mode is LearningMode.OFF:
        return f"learning was switched off; switch it on again: siad line put {line} --learning auto"
    if mode is LearningMode.AUTO and brake is not None and brake.is_on:
        return (
            f"{'; '.join(brake.reasons)}. Inspection goes on. Check camera, light and teacher; learning resumes by "
            f"itself when the captures are as before, or at once by: siad line put {line} --learning on"
        )
    return ""
