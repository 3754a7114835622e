"""Trials: a candidate judges captures beside the weights that serve.

The trainer opens, moves and ends a trial; inference judges each capture by both weights and reports the pair. Records
are write-once but for the pairs, so a process that plans after a crash finds what was decided.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from siad.contracts.event_checks import require_finite, require_place, require_revision
from siad.contracts.events import Decision, WeightsKind
from siad.contracts.ids import WeightsId, require_hex
from siad.contracts.json_codec import JsonRecord, JsonStyle
from siad.contracts.labelling import is_drawn
from siad.contracts.place import Place


class TrialPhase(StrEnum):
    """What the candidate does."""

    UNSPECIFIED = "unspecified"
    SHADOW = "shadow"  # judges beside what serves, and decides nothing
    CANARY = "canary"  # decides a share of the captures
    ENDED = "ended"


class TrialOutcome(StrEnum):
    """How a trial ended."""

    PROMOTED = "promoted"  # the candidate is released
    DROPPED = "dropped"  # it is worse
    UNDECIDED = "undecided"  # the limit of captures or time was reached; what serves stays
    SUPERSEDED = "superseded"  # a newer candidate takes its place
    INTERRUPTED = "interrupted"  # what serves changed, or the candidate is in quarantine or was rejected


class TrialAction(StrEnum):
    """What a person orders."""

    PROMOTE = "promote"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialChanged:
    """Present trial of a line and product, or its end."""

    line: str
    product: str
    revision: int
    trial: int  # number within the line and product
    phase: TrialPhase
    candidate: WeightsId
    serving: WeightsId
    serving_kind: WeightsKind
    canary_share: float  # 0..1, of the captures that the candidate decides in ``CANARY``
    changed_at: datetime

    def __post_init__(self) -> None:
        """Refuse a trial without place, number or weights."""
        require_place(self.line, self.product)
        require_revision("revision", self.revision)
        require_revision("trial", self.trial)
        require_hex("candidate", self.candidate, 64)
        require_hex("serving", self.serving, 64)
        if not 0 <= self.canary_share <= 1:
            msg = f"canary_share {self.canary_share:g} is not in [0, 1]"
            raise ValueError(msg)

    def is_decided_by_candidate(self, capture_id: str) -> bool:
        """Whether the candidate decides a capture, as for its repeats."""
        drawn_by = f"canary {capture_id}"  # other draws by capture id are independent of this one
        return self.phase is TrialPhase.CANARY and is_drawn(drawn_by, self.canary_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowJudged:
    """One capture, judged by candidate and serving weights of a trial."""

    capture_id: str
    line: str
    product: str
    received_at: datetime
    trial: int
    phase: TrialPhase  # in which it was judged
    candidate: WeightsId
    serving: WeightsId
    candidate_decision: Decision
    candidate_score: float
    candidate_threshold: float
    serving_decision: Decision
    serving_score: float
    serving_threshold: float
    serving_margin: float  # (score - threshold) of the serving weights, in spreads of their normals' scores
    mask_disagreement: float  # 0..1: 1 - intersection / union of both masks; 0 where both are empty
    decided_by_candidate: bool  # its verdict is the candidate's
    spent_s: float  # CPU time of the second judgement
    judged_at: datetime

    def __post_init__(self) -> None:
        """Refuse a pair without capture, trial or decisions."""
        require_hex("capture_id", self.capture_id, 32)
        require_place(self.line, self.product)
        require_revision("trial", self.trial)
        require_hex("candidate", self.candidate, 64)
        require_hex("serving", self.serving, 64)
        for name in ("candidate_score", "candidate_threshold", "serving_score", "serving_threshold", "serving_margin"):
            require_finite(name, getattr(self, name))
        if not 0 <= self.mask_disagreement <= 1:
            msg = f"mask_disagreement {self.mask_disagreement:g} is not in [0, 1]"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSpec(JsonRecord):
    """One trial as it was opened."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    number: int
    line: str
    product: str
    run: str  # that made the candidate
    candidate: WeightsId
    serving: WeightsId
    serving_kind: WeightsKind
    has_canary: bool  # the candidate decides a share before it is released
    canary_share: float
    budget: float  # false-reject budget of the line
    opened_at: datetime

    @property
    def place(self) -> Place:
        """Line and product."""
        return Place(self.line, self.product)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStart(JsonRecord):
    """Record that the candidate decides a share of the captures."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    reason: str
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOrder(JsonRecord):
    """Order of a person about a trial."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    action: TrialAction
    by: str  # name of the person
    reason: str
    given_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnd(JsonRecord):
    """End of a trial, and why."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    outcome: TrialOutcome
    reason: str
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPair:
    """Decisions of both weights about a capture that one of them rejects."""

    capture_id: str
    candidate_rejects: bool
    serving_rejects: bool
    is_clear: bool  # the serving score is at least one spread over its threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPairs(JsonRecord):
    """Captures that both weights judged, in one phase of a trial."""

    passed: tuple[str, ...] = ()  # captures that both pass
    pairs: tuple[JudgedPair, ...] = ()  # the others
    decided: int = 0  # captures of which the verdict is the candidate's
    mask_disagreement: float = 0.0  # sum over the captures that both reject
    spent_s: float = 0.0  # CPU time of all second judgements

    @property
    def captures(self) -> int:
        """Captures that both judged."""
        return len(self.passed) + len(self.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialState:
    """State of the newest trial of a line and product."""

    spec: TrialSpec
    canary: CanaryStart | None = None
    order: TrialOrder | None = None
    end: TrialEnd | None = None
    pairs: TrialPairs = field(default_factory=TrialPairs)  # of the present phase

    @property
    def is_open(self) -> bool:
        """Whether it has no end yet."""
        return self.end is None

    @property
    def phase(self) -> TrialPhase:
        """What the candidate does now."""
        if self.end is not None:
            return TrialPhase.ENDED
        return TrialPhase.SHADOW if self.canary is None else TrialPhase.CANARY

    @property
    def since_at(self) -> datetime:
        """When the present phase began."""
        if self.end is not None:
            return self.end.ended_at
        return self.spec.opened_at if self.canary is None else self.canary.started_at

    @property
    def revision(self) -> int:
        """Number that grows with every trial and phase."""
        step = (TrialPhase.SHADOW, TrialPhase.CANARY, TrialPhase.ENDED).index(self.phase)
        return 3 * (self.spec.number - 1) + 1 + step

    def event(self) -> TrialChanged:
        """Build the event that announces it."""
        spec = self.spec
        return TrialChanged(
            line=spec.line,
            product=spec.product,
            revision=self.revision,
            trial=spec.number,
            phase=self.phase,
            candidate=spec.candidate,
            serving=spec.serving,
            serving_kind=spec.serving_kind,
            canary_share=spec.canary_share,
            changed_at=self.since_at,
        )
