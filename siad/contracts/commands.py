"""Commands of people to stages, and their outcomes.

The console stores a command, then publishes it as an event. One stage acts on it, see ``CommandGiven.stage``, and
stores the outcome beside it, which is how the page learns of it. A command is carried out once: a stage that finds an
outcome leaves a repeat alone.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from siad.contracts.event_checks import require_place, require_revision
from siad.contracts.events import WeightsKind
from siad.contracts.ids import require_hex
from siad.contracts.json_codec import JsonRecord, JsonStyle

BY_MAX: Final = 128  # characters
REASON_MAX: Final = 500  # characters


class CommandKind(StrEnum):
    """What a person commands."""

    UNSPECIFIED = "unspecified"
    TRAIN = "train"  # request a training run now
    HOLD = "hold"  # learn nothing until it is resumed
    RESUME = "resume"
    ROLLBACK = "rollback"  # put earlier weights in service


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandGiven(JsonRecord):
    """One command of a person about a line and product."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    command_id: str  # hex, 32 characters; 12 of the time in ms, so that ids sort by it, and 20 at random
    line: str
    product: str
    kind: CommandKind
    by: str  # name of the person
    given_at: datetime
    reason: str  # in the person's words; may be empty
    # of a rollback, else empty: weights that judge afterwards, and the pointer that moves, as the person saw it
    weights: str = ""
    moves: WeightsKind = WeightsKind.UNSPECIFIED
    moves_revision: int = 0

    def __post_init__(self) -> None:
        """Refuse a command that names no person, place or weights."""
        require_hex("command_id", self.command_id, 32)
        require_place(self.line, self.product)
        if not 1 <= len(self.by) <= BY_MAX:
            msg = f"by has {len(self.by)} characters; 1 to {BY_MAX} are allowed"
            raise ValueError(msg)
        if len(self.reason) > REASON_MAX:
            msg = f"reason has {len(self.reason)} characters; at most {REASON_MAX} are allowed"
            raise ValueError(msg)
        if self.kind is CommandKind.ROLLBACK:
            require_hex("weights", self.weights, 64)
            require_revision("moves_revision", self.moves_revision)
            if self.moves is WeightsKind.UNSPECIFIED:
                msg = "a rollback does not say whether the pointer of the teacher or of the segmenter moves"
                raise ValueError(msg)

    @property
    def stage(self) -> str:
        """Stage that carries it out; empty for a kind of newer versions."""
        if self.kind is CommandKind.ROLLBACK:
            return "trainer" if self.moves is WeightsKind.SEGMENTER else "labeler"
        return {CommandKind.TRAIN: "trainer", CommandKind.HOLD: "labeler", CommandKind.RESUME: "labeler"}.get(
            self.kind, ""
        )


class CommandFate(StrEnum):
    """How a command ended."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOutcome(JsonRecord):
    """What a stage did about a command."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    command_id: str
    stage: str
    fate: CommandFate
    detail: str  # one sentence: what was done, or why nothing was
    ended_at: datetime
