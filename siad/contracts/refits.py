"""Records of fits: their cause, what they learned, and the decision."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from siad.contracts.fit_settings import FitSettings
from siad.contracts.json_codec import OMIT_IF_DEFAULT, JsonRecord
from siad.contracts.release_evidence import GateDecision, GateEvidence


class RefitCause(StrEnum):
    """Why a teacher is fitted."""

    FIRST = "first"  # the line has none
    SETTINGS = "settings"  # the line asks for another one
    DELETED = "deleted"  # it was fitted on a capture that is deleted since
    QUARANTINED = "quarantined"  # it was fitted on a capture that is in quarantine since
    UNREADABLE = "unreadable"  # this version cannot open its weights
    NORMALS = "normals"  # a step of normals was reached
    GOODS = "goods"  # a step of captures confirmed good
    STREAM = "stream"  # a step of captures of the stream

    @property
    def must_release(self) -> str:
        """Why it is released whatever the gate finds; empty: it decides."""
        return _MUST_RELEASE.get(self, "")


_MUST_RELEASE = {
    RefitCause.FIRST: "it is the first teacher, so there is nothing to compare with",
    RefitCause.SETTINGS: "the line's settings ask for it, and the teacher before follows other ones",
    RefitCause.DELETED: "the teacher before holds what is left of a deleted capture",
    RefitCause.QUARANTINED: "the teacher before holds what is left of a capture in quarantine",
    RefitCause.UNREADABLE: "this version can't open the teacher before",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FitCounts:
    """What a line had to fit on."""

    normals: int = 0
    goods: int = 0  # captures confirmed good
    stream: int = 0  # captures that were scored in all


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitRecord(JsonRecord):
    """One fit that gave weights, and the decision about them."""

    number: int  # from 1, of the line and product
    line: str
    product: str
    cause: RefitCause
    counts: FitCounts
    settings: FitSettings
    weights: str
    serving: str  # weights that it was compared with; empty for none
    decision: GateDecision
    ended_at: datetime
    evidence: GateEvidence | None = field(default=None, metadata=OMIT_IF_DEFAULT)

    @property
    def text(self) -> str:
        """One line for operators."""
        outcome = "released" if self.decision.accepted else "declined"
        return f"{self.cause.value}, {self.weights[:12]} {outcome}: {self.decision.text}"
