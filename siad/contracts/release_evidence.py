"""Evidence for a release, and the decision that it gave.

Candidate and serving weights score the same held-out captures, which neither learned from.
``siad.vision.gate`` decides.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from siad.contracts.json_codec import OMIT_IF_DEFAULT, JsonRecord


class EvidenceKind(StrEnum):
    """Origin of a held-out capture."""

    STREAM = "stream"  # inspected, without a label
    NORMAL = "normal"  # sent as known to be good
    GOOD = "good"  # confirmed good by a person
    DEFECT = "defect"  # corrected to defective by a person


CORRECTED = (EvidenceKind.GOOD, EvidenceKind.DEFECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutCapture:
    """One capture that both weights are compared on."""

    capture_id: str
    kind: EvidenceKind
    family: str = field(default="", metadata=OMIT_IF_DEFAULT)  # of its defect; empty: none known
    # highest pixel AP on this capture that weights released earlier reached; None: not known
    best_pixel_ap: float | None = field(default=None, metadata=OMIT_IF_DEFAULT)
    # drawn at random among the inspected captures before it was corrected: a sample, unlike those near the threshold
    is_drawn: bool = field(default=False, metadata=OMIT_IF_DEFAULT)
    # the candidate learned it: its figures are those of a network trained alike without it
    is_cross_fitted: bool = field(default=False, metadata=OMIT_IF_DEFAULT)

    @property
    def is_good_sample(self) -> bool:
        """Whether it is good, and chosen without regard to its score."""
        return self.kind is EvidenceKind.NORMAL or (self.kind is EvidenceKind.GOOD and self.is_drawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFigures:
    """Figures on synthetic defects in held-out good captures."""

    image_auroc: float  # 0..1, with defects against without
    pixel_ap: float  # 0..1, mean over kinds of defects
    scores: tuple[float, ...]  # raw image scores, by probe
    # merit without each host in turn, for the scatter of a difference; empty in evidence of earlier versions
    merits_without: tuple[float, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)

    @property
    def merit(self) -> float:
        """One number to compare by, 0..2: detection and localisation."""
        return self.image_auroc + self.pixel_ap


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """Results of one set of weights, in the order of the captures."""

    weights: str
    method: str
    threshold: float  # raw score; a defect has score >= threshold
    scores: tuple[float, ...]  # raw image scores
    pixel_aps: tuple[float | None, ...]  # 0..1, on a capture with a mask of a defect; None: it has none
    probes: ProbeFigures | None = None  # None: too few good captures for probes
    # 0..1, over all pixels of the corrected captures together; None: no outline, or evidence of an earlier version
    corrected_pixel_ap: float | None = field(default=None, metadata=OMIT_IF_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvidence(JsonRecord):
    """Comparison of a candidate with the weights that serve."""

    budget: float  # share of good captures that may be rejected
    captures: tuple[HeldOutCapture, ...]
    candidate: ModelFigures
    serving: ModelFigures
    # merit on synthetic defects that releases before lost and have not regained, 0 or less
    merit_balance: float = field(default=0.0, metadata=OMIT_IF_DEFAULT)

    def __post_init__(self) -> None:
        """Refuse figures of another number of captures."""
        for figures in (self.candidate, self.serving):
            found = (len(figures.scores), len(figures.pixel_aps))
            if found != (len(self.captures), len(self.captures)):
                msg = f"weights {figures.weights[:12]} have {found} figures of {len(self.captures)} captures"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision(JsonRecord):
    """Decision about a candidate, with its reasons in words."""

    accepted: bool
    reasons: tuple[str, ...]  # objections of a refusal; what was found better or level of an acceptance
    unknown: tuple[str, ...] = ()  # what the evidence could not show
    overruled: tuple[str, ...] = ()  # objections that corrected captures, or a release that must be, outweighed
    figures: tuple[tuple[str, float], ...] = ()  # sorted by name

    @property
    def text(self) -> str:
        """One line for logs and operators."""
        parts = ["; ".join(self.reasons)]
        if self.overruled:
            parts.append("overruled: " + "; ".join(self.overruled))
        if self.unknown:
            parts.append("not known: " + "; ".join(self.unknown))
        return ". ".join(part for part in parts if part)
