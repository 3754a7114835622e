"""Records of a training run: spec, report and judgement. Pure.

A run is numbered within its line and product. Its records are write-once, so two processes that both hold its lease,
because their clocks differ, change nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from siad.contracts.json_codec import OMIT_IF_DEFAULT, JsonRecord
from siad.contracts.methods import UNET
from siad.contracts.normals_profile import NormalsProfile
from siad.contracts.release_evidence import GateEvidence


class RunOutcome(StrEnum):
    """How a run ended."""

    ACCEPTED = "accepted"  # the candidate may serve
    REFUSED = "refused"  # it may not, for the reason of the judgement
    FAILED = "failed"  # the job left no candidate
    CANCELLED = "cancelled"  # by an operator


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec(JsonRecord):
    """Everything that a run's job needs to know."""

    run: str
    line: str
    product: str
    training_set: str  # digest
    teacher: str  # weights whose pseudo-masks teach
    serving: str  # weights of the segmenter in service, to compare the candidate with; empty for none
    ledger_until_at: datetime  # when the newest ledger file of the set was written, by the store's clock
    false_reject_budget: float
    input_px: int  # side of the square with the area that images are brought to
    epochs: int
    train_s: float  # longest training time; then the network is taken as it is
    frozen_at: datetime
    region: tuple[float, ...] = ()  # polygon of the inspected region, see ``siad.contracts.region``; empty for all
    # of the teacher: images are scaled by its depth, and those that do not fit it are left out; None: neither
    profile: NormalsProfile | None = field(default=None, metadata=OMIT_IF_DEFAULT)
    sizes: str = field(default="", metadata=OMIT_IF_DEFAULT)  # as in ``siad.contracts.events.LineChanged``
    request: int = field(default=0, metadata=OMIT_IF_DEFAULT)  # newest of an operator that the run answers; 0: none
    segmenter: str = field(default="", metadata=OMIT_IF_DEFAULT)  # its method; empty in specs of earlier versions: unet
    segmenter_note: str = field(default="", metadata=OMIT_IF_DEFAULT)  # why it is not the one that the line asks for

    # released residual segmenter whose map a fast one learns; empty: the teacher's
    distilled: str = field(default="", metadata=OMIT_IF_DEFAULT)
    workers: int = field(default=1, metadata=OMIT_IF_DEFAULT)  # that train together; equal numbers, equal weights

    @property
    def method(self) -> str:
        """Method that the segmenter is trained by."""
        return self.segmenter or UNET

    @property
    def bits(self) -> int:
        """Depth by which images are scaled; 0: they are not."""
        return 0 if self.profile is None else self.profile.bits


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterFigures(JsonRecord):
    """Figures of one segmenter on held-out captures."""

    normals: int  # good captures (normals and clearly good ones) held out for the check
    defects: int  # captures that the teacher clearly marked, held out
    false_rejects: int  # of ``normals``
    detected: int  # of ``defects``
    image_auroc: float  # 0..1, defects against normals
    pixel_ap: float  # 0..1, average precision against the pseudo-masks

    @property
    def false_reject_rate(self) -> float:
        """Share of the good captures that it rejects, 0..1."""
        return self.false_rejects / self.normals

    @property
    def detection_rate(self) -> float:
        """Share of the defective captures that it finds, 0..1."""
        return self.detected / self.defects


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport(JsonRecord):
    """Result of a job: a candidate and its figures."""

    run: str
    weights: str
    candidate: SegmenterFigures
    serving: SegmenterFigures | None  # of the serving segmenter, in reports without evidence
    epochs: int
    resumed_from_epoch: int  # 0: trained without interruption
    seconds: float  # of training, over all starts
    device: str
    # comparison with what serves; None: nothing usable served, or an earlier version wrote the report
    evidence: GateEvidence | None = field(default=None, metadata=OMIT_IF_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateJudgement(JsonRecord):
    """Decision about a run, and its reason."""

    run: str
    outcome: RunOutcome
    reason: str
    weights: str  # the candidate; empty where there is none
    judged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """State of one run, as the store holds it."""

    spec: RunSpec
    report: RunReport | None
    judgement: CandidateJudgement | None
    attempts: int  # starts of its job
    last_attempt_at: datetime | None
    failure: str = ""  # why the newest start that failed did; empty where none is recorded

    @property
    def is_open(self) -> bool:
        """Whether it has no judgement yet."""
        return self.judgement is None

    @property
    def outcome(self) -> RunOutcome | None:
        """How it ended; None while it is open."""
        return self.judgement.outcome if self.judgement is not None else None

    @property
    def candidate(self) -> str:
        """Weights that may serve; empty where there are none."""
        accepted = self.judgement is not None and self.judgement.outcome is RunOutcome.ACCEPTED
        return self.judgement.weights if accepted and self.judgement is not None else ""


def run_name(line: str, product: str, number: int) -> str:
    """Name a run; slugs hold no dot, so names do not collide."""
    return f"{line}.{product}.{number:06d}"
